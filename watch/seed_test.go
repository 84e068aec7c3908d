package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"svc.d/spec"
)

// seeds are what an earlier image had in force: the services of dir as its own
// Watcher saw them, read from what was stored.
func seeds(t *testing.T, dir string) (list []*spec.Service, c *spec.Configuration) {
	t.Helper()
	set, err := Read([]string{dir}, true, nil)
	must(t, err)
	for _, s := range set.Services {
		again := *s
		again.Source = spec.Source{File: s.Source.File}
		list = append(list, &again)
	}
	if set.Configuration != nil {
		again := *set.Configuration
		again.Source = spec.Source{File: again.Source.File}
		c = &again
	}
	return list, c
}

// seeded is a Watcher that begins with seeds after something was done to the
// directory while no daemon lived.
func seeded(t *testing.T, dir string, o Options, meanwhile func()) (x *world, kept func(names ...string) func(*spec.Set) bool) {
	t.Helper()
	o.Dir, o.Resync = dir, time.Hour
	o.Seed, o.SeedConfiguration = seeds(t, dir)
	meanwhile()
	before := map[string]*spec.Service{}
	for _, s := range o.Seed {
		before[s.Metadata.Name] = s
	}
	x = watchWith(t, o)
	return x, func(names ...string) func(*spec.Set) bool {
		return func(s *spec.Set) bool {
			for _, name := range names {
				if s.Services[name] == nil || s.Services[name] != before[name] {
					return false
				}
			}
			return s.Configuration == o.SeedConfiguration
		}
	}
}

func not(f func(*spec.Set) bool) func(*spec.Set) bool { return func(s *spec.Set) bool { return !f(s) } }

// The first set comes at once and holds the seeds; what became of their files
// takes its usual course from there.
func TestWhatBecameOfTheFilesWhileNoDaemonLived(t *testing.T) {
	tests := map[string]struct {
		do    func(t *testing.T, dir string)
		first func(*spec.Set) bool
		kept  []string // by pointer, for good
		then  func(*spec.Set) bool
	}{
		"nothing": {
			do: func(*testing.T, string) {}, first: both(has("a", "b", "c"), noProblem, noCondition),
			kept: []string{"a", "b", "c"}, then: noProblem,
		},
		"a file was edited": {
			do:    func(t *testing.T, dir string) { renameIn(t, filepath.Join(dir, "a.yaml"), service("a", "2")) },
			first: both(has("a", "b", "c"), hasArg("a", "2"), noProblem), kept: []string{"b", "c"}, then: noProblem,
		},
		"a file was broken": {
			do: func(t *testing.T, dir string) {
				renameIn(t, filepath.Join(dir, "a.yaml"), service("a", "2")+"  oops: 1\n")
			},
			first: both(has("a", "b", "c"), problem("a.yaml:5")), kept: []string{"a", "b", "c"}, then: problem("a.yaml:5"),
		},
		"a file was emptied": {
			do:    func(t *testing.T, dir string) { renameIn(t, filepath.Join(dir, "a.yaml"), "") },
			first: problem(`declares no service any more, but did declare "a"`), kept: []string{"a", "b", "c"}, then: not(noProblem),
		},
		"a file was replaced by a FIFO": {
			do: func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "a.yaml")))
				must(t, mkfifo(filepath.Join(dir, "a.yaml")))
			},
			first: problem("it is a FIFO"), kept: []string{"a", "b", "c"}, then: not(noProblem),
		},
		"a file was removed": {
			do:    func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "a.yaml"))) },
			first: has("a", "b", "c"), kept: []string{"b", "c"}, then: both(has("b", "c"), noCondition),
		},
		"a service moved to another file": {
			do: func(t *testing.T, dir string) {
				must(t, os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "z.yaml")))
			},
			first: both(has("a", "b", "c"), noProblem), kept: []string{"b", "c"}, then: noProblem,
		},
		"a service moved to another file, which was broken": {
			do: func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "a.yaml")))
				renameIn(t, filepath.Join(dir, "z.yaml"), service("a", "1")+"  oops: 1\n")
			},
			first: both(has("a", "b", "c"), problem("z.yaml:5")), kept: []string{"b", "c"}, then: has("b", "c"),
		},
		"another file declares the service too": {
			do: func(t *testing.T, dir string) {
				renameIn(t, filepath.Join(dir, "0.yaml"), service("a", "2")+"---\n"+service("d", "1"))
			},
			first: both(has("a", "b", "c", "d"), problem("is declared already by")), kept: []string{"a", "b", "c"}, then: problem("0.yaml"),
		},
		"a second configuration came": {
			do:    func(t *testing.T, dir string) { renameIn(t, filepath.Join(dir, "0.yaml"), configurationOf+"Hold\n") },
			first: problem("there is at most one"), kept: []string{"a", "b", "c"}, then: problem("0.yaml"),
		},
		"a service came": {
			do:    func(t *testing.T, dir string) { fill(t, dir, "d") },
			first: both(has("a", "b", "c", "d"), noProblem), kept: []string{"a", "b", "c"}, then: noProblem,
		},
		"the directory went": {
			do:    func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".old")) },
			first: held(ReasonMissing), kept: []string{"a", "b", "c"}, then: held(ReasonMissing),
		},
		"the directory became a file": {
			do: func(t *testing.T, dir string) {
				must(t, os.Rename(dir, dir+".old"))
				must(t, os.WriteFile(dir, nil, 0o644))
			},
			first: held(ReasonUnreadable), kept: []string{"a", "b", "c"}, then: held(""),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sub(t, "a", "b", "c")
			renameIn(t, filepath.Join(dir, "main.yaml"), configurationOf+"Hold\n")
			x, kept := seeded(t, dir, Options{}, func() { test.do(t, dir) })
			if !kept(test.kept...)(x.set) || !test.first(x.set) {
				t.Fatalf("the first set is %s", show(x.set))
			}
			x.until("what is to come", test.then, not(kept(test.kept...)))
		})
	}
}

func TestSeedsOfOneFileAreOneFile(t *testing.T) {
	dir := base(t)
	file := filepath.Join(dir, "all.yaml")
	renameIn(t, file, service("a", "1")+"---\n"+service("b", "1")+"---\n"+configurationOf+"Hold\n")
	x, kept := seeded(t, dir, Options{}, func() { renameIn(t, file, service("a", "1")+"---\n"+configurationOf+"Hold\n") })
	if !both(has("a", "b"), kept("a", "b"))(x.set) {
		t.Fatal(show(x.set))
	}
	x.until("the removal", has("a"), not(kept("a")))
	must(t, os.Remove(file))
	x.until("the end", both(has(), noConfiguration))
}

func TestAFileThatIsInTheMakingAtTheStartKeepsItsSeeds(t *testing.T) {
	dir := sub(t, "a", "b")
	file := filepath.Join(dir, "a.yaml")
	var f *os.File
	x, kept := seeded(t, dir, Options{}, func() {
		var err error
		f, err = os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		_, err = f.WriteString(service("c", "1")) // cut off at the end of a document
		must(t, err)
	})
	if !both(has("a", "b"), kept("a", "b"))(x.set) {
		t.Fatal(show(x.set))
	}
	x.write("d.yaml", service("d", "1"))
	x.until("another one", has("a", "b", "d"), not(kept("a", "b")))
	_, err := f.WriteString("---\n" + service("a", "1"))
	must(t, err)
	must(t, f.Close())
	x.until("the whole of it", has("a", "b", "c", "d"), not(kept("a", "b")))
}

func TestAFileThatIsNotTrustedAtTheStartKeepsItsSeeds(t *testing.T) {
	dir := sub(t, "a", "b")
	x, kept := seeded(t, dir, Options{CheckTrust: true, TrustOwners: []uint32{uint32(os.Getuid())}}, func() {
		renameIn(t, filepath.Join(dir, "a.yaml"), service("a", "2"))
		must(t, os.Chmod(filepath.Join(dir, "a.yaml"), 0o666))
	})
	if !both(has("a", "b"), kept("a", "b"), problem("is not trusted"))(x.set) {
		t.Fatal(show(x.set))
	}
}

func TestARemovalOfMostServicesWhileNoDaemonLivedIsHeld(t *testing.T) {
	dir := sub(t, "a", "b", "c", "d", "e")
	removed := []string{"a", "b", "c"}
	x, kept := seeded(t, dir, Options{}, func() {
		for _, name := range removed {
			must(t, os.Remove(filepath.Join(dir, name+".yaml")))
		}
	})
	all := kept("a", "b", "c", "d", "e")
	x.until("the hold", pruning, not(all))
	fill(t, dir, "b")
	x.write("f.yaml", service("f", "1"))
	x.until("an addition", both(has("a", "b", "c", "d", "e", "f"), pruning), not(all))
	names, err := x.w.ConfirmPrune(context.Background())
	if err != nil || fmt.Sprint(names) != "[a c]" {
		t.Errorf("%v %v", names, err)
	}
	x.until("the removal", both(has("b", "d", "e", "f"), noCondition), not(kept("b", "d", "e")))
}

func TestARemovalOfMostServicesWhileNoDaemonLivedIsObeyedWhenItIsToBe(t *testing.T) {
	dir := sub(t, "a", "b", "c", "d", "e")
	x, kept := seeded(t, dir, Options{PruneObey: true}, func() {
		for _, name := range []string{"a", "b", "c", "d"} {
			must(t, os.Remove(filepath.Join(dir, name+".yaml")))
		}
	})
	if !kept("a", "b", "c", "d", "e")(x.set) {
		t.Fatal(show(x.set))
	}
	x.until("the removal", has("e"), pruning)
}

func TestWhatWasHeldBeforeIsHeldHoweverLittleIsMissing(t *testing.T) {
	dir := sub(t, "a", "b", "c")
	x, kept := seeded(t, dir, Options{SeedHeld: true}, func() { must(t, os.Remove(filepath.Join(dir, "a.yaml"))) })
	x.until("the hold", pruning, not(kept("a", "b", "c")))
	fill(t, dir, "a")
	x.until("its end", noCondition, not(kept("a", "b", "c")))
	must(t, os.Remove(filepath.Join(dir, "b.yaml")))
	x.until("an everyday removal", has("a", "c"), pruning)
}

func TestNothingMissingEndsWhatWasHeldBefore(t *testing.T) {
	dir := sub(t, "a", "b", "c")
	x, kept := seeded(t, dir, Options{SeedHeld: true}, func() {})
	if !both(kept("a", "b", "c"), noCondition)(x.set) {
		t.Fatal(show(x.set))
	}
	must(t, os.Remove(filepath.Join(dir, "b.yaml")))
	x.until("an everyday removal", has("a", "c"), pruning)
}

func TestADirectoryThatIsMissingAtTheStartAndComesBackEmptyIsHeld(t *testing.T) {
	dir := sub(t, "a", "b")
	x, kept := seeded(t, dir, Options{}, func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Mkdir(dir, 0o755))
	x.until("the hold", held(ReasonReplaced), not(kept("a", "b")))
	fill(t, dir, "a")
	x.until("what is there", both(has("a"), noCondition), not(kept("a")))
}

func TestADirectoryThatWasReplacedByAnEmptyOneWhileNoDaemonLivedIsHeld(t *testing.T) {
	dir := sub(t, "a", "b")
	before := watchDir(t, dir).set.Directory
	x, kept := seeded(t, dir, Options{SeedDirectory: before}, func() {
		must(t, os.Rename(dir, dir+".old"))
		must(t, os.Mkdir(dir, 0o755))
	})
	if !both(held(ReasonReplaced), kept("a", "b"))(x.set) {
		t.Fatal(show(x.set))
	}
	x, _ = seeded(t, dir+".old", Options{SeedDirectory: before}, func() { removeAll(t, dir+".old", "a", "b") })
	x.until("the end of what an emptied directory held", both(has(), noCondition), held(""))
}

func TestSeedsFromOutsideTheDirectoryGoLikeFilesThatAreGone(t *testing.T) {
	old, dir := sub(t, "a", "b"), sub(t, "b")
	list, _ := seeds(t, old)
	x := watchWith(t, Options{Dir: dir, Seed: list})
	if !has("a", "b")(x.set) || !noProblem(x.set) {
		t.Fatal(show(x.set))
	}
	for _, s := range list {
		if !sameDeclaration(x.set.Services[s.Metadata.Name], s) {
			t.Errorf("%s is not as the seed", s.Metadata.Name)
		}
	}
	if !providedBy("b", filepath.Join(dir, "b.yaml"))(x.set) {
		t.Errorf("b is of %s", x.set.Services["b"].Source.File)
	}
	x.until("the removal", has("b"))
}

// A Watcher that only tells what would become of things does not wait.
func TestWhatIsGoneIsRemovedOrHeldAtOnceForWhoAsks(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e"}
	tests := map[string]struct {
		options Options
		do      func(t *testing.T, dir string)
		want    func(*spec.Set) bool
	}{
		"one":          {Options{}, func(t *testing.T, dir string) { removeAll(t, dir, "a") }, both(has("b", "c", "d", "e"), noCondition)},
		"most of them": {Options{}, func(t *testing.T, dir string) { removeAll(t, dir, "a", "b", "c") }, both(has(all...), pruning)},
		"most of them, which is obeyed": {Options{PruneObey: true},
			func(t *testing.T, dir string) { removeAll(t, dir, "a", "b", "c") }, both(has("d", "e"), noCondition)},
		"one of what was held": {Options{SeedHeld: true}, func(t *testing.T, dir string) { removeAll(t, dir, "a") }, both(has(all...), pruning)},
		"the directory":        {Options{}, func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, both(has(all...), held(ReasonMissing))},
		"one that moved": {Options{}, func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "z.yaml")))
		}, both(has(all...), noCondition)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sub(t, all...)
			test.options.AtOnce = true
			x, _ := seeded(t, dir, test.options, func() { test.do(t, dir) })
			if !test.want(x.set) {
				t.Fatalf("the first set is %s", show(x.set))
			}
		})
	}
}

func removeAll(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		must(t, os.Remove(filepath.Join(dir, name+".yaml")))
	}
}
