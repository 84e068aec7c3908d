package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"svc.d/spec"
)

// sub is a directory of manifests in a fresh one, holding services of these names.
func sub(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(base(t), "svc.d")
	fill(t, dir, names...)
	return dir
}

func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for _, name := range names {
		renameIn(t, filepath.Join(dir, name+".yaml"), service(name, "1"))
	}
}

var (
	held    = func(reason string) func(*spec.Set) bool { return condition(spec.ConditionDirectoryHeld, reason) }
	notHeld = func(s *spec.Set) bool { return !condition(spec.ConditionDirectoryHeld, "")(s) }
	pruning = condition(spec.ConditionPruneHeld, "")
)

func TestADirectoryThatIsMissingAtTheStartIsNoticedWhenItComes(t *testing.T) {
	root := base(t)
	dir := filepath.Join(root, "a", "b", "svc.d")
	x := watchDir(t, dir)
	if !held(ReasonMissing)(x.set) || len(x.set.Services) > 0 {
		t.Fatal(show(x.set))
	}
	fill(t, dir, "web")
	x.until("web", both(has("web"), notHeld))
	must(t, os.RemoveAll(filepath.Join(root, "a")))
	x.until("hold", held(ReasonMissing), lacks("web"))
	fill(t, dir, "web", "api")
	x.until("api", both(has("web", "api"), notHeld), lacks("web"))
}

func TestADirectoryThatGoesAwayHoldsEverything(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string) (back func()){
		"deleted and made anew": func(t *testing.T, dir string) func() {
			must(t, os.RemoveAll(dir))
			return func() { fill(t, dir, "a", "b", "c") }
		},
		"moved away and back": func(t *testing.T, dir string) func() {
			must(t, os.Rename(dir, dir+".old"))
			return func() { must(t, os.Rename(dir+".old", dir)) }
		},
		"a parent moved away and back": func(t *testing.T, dir string) func() {
			must(t, os.Rename(filepath.Dir(dir), filepath.Dir(dir)+".old"))
			return func() { must(t, os.Rename(filepath.Dir(dir)+".old", filepath.Dir(dir))) }
		},
		"replaced by a file": func(t *testing.T, dir string) func() {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.WriteFile(dir, nil, 0o644))
			return func() { must(t, os.Remove(dir)); must(t, os.Rename(dir+".old", dir)) }
		},
		"replaced by a link to nothing": func(t *testing.T, dir string) func() {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Symlink("nowhere", dir))
			return func() { relink(t, dir+".old", dir) }
		},
		"replaced by an empty one": func(t *testing.T, dir string) func() {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Mkdir(dir, 0o755))
			return func() { fill(t, dir, "a", "b", "c") }
		},
		"exchanged for an empty one": func(t *testing.T, dir string) func() {
			must(t, os.Mkdir(dir+".other", 0o755))
			exchange(t, dir, dir+".other")
			return func() { exchange(t, dir, dir+".other") }
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sub(t, "a", "b", "c")
			x := watchDir(t, dir)
			before := x.set.Services["a"]
			different := func(s *spec.Set) bool { return s.Services["a"] != before || len(s.Services) != 3 }
			back := test(t, dir)
			x.until("the hold", held(""), different)
			back()
			x.until("the end of it", notHeld, different)
			x.write("a.yaml", service("a", "2"))
			x.until("the edit", hasArg("a", "2"))
		})
	}
}

func TestAnEmptyDirectoryThatTookThePlaceIsObeyedWhenSomebodyConfirms(t *testing.T) {
	dir := sub(t, "a", "b")
	x := watchDir(t, dir)
	must(t, os.RemoveAll(dir))
	x.until("the hold", held(ReasonMissing))
	if _, err := x.w.ConfirmPrune(context.Background()); err == nil {
		t.Error("a missing directory was pruned")
	}
	must(t, os.Mkdir(dir, 0o755))
	x.until("the hold", held(ReasonReplaced), lacks("a"))
	names, err := x.w.ConfirmPrune(context.Background())
	if err != nil || fmt.Sprint(names) != "[a b]" {
		t.Errorf("%v %v", names, err)
	}
	x.until("nothing", both(has(), noCondition))
}

func TestAnEmptiedDirectoryIsObeyed(t *testing.T) {
	dir := sub(t, "a", "b", "c")
	x := watchDir(t, dir)
	for _, name := range []string{"a", "b", "c"} {
		must(t, os.Remove(x.path(name+".yaml")))
	}
	x.until("nothing", has(), held(""), pruning)
}

func TestMoreThanHalfOfFiveServicesAreNotRemovedUnlessSomebodyConfirms(t *testing.T) {
	dir := sub(t, "a", "b", "c", "d", "e")
	x := watchDir(t, dir)
	fewer := func(s *spec.Set) bool { return len(s.Services) < 5 }
	remove := func(names ...string) {
		for _, name := range names {
			must(t, os.Remove(x.path(name+".yaml")))
		}
	}
	remove("a", "b", "c")
	x.until("the hold", pruning, fewer)
	fill(t, dir, "a", "b")
	x.write("d.yaml", service("d", "2"))
	// What is still missing stays held.
	x.until("the edit", both(hasArg("d", "2"), pruning), fewer)
	fill(t, dir, "c")
	x.until("the end of it", noCondition, fewer)
	remove("a", "b", "c")
	x.until("the hold", pruning, fewer)
	fill(t, dir, "b")
	names, err := x.w.ConfirmPrune(context.Background())
	if err != nil || fmt.Sprint(names) != "[a c]" {
		t.Errorf("%v %v", names, err)
	}
	x.until("the removal", both(has("b", "d", "e"), noCondition))
	names, err = x.w.ConfirmPrune(context.Background())
	if err != nil || names != nil {
		t.Errorf("%v %v", names, err)
	}
}

func TestARemovedFileComesBackWithinTheDelayWithoutATrace(t *testing.T) {
	dir := sub(t, "web")
	x := watchDir(t, dir)
	must(t, os.Remove(x.path("web.yaml")))
	x.write("other.yaml", service("other", "1"))
	x.until("other", has("web", "other"))
	fill(t, dir, "web")
	x.still()
	must(t, os.Remove(x.path("web.yaml")))
	x.until("the removal", has("other", "zz-last"))
}

func TestAServiceThatMovesToAnotherFileRunsOn(t *testing.T) {
	dir := sub(t, "web")
	x := watchDir(t, dir)
	before := x.set.Services["web"]
	other := func(s *spec.Set) bool {
		web := s.Services["web"]
		return web == nil || !sameDeclaration(web, before)
	}
	must(t, os.Rename(x.path("web.yaml"), x.path("www.yaml")))
	x.write("1.yaml", service("one", "1"))
	x.until("one", both(has("web", "one"), providedBy("web", x.path("www.yaml"))), other)
	// Out of one file first, into the other later.
	x.write("www.yaml", service("api", "1"))
	x.until("api", has("web", "one", "api"), other)
	x.write("1.yaml", service("one", "1")+"---\n"+service("web", "1"))
	must(t, os.Remove(x.path("www.yaml")))
	x.until("the removal", both(has("web", "one"), providedBy("web", x.path("1.yaml"))), other)
}

// providedBy says that a service is known by the file that provides it, which is
// where a Watcher that is seeded with it looks.
func providedBy(name, file string) func(*spec.Set) bool {
	return func(s *spec.Set) bool { return s.Services[name] != nil && s.Services[name].Source.File == file }
}

func TestTheFileThatProvidesWhatRunsKeepsIt(t *testing.T) {
	dir := base(t)
	renameIn(t, filepath.Join(dir, "b.yaml"), service("web", "b"))
	renameIn(t, filepath.Join(dir, "c.yaml"), service("web", "c")+"---\n"+service("api", "c"))
	x := watchDir(t, dir)
	if arg(x.set.Services["web"]) != "b" || !has("web", "api")(x.set) || !problem("is declared already by "+x.path("b.yaml"))(x.set) {
		t.Fatal(show(x.set))
	}
	x.write("a.yaml", service("web", "a"))
	x.until("the problem", problem("a.yaml"), hasArg("web", "a"))
	x.write("b.yaml", service("web", "b2"))
	x.until("the edit", hasArg("web", "b2"), hasArg("web", "a"), hasArg("web", "c"))
	must(t, os.Remove(x.path("b.yaml")))
	x.until("the next one", hasArg("web", "a"), lacks("web"))
	x.write("c.yaml", service("api", "c"))
	x.until("no problem", noProblem, lacks("web"))
}

func TestFoldersAreReadOnlyWithRecursive(t *testing.T) {
	dir := sub(t, "web")
	fill(t, filepath.Join(dir, "deep", "er"), "api")
	fill(t, filepath.Join(dir, ".git"), "hidden")
	must(t, os.Symlink("..", filepath.Join(dir, "deep", "loop")))
	x := watchWith(t, Options{Dir: dir, Recursive: true})
	x.until("both", has("web", "api"))
	if !problem("loop")(x.set) {
		t.Error(show(x.set))
	}
	must(t, os.Remove(filepath.Join(dir, "deep", "loop")))
	fill(t, filepath.Join(dir, "new", "one"), "db")
	x.until("the new one", both(has("web", "api", "db"), noProblem))
	renameIn(t, filepath.Join(dir, "deep", "er", "api.yaml"), service("api", "2"))
	x.until("the edit", hasArg("api", "2"))
	// Replaced by an empty one: held. Removed: obeyed.
	must(t, os.Rename(filepath.Join(dir, "deep", "er"), filepath.Join(dir, ".er")))
	must(t, os.Mkdir(filepath.Join(dir, "deep", "er"), 0o755))
	x.until("the hold", held(ReasonReplaced), lacks("api"))
	must(t, os.RemoveAll(filepath.Join(dir, "deep")))
	x.until("the removal", both(has("web", "db"), noCondition))
}
