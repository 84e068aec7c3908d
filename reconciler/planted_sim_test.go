package reconciler_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// bug is a mistake planted into the engine: it is given the genuine one.
type bug func(e engine) engine

// observing plants a mistake into Observe.
func observing(mistake func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance) bug {
	return func(e engine) engine {
		right := e.observe
		e.observe = func(i reconciler.Instance, ev reconciler.Event) reconciler.Instance {
			return mistake(i, ev, right(i, ev))
		}
		return e
	}
}

// seeing plants a mistake into what Decide sees: mistake changes its own copy
// of the facts.
func seeing(mistake func(want *spec.Service, f *reconciler.Facts, now time.Time)) bug {
	return func(e engine) engine {
		right := e.decide
		e.decide = func(want *spec.Service, f *reconciler.Facts, now time.Time, into []reconciler.Action) ([]reconciler.Action, time.Time) {
			seen := *f
			seen.Replicas = slices.Clone(f.Replicas)
			mistake(want, &seen, now)
			return right(want, &seen, now, into)
		}
		return e
	}
}

// deciding plants a mistake into what Decide answers.
func deciding(mistake func(want *spec.Service, f *reconciler.Facts, now time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time)) bug {
	return func(e engine) engine {
		right := e.decide
		e.decide = func(want *spec.Service, f *reconciler.Facts, now time.Time, into []reconciler.Action) ([]reconciler.Action, time.Time) {
			actions, next := right(want, f, now, into)
			return mistake(want, f, now, actions, next)
		}
		return e
	}
}

// eachReplica is a mistake about what Decide sees of every replica.
func eachReplica(mistake func(want *spec.Service, i *reconciler.Instance)) bug {
	return seeing(func(want *spec.Service, f *reconciler.Facts, _ time.Time) {
		for n := range f.Replicas {
			mistake(want, &f.Replicas[n])
		}
	})
}

// endedUnasked reports whether a replica is down because it ended by itself.
func endedUnasked(want *spec.Service, i *reconciler.Instance) bool {
	return want != nil && !i.GoneAt.IsZero() && i.StoppingAt.IsZero() && i.Failure == nil && !i.StartedAt.IsZero()
}

// liveUnasked reports whether a replica runs and nobody told it to stop.
func liveUnasked(i *reconciler.Instance) bool {
	main, _ := lives(i)
	return main && i.StoppingAt.IsZero()
}

// plant is a mistake and the promise that it must be seen to break.
type plant struct {
	bug     bug
	promise string
}

// planted are mistakes that somebody could make, each with the promise that it
// must be seen to break.
var planted = map[string]plant{
	"a start is forgotten once it was taken, and given again": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventStartTaken && e.Run%5 == 0 {
				return i
			}
			return right
		}), hosttest.AtMostOne},
	"an exit is lost": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventExited && e.Run%5 == 0 {
				return i
			}
			return right
		}), NoExitLost},
	"a start that worked is lost": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventStarted && e.Run%5 == 0 {
				return i
			}
			return right
		}), NothingUnseen},
	"the end of what was left behind is lost": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventEmptied && e.Run%2 == 0 {
				return i
			}
			return right
		}), hosttest.NobodySignalled},
	"the back-off is never reset by a long run": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventExited && right.StoppingAt.IsZero() && !right.EndedAt.IsZero() {
				right.Streak = i.Streak + 1
			}
			return right
		}), BackoffResets},
	"the back-off does not grow": {eachReplica(func(_ *spec.Service, i *reconciler.Instance) {
		i.Streak = min(i.Streak, 1)
	}), BackoffGrows},
	"the kill comes with the stop signal": {deciding(
		func(_ *spec.Service, f *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			for _, a := range actions {
				if a.Deed == reconciler.DeedSignal {
					actions = append(actions, reconciler.Action{Deed: reconciler.DeedKill, Index: a.Index, Cause: a.Cause})
				}
			}
			return actions, next
		}), GraceHonoured},
	"a successor starts while the old tree lives": {observing(
		func(_ reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventExited {
				right.GoneAt = right.EndedAt
			}
			return right
		}), hosttest.NothingLeft},
	"it asks to be woken up in the past": {deciding(
		func(_ *spec.Service, _ *reconciler.Facts, now time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			if !next.IsZero() {
				next = now
			}
			return actions, next
		}), NoSpin},
	"it asks to be woken up again and again": {deciding(
		func(_ *spec.Service, _ *reconciler.Facts, now time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			if !next.IsZero() {
				next = now.Add(time.Microsecond)
			}
			return actions, next
		}), NoSpin},
	"it forgets to be woken up at the end of a back-off": {deciding(
		func(_ *spec.Service, f *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			if f.Quiet() {
				next = time.Time{}
			}
			return actions, next
		}), BackoffResets},
	"all replicas are replaced at once": {deciding(
		func(want *spec.Service, f *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			for _, a := range actions {
				if a.Deed != reconciler.DeedSignal || a.Cause != reconciler.CauseEdited {
					continue
				}
				for n := range f.Replicas {
					if i := &f.Replicas[n]; n != a.Index && i.ID.Ordinal < want.Spec.Replicas && liveUnasked(i) && !sameProcess(i.Spec, want) {
						actions = append(actions, reconciler.Action{Deed: a.Deed, Index: n, Cause: a.Cause})
					}
				}
				break
			}
			return actions, next
		}), ReplacementOneByOne},
	"a removal is forgotten": {deciding(
		func(want *spec.Service, _ *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			if want == nil {
				return nil, time.Time{}
			}
			return actions, next
		}), Converges},
	"a live-class edit restarts": {restartOnAnyEdit, ExactlyWhatChanged},
	"a person's stop is undone by an edit": {seeing(func(_ *spec.Service, f *reconciler.Facts, _ time.Time) {
		if f.EditedAt.After(f.StoppedAt) {
			f.StoppedAt = time.Time{}
		}
	}), PersonsStopHolds},
	"a person's stop is forgotten when the process has ended": {seeing(func(_ *spec.Service, f *reconciler.Facts, _ time.Time) {
		if f.Quiet() {
			f.StoppedAt = time.Time{}
		}
	}), PersonsStopHolds},
	"the restart limit is ignored": {eachReplica(func(_ *spec.Service, i *reconciler.Instance) {
		i.Ends = nil
	}), LimitHonoured},
	"Never restarts": {eachReplica(func(want *spec.Service, i *reconciler.Instance) {
		if endedUnasked(want, i) && want.Spec.RestartPolicy == spec.RestartNever {
			i.StoppingAt = i.EndedAt
		}
	}), NeverRestarts},
	"success codes other than 0 are ignored": {eachReplica(func(want *spec.Service, i *reconciler.Instance) {
		if endedUnasked(want, i) && i.Exit.Status() != 0 {
			i.Exit = reconciler.Exit{Code: 99}
		}
	}), SuccessIsSuccess},
	"a shutdown starts something": {seeing(func(_ *spec.Service, f *reconciler.Facts, _ time.Time) {
		if f.Quiet() {
			f.ShutdownAt = time.Time{}
		}
	}), ShutdownStartsNothing},
	"a shutdown forgets a service": {deciding(
		func(_ *spec.Service, f *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			if f.Name == "s03" && !f.ShutdownAt.IsZero() {
				return nil, time.Time{}
			}
			return actions, next
		}), ShutdownEnds},
	"a successor is not checked": {seeing(func(want *spec.Service, f *reconciler.Facts, now time.Time) {
		f.CheckOf, f.CheckTakenAt, f.CheckedAt, f.CheckFailure = want, now, now, nil
	}), ReplacementIsChecked},
	"something is killed that has ended": {deciding(
		func(_ *spec.Service, f *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			for n := range f.Replicas {
				if i := &f.Replicas[n]; !i.GoneAt.IsZero() && i.KilledAt.IsZero() {
					actions = append(actions, reconciler.Action{Deed: reconciler.DeedKill, Index: n})
				}
			}
			return actions, next
		}), NothingToNobody},
	"what was removed is not forgotten": {deciding(
		func(_ *spec.Service, _ *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			for n := range actions {
				if actions[n].Deed == reconciler.DeedForget {
					actions[n].Deed = reconciler.DeedDrop
				}
			}
			return actions, next
		}), NothingKept},
	"a kill is not remembered": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventKilled {
				return i
			}
			return right
		}), CannotHappen},
	"a late answer is taken for news": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind < reconciler.EventStartTaken {
				e.Run = i.Run
				return reconciler.Observe(i, e)
			}
			return right
		}), StaleIsIgnored},
}

// restartOnAnyEdit stops what runs whenever the manifest is another one.
func restartOnAnyEdit(e engine) engine {
	last := map[string]int64{}
	return deciding(func(want *spec.Service, f *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
		edited := last[f.Name] != f.Generation
		last[f.Name] = f.Generation
		for n := range f.Replicas {
			if edited && want != nil && len(actions) == 0 && liveUnasked(&f.Replicas[n]) && len(f.Replicas) == 1 {
				return append(actions, reconciler.Action{Deed: reconciler.DeedSignal, Index: n, Cause: reconciler.CauseEdited}), next
			}
		}
		return actions, next
	})(e)
}

// TestPlantedBugsAreCaught shows that the tests of the engine bite: each
// mistake breaks the promise that is named for it, in a simulated world or in
// the enumeration of facts.
func TestPlantedBugsAreCaught(t *testing.T) {
	const worlds = 12
	maps.Copy(planted, plantedLives)
	for sentence, p := range planted {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var last []hosttest.Violation
			if p.promise == StaleIsIgnored {
				last = staleness(p.bug(genuine))
			}
			for seed := uint64(1); seed <= worlds && !names(last, p.promise); seed++ {
				last = simulate(t, seed, 4*time.Hour, 25, p.bug(genuine))
			}
			if !names(last, p.promise) {
				t.Fatalf("not caught by %s; the last world says %v", p.promise, last)
			}
			t.Logf("caught: %v", last[0])
		})
	}
}

func names(all []hosttest.Violation, promise string) bool {
	return slices.ContainsFunc(all, func(v hosttest.Violation) bool { return v.Promise == promise })
}
