package watch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"svc.d/spec"
)

// tool runs a program in a directory, and skips the test when it is missing.
func tool(t *testing.T, dir, pkg string, argv ...string) {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("needs the Debian package %s", pkg)
	}
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=dumb", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
}

func TestAnEditOfEveryEditorIsOneEdit(t *testing.T) {
	tests := map[string]struct {
		pkg  string
		argv []string
	}{
		"vim":                         {"vim", []string{"vim", "-es", "-u", "NONE", "-c", "%s/old/new/", "-c", "wq", "web.yaml"}},
		"vim that renames the backup": {"vim", []string{"vim", "-es", "-u", "NONE", "-c", "set backup backupcopy=no writebackup", "-c", "%s/old/new/", "-c", "wq", "web.yaml"}},
		"vim that copies the backup":  {"vim", []string{"vim", "-es", "-u", "NONE", "-c", "set backup backupcopy=yes writebackup", "-c", "%s/old/new/", "-c", "wq", "web.yaml"}},
		"emacs": {"emacs-nox", []string{"emacs", "-Q", "--batch", "web.yaml", "--eval",
			`(progn (goto-char (point-min)) (while (search-forward "old" nil t) (replace-match "new")) (save-buffer))`}},
		"emacs that renames the backup": {"emacs-nox", []string{"emacs", "-Q", "--batch", "web.yaml", "--eval",
			`(progn (setq backup-by-copying nil make-backup-files t) (goto-char (point-min)) (while (search-forward "old" nil t) (replace-match "new")) (save-buffer))`}},
		"sed -i":     {"sed", []string{"sed", "-i", "s/old/new/", "web.yaml"}},
		"sed -i.bak": {"sed", []string{"sed", "-i.bak", "s/old/new/", "web.yaml"}},
		"the shell":  {"sed", []string{"sh", "-c", "sed s/old/new/ web.yaml >.x && cat .x >web.yaml"}},
		"cp":         {"coreutils", []string{"sh", "-c", "sed s/old/new/ web.yaml >.x && cp .x web.yaml"}},
		"tee":        {"coreutils", []string{"sh", "-c", "sed s/old/new/ web.yaml >.x && tee web.yaml <.x >/dev/null"}},
		"install":    {"coreutils", []string{"sh", "-c", "sed s/old/new/ web.yaml >.x && install -m 644 .x web.yaml"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sub(t, "other")
			renameIn(t, filepath.Join(dir, "web.yaml"), service("web", "old")+"---\n"+service("api", "old"))
			x := watchDir(t, dir)
			x.until("all", has("other", "web", "api")) // a fork beside us may hold a file open for a moment
			tool(t, dir, test.pkg, test.argv...)
			x.until("the edit", hasArg("web", "new"), func(s *spec.Set) bool {
				return len(s.Services) != 3 || len(s.Problems) > 0 && test.argv[0] != "sh"
			})
			x.until("no problem", noProblem)
			x.still()
		})
	}
}

func TestACheckoutChangesWhatTheCommitsDifferIn(t *testing.T) {
	dir := base(t)
	git := func(args ...string) { t.Helper(); tool(t, dir, "git", append([]string{"git"}, args...)...) }
	git("init", "-q", "-b", "one")
	fill(t, dir, "a", "b", "c", "d")
	git("add", ".")
	git("commit", "-qm", "one")
	git("checkout", "-q", "-b", "two")
	renameIn(t, filepath.Join(dir, "b.yaml"), service("b", "2"))
	git("mv", "c.yaml", "moved.yaml")
	git("rm", "-q", "d.yaml")
	fill(t, dir, "e")
	git("add", ".")
	git("commit", "-qm", "two")
	git("checkout", "-q", "one")
	x := watchDir(t, dir)
	a, c := x.set.Services["a"], x.set.Services["c"]
	bad := func(s *spec.Set) bool {
		return s.Services["a"] != a || s.Services["c"] == nil || !sameDeclaration(s.Services["c"], c) || len(s.Services) < 4
	}
	for range 3 {
		git("checkout", "-q", "two")
		x.until("two", both(has("a", "b", "c", "e"), hasArg("b", "2"), noProblem), bad)
		git("checkout", "-q", "one")
		x.until("one", both(has("a", "b", "c", "d"), hasArg("b", "1"), noProblem), bad)
	}
}

func TestTwoHundredEditsInARowEndWithTheLast(t *testing.T) {
	x := watchDir(t, base(t))
	for i := range 200 {
		must(t, os.WriteFile(x.path("web.yaml"), []byte(service("web", fmt.Sprint(i))), 0o644))
	}
	x.until("the last", hasArg("web", "199"))
	x.still()
}
