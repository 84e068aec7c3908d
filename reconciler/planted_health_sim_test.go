package reconciler_test

import (
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// changedLife gives an instance a life of its own to be mistaken about.
func changedLife(i reconciler.Instance, change func(l *reconciler.Life)) reconciler.Instance {
	l := reconciler.Life{}
	if i.Life != nil {
		l = *i.Life
	}
	change(&l)
	i.Life = &l
	return i
}

// plantedHealth are mistakes about probes, hooks, init commands and dependencies, each
// with the promise that it must be seen to break.
var plantedHealth = map[string]plant{
	"dependencies are not waited for": {func(e engine) engine {
		right := e.decide
		e.decide = func(want *spec.Service, f *reconciler.Facts, now time.Time, into []reconciler.Action) ([]reconciler.Action, time.Time) {
			if want != nil {
				alone := *want
				alone.Spec.DependsOn = nil
				want = &alone
			}
			return right(want, f, now, into)
		}
		return e
	}, WaitsForDependencies},
	"a readiness probe that fails ends the process": {observing(
		func(_ reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventProbed && e.Probe == reconciler.ProbeReadiness && e.Failure != nil {
				return changedLife(right, func(l *reconciler.Life) { l.Probes[reconciler.ProbeLiveness].FailedAt = e.At })
			}
			return right
		}), IllnessIsProven},
	"one failure of a liveness probe is enough": {observing(
		func(_ reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventProbed && e.Probe == reconciler.ProbeLiveness && e.Failure != nil {
				return changedLife(right, func(l *reconciler.Life) { l.Probes[reconciler.ProbeLiveness].FailedAt = e.At })
			}
			return right
		}), IllnessIsProven},
	"an end for ill health is one that was asked for": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventExited && right.Cause == reconciler.CauseUnhealthy {
				right.Streak = 0
			}
			return right
		}), IllnessBacksOff},
	"the stop signal does not wait for the preStop hook": {deciding(
		func(_ *spec.Service, _ *reconciler.Facts, _ time.Time, actions []reconciler.Action, next time.Time) ([]reconciler.Action, time.Time) {
			for n := range actions {
				if actions[n].Deed == reconciler.DeedHook && actions[n].Hook == reconciler.HookPreStop {
					actions[n].Deed = reconciler.DeedSignal
				}
			}
			return actions, next
		}), PreStopFirst},
	"the postStop hook is left out": {eachReplica(func(_ *spec.Service, i *reconciler.Instance) {
		*i = changedLife(*i, func(l *reconciler.Life) { l.PostStopAt = i.EndedAt })
	}), PostStopBetween},
	"a shutdown ends all at once": {seeing(func(_ *spec.Service, f *reconciler.Facts, _ time.Time) {
		if f.Bonds != nil {
			b := *f.Bonds
			b.Dependents, f.Bonds = nil, &b
		}
	}), EndsInOrder},
	"an init command that failed counts as done": {observing(
		func(_ reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventExited && right.Init > 0 {
				right.Exit = reconciler.Exit{}
			}
			return right
		}), InitInOrder},
	"the end of a hook is lost": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventHookEnded && e.Hook == reconciler.HookPostStart {
				return i
			}
			return right
		}), Converges},
	"a reload answers what was asked for while it was under way": {observing(
		func(_ reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventReloaded || e.Kind == reconciler.EventHookEnded && e.Hook == reconciler.HookReload {
				return changedLife(right, func(l *reconciler.Life) { l.TriedAt = e.At })
			}
			return right
		}), ReloadsAnswered},
	"that a dependency got ready is lost": {seeing(func(_ *spec.Service, f *reconciler.Facts, _ time.Time) {
		if f.Bonds != nil && len(f.Bonds.Dependencies) > 0 {
			b := *f.Bonds
			b.Dependencies = append([]reconciler.Dependency(nil), b.Dependencies...)
			b.Dependencies[0].ReadyAt, b.Dependencies[0].StartedAt = time.Time{}, time.Time{}
			f.Bonds = &b
		}
	}), Converges},
}

// TestPlantedHealthMistakesAreCaught shows that the clinic is no rubber stamp.
func TestPlantedHealthMistakesAreCaught(t *testing.T) {
	for name, p := range plantedHealth {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen []string
			for seed := uint64(1); seed <= 12; seed++ {
				for _, v := range simulateHealth(t, seed, 90*time.Minute, p.bug(genuine)) {
					if v.Promise == p.promise {
						return
					}
					seen = append(seen, v.Promise)
				}
			}
			t.Errorf("it is not seen to break %s; broken were %v", p.promise, seen)
		})
	}
}
