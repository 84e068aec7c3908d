package reconciler_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

var reloadWeb = reconciler.Command{Kind: reconciler.EventReload, Service: "web", Ordinal: -1}

// hooksTake has each hook of a kind take some time, and then succeed.
func hooksTake(h reconciler.Hook, d time.Duration) func(reconciler.Work) hosttest.Behaviour {
	return func(w reconciler.Work) hosttest.Behaviour {
		if w.Verb != reconciler.VerbHook {
			return hosttest.Behaviour{}
		}
		b := hosttest.Behaviour{Ends: true}
		if w.Hook == h {
			b.After = d
		}
		return b
	}
}

func reloadedByExec(s *spec.Spec) {
	s.Reload = &spec.Reload{
		Check: &spec.ExecAction{Command: []string{"/bin/check"}}, Exec: &spec.ExecAction{Command: []string{"/bin/reload"}},
	}
}

// TestLoopOfLives tells stories of hooks and reloads on a simulated machine.
func TestLoopOfLives(t *testing.T) {
	rest := func(d time.Duration) {
		time.Sleep(d)
		synctest.Wait()
	}
	stories := map[string]func(*testing.T){
		"requests to reload that come while it reloads cause one more": func(t *testing.T) {
			for _, slow := range []reconciler.Hook{reconciler.HookReloadCheck, reconciler.HookReload} {
				w := newWorld(t, hooksTake(slow, 10*time.Second))
				w.declare(named("web", reloadedByExec))
				for range 3 {
					if err := w.do(reloadWeb); err != nil {
						t.Fatal(err)
					}
					rest(time.Second)
				}
				rest(time.Hour)
				if n := w.machine.Count(hosttest.HookTaken); n != 4 {
					t.Errorf("%v is slow, and %d hooks ran instead of check and command twice", slow, n)
				}
				w.end()
			}
		},
		"a reload of what cannot be replaced is refused": func(t *testing.T) {
			w := newWorld(t, func(work reconciler.Work) hosttest.Behaviour {
				if work.Verb == reconciler.VerbCheck {
					return hosttest.Behaviour{Fails: &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot start /bin/web: no such file"}}
				}
				return hosttest.Behaviour{Ends: work.Verb == reconciler.VerbHook}
			})
			reloads := func(says string) {
				t.Helper()
				err := w.do(reloadWeb)
				if got := fmt.Sprint(err); got != says {
					t.Errorf("got %s, want %s", got, says)
				}
			}
			w.declare(named("web", reloadedByExec))
			reloads("<nil>")
			rest(time.Minute)
			w.declare(named("web", reloadedByExec, verbose))
			w.expect("edited", map[string]string{"web-0": "Running ReplacementBlocked"})
			reloads("cannot reload web: it was edited, and what runs is to be replaced instead, but cannot start /bin/web: no such file; mend the manifest, or undo the edit")
			hooks := w.machine.Count(hosttest.HookTaken)
			w.declare(named("web", reloadedByExec))
			rest(time.Minute)
			if n := w.machine.Count(hosttest.HookTaken); n != hooks {
				t.Errorf("the refused reload was made, with %d hooks", n-hooks)
			}
			reloads("<nil>")
			w.end()
		},
		"a start that failed for a file of envFrom is made again when the file is mended": func(t *testing.T) {
			var mended atomic.Bool
			w := newWorldOf(t, hosttest.Config{Script: func(reconciler.Work) hosttest.Behaviour {
				if mended.Load() {
					return hosttest.Behaviour{}
				}
				return hosttest.Behaviour{Fails: &reconciler.Failure{Reason: reconciler.ReasonEnvFileInvalid, Message: "cannot read /etc/web.env"}}
			}})
			contents := make(chan *spec.Contents)
			w.run(reconciler.Config{Contents: contents})
			hold := func(c spec.Content) {
				contents <- &spec.Contents{Files: map[string]spec.Content{"/etc/web.env": c}}
				synctest.Wait()
			}
			hold(spec.Content{Raw: "a", Env: "a", Problem: "it cannot be read"}) // as it was when it could
			w.declare(named("web", func(s *spec.Spec) { s.EnvFrom = []spec.EnvFrom{{File: "/etc/web.env"}} }))
			rest(10 * time.Minute)
			w.expect("in its back-off", map[string]string{"web-0": "Pending EnvFileInvalid"})
			mended.Store(true)
			hold(spec.Content{Raw: "a", Env: "a"})
			w.expect("mended", map[string]string{"web-0": "Running"})
			w.end()
		},
		"an edit waits for the command to reload, but not longer than that may take": func(t *testing.T) {
			for _, takes := range []time.Duration{10 * time.Second, time.Hour} {
				w := newWorld(t, hooksTake(reconciler.HookReload, takes))
				w.declare(named("web", reloadedByExec))
				if err := w.do(reloadWeb); err != nil {
					t.Fatal(err)
				}
				w.declare(named("web", reloadedByExec, verbose))
				rest(5 * time.Second)
				w.expect("the hook runs", map[string]string{"web-0": "Running ReplacementPending"})
				rest(90 * time.Second)
				w.expect("it has ended", map[string]string{"web-0": "Running"})
				if s := w.machine.State(web0); s.Service == nil || len(s.Service.Spec.Args) == 0 {
					t.Error("web was not replaced")
				}
				w.end()
			}
		},
		"a kill of everything waits for no dependent and begins no postStop hook": func(t *testing.T) {
			w := newWorld(t, func(work reconciler.Work) hosttest.Behaviour {
				return hosttest.Behaviour{Main: hosttest.Temper{Ignores: work.Verb == reconciler.VerbStart}}
			})
			cleans := func(s *spec.Spec) {
				s.Lifecycle.PostStop = &spec.Handler{Exec: &spec.ExecAction{Command: []string{"/bin/clean"}}}
			}
			needs := func(s *spec.Spec) { s.DependsOn = []spec.Dependency{{Name: "db", Condition: spec.DependencyReady}} }
			w.declare(named("db", cleans), named("web", needs, cleans))
			w.loop.Shutdown(false)
			rest(time.Second)
			w.expect("in order", map[string]string{"db-0": "Terminating DependentsStopping", "web-0": "Terminating ShuttingDown"})
			w.loop.Shutdown(true)
			synctest.Wait()
			w.end()
			if n := w.machine.Count(hosttest.HookTaken); n != 0 {
				t.Errorf("%d hooks were begun", n)
			}
		},
		"who waits is told what keeps the other one": func(t *testing.T) {
			w := newWorld(t, nil)
			needs := func(s *spec.Spec) { s.DependsOn = []spec.Dependency{{Name: "db", Condition: spec.DependencyReady}} }
			waits := func(want string) {
				t.Helper()
				s, err := w.loop.Snapshot(context.Background(), "web")
				if err != nil {
					t.Fatal(err)
				}
				if got := s.Services[0].Status.Message; got != want {
					t.Errorf("it says %q, want %q", got, want)
				}
			}
			w.declare(named("db", func(s *spec.Spec) { s.Replicas = 0 }), named("web", needs))
			waits("waits for db to be Ready, which is declared with replicas: 0")
			never := func(s *spec.Spec) { s.RestartPolicy = spec.RestartNever }
			stop := reconciler.Command{Kind: reconciler.EventStop, Service: "db", Ordinal: -1, By: "ann", Until: time.Now().Add(time.Hour)}
			if err := w.do(stop); err != nil {
				t.Fatal(err)
			}
			w.declare(named("db", never), named("web", needs))
			waits("waits for db to be Ready, which is stopped by ann")
			rest(time.Hour)
			waits("")
			w.machine.End(reconciler.ReplicaID{Service: "db"}, reconciler.Exit{Code: 1})
			w.machine.End(web0, reconciler.Exit{Code: 1})
			synctest.Wait()
			waits("waits for db to be Ready, which has failed")
			w.end()
		},
		"a file that another service names already is known at once": func(t *testing.T) {
			w := newWorldOf(t, hosttest.Config{})
			contents := make(chan *spec.Contents)
			w.run(reconciler.Config{Contents: contents})
			loads := func(s *spec.Spec) { s.Reload = &spec.Reload{Signal: "SIGHUP", Files: []string{"/etc/web.conf"}} }
			hold := func(raw string) {
				contents <- &spec.Contents{Files: map[string]spec.Content{"/etc/web.conf": {Raw: raw}}}
				synctest.Wait()
			}
			w.declare(named("db", loads))
			hold("a")
			w.declare(named("db", loads), named("web", loads))
			before := w.machine.Count(hosttest.Signalled)
			hold("b")
			if n := w.machine.Count(hosttest.Signalled) - before; n != 2 {
				t.Errorf("%d services were told that the file changed, and 2 load it", n)
			}
			w.end()
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
	}
}
