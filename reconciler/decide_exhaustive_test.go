package reconciler_test

import (
	"fmt"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// Idempotent: once the facts of its actions are observed, Decide says wait.
const Idempotent = "Idempotent"

// dayAfter is when the enumerated facts are judged: long after the last of
// them, so that each deadline can lie before and after it.
var dayAfter = begun.Add(24 * time.Hour)

// wants are the classes of what may be wanted of a service whose process was
// started from ran.
func wants(ran *spec.Service) map[string]*spec.Service {
	edit := func(change func(s *spec.Spec)) *spec.Service {
		s := *ran
		change(&s.Spec)
		return &s
	}
	return map[string]*spec.Service{
		"nothing":         nil,
		"the same":        ran,
		"a live edit":     edit(func(s *spec.Spec) { s.TerminationGracePeriodSeconds = 1 }),
		"another process": edit(func(s *spec.Spec) { s.Args = []string{"other"} }),
		"no replicas":     edit(func(s *spec.Spec) { s.Replicas = 0 }),
		"OnFailure":       edit(func(s *spec.Spec) { s.RestartPolicy = spec.RestartOnFailure }),
		"Never":           edit(func(s *spec.Spec) { s.RestartPolicy = spec.RestartNever }),
		"a used-up limit": edit(func(s *spec.Spec) {
			s.Backoff.Limit = &spec.RestartLimit{Restarts: 1, Within: spec.Duration(time.Hour)}
		}),
		"a grace of none":  edit(func(s *spec.Spec) { s.TerminationGracePeriodSeconds = 0 }),
		"a proof of 1 min": edit(func(s *spec.Spec) { s.Args, s.MinReadySeconds = []string{"proof"}, 60 }),
	}
}

// ago are the distances of a fact from now that lie before and after every
// deadline that follows it.
var ago = []time.Duration{time.Nanosecond, 3 * time.Second, 20 * time.Second, 12 * time.Hour}

// instances enumerates what can be known of a replica: every stage, every way
// to get there, each before and after its deadlines.
func instances(ordinal int32, ran *spec.Service, distances []time.Duration) map[string]reconciler.Instance {
	all := map[string]reconciler.Instance{}
	id := reconciler.ReplicaID{Service: "web", Ordinal: ordinal}
	all["never ran"] = reconciler.Instance{ID: id}
	left := []reconciler.Process{{Pid: 101, Name: "web"}}
	for _, d := range distances {
		last := dayAfter.Add(-d) // the latest fact
		put := func(name string, change func(i *reconciler.Instance)) {
			i := reconciler.Instance{ID: id, Run: 1, Spec: ran, StartTakenAt: last.Add(-time.Hour)}
			change(&i)
			all[fmt.Sprintf("%s, %v ago", name, d)] = i
		}
		live := func(i *reconciler.Instance) { i.StartedAt, i.Pid = i.StartTakenAt.Add(time.Second), 100 }
		asked := func(cause reconciler.Cause) func(i *reconciler.Instance) {
			return func(i *reconciler.Instance) { live(i); i.StoppingAt, i.Cause = last, cause }
		}
		ended := func(exit reconciler.Exit, streak int32) func(i *reconciler.Instance) {
			return func(i *reconciler.Instance) {
				live(i)
				i.EndedAt, i.GoneAt, i.Exit, i.Streak = last, last, exit, streak
				for n := range streak {
					i.Ends = append(i.Ends, last.Add(-time.Duration(streak-1-n)*time.Second))
				}
				i.Last = reconciler.Ended{StartedAt: i.StartedAt, EndedAt: last, Exit: exit}
			}
		}
		put("starting", func(i *reconciler.Instance) { i.StartTakenAt = last })
		put("just started", func(i *reconciler.Instance) { i.StartTakenAt, i.StartedAt, i.Pid = last, last, 100 })
		put("just started again", func(i *reconciler.Instance) {
			i.StartTakenAt, i.StartedAt, i.Pid, i.Streak = last, last, 100, 2
			i.Last.EndedAt = last.Add(-time.Second)
		})
		put("live", live)
		put("live, restart asked", func(i *reconciler.Instance) { live(i); i.RestartAskedAt = last })
		for cause := reconciler.CauseEdited; cause <= reconciler.CauseShutdown; cause++ {
			put(fmt.Sprintf("told to stop for %d", cause), asked(cause))
		}
		put("told to stop, killed", func(i *reconciler.Instance) {
			asked(reconciler.CauseEdited)(i)
			i.StoppingAt, i.KilledAt = last.Add(-time.Minute), last
		})
		put("told to stop, killed, being looked at", func(i *reconciler.Instance) {
			asked(reconciler.CauseEdited)(i)
			i.StoppingAt, i.KilledAt, i.InspectTakenAt = last.Add(-2*time.Minute), last.Add(-time.Minute), last
		})
		put("told to stop, killed, looked at", func(i *reconciler.Instance) {
			asked(reconciler.CauseEdited)(i)
			i.StoppingAt, i.KilledAt = last.Add(-2*time.Minute), last.Add(-time.Minute)
			i.InspectTakenAt, i.InspectedAt, i.Left = last.Add(-time.Second), last, left
		})
		put("left others when told to stop", func(i *reconciler.Instance) {
			asked(reconciler.CauseEdited)(i)
			i.StoppingAt, i.EndedAt, i.Left = last.Add(-time.Second), last, left
		})
		put("left others when told to stop, which were told too", func(i *reconciler.Instance) {
			asked(reconciler.CauseEdited)(i)
			i.StoppingAt, i.EndedAt, i.RestAt, i.Left = last.Add(-2*time.Second), last.Add(-time.Second), last, left
		})
		put("left others", func(i *reconciler.Instance) { live(i); i.EndedAt, i.Left = last, left })
		put("left others, killed", func(i *reconciler.Instance) {
			live(i)
			i.EndedAt, i.KilledAt, i.Left = last.Add(-time.Second), last, left
		})
		put("left by a daemon that died", func(i *reconciler.Instance) {
			*i = reconciler.Instance{ID: id, EndedAt: last, Exit: reconciler.Exit{Unknown: true}, Cause: reconciler.CauseLeftOver}
		})
		put("left by a daemon that died, after a run that is known", func(i *reconciler.Instance) {
			ended(reconciler.Exit{Code: 1}, 2)(i)
			i.Run, i.GoneAt, i.Cause = 0, time.Time{}, reconciler.CauseLeftOver
		})
		put("left by a daemon that died, after a run that was told to stop", func(i *reconciler.Instance) {
			ended(reconciler.Exit{Signal: 15}, 0)(i)
			i.Run, i.GoneAt, i.StoppingAt, i.Cause = 0, time.Time{}, last.Add(-time.Second), reconciler.CauseLeftOver
		})
		unclear := func(i *reconciler.Instance) {
			*i = reconciler.Instance{ID: id, EndedAt: last, Exit: reconciler.Exit{Unknown: true}, Cause: reconciler.CauseUnclear}
		}
		put("with a record that cannot be read", unclear)
		put("with a record that cannot be read, restart asked", func(i *reconciler.Instance) {
			unclear(i)
			i.EndedAt, i.RestartAskedAt = last.Add(-time.Second), last
		})
		put("with a record that cannot be read, told to stop", func(i *reconciler.Instance) {
			unclear(i)
			i.EndedAt, i.StoppingAt, i.RestAt, i.Cause = last.Add(-time.Second), last, last, reconciler.CauseRestarted
		})
		put("with a record that could not be read, gone", func(i *reconciler.Instance) {
			unclear(i)
			i.GoneAt = last
		})
		for streak := int32(1); streak <= 3; streak++ {
			put(fmt.Sprintf("exited 0, %d in a row", streak), ended(reconciler.Exit{}, streak))
			put(fmt.Sprintf("exited 1, %d in a row", streak), ended(reconciler.Exit{Code: 1}, streak))
			put(fmt.Sprintf("ended unseen, %d in a row", streak), ended(reconciler.Exit{Unknown: true}, streak))
			for _, reason := range []reconciler.Reason{reconciler.ReasonCommandNotFound, reconciler.ReasonGroupOccupied} {
				put(fmt.Sprintf("failed for %s, %d in a row", reason, streak), func(i *reconciler.Instance) {
					ended(reconciler.Exit{}, streak)(i)
					i.StartedAt, i.Failure = time.Time{}, &reconciler.Failure{Reason: reason, Message: "cannot start"}
				})
			}
		}
		put("daemonised", func(i *reconciler.Instance) {
			ended(reconciler.Exit{}, 1)(i)
			i.StartedAt, i.EndedAt, i.KilledAt, i.Left = last.Add(-2*time.Second), last.Add(-time.Second), last, left
		})
		put("ended, restart asked", func(i *reconciler.Instance) {
			ended(reconciler.Exit{Code: 1}, 0)(i)
			i.EndedAt, i.GoneAt, i.RestartAskedAt = last.Add(-time.Second), last.Add(-time.Second), last
		})
		put("ended when told to stop", func(i *reconciler.Instance) {
			ended(reconciler.Exit{Signal: 15}, 0)(i)
			i.StoppingAt, i.Cause = last.Add(-time.Second), reconciler.CauseScaled
		})
		put("being forgotten", func(i *reconciler.Instance) {
			ended(reconciler.Exit{Signal: 15}, 0)(i)
			i.StoppingAt, i.ForgetTakenAt = last.Add(-2*time.Second), last
			i.EndedAt, i.GoneAt = last.Add(-time.Second), last.Add(-time.Second)
		})
	}
	return all
}

// circumstances are the facts of a service beside its replicas.
func circumstances(want *spec.Service) map[string]func(f *reconciler.Facts) {
	failure := &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot find it"}
	at := func(d time.Duration) time.Time { return dayAfter.Add(-d) }
	checked := func(taken, answered time.Time, f *reconciler.Failure) func(*reconciler.Facts) {
		return func(facts *reconciler.Facts) {
			facts.CheckOf, facts.CheckRun, facts.CheckTakenAt, facts.CheckedAt = want, 9, taken, answered
			if facts.CheckFailure = f; f != nil {
				facts.CheckFailures = 2
			}
		}
	}
	return map[string]func(f *reconciler.Facts){
		"nothing special":         func(*reconciler.Facts) {},
		"stopped":                 func(f *reconciler.Facts) { f.StoppedAt = at(time.Minute) },
		"stopped for an hour":     func(f *reconciler.Facts) { f.StoppedAt, f.StoppedUntil = at(time.Minute), dayAfter.Add(time.Hour) },
		"stopped until yesterday": func(f *reconciler.Facts) { f.StoppedAt, f.StoppedUntil = at(20*time.Hour), at(10*time.Hour) },
		"being checked":           checked(at(time.Second), time.Time{}, nil),
		"checked":                 checked(at(2*time.Second), at(time.Second), nil),
		"check failed just now":   checked(at(2*time.Second), at(time.Second), failure),
		"check failed long ago":   checked(at(2*time.Hour), at(time.Hour), failure),
		"shutting down":           func(f *reconciler.Facts) { f.ShutdownAt = at(time.Second) },
		"shutting down at once": func(f *reconciler.Facts) {
			f.ShutdownAt, f.ShutdownNowAt = at(2*time.Second), at(time.Second)
		},
	}
}

// TestEveryCombinationOfFactsIsDecidedSoundly enumerates what can be known of a
// service against what can be wanted of it.
func TestEveryCombinationOfFactsIsDecidedSoundly(t *testing.T) {
	ran := declaration(1, "web")
	ran.Spec = spec.Defaults()
	ran.Spec.Command, ran.Spec.Replicas = []string{"/bin/web"}, 2
	firsts := instances(0, ran, ago)
	seconds := instances(1, ran, ago[1:2])
	combinations := 0
	for wanted, want := range wants(ran) {
		for around, circumstance := range circumstances(want) {
			for first, one := range firsts {
				for second, two := range seconds {
					f := reconciler.Facts{
						Name: "web", Generation: 1, DeclaredAt: begun, EditedAt: begun,
						Replicas: []reconciler.Instance{one, two},
					}
					circumstance(&f)
					combinations++
					for _, v := range sound(genuine, want, f, dayAfter) {
						t.Errorf("%v\n  wanted: %s; %s; web-0 %s; web-1 %s", v, wanted, around, first, second)
					}
					if t.Failed() {
						return
					}
				}
			}
		}
	}
	t.Logf("%d combinations", combinations)
}

// sound returns which promises a decision breaks, and those that follow from
// observing what it did.
func sound(e engine, want *spec.Service, f reconciler.Facts, now time.Time) (all []hosttest.Violation) {
	w := watched{engine: e, broken: func(promise, story string, args ...any) {
		all = append(all, hosttest.Violation{At: now, Promise: promise, Story: fmt.Sprintf(story, args...)})
	}}
	judgeReport(want, &f, now, w.broken)
	run := uint64(100)
	for range 8 + 8*len(f.Replicas) {
		actions, _ := w.decision(want, &f, now, nil)
		if len(actions) == 0 || len(all) > 0 {
			return all
		}
		// One after the other, as a loop does work, with time standing still
		// but for the order of events.
		now = now.Add(time.Nanosecond)
		run++
		f = done(e, want, f, actions[0], now, run)
	}
	w.broken(Idempotent, "Decide does not come to rest")
	return all
}

// done observes that an action was done.
func done(e engine, want *spec.Service, f reconciler.Facts, a reconciler.Action, now time.Time, run uint64) reconciler.Facts {
	replicas := append([]reconciler.Instance(nil), f.Replicas...)
	f.Replicas = replicas
	if a.Deed == reconciler.DeedDrop {
		f.Replicas = append(replicas[:a.Index:a.Index], replicas[a.Index+1:]...)
		return f
	}
	ev := reconciler.Event{Replica: replicas[a.Index].ID, Run: replicas[a.Index].Run, At: now, Cause: a.Cause}
	switch a.Deed {
	case reconciler.DeedStart:
		ev.Kind, ev.Run, ev.Service = reconciler.EventStartTaken, run, want
	case reconciler.DeedCheck:
		ev.Kind, ev.Run, ev.Service = reconciler.EventCheckTaken, run, want
	case reconciler.DeedSignal:
		ev.Kind = reconciler.EventSignalled
	case reconciler.DeedSignalGroup:
		ev.Kind = reconciler.EventGroupSignalled
	case reconciler.DeedKill:
		ev.Kind = reconciler.EventKilled
	case reconciler.DeedInspect:
		ev.Kind = reconciler.EventInspectTaken
	case reconciler.DeedForget:
		ev.Kind = reconciler.EventForgetTaken
	case reconciler.DeedHook:
		ev.Kind, ev.Run, ev.Hook = reconciler.EventHookTaken, run, a.Hook
	case reconciler.DeedRelease:
		ev.Kind = reconciler.EventReleaseTaken
	case reconciler.DeedReload:
		ev.Kind = reconciler.EventReloaded
	case reconciler.DeedProbe:
		ev.Kind, ev.Run, ev.Probe = reconciler.EventProbeTaken, run, a.Probe
	case reconciler.DeedDrop, reconciler.DeedNone:
	}
	if f.Bonds != nil {
		ev.Files, ev.EnvFiles = f.Bonds.Files, f.Bonds.EnvFiles
	}
	f = reconciler.ObserveService(f, ev)
	if a.Deed != reconciler.DeedCheck {
		f.Replicas[a.Index] = e.observe(f.Replicas[a.Index], ev)
	}
	return f
}
