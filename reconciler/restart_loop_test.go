package reconciler_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

var (
	web0 = reconciler.ReplicaID{Service: "web"}
	web1 = reconciler.ReplicaID{Service: "web", Ordinal: 1}
)

// crash ends the daemon, and has another come after it once meanwhile was done.
func (w *world) crash(meanwhile func()) {
	w.t.Helper()
	w.cancel()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		w.t.Errorf("Run ended with %v", err)
	}
	w.machine.Crash()
	if meanwhile != nil {
		meanwhile()
	}
	w.reopen()
}

// reopen has a daemon begin with what is kept; records of unreadable cannot be
// read.
func (w *world) reopen(unreadable ...reconciler.ReplicaID) {
	records := slices.DeleteFunc(w.keeper.crash(0), func(r reconciler.Record) bool {
		return slices.Contains(unreadable, r.Instance.ID)
	})
	found, unclear := w.machine.Reopen(records, unreadable)
	w.run(reconciler.Config{Restored: records, Found: found, Unclear: unclear})
	synctest.Wait()
}

// deeds counts what was asked of the machine.
func (w *world) deeds() int {
	n := 0
	for _, what := range []hosttest.What{
		hosttest.StartTaken, hosttest.CheckTaken, hosttest.ForgetTaken, hosttest.Signalled, hosttest.Killed,
	} {
		n += w.machine.Count(what)
	}
	return n
}

// quiet checks that nothing is asked of the machine while do is done.
func (w *world) quiet(what string, do func()) {
	w.t.Helper()
	before := w.deeds()
	do()
	synctest.Wait()
	if n := w.deeds() - before; n != 0 {
		w.t.Errorf("%s: %d things were asked of the machine", what, n)
	}
}

func (w *world) service(name string) (generation int64, restarts int64) {
	w.t.Helper()
	s, err := w.loop.Snapshot(context.Background(), name)
	if err != nil || len(s.Services) != 1 || len(s.Services[0].Status.ReplicaStatuses) == 0 {
		w.t.Fatalf("the snapshot of %s is %+v, %v", name, s, err)
	}
	return s.Services[0].Metadata.Generation, s.Services[0].Status.ReplicaStatuses[0].Restarts
}

func stubborn(reconciler.Work) hosttest.Behaviour {
	return hosttest.Behaviour{Main: hosttest.Temper{Ignores: true}}
}

var (
	stopWeb  = reconciler.Command{Kind: reconciler.EventStop, Service: "web", Ordinal: -1, By: "ann"}
	startWeb = reconciler.Command{Kind: reconciler.EventStart, Service: "web", Ordinal: -1}
)

// TestLoopsThatComeAfterAnother tells stories of a daemon that ends and another
// that comes after it, while the processes live on.
func TestLoopsThatComeAfterAnother(t *testing.T) {
	running := map[string]string{"web-0": "Running"}
	stories := map[string]func(*testing.T){
		"what must be known later is recorded when it happens": func(t *testing.T) {
			w := newWorld(t, func(reconciler.Work) hosttest.Behaviour {
				return hosttest.Behaviour{Children: []hosttest.Child{{Temper: hosttest.Temper{Ignores: true}}}}
			})
			kept := func(what string, ok func(r *reconciler.Record) bool) {
				t.Helper()
				if r := w.keeper.record(web0); r == nil || !ok(r) {
					t.Errorf("%s: the record is %+v", what, r)
				}
			}
			want := named("web")
			w.declare(want)
			pid := w.machine.State(web0).MainPid
			kept("a start", func(r *reconciler.Record) bool {
				i := &r.Instance
				return r.Want == want && r.Generation == 1 && i.Spec == want && i.Run > 0 && !i.StartedAt.IsZero() && i.Pid == pid && i.StartTicks > 0
			})
			w.machine.End(web0, reconciler.Exit{Code: 3})
			synctest.Wait() // ended, what was left was killed, started again
			kept("an end and a new start", func(r *reconciler.Record) bool {
				return r.Instance.Streak == 1 && r.Instance.Last.Exit.Code == 3 && r.Instance.EndedAt.IsZero() && r.Instance.Pid != pid
			})
			w.declare(named("web", longer))
			kept("a live-class edit", func(r *reconciler.Record) bool {
				return r.Generation == 2 && r.Instance.Spec.Spec.TerminationGracePeriodSeconds == 60
			})
			if err := w.do(stopWeb); err != nil {
				t.Fatal(err)
			}
			kept("a person's stop", func(r *reconciler.Record) bool {
				return r.StoppedBy == "ann" && !r.StoppedAt.IsZero() && !r.Instance.StoppingAt.IsZero() && !r.Instance.RestAt.IsZero()
			})
			time.Sleep(61 * time.Second)
			synctest.Wait()
			kept("a kill and the end of all", func(r *reconciler.Record) bool {
				return !r.Instance.KilledAt.IsZero() && !r.Instance.GoneAt.IsZero()
			})
			w.declare()
			if r := w.keeper.record(web0); r != nil {
				t.Errorf("what was removed is still recorded: %+v", r)
			}
			w.end()
		},
		"nothing is done before the first set is known": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three), named("db"))
			w.crash(func() { w.machine.End(web0, reconciler.Exit{Code: 1}) })
			w.quiet("before the first set", func() {
				w.machine.End(web1, reconciler.Exit{Code: 1})
				if err := w.do(reconciler.Command{Kind: reconciler.EventRestart, Service: "db", Ordinal: -1}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
			})
			w.declare(named("web"))
			w.expect("what was edited and removed meanwhile", running)
			w.end()
		},
		"a manifest that moves to another file is no edit, and is recorded there": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"), named("db"))
			in := func(file string) *spec.Service {
				s := named("web")
				s.Source = spec.Source{File: file}
				return s
			}
			recorded := func(file string) {
				t.Helper()
				if r := w.keeper.record(web0); r == nil || r.Want.Source.File != file || r.Generation != 1 {
					t.Errorf("not recorded in %s: %+v", file, r)
				}
			}
			w.quiet("a move", func() { w.declare(in("moved.yaml"), named("db")) })
			recorded("moved.yaml")
			w.crash(nil)
			w.quiet("a move meanwhile", func() { w.declare(in("again.yaml"), named("db")) })
			recorded("again.yaml")
			w.end()
		},
		"a set that says the same starts, stops and edits nothing": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three), named("db"))
			w.declare(named("web", three, longer), named("db"))
			w.crash(nil)
			moved := named("web", three, longer)
			moved.Source = spec.Source{File: "moved.yaml"}
			w.quiet("the same set", func() { w.declare(moved, named("db")) })
			w.expect("after it", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running", "db-0": "Running"})
			if g, _ := w.service("web"); g != 2 {
				t.Errorf("it is generation %d, want 2 as before", g)
			}
			w.end()
		},
		"an edit that was made meanwhile replaces what runs": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"), named("db"))
			before := w.machine.State(reconciler.ReplicaID{Service: "db"}).MainPid
			w.crash(nil)
			w.declare(named("web", verbose), named("db", longer))
			w.expect("after it", map[string]string{"web-0": "Running", "db-0": "Running"})
			if s := w.machine.State(web0); s.Service == nil || len(s.Service.Spec.Args) == 0 {
				t.Error("web was not replaced")
			}
			if after := w.machine.State(reconciler.ReplicaID{Service: "db"}).MainPid; after != before {
				t.Error("db was replaced by a live-class edit")
			}
			if g, _ := w.service("web"); g != 2 {
				t.Errorf("it is generation %d, want 2", g)
			}
			w.end()
		},
		"what is not declared any more is stopped with its own grace": func(t *testing.T) {
			w := newWorld(t, stubborn)
			w.declare(named("web", longer))
			w.crash(nil)
			w.declare()
			time.Sleep(59 * time.Second)
			synctest.Wait()
			w.expect("in its grace", map[string]string{"web-0": "Terminating Removed"})
			time.Sleep(2 * time.Second)
			synctest.Wait()
			w.expect("after its grace", map[string]string{})
			w.end()
		},
		"a grace goes on where the crash was": func(t *testing.T) {
			w := newWorld(t, stubborn)
			w.declare(named("web", longer))
			w.declare()
			time.Sleep(40 * time.Second)
			w.crash(nil)
			w.quiet("still in its grace", func() { w.declare(); time.Sleep(19 * time.Second) })
			time.Sleep(2 * time.Second)
			synctest.Wait()
			w.expect("after its grace", map[string]string{})
			if n := w.machine.Count(hosttest.Signalled); n != 1 {
				t.Errorf("signalled %d times, want once", n)
			}
			w.end()
		},
		"an end while no daemon lived is seen and counted": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			w.machine.End(web0, reconciler.Exit{Code: 1})
			synctest.Wait()
			w.crash(func() { w.machine.End(web0, reconciler.Exit{Code: 1}) })
			w.declare(named("web"))
			w.expect("the second end in a row", map[string]string{"web-0": "CrashLoopBackOff Exited"})
			if _, restarts := w.service("web"); restarts != 1 {
				t.Errorf("restarted %d times, want once", restarts)
			}
			w.end()
		},
		"a back-off outlives the daemon": func(t *testing.T) {
			w := newWorld(t, nil)
			patient := func(s *spec.Spec) {
				s.Backoff.InitialDelay, s.Backoff.MaxDelay = spec.Duration(10*time.Minute), spec.Duration(time.Hour)
			}
			w.declare(named("web", patient))
			for range 2 {
				w.machine.End(web0, reconciler.Exit{Code: 1})
				synctest.Wait()
			}
			w.crash(func() { time.Sleep(time.Minute) })
			w.quiet("in the back-off", func() { w.declare(named("web", patient)); time.Sleep(5 * time.Minute) })
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			w.expect("after it", running)
			w.end()
		},
		"a person's stop outlives the daemon, and its end counts": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			stop := stopWeb
			stop.Until = time.Now().Add(time.Hour)
			if err := w.do(stop); err != nil {
				t.Fatal(err)
			}
			w.crash(nil)
			w.declare(named("web", verbose))
			w.expect("held", map[string]string{"web-0": "Held Stopped"})
			time.Sleep(time.Hour)
			synctest.Wait()
			w.expect("after its end", running)
			w.end()
		},
		"a person's stop of a service without replicas outlives the daemon": func(t *testing.T) {
			w := newWorld(t, nil)
			none := func(s *spec.Spec) { s.Replicas = 0 }
			w.declare(named("web"))
			if err := w.do(stopWeb); err != nil {
				t.Fatal(err)
			}
			w.declare(named("web", none))
			for range 2 {
				w.crash(nil)
				w.declare(named("web", none))
			}
			w.declare(named("web", three))
			held := "Held Stopped"
			w.expect("held", map[string]string{"web-0": held, "web-1": held, "web-2": held})
			w.declare(named("web", none))
			if err := w.do(startWeb); err != nil {
				t.Fatal(err)
			}
			w.crash(nil)
			w.declare(named("web"))
			w.expect("started", running)
			w.end()
		},
		"a person's stop that ends with its manifest does not come back": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", func(s *spec.Spec) { s.Replicas = 0 }))
			if err := w.do(stopWeb); err != nil {
				t.Fatal(err)
			}
			w.declare()
			w.crash(nil)
			w.declare(named("web"))
			w.expect("declared anew", running)
			w.end()
		},
		"a start that was not recorded is ended before its successor begins": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			first := w.keeper.record(web0)
			w.machine.End(web0, reconciler.Exit{Code: 1})
			synctest.Wait()
			w.cancel()
			<-w.ended
			w.machine.Crash()
			first.Instance.EndedAt, first.Instance.GoneAt = first.At, first.At
			w.keeper.Record(*first)
			w.reopen()
			w.declare(named("web"))
			w.expect("after it", running)
			if n := w.machine.Count(hosttest.Killed); n != 1 {
				t.Errorf("killed %d times, want once", n)
			}
			w.end()
		},
		"what has an unreadable record is left alone, and so is the record, until a person asks": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three))
			pid := w.machine.State(web1).MainPid
			w.cancel()
			<-w.ended
			w.machine.Crash()
			w.reopen(web1)
			before := w.keeper.record(web1).At
			w.quiet("unclear", func() {
				w.declare(named("web", three))
				w.declare(named("web", three, longer))
				time.Sleep(time.Hour)
			})
			w.expect("unclear", map[string]string{"web-0": "Running", "web-1": "Held RecordUnreadable", "web-2": "Running"})
			if r := w.keeper.record(web1); !r.At.Equal(before) {
				t.Errorf("the record that could not be read was replaced by %+v", *r)
			}
			err := w.do(reconciler.Command{Kind: reconciler.EventRestart, Service: "web", Ordinal: 1})
			if err != nil {
				t.Fatal(err)
			}
			w.expect("restarted", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running"})
			if s := w.machine.State(web1); s.MainPid == pid || w.machine.Count(hosttest.Started) != 4 {
				t.Errorf("it runs as %d, %d were started", s.MainPid, w.machine.Count(hosttest.Started))
			}
			w.end()
		},
		"a shutdown before the first set stops what was restored": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web", three))
			w.crash(nil)
			w.end()
		},
		"runs never get a number that a record tells of": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"), named("db"))
			numbers := map[uint64]bool{}
			for range 3 {
				w.machine.End(web0, reconciler.Exit{Signal: syscall.SIGSEGV})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				run := w.machine.State(web0).Run
				if numbers[run] {
					t.Errorf("number %d was given again", run)
				}
				numbers[run] = true
				w.crash(nil)
				w.declare(named("web"), named("db"))
			}
			if diff := cmp.Diff(3, len(numbers)); diff != "" {
				t.Error(diff)
			}
			w.end()
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
	}
}
