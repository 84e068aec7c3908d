package reconciler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// world is a loop on a simulated machine, in a synctest bubble.
type world struct {
	t       *testing.T
	machine *hosttest.Machine
	loop    *reconciler.Loop
	sets    chan *spec.Set
	ended   chan error
	keeper  *keeper
	cancel  context.CancelFunc
}

func newWorld(t *testing.T, script func(reconciler.Work) hosttest.Behaviour, found ...reconciler.ReplicaID) *world {
	w := newWorldOf(t, hosttest.Config{Script: script})
	for _, id := range found {
		w.machine.Plant(id, hosttest.Child{})
	}
	w.run(reconciler.Config{Found: found})
	return w
}

// newWorldOf has no loop yet.
func newWorldOf(t *testing.T, c hosttest.Config) *world {
	return &world{t: t, keeper: newKeeper(), machine: hosttest.NewMachine(c)}
}

// run has a loop of its own for the machine.
func (w *world) run(c reconciler.Config) {
	w.sets, w.ended = make(chan *spec.Set), make(chan error, 1)
	c.Host, c.Sets, c.Log, c.Verify, c.Recorder = w.machine, w.sets, logr.Discard(), true, w.keeper
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	loop, ended := reconciler.NewLoop(c), w.ended
	w.loop = loop
	go func() { ended <- loop.Run(ctx) }()
}

// end shuts the world down and waits for it.
func (w *world) end() {
	w.t.Helper()
	w.loop.Shutdown(false)
	if err := <-w.ended; err != nil {
		w.t.Errorf("Run ended with %v", err)
	}
	for _, s := range w.machine.States() {
		if len(s.Processes) > 0 {
			w.t.Errorf("after the shutdown %v still has %v", s.Replica, s.Processes)
		}
	}
	w.cancel()
	w.machine.Close()
}

func (w *world) declare(services ...*spec.Service) {
	set := &spec.Set{Services: map[string]*spec.Service{}}
	for _, s := range services {
		set.Services[s.Metadata.Name] = s
	}
	w.sets <- set
	synctest.Wait()
}

// phases lists what the report says of each replica.
func (w *world) phases() map[string]string {
	w.t.Helper()
	s, err := w.loop.Snapshot(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{}
	for _, one := range s.Services {
		for _, r := range one.Status.ReplicaStatuses {
			all[r.Name] = string(r.Phase)
			if r.Reason != "" {
				all[r.Name] += " " + r.Reason
			}
		}
	}
	return all
}

func (w *world) expect(what string, want map[string]string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.phases()); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (w *world) do(c reconciler.Command) error {
	err := w.loop.Do(context.Background(), c)
	synctest.Wait()
	return err
}

func named(name string, edits ...func(*spec.Spec)) *spec.Service {
	s := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService, Spec: spec.Defaults()}
	s.Metadata.Name = name
	s.Spec.Command = []string{"/bin/" + name}
	for _, edit := range edits {
		edit(&s.Spec)
	}
	return s
}

func three(s *spec.Spec)   { s.Replicas = 3 }
func verbose(s *spec.Spec) { s.Args = []string{"-v"} }
func longer(s *spec.Spec)  { s.TerminationGracePeriodSeconds = 60 }

// TestLoop tells stories of the loop on a simulated machine that panics on a
// second process of one replica.
func TestLoop(t *testing.T) {
	running := map[string]string{"web-0": "Running"}
	stories := map[string]func(*testing.T){
		"what is declared runs, and what is removed ends": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three), named("db"))
			w.expect("declared", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running", "db-0": "Running"})
			w.declare(named("web"))
			w.expect("removed and scaled", running)
			w.declare()
			w.expect("all removed", map[string]string{})
			if n := w.machine.Count(hosttest.Forgotten); n != 4 {
				t.Errorf("the host was told to forget %d replicas, not 4", n)
			}
			w.end()
		},
		"a set that says the same touches nothing, a live-class edit neither": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			w.declare(named("web"))
			w.declare(named("web", longer))
			w.expect("declared again", running)
			if n := w.machine.Count(hosttest.Started); n != 1 {
				t.Errorf("started %d times, not once", n)
			}
			w.end()
		},
		"a restart-class edit replaces each replica once": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three))
			w.declare(named("web", three, verbose))
			w.expect("replaced", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running"})
			if n := w.machine.Count(hosttest.Started); n != 6 {
				t.Errorf("started %d times, not 6", n)
			}
			w.end()
		},
		"an edit to a program that cannot start leaves the old one running": func(t *testing.T) {
			w := newWorld(t, func(work reconciler.Work) hosttest.Behaviour {
				if len(work.Service.Spec.Args) > 0 {
					return hosttest.Behaviour{Fails: &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot start /bin/web: no such file"}}
				}
				return hosttest.Behaviour{}
			})
			w.declare(named("web"))
			w.declare(named("web", verbose))
			time.Sleep(time.Hour)
			synctest.Wait()
			w.expect("blocked", map[string]string{"web-0": "Running ReplacementBlocked"})
			w.declare(named("web"))
			w.expect("mended", running)
			if n := w.machine.Count(hosttest.Started); n != 1 {
				t.Errorf("started %d times, not once", n)
			}
			w.end()
		},
		"a crash is followed by a start at once, a second by a back-off": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			w.machine.End(reconciler.ReplicaID{Service: "web"}, reconciler.Exit{Code: 1})
			synctest.Wait()
			w.expect("first crash", running)
			w.machine.End(reconciler.ReplicaID{Service: "web"}, reconciler.Exit{Code: 1})
			synctest.Wait()
			w.expect("second crash", map[string]string{"web-0": "CrashLoopBackOff Exited"})
			time.Sleep(2 * time.Second)
			synctest.Wait()
			w.expect("after the back-off", running)
			w.end()
		},
		"what ignores the stop signal is killed after its grace": func(t *testing.T) {
			w := newWorld(t, func(reconciler.Work) hosttest.Behaviour {
				return hosttest.Behaviour{Main: hosttest.Temper{Ignores: true}}
			})
			w.declare(named("web"))
			w.declare()
			w.expect("asked", map[string]string{"web-0": "Terminating Removed"})
			time.Sleep(31 * time.Second)
			synctest.Wait()
			w.expect("killed", map[string]string{})
			w.end()
		},
		"a person's stop beats the directory until the start": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			if err := w.do(reconciler.Command{Kind: reconciler.EventStop, Service: "web", Ordinal: -1, By: "ann"}); err != nil {
				t.Fatal(err)
			}
			w.declare(named("web", verbose))
			w.expect("held", map[string]string{"web-0": "Held Stopped"})
			err := w.do(reconciler.Command{Kind: reconciler.EventRestart, Service: "web", Ordinal: -1})
			var refusal *reconciler.Refusal
			if !errors.As(err, &refusal) || refusal.Reason != reconciler.RefusedConflict {
				t.Errorf("a restart while stopped was answered with %v", err)
			}
			if err := w.do(reconciler.Command{Kind: reconciler.EventStart, Service: "web", Ordinal: -1}); err != nil {
				t.Fatal(err)
			}
			w.expect("started", running)
			w.end()
		},
		"a restart of no replicas is refused": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", func(s *spec.Spec) { s.Replicas = 0 }))
			err := w.do(reconciler.Command{Kind: reconciler.EventRestart, Service: "web", Ordinal: -1})
			var refusal *reconciler.Refusal
			if !errors.As(err, &refusal) || refusal.Reason != reconciler.RefusedConflict {
				t.Errorf("it was answered with %v", err)
			}
			w.end()
		},
		"a restart of one replica touches no other": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three))
			if err := w.do(reconciler.Command{Kind: reconciler.EventRestart, Service: "web", Ordinal: 1}); err != nil {
				t.Fatal(err)
			}
			if n := w.machine.Count(hosttest.Started); n != 4 {
				t.Errorf("started %d times, not 4", n)
			}
			w.end()
		},
		"what a daemon that died left is killed before anything starts": func(t *testing.T) {
			w := newWorld(t, nil, reconciler.ReplicaID{Service: "web"}, reconciler.ReplicaID{Service: "gone", Ordinal: 3})
			w.declare(named("web"))
			w.expect("started anew", running)
			if n := w.machine.Count(hosttest.Killed); n != 2 {
				t.Errorf("killed %d groups, not 2", n)
			}
			w.end()
		},
		"a second shutdown kills what ignores the first": func(t *testing.T) {
			w := newWorld(t, func(reconciler.Work) hosttest.Behaviour {
				return hosttest.Behaviour{Main: hosttest.Temper{Ignores: true}}
			})
			w.declare(named("web"))
			began := time.Now()
			w.loop.Shutdown(false)
			w.loop.Shutdown(true)
			if err := <-w.ended; err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d >= time.Second {
				t.Errorf("it took %v", d)
			}
			w.machine.Close()
			if err := w.loop.Do(context.Background(), reconciler.Command{}); !errors.Is(err, reconciler.ErrStopped) {
				t.Errorf("a command to an ended loop was answered with %v", err)
			}
		},
		"what cannot be killed is shown and holds up nobody": func(t *testing.T) {
			w := newWorld(t, func(work reconciler.Work) hosttest.Behaviour {
				if work.Replica.Service == "web" {
					return hosttest.Behaviour{Main: hosttest.Temper{Ignores: true, Hangs: time.Hour}}
				}
				return hosttest.Behaviour{}
			})
			w.declare(named("web"), named("db"))
			w.declare(named("db", verbose))
			time.Sleep(time.Minute)
			synctest.Wait()
			w.expect("stuck", map[string]string{"web-0": "Terminating Stuck", "db-0": "Running"})
			time.Sleep(time.Hour)
			synctest.Wait()
			w.expect("gone at last", map[string]string{"db-0": "Running"})
			w.end()
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
	}
}
