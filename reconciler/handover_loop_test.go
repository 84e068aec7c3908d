package reconciler_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// slowWorld is a world in which a start takes ten seconds.
func slowWorld(t *testing.T) *world {
	w := newWorldOf(t, hosttest.Config{Takes: func(work reconciler.Work) time.Duration {
		if work.Verb == reconciler.VerbStart {
			return 10 * time.Second
		}
		return 0
	}})
	w.run(reconciler.Config{})
	return w
}

// handOver asks for a handover and says what came of it, and when.
func (w *world) handOver(ctx context.Context, do func(time.Time) error) (answer <-chan error) {
	all := make(chan error, 1)
	loop := w.loop
	go func() { all <- loop.Handover(ctx, do) }()
	synctest.Wait()
	return all
}

// answered reports whether there is an answer, and which.
func answered(answer <-chan error) (err error, yes bool) {
	synctest.Wait()
	select {
	case err = <-answer:
		return err, true
	default:
		return nil, false
	}
}

func TestHandover(t *testing.T) {
	running := map[string]string{"web-0": "Running"}
	forever := context.Background()
	refused := errors.New("cannot exec it")
	stories := map[string]func(*testing.T){
		"it waits for a start under way, and offers no other": func(t *testing.T) {
			w := slowWorld(t)
			w.declare(named("web", three)) // two workers: the third waits
			began := time.Now()
			var at time.Duration
			answer := w.handOver(forever, func(time.Time) error { at = time.Since(began); return nil })
			if _, yes := answered(answer); yes {
				t.Fatal("it did not wait")
			}
			time.Sleep(11 * time.Second)
			if err, yes := answered(answer); !yes || err != nil || at != 10*time.Second {
				t.Errorf("answered %v, %v after %v, want after 10 s", yes, err, at)
			}
			if err := <-w.ended; err != nil {
				t.Errorf("Run ended with %v", err)
			}
			if n := w.machine.Count(hosttest.StartTaken); n != 2 {
				t.Errorf("%d starts were taken, want the two that were under way", n)
			}
			w.reopen()
			w.quiet("the successor before its set", func() { time.Sleep(time.Minute) })
			w.declare(named("web", three))
			time.Sleep(11 * time.Second)
			w.expect("after it", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running"})
			if n := w.machine.Count(hosttest.Started); n != 3 {
				t.Errorf("%d were started, want 3", n)
			}
			w.end()
		},
		"all is recorded before it is done, and nothing changes meanwhile": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			answer := w.handOver(forever, func(last time.Time) error {
				if len(w.keeper.late) > 0 || w.keeper.kept[web0].Instance.Pid == 0 {
					t.Errorf("what is recorded is %+v", w.keeper.kept)
				}
				if time.Since(last).Abs() > time.Second {
					t.Errorf("the loop last took something in at %v", last)
				}
				before := w.deeds()
				w.machine.End(web0, reconciler.Exit{Code: 1})
				if time.Sleep(time.Second); w.deeds() != before {
					t.Error("something was asked of the machine")
				}
				return nil
			})
			time.Sleep(2 * time.Second)
			if err, yes := answered(answer); !yes || err != nil {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.reopen()
			w.declare(named("web"))
			w.expect("what ended meanwhile runs again", running)
			w.end()
		},
		"what could not be done lets the loop go on, and no event is lost": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			answer := w.handOver(forever, func(time.Time) error {
				w.machine.End(web0, reconciler.Exit{Code: 1})
				return refused
			})
			if err, yes := answered(answer); !yes || !errors.Is(err, refused) {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.expect("after it", running)
			w.declare(named("web", three))
			w.expect("it goes on", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running"})
			w.end()
		},
		"when nothing can be recorded it is not done": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			w.keeper.fails = errors.New("cannot write: disk full")
			answer := w.handOver(forever, func(time.Time) error { t.Error("it was done"); return nil })
			if err, yes := answered(answer); !yes || !errors.Is(err, w.keeper.fails) {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.expect("after it", running)
			w.end()
		},
		"who leaves whatever happens leaves also when nothing can be recorded": func(t *testing.T) {
			w := newWorld(t, nil)
			w.declare(named("web"))
			w.keeper.fails = errors.New("cannot write: disk full")
			if err, yes := answered(w.handOver(forever, nil)); !yes || err != nil {
				t.Errorf("answered %v, %v", yes, err)
			}
			if err := <-w.ended; err != nil {
				t.Errorf("Run ended with %v", err)
			}
			if s := w.machine.State(web0); s.MainPid == 0 {
				t.Error("what ran does not run any more")
			}
			w.machine.Close()
		},
		"it ends with its context, and the loop goes on": func(t *testing.T) {
			w := slowWorld(t)
			w.declare(named("web", three))
			ctx, cancel := context.WithTimeout(forever, time.Second)
			defer cancel()
			answer := w.handOver(ctx, func(time.Time) error { t.Error("it was done"); return nil })
			time.Sleep(2 * time.Second)
			if err, yes := answered(answer); !yes || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("answered %v, %v", yes, err)
			}
			time.Sleep(time.Minute)
			w.expect("after it", map[string]string{"web-0": "Running", "web-1": "Running", "web-2": "Running"})
			w.end()
		},
		"a second one waits for how the first ends": func(t *testing.T) {
			w := slowWorld(t)
			w.declare(named("web"))
			first := w.handOver(forever, func(time.Time) error { return refused })
			second := w.handOver(forever, func(time.Time) error { return nil })
			if err, yes := answered(second); yes {
				t.Errorf("the second was answered %v before the first", err)
			}
			time.Sleep(11 * time.Second)
			if err, yes := answered(first); !yes || !errors.Is(err, refused) {
				t.Errorf("the first was answered %v, %v", yes, err)
			}
			if err, yes := answered(second); !yes || err != nil {
				t.Errorf("the second was answered %v, %v", yes, err)
			}
			if err := <-w.ended; err != nil {
				t.Errorf("Run ended with %v", err)
			}
			w.machine.Close()
		},
		"it is refused during a shutdown": func(t *testing.T) {
			w := newWorld(t, stubborn)
			w.declare(named("web"))
			w.loop.Shutdown(false)
			answer := w.handOver(forever, func(time.Time) error { t.Error("it was done"); return nil })
			if err, yes := answered(answer); !yes || !errors.Is(err, reconciler.ErrStopping) {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.end()
			if err := w.loop.Handover(forever, nil); !errors.Is(err, reconciler.ErrStopped) {
				t.Errorf("after the end it was answered %v", err)
			}
		},
		"a shutdown while it waits wins": func(t *testing.T) {
			w := slowWorld(t)
			w.declare(named("web"))
			answer := w.handOver(forever, func(time.Time) error { t.Error("it was done"); return nil })
			w.loop.Shutdown(false)
			if err, yes := answered(answer); !yes || !errors.Is(err, reconciler.ErrStopping) {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.end()
		},
		"who waits for it is told when the loop is ended": func(t *testing.T) {
			w := slowWorld(t)
			w.declare(named("web"))
			answer := w.handOver(forever, func(time.Time) error { t.Error("it was done"); return nil })
			w.cancel()
			if err, yes := answered(answer); !yes || !errors.Is(err, reconciler.ErrStopped) {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.machine.Close()
		},
		"what runs is told to stop and killed also while it waits": func(t *testing.T) {
			w := slowWorld(t)
			w.declare(named("web"))
			time.Sleep(11 * time.Second)
			w.declare(named("web"), named("db"))
			answer := w.handOver(forever, func(time.Time) error { return refused })
			w.declare(named("db"))
			if n := w.machine.Count(hosttest.Signalled); n != 1 {
				t.Errorf("%d signals were sent, want one", n)
			}
			time.Sleep(11 * time.Second)
			if err, yes := answered(answer); !yes || !errors.Is(err, refused) {
				t.Errorf("answered %v, %v", yes, err)
			}
			w.expect("after it", map[string]string{"db-0": "Running"})
			w.end()
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
	}
}

func TestHeartbeat(t *testing.T) {
	beating := func(every time.Duration, stories func(t *testing.T, w *world, beats *atomic.Int64)) func(*testing.T) {
		return func(t *testing.T) {
			w := newWorldOf(t, hosttest.Config{})
			var beats, decisions atomic.Int64
			w.run(reconciler.Config{Heartbeat: every, Beat: func() { beats.Add(1) }, Decide: counted(&decisions)})
			w.declare(named("web"))
			settled := decisions.Load()
			stories(t, w, &beats)
			if every == 0 && decisions.Load() != settled {
				t.Errorf("%d decisions while nothing happened, want none", decisions.Load()-settled)
			}
			w.end()
		}
	}
	stories := map[string]func(*testing.T){
		"it beats while nothing happens": beating(time.Minute, func(t *testing.T, w *world, beats *atomic.Int64) {
			time.Sleep(time.Hour + time.Second)
			synctest.Wait()
			if beats.Load() != 60 {
				t.Errorf("%d beats in an hour, want 60", beats.Load())
			}
		}),
		"it beats no more often when much happens": beating(time.Minute, func(t *testing.T, w *world, beats *atomic.Int64) {
			for range 3600 {
				time.Sleep(time.Second)
				w.declare(named("web"))
			}
			synctest.Wait()
			if beats.Load() < 59 || beats.Load() > 60 {
				t.Errorf("%d beats in an hour, want 60", beats.Load())
			}
		}),
		"it stands still while a handover does": beating(time.Minute, func(t *testing.T, w *world, beats *atomic.Int64) {
			answer := w.handOver(context.Background(), func(time.Time) error { time.Sleep(10 * time.Minute); return errors.New("no") })
			time.Sleep(9 * time.Minute)
			if synctest.Wait(); beats.Load() != 0 {
				t.Errorf("%d beats while the loop stood still", beats.Load())
			}
			time.Sleep(10 * time.Minute)
			if _, yes := answered(answer); !yes || beats.Load() == 0 {
				t.Errorf("%d beats after it", beats.Load())
			}
		}),
		"when it is off nothing beats and nothing wakes up": beating(0, func(t *testing.T, w *world, beats *atomic.Int64) {
			time.Sleep(24 * time.Hour)
			if synctest.Wait(); beats.Load() != 0 {
				t.Errorf("%d beats in a day, want none", beats.Load())
			}
		}),
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
	}
}

// counted is Decide with a count of its calls.
func counted(calls *atomic.Int64) func(*spec.Service, *reconciler.Facts, time.Time, []reconciler.Action) ([]reconciler.Action, time.Time) {
	return func(want *spec.Service, f *reconciler.Facts, now time.Time, into []reconciler.Action) ([]reconciler.Action, time.Time) {
		calls.Add(1)
		return reconciler.Decide(want, f, now, into)
	}
}
