package watch

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"svc.d/spec"
)

// patience ends a test that hangs; nothing is measured by it.
const patience = 60 * time.Second

// world is a running Watcher on a real directory.
type world struct {
	*testing.T
	dir string
	w   *Watcher
	set *spec.Set // the newest that was seen
	n   int       // how many were
}

// base is a fresh directory on a local file system with no links in its path.
func base(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func watchDir(t *testing.T, dir string, change ...func(*Watcher)) *world {
	t.Helper()
	return watchWith(t, Options{Dir: dir, Resync: time.Hour}, change...)
}

func watchWith(t *testing.T, o Options, change ...func(*Watcher)) *world {
	t.Helper()
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	x := &world{T: t, dir: o.Dir, w: w}
	x.next()
	return x
}

// next waits for a set.
func (x *world) next() *spec.Set {
	x.Helper()
	select {
	case s := <-x.w.Sets():
		x.set = s
		x.n++
		return s
	case <-time.After(patience):
		x.Fatalf("no set came; the last one was %s", show(x.set))
		return nil
	}
}

// until waits for a set that satisfies what is expected. What came before is
// judged by never, when given.
func (x *world) until(what string, ok func(*spec.Set) bool, never ...func(*spec.Set) bool) *spec.Set {
	x.Helper()
	deadline := time.After(patience)
	for !ok(x.set) {
		select {
		case s := <-x.w.Sets():
			x.set = s
			x.n++
			for _, bad := range never {
				if bad(s) {
					x.Fatalf("while waiting for %s there came %s", what, show(s))
				}
			}
		case <-deadline:
			x.Fatalf("never saw %s; the last set was %s", what, show(x.set))
		}
	}
	return x.set
}

// still shows that nothing more happens: a last change, made now, is the only
// difference of the next set.
func (x *world) still() {
	x.Helper()
	before := x.set
	x.write("zz-last.yaml", service("zz-last", "true"))
	s := x.next()
	for name, old := range before.Services {
		if s.Services[name] != old {
			x.Errorf("service %s is not the same any more: %s", name, show(s))
		}
	}
	if len(s.Services) != len(before.Services)+1 || fmt.Sprint(s.Problems) != fmt.Sprint(before.Problems) ||
		fmt.Sprint(s.Conditions) != fmt.Sprint(before.Conditions) {
		x.Errorf("something else differs:\n%s\n%s", show(before), show(s))
	}
}

// path is a file of the directory.
func (x *world) path(name string) string { return filepath.Join(x.dir, name) }

// write makes a file and renames it into place.
func (x *world) write(name, content string) {
	x.Helper()
	renameIn(x.T, x.path(name), content)
}

func renameIn(t *testing.T, path, content string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), ".new")
	must(t, os.WriteFile(tmp, []byte(content), 0o644))
	must(t, os.Rename(tmp, path))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func service(name, arg string) string {
	return fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: %s}\nspec: {command: [/bin/echo, %q]}\n", name, arg)
}

func arg(s *spec.Service) string {
	if s == nil {
		return ""
	}
	return strings.Join(append(slices.Clone(s.Spec.Command[1:]), s.Spec.Args...), " ")
}

func hasArg(name, want string) func(*spec.Set) bool {
	return func(s *spec.Set) bool { return arg(s.Services[name]) == want }
}

func lacks(name string) func(*spec.Set) bool {
	return func(s *spec.Set) bool { return s.Services[name] == nil }
}

func has(names ...string) func(*spec.Set) bool {
	return func(s *spec.Set) bool {
		return slices.Equal(slices.Sorted(maps.Keys(s.Services)), slices.Sorted(slices.Values(names)))
	}
}

func problem(part string) func(*spec.Set) bool {
	return func(s *spec.Set) bool {
		return slices.ContainsFunc(s.Problems, func(p spec.Problem) bool { return strings.Contains(p.Error(), part) })
	}
}

func noProblem(s *spec.Set) bool { return len(s.Problems) == 0 }

func condition(kind, reason string) func(*spec.Set) bool {
	return func(s *spec.Set) bool {
		return slices.ContainsFunc(s.Conditions, func(c spec.Condition) bool {
			return c.Type == kind && (reason == "" || c.Reason == reason)
		})
	}
}

func noCondition(s *spec.Set) bool { return len(s.Conditions) == 0 }

func both(list ...func(*spec.Set) bool) func(*spec.Set) bool {
	return func(s *spec.Set) bool {
		for _, f := range list {
			if !f(s) {
				return false
			}
		}
		return true
	}
}

func show(s *spec.Set) string {
	if s == nil {
		return "none"
	}
	var b strings.Builder
	names := slices.Sorted(maps.Keys(s.Services))
	fmt.Fprintf(&b, "%d services %.200v\n", len(names), names)
	if s.Configuration != nil {
		fmt.Fprintf(&b, "  configuration of %s: %s\n", s.Configuration.Source.File, s.Configuration.Prune)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "  problem %v\n", p)
	}
	for _, c := range s.Conditions {
		fmt.Fprintf(&b, "  condition %s %s: %s\n", c.Type, c.Reason, c.Message)
	}
	return b.String()
}

// tap passes the events of the real notifier on and remembers them.
type tap struct {
	notifier
	out      chan []event
	overflow chan struct{} // closed when events were lost

	mu   sync.Mutex
	seen []event
	once sync.Once
}

func newTap() *tap { return &tap{overflow: make(chan struct{})} }

func (p *tap) install(w *Watcher) {
	w.open = func() (notifier, error) {
		n, err := openInotify()
		if err != nil {
			return nil, err
		}
		p.notifier, p.out = n, make(chan []event)
		go func() {
			defer close(p.out)
			for batch := range n.events() {
				p.mu.Lock()
				p.seen = append(p.seen, batch...)
				p.mu.Unlock()
				if slices.ContainsFunc(batch, func(e event) bool { return e.overflow }) {
					p.once.Do(func() { close(p.overflow) })
				}
				select {
				case p.out <- batch:
				case <-w.done:
					return
				}
			}
		}()
		return p, nil
	}
}

func (p *tap) events() <-chan []event { return p.out }

func (p *tap) count(of func(event) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.seen {
		if of(e) {
			n++
		}
	}
	return n
}

func (p *tap) named(name string) int { return p.count(func(e event) bool { return e.name == name }) }
