package reconciler

import (
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// end has a live run told to end: by its preStop hook, or at once by the stop
// signal.
func (i *Instance) end(n int, cause Cause, f *Facts, now time.Time) verdict {
	v := verdict{
		action: Action{Deed: DeedSignal, Index: n, Cause: cause},
		phase:  status.PhaseTerminating, reason: cause.reason(), since: now,
	}
	if f.ShutdownNowAt.IsZero() && i.hasPreStop() {
		v.action.Deed, v.action.Hook = DeedHook, HookPreStop
	}
	return v
}

func (i *Instance) hasPreStop() bool {
	return i.Spec != nil && i.Init == 0 && HookPreStop.Command(&i.Spec.Spec) != nil
}

// preStop is a run that was told to end and not sent the signal yet. A hook that a
// daemon did not live to see the end of runs again.
func (i *Instance) preStop(n int, now, deadline time.Time, v verdict) verdict {
	l := i.known()
	switch {
	case !now.Before(deadline) || l.Hook == HookPreStop && !l.HookEndedAt.IsZero() || !i.hasPreStop():
		v.action = Action{Deed: DeedSignal, Index: n, Cause: i.Cause}
	case l.Hook != HookPreStop:
		v.action = Action{Deed: DeedHook, Index: n, Cause: i.Cause, Hook: HookPreStop}
		v.next = deadline
	default:
		v.next = deadline
	}
	return v
}

// deadline is when a run that was told to end is killed, or sent the stop signal
// when its preStop hook is not over by then.
func (i *Instance) deadline(want *spec.Service) time.Time {
	l := i.known()
	deadline := latest(i.StoppingAt.Add(grace(want, i)), l.ExtendedUntil)
	if !l.SignalledAt.IsZero() {
		deadline = latest(deadline, l.SignalledAt.Add(lastGrace))
	}
	return deadline
}

// running is a live run of what is wanted: what is still to be done so that it is
// ready, and what it has to reload.
func running(f *Facts, n int, now time.Time) verdict {
	i := &f.Replicas[n]
	v := verdict{phase: status.PhaseRunning, since: i.StartedAt, works: true}
	since, why := i.ready()
	if v.reason = why; since.IsZero() {
		v.since = i.unreadySince()
	} else {
		v.since = since
	}
	if i.Init != 0 {
		v.phase = status.PhasePending
		return v
	}
	l := i.known()
	deaf, _ := i.watchdog()
	v.next = deaf
	switch {
	case i.Spec.Spec.Lifecycle.PostStart != nil && l.PostStartAt.IsZero():
		if l.Hook != HookPostStart {
			v.action = Action{Deed: DeedHook, Index: n, Hook: HookPostStart}
		}
	case i.Spec.Spec.Reload != nil && !i.hookRuns():
		v.action = i.reload(f, n)
	}
	return v
}

// unreadySince is when a live run was last ready, or has begun.
func (i *Instance) unreadySince() time.Time {
	since := i.begun()
	if started, _ := i.startup(); !started.IsZero() {
		since = latest(started, i.known().Probes[ProbeReadiness].FailedAt)
	}
	return since
}

// reload is the next step of a reload that is due: its check, and then its command
// or signal.
func (i *Instance) reload(f *Facts, n int) Action {
	l, r := i.known(), i.Spec.Spec.Reload
	started, _ := i.startup()
	if started.IsZero() {
		return Action{}
	}
	var files string
	if f.Bonds != nil {
		files = f.Bonds.Files
	}
	changed := files != "" && l.Loaded != "" && files != l.Loaded && files != l.Refused
	if !changed && !l.ReloadAskedAt.After(l.TriedAt) {
		return Action{}
	}
	checked := !l.TryingAt.IsZero() && l.CheckedAt.After(l.TryingAt) && l.Checked == files
	switch {
	case r.Check != nil && !checked:
		return Action{Deed: DeedHook, Index: n, Hook: HookReloadCheck}
	case r.Exec != nil:
		return Action{Deed: DeedHook, Index: n, Hook: HookReload}
	default:
		return Action{Deed: DeedReload, Index: n}
	}
}

// postStop is a replica of which nothing lives and whose postStop hook is to run
// before anything else. ok is false when there is none to run.
func postStop(f *Facts, n int, cause Cause) (v verdict, ok bool) {
	i := &f.Replicas[n]
	running := i.hookRuns() && i.Life.Hook == HookPostStop
	v = verdict{phase: status.PhaseTerminating, reason: ReasonPostStop, since: i.GoneAt}
	switch {
	case i.hookRuns() && !running:
		// One that was taken just before the end, which the host is about to answer.
		return verdict{phase: status.PhasePending, reason: ReasonQueued, since: i.GoneAt}, true
	case !f.ShutdownNowAt.IsZero():
		if running && !i.KilledAt.After(i.Life.HookTakenAt) {
			v.action = Action{Deed: DeedKill, Index: n, Cause: cause}
		}
		return v, running
	case running:
		return v, true
	case i.owesPostStop() && i.ForgetTakenAt.IsZero():
		v.action = Action{Deed: DeedHook, Index: n, Hook: HookPostStop}
		return v, true
	}
	return verdict{}, false
}

// release is what a main process left that may live on (spec.StopScopeMain): the
// host takes it out of the group. ok is false when it is to end. What put itself in
// the background does not live on: the next start would find it in its place.
func release(want *spec.Service, f *Facts, n int, now time.Time) (v verdict, ok bool) {
	i := &f.Replicas[n]
	if i.stage() != stageLeftOver || i.Init != 0 || len(i.Left) == 0 || i.Spec == nil || i.daemonized() ||
		i.Cause == CauseLeftOver || i.Cause == CauseUnclear || !i.KilledAt.IsZero() && i.KilledAt.After(i.EndedAt) ||
		!i.spares(want) {
		return verdict{}, false
	}
	l := i.known()
	v = verdict{phase: status.PhaseTerminating, reason: ReasonReleasing, since: i.EndedAt}
	taken := l.ReleaseTakenAt.After(i.EndedAt)
	switch {
	case !taken:
		v.action = Action{Deed: DeedRelease, Index: n}
	case !l.ReleasedAt.After(l.ReleaseTakenAt):
		// The answer will come.
	case l.ReleaseFailure != nil:
		if unwanted(want, f, i, now) != CauseNone || i.personAsked() {
			return verdict{}, false
		}
		v.reason = ReasonReleaseFailed
		if v.next = l.ReleasedAt.Add(stuckAfter); !now.Before(v.next) {
			v.action, v.next = Action{Deed: DeedRelease, Index: n}, time.Time{}
		}
	}
	return v, true
}

// spares reports whether the end of the main process lets the others live on.
func (i *Instance) spares(want *spec.Service) bool {
	if want == nil {
		want = i.Spec
	}
	return want != nil && want.Spec.StopScope == spec.StopScopeMain
}
