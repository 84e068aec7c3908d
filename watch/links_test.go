package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

func exchange(t *testing.T, a, b string) {
	t.Helper()
	must(t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
}

// As the kubelet does it: the files are links through ..data, which is a link
// to a folder with a time in its name, and is replaced by rename.
func TestAConfigMapFlipsAsAWhole(t *testing.T) {
	dir := base(t)
	version := func(n int) string { return fmt.Sprintf("..2026_%d", n) }
	put := func(n int) {
		fill := filepath.Join(dir, version(n))
		must(t, os.Mkdir(fill, 0o755))
		for _, name := range []string{"a", "b", "c"} {
			must(t, os.WriteFile(filepath.Join(fill, name+".yaml"), []byte(service(name, fmt.Sprint(n))), 0o644))
		}
		relink(t, version(n), filepath.Join(dir, "..data"))
	}
	put(0)
	for _, name := range []string{"a", "b", "c"} {
		must(t, os.Symlink("..data/"+name+".yaml", filepath.Join(dir, name+".yaml")))
	}
	x := watchDir(t, dir)
	mixed := func(s *spec.Set) bool {
		return arg(s.Services["a"]) != arg(s.Services["b"]) || arg(s.Services["b"]) != arg(s.Services["c"]) || len(s.Problems) > 0
	}
	for n := 1; n <= 20; n++ {
		put(n)
		x.until("the flip", hasArg("c", fmt.Sprint(n)), mixed)
		must(t, os.RemoveAll(filepath.Join(dir, version(n-1))))
	}
	// An edit behind the link is seen, too.
	renameIn(t, filepath.Join(dir, version(20), "b.yaml"), service("b", "x"))
	x.until("the edit", hasArg("b", "x"))
}

// As git-sync does it: the directory itself is a link to a worktree.
func TestADirectoryThatIsALinkFlips(t *testing.T) {
	root := base(t)
	link := filepath.Join(root, "current")
	put := func(n int) {
		tree := filepath.Join(root, "worktrees", fmt.Sprint(n))
		fill(t, tree, "same")
		renameIn(t, filepath.Join(tree, "web.yaml"), service("web", fmt.Sprint(n)))
		relink(t, filepath.Join("worktrees", fmt.Sprint(n)), link)
	}
	put(0)
	x := watchDir(t, link)
	same := x.set.Services["same"]
	other := func(s *spec.Set) bool { return s.Services["same"] != same || !noCondition(s) }
	for n := 1; n <= 5; n++ {
		put(n)
		x.until("the flip", hasArg("web", fmt.Sprint(n)), other)
		must(t, os.RemoveAll(filepath.Join(root, "worktrees", fmt.Sprint(n-1))))
	}
	renameIn(t, filepath.Join(root, "worktrees", "5", "web.yaml"), service("web", "x"))
	x.until("the edit", hasArg("web", "x"), other)
}

func TestAFileThatIsALinkFollowsEachOfItsParts(t *testing.T) {
	root := base(t)
	dir := filepath.Join(root, "svc.d")
	must(t, os.Mkdir(dir, 0o755))
	for _, v := range []string{"v1", "v2"} {
		must(t, os.MkdirAll(filepath.Join(root, "app", v, "conf"), 0o755))
		renameIn(t, filepath.Join(root, "app", v, "conf", "web.yaml"), service("web", v))
	}
	must(t, os.Symlink("v1", filepath.Join(root, "app", "now")))
	must(t, os.Symlink(filepath.Join(root, "app", "now", "conf", "web.yaml"), filepath.Join(dir, "web.yaml")))
	x := watchDir(t, dir)
	x.until("v1", hasArg("web", "v1"))
	relink(t, "v2", filepath.Join(root, "app", "now"))
	x.until("v2", hasArg("web", "v2"), lacks("web"))
	renameIn(t, filepath.Join(root, "app", "v2", "conf", "web.yaml"), service("web", "v3"))
	x.until("v3", hasArg("web", "v3"), lacks("web"))
	f, err := os.OpenFile(filepath.Join(root, "app", "v2", "conf", "web.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = f.WriteString(service("web", "v4"))
	must(t, err)
	must(t, f.Close())
	x.until("v4", hasArg("web", "v4"), lacks("web"))
	// The link before its target.
	must(t, os.Symlink(filepath.Join(root, "app", "later.yaml"), filepath.Join(dir, "later.yaml")))
	x.until("the problem", problem("leads to nothing"))
	renameIn(t, filepath.Join(root, "app", "later.yaml"), service("later", "1"))
	x.until("later", both(has("web", "later"), noProblem))
}

func TestALogThatGrowsBesideTheDirectoryDoesNotWakeIt(t *testing.T) {
	dir := sub(t, "web")
	root := filepath.Dir(dir)
	must(t, os.Symlink("svc.d", filepath.Join(root, "link"))) // so the parent is watched for entries
	tap := newTap()
	x := watchDir(t, filepath.Join(root, "link"), tap.install)
	log, err := os.Create(filepath.Join(root, "app.log"))
	must(t, err)
	defer func() { _ = log.Close() }()
	x.write("one.yaml", service("one", "1"))
	x.until("one", has("web", "one"))
	for range 100 {
		_, err = log.WriteString("a line\n")
		must(t, err)
	}
	x.still()
	if n := tap.named("app.log"); n > 1 { // its creation
		t.Errorf("%d events told of the log", n)
	}
}
