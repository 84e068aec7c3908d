package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"svc.d/spec"
)

// needs is a manifest of a service that depends on another.
func needs(name, arg, on string) string {
	return with(service(name, arg), "dependsOn: ["+on+"]")
}

// with is a manifest with one more field.
func with(manifest, field string) string {
	return strings.TrimSuffix(manifest, "}\n") + ", " + field + "}\n"
}

func TestACircleComesIntoForceForNobodyThatIsNew(t *testing.T) {
	dir := base(t)
	renameIn(t, filepath.Join(dir, "z.yaml"), needs("a", "1", "{name: b}"))
	renameIn(t, filepath.Join(dir, "y.yaml"), needs("b", "1", "{name: a}"))
	renameIn(t, filepath.Join(dir, "x.yaml"), needs("c", "1", "{name: a}"))
	x := watchDir(t, dir)
	if s := x.set; !has("c")(s) || !problem("a -> b -> a")(s) || !problem("b -> a -> b")(s) {
		t.Fatal(show(s))
	}
	// Mending one frees the other.
	x.write("y.yaml", service("b", "2"))
	x.until("both are in force", both(has("a", "b", "c"), noProblem))
}

func TestAnEditThatMakesACircleIsHeldBack(t *testing.T) {
	dir := base(t)
	renameIn(t, filepath.Join(dir, "a.yaml"), needs("a", "1", "{name: b}"))
	renameIn(t, filepath.Join(dir, "b.yaml"), service("b", "1"))
	x := watchDir(t, dir)
	before := x.set
	x.write("b.yaml", needs("b", "2", "{name: a}"))
	s := x.next()
	if s.Services["a"] != before.Services["a"] || s.Services["b"] != before.Services["b"] || len(s.Problems) != 1 || !problem("b -> a -> b")(s) {
		t.Fatal(show(s))
	}
	// It stays held back whatever else happens, and comes into force when the other one
	// makes way.
	x.write("c.yaml", service("c", "1"))
	x.until("c", both(has("a", "b", "c"), hasArg("b", "1"), problem("b -> a -> b")))
	x.write("a.yaml", service("a", "1"))
	x.until("b is in force", both(hasArg("b", "2"), noProblem))
}

func TestAConditionThatCanNeverBeMetIsHeldBack(t *testing.T) {
	const never = "restartPolicy: Never"
	dir := base(t)
	renameIn(t, filepath.Join(dir, "job.yaml"), with(service("job", "1"), never))
	renameIn(t, filepath.Join(dir, "web.yaml"), needs("web", "1", "{name: job, condition: Completed}"))
	x := watchDir(t, dir)
	if !noProblem(x.set) {
		t.Fatal(show(x.set))
	}
	before := x.set
	x.write("job.yaml", service("job", "2"))
	s := x.next()
	if s.Services["job"] != before.Services["job"] || !problem("web waits for it")(s) {
		t.Fatal(show(s))
	}
	x.write("job.yaml", with(service("job", "3"), never))
	x.until("the job is edited", both(hasArg("job", "3"), noProblem))
	x.write("other.yaml", service("other", "1"))
	x.until("other", has("job", "other", "web"))
	x.write("late.yaml", needs("late", "1", "{name: other, condition: Completed}"))
	x.until("late is not declared", both(has("job", "other", "web"), problem("can never be met")))
}

func TestWhatADaemonBeforeHadStaysInForceInACircle(t *testing.T) {
	dir := base(t)
	a, b := needs("a", "1", "{name: b}"), needs("b", "1", "{name: a}")
	var seed []*spec.Service
	for name, text := range map[string]string{"a.yaml": a, "b.yaml": b} {
		path := filepath.Join(dir, name)
		renameIn(t, path, text)
		seed = append(seed, spec.Parse(path, []byte(text)).Services...)
	}
	x := watchWith(t, Options{Dir: dir, Seed: seed})
	if s := x.set; !has("a", "b")(s) || !problem(" -> ")(s) {
		t.Fatal(show(s))
	}
	must(t, os.Remove(filepath.Join(dir, "a.yaml")))
	x.until("the circle is open", both(has("b"), noProblem))
}

func TestManyServicesThatAllDependOnOneAnotherAreToldOfOnceEach(t *testing.T) {
	const n = 60
	dir := base(t)
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("{name: s%d}", i))
	}
	for i := range n {
		others := slices.Delete(slices.Clone(all), i, i+1)
		renameIn(t, filepath.Join(dir, fmt.Sprintf("s%d.yaml", i)), needs(fmt.Sprintf("s%d", i), "1", strings.Join(others, ", ")))
	}
	renameIn(t, filepath.Join(dir, "apart.yaml"), service("apart", "1"))
	s := watchDir(t, dir).set
	if len(s.Problems) != n || !has("apart")(s) {
		t.Fatalf("%d problems; %d services", len(s.Problems), len(s.Services))
	}
	for _, p := range s.Problems {
		if len(p.Message) > 300 {
			t.Fatalf("a message has %d bytes: %s", len(p.Message), p.Message)
		}
	}
}
