package reconciler_test

import (
	"sync/atomic"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// The promises that are watched at the seam between the loop and its pure
// functions.
const (
	NoSpin          = "NoSpin"          // no decision wants to be asked again at once; no flood of decisions
	AlwaysAReason   = "AlwaysAReason"   // what is not as declared says why
	NoStartBeside   = "NoStartBeside"   // no start is decided while something lives or is under way
	NothingToNobody = "NothingToNobody" // no signal or kill is decided where nothing lives

	WaitsForDependencies = "WaitsForDependencies" // nothing starts before its conditions hold
	HooksInTheirPlace    = "HooksInTheirPlace"    // each hook and probe has the processes that it is about, or none

	UnclearIsLeftAlone = "UnclearIsLeftAlone" // what nobody can tell is not ended before somebody wants it
)

// inOneSecond is how many decisions may be made in a second of simulated time:
// the largest burst of a world is a shutdown, or a set that changes everything.
const inOneSecond = 30_000

// engine is the pair of functions that a loop runs on. The others plant mistakes
// into a loop that comes after another; nil is none.
type engine struct {
	observe  func(reconciler.Instance, reconciler.Event) reconciler.Instance
	decide   func(*spec.Service, *reconciler.Facts, time.Time, []reconciler.Action) ([]reconciler.Action, time.Time)
	reopened func(c *reconciler.Config)
	begun    func(l *reconciler.Loop)
}

var genuine = engine{observe: reconciler.Observe, decide: reconciler.Decide}

// watched is an engine under watch. Its functions are called by the loop alone.
type watched struct {
	engine
	broken  func(promise, story string, args ...any)
	reports bool // judge reports too
	calls   atomic.Int64
	instant time.Time
	burst   int
}

func (w *watched) decision(want *spec.Service, f *reconciler.Facts, now time.Time, into []reconciler.Action) ([]reconciler.Action, time.Time) {
	actions, next := w.engine.decide(want, f, now, into)
	calls := w.calls.Add(1)
	if t := time.Now().Truncate(time.Second); !t.Equal(w.instant) {
		w.instant, w.burst = t, 0
	}
	if w.burst++; w.burst > inOneSecond {
		w.broken(NoSpin, "%d decisions in one second, the last about %s", w.burst, f.Name)
	}
	if !next.IsZero() && !next.After(now) {
		w.broken(NoSpin, "%s wants to be asked again at %v, it is %v", f.Name, next, now)
	}
	replaced := 0
	for _, a := range actions {
		judgeAction(want, f, now, a, w.broken)
		if makesWay(f, a) {
			replaced++
		}
	}
	if replaced > 1 {
		w.broken(ReplacementOneByOne, "%d replicas of %s make way at once", replaced, f.Name)
	}
	if w.reports && calls%16 == 0 {
		judgeReport(want, f, now, w.broken)
	}
	return actions, next
}

// makesWay reports whether an action is the first step of a replacement.
func makesWay(f *reconciler.Facts, a reconciler.Action) bool {
	first := a.Deed == reconciler.DeedSignal || a.Deed == reconciler.DeedHook && a.Hook == reconciler.HookPreStop
	if !first || !f.Replicas[a.Index].StoppingAt.IsZero() {
		return false
	}
	switch a.Cause {
	case reconciler.CauseEdited, reconciler.CauseRestarted, reconciler.CauseEnvFiles, reconciler.CauseDependency:
		return true
	default:
		return false
	}
}

// lives says what lives of a replica by its facts.
func lives(i *reconciler.Instance) (main, any bool) {
	switch {
	case !i.GoneAt.IsZero():
		return false, false
	case !i.EndedAt.IsZero():
		return false, true
	default:
		return !i.StartedAt.IsZero(), !i.StartedAt.IsZero()
	}
}

func starting(i *reconciler.Instance) bool {
	return !i.StartTakenAt.IsZero() && i.StartedAt.IsZero() && i.EndedAt.IsZero()
}

// judgeAction judges one action by the facts that it was decided on.
func judgeAction(want *spec.Service, f *reconciler.Facts, now time.Time, a reconciler.Action, broken func(string, string, ...any)) {
	i := &f.Replicas[a.Index]
	main, any := lives(i)
	if unclear(i) && any {
		judgeUnclear(want, f, now, a, broken)
	}
	if makesWay(f, a) {
		judgeReplacement(want, f, now, a, broken)
	}
	occupied := i.Failure != nil && i.Failure.Reason == reconciler.ReasonGroupOccupied
	switch a.Deed {
	case reconciler.DeedStart:
		if any || starting(i) || !i.ForgetTakenAt.IsZero() {
			broken(NoStartBeside, "a start of %v was decided on %+v", i.ID, *i)
		}
		judgeDependencies(want, f, i, broken)
	case reconciler.DeedForget, reconciler.DeedDrop:
		if any || starting(i) {
			broken(NoStartBeside, "deed %d of %v was decided on %+v", a.Deed, i.ID, *i)
		}
	case reconciler.DeedSignal:
		if !main {
			broken(NothingToNobody, "a signal to %v was decided on %+v", i.ID, *i)
		}
	case reconciler.DeedSignalGroup:
		if !any {
			broken(NothingToNobody, "a signal to the group of %v was decided on %+v", i.ID, *i)
		}
	case reconciler.DeedKill:
		// A start may hang: it is ended, once, when it has had its time.
		hung := starting(i) && i.KilledAt.IsZero() && a.Cause != reconciler.CauseNone &&
			(!f.ShutdownNowAt.IsZero() || now.Sub(i.StartTakenAt) >= 5*time.Second)
		hook := i.Life != nil && i.Life.Hook == reconciler.HookPostStop && i.Life.HookEndedAt.IsZero()
		if !any && !occupied && !hung && !hook {
			broken(NothingToNobody, "a kill of %v was decided on %+v", i.ID, *i)
		}
	case reconciler.DeedHook:
		if after := a.Hook == reconciler.HookPostStop; after == any || main == after || starting(i) {
			broken(HooksInTheirPlace, "%v of %v was decided on %+v", a.Hook, i.ID, *i)
		}
	case reconciler.DeedProbe, reconciler.DeedReload:
		if !main || !i.StoppingAt.IsZero() || i.Init != 0 {
			broken(HooksInTheirPlace, "deed %d of %v was decided on %+v", a.Deed, i.ID, *i)
		}
	case reconciler.DeedRelease:
		if main || !any || i.Spec.Spec.StopScope != spec.StopScopeMain && want != nil && want.Spec.StopScope != spec.StopScopeMain {
			broken(HooksInTheirPlace, "a release of %v was decided on %+v", i.ID, *i)
		}
	case reconciler.DeedCheck, reconciler.DeedInspect, reconciler.DeedNone:
	}
}

// judgeDependencies judges that a start has waited for all that it depends on.
func judgeDependencies(want *spec.Service, f *reconciler.Facts, i *reconciler.Instance, broken func(string, string, ...any)) {
	for _, need := range want.Spec.DependsOn {
		met := false
		if f.Bonds != nil {
			for _, d := range f.Bonds.Dependencies {
				at := map[spec.DependencyCondition]time.Time{
					spec.DependencyStarted: d.StartedAt, spec.DependencyReady: d.ReadyAt, spec.DependencyCompleted: d.CompletedAt,
				}[need.Condition]
				met = met || d.Name == need.Name && !at.IsZero()
			}
		}
		if !met {
			broken(WaitsForDependencies, "a start of %v was decided while %s is not %s", i.ID, need.Name, need.Condition)
		}
	}
}

// unclear reports whether nobody can tell what lives of a replica, and nobody has
// been told to end.
func unclear(i *reconciler.Instance) bool {
	return i.Cause == reconciler.CauseUnclear && i.StoppingAt.IsZero()
}

// judgeUnclear judges what is done where nobody can tell what lives.
func judgeUnclear(want *spec.Service, f *reconciler.Facts, now time.Time, a reconciler.Action, broken func(string, string, ...any)) {
	i := &f.Replicas[a.Index]
	unwanted := want == nil || i.ID.Ordinal >= want.Spec.Replicas || !f.ShutdownAt.IsZero() ||
		!f.StoppedAt.IsZero() && (f.StoppedUntil.IsZero() || now.Before(f.StoppedUntil))
	asked := i.RestartAskedAt.After(i.StartTakenAt) || i.StartAskedAt.After(i.StartTakenAt)
	if a.Deed != reconciler.DeedSignalGroup || !unwanted && !asked {
		broken(UnclearIsLeftAlone, "deed %d of %v for %d was decided on %+v", a.Deed, i.ID, a.Cause, *i)
	}
}

// judgeReplacement judges that a live replica makes way for its successor: all
// the others must be up, or down for good.
func judgeReplacement(want *spec.Service, f *reconciler.Facts, now time.Time, a reconciler.Action, broken func(string, string, ...any)) {
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if n == a.Index || i.ID.Ordinal >= want.Spec.Replicas {
			continue
		}
		main, any := lives(i)
		told := reconciler.Report(want, f, now).ReplicaStatuses[n]
		ready := told.Ready && !now.Before(told.ReadySince.Add(time.Duration(want.Spec.MinReadySeconds)*time.Second))
		switch {
		case main && i.StoppingAt.IsZero() && ready:
		case main && i.StoppingAt.IsZero() && !sameProcess(i.Spec, want):
			// It is as old as the one that goes first: an edit may come soon
			// after the start of all.
		case main && i.StoppingAt.IsZero() && !told.Updated:
		case main, any, starting(i):
			broken(ReplacementOneByOne, "%v makes way while %v does: %+v", f.Replicas[a.Index].ID, i.ID, *i)
		default:
			phase := told.Phase
			if phase != status.PhaseCompleted && phase != status.PhaseFailed {
				broken(ReplacementOneByOne, "%v makes way while %v is %s", f.Replicas[a.Index].ID, i.ID, phase)
			}
		}
	}
}

// judgeReport says what people must always be told.
func judgeReport(want *spec.Service, f *reconciler.Facts, now time.Time, broken func(string, string, ...any)) {
	report := reconciler.Report(want, f, now)
	if len(report.ReplicaStatuses) != len(f.Replicas) {
		broken(AlwaysAReason, "%s has %d replicas, %d are told of", f.Name, len(f.Replicas), len(report.ReplicaStatuses))
	}
	for _, r := range report.ReplicaStatuses {
		asDeclared := r.Phase == status.PhaseRunning && r.Updated && r.Reason == ""
		switch {
		case asDeclared:
		case r.Reason == "" || r.Message == "":
			broken(AlwaysAReason, "%s is %s, updated %v, without a reason or message: %+v", r.Name, r.Phase, r.Updated, r)
		case !r.Next.IsZero() && !r.Next.After(now):
			broken(AlwaysAReason, "%s says that the next step was at %v; it is %v: %+v", r.Name, r.Next, now, r)
		case r.Since.After(now):
			broken(AlwaysAReason, "%s says that it is so since %v; it is %v: %+v", r.Name, r.Since, now, r)
		}
	}
	if want != nil && want.Spec.Replicas > 0 && report.Phase == "" {
		broken(AlwaysAReason, "%s has no phase", f.Name)
	}
}
