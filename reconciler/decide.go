package reconciler

import (
	"slices"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// Deed is something to do to one replica.
type Deed uint8

// The deeds. Start, check, inspect and forget are work for the host's workers:
// they are offered until taken. The others are done at once.
const (
	DeedNone        Deed = iota
	DeedStart            // start a run
	DeedCheck            // ask whether the wanted process could be started
	DeedSignal           // send the stop signal to the main process
	DeedSignalGroup      // send the stop signal to what the main process left
	DeedKill             // kill the whole group
	DeedInspect          // list what lives in the group
	DeedForget           // let the host drop what it keeps of the replica
	DeedDrop             // drop the facts of a replica that nothing is left of
	DeedHook             // run a hook
	DeedRelease          // let live what the main process left
	DeedReload           // send the signal to reload
	DeedProbe            // have the prober look
)

// Action is a deed with its replica, which is at Index in Facts.Replicas.
type Action struct {
	Deed  Deed
	Index int
	Cause Cause
	Hook  Hook      // for DeedHook
	Probe ProbeKind // for DeedProbe
}

// Decide compares what is wanted of a service (nil: nothing any more) with the
// facts about it and appends what is to be done now to into. It returns also
// when it wants to be asked again without an event; zero is never. It is pure,
// and idempotent: once the facts of its actions are observed it says wait.
func Decide(want *spec.Service, f *Facts, now time.Time, into []Action) (actions []Action, next time.Time) {
	r := plan(want, f, now)
	if f.held(now) {
		next = f.StoppedUntil // also when there are no replicas: it is shown
	}
	for n := range f.Replicas {
		v := judge(want, f, n, now, &r)
		if v.action.Deed != DeedNone {
			into = append(into, v.action)
		}
		next = earlier(next, v.next)
		if v.works {
			var due time.Time
			into, due = probes(&f.Replicas[n], n, now, into)
			next = earlier(next, due)
			next = earlier(next, turns(want, &f.Replicas[n], now))
		}
	}
	return into, next
}

// verdict is what is decided about one replica and why: Decide takes its action
// and next, Report its words. An action without a next comes up again with the
// event that the action brings.
type verdict struct {
	action Action
	next   time.Time
	phase  status.Phase
	reason Reason
	since  time.Time
	works  bool // it runs and is to be probed
}

func judge(want *spec.Service, f *Facts, n int, now time.Time, r *rollout) verdict {
	i := &f.Replicas[n]
	cause := unwanted(want, f, i, now)
	switch i.stage() {
	case stageStarting:
		return starting(want, f, n, now, cause)
	case stageLive:
		switch {
		case i.asked():
			return stopping(want, f, n, now)
		case cause != CauseNone && f.mustWait(cause):
			return verdict{phase: status.PhaseTerminating, reason: ReasonDependentsStopping, since: latest(f.EditedAt, f.ShutdownAt)}
		case cause != CauseNone:
			return i.end(n, cause, f, now)
		}
		if cause = i.failing(now); cause != CauseNone {
			return i.end(n, cause, f, now)
		}
		if i.outdated(want, f) != CauseNone {
			v := r.outdated(i, f, n, now)
			if deaf, _ := i.watchdog(); v.works && i.Init == 0 {
				v.next = earlier(v.next, deaf)
			}
			return v
		}
		return running(f, n, now)
	case stageLeftOver:
		return stopping(want, f, n, now)
	default:
		return idle(want, f, n, now, cause)
	}
}

// mustWait reports whether others have to end first, which depend on the service
// and are being ended together with it.
func (f *Facts) mustWait(cause Cause) bool {
	return f.Bonds != nil && len(f.Bonds.Dependents) > 0 && f.ShutdownNowAt.IsZero() &&
		(cause == CauseShutdown || cause == CauseRemoved)
}

// starting is a run of which the host has not told yet whether it began. Its
// execve may hang with a file server: when it is not wanted any more, it gets as
// long as a start takes on a loaded machine, and is killed then.
func starting(want *spec.Service, f *Facts, n int, now time.Time, cause Cause) verdict {
	i := &f.Replicas[n]
	v := verdict{phase: status.PhasePending, reason: ReasonStarting, since: i.StartTakenAt}
	if cause == CauseNone {
		cause = i.outdated(want, f)
	}
	if cause == CauseNone || !i.KilledAt.IsZero() {
		return v // the answer will come
	}
	due := i.StartTakenAt.Add(stuckAfter)
	if !f.ShutdownNowAt.IsZero() || !now.Before(due) {
		v.action = Action{Deed: DeedKill, Index: n, Cause: cause}
		return v
	}
	v.next = due
	return v
}

// unwanted says why a replica should not run; CauseNone when it should.
func unwanted(want *spec.Service, f *Facts, i *Instance, now time.Time) Cause {
	switch {
	case !f.ShutdownAt.IsZero():
		return CauseShutdown
	case want == nil:
		return CauseRemoved
	case i.ID.Ordinal >= want.Spec.Replicas:
		return CauseScaled
	case f.held(now):
		return CauseStopped
	default:
		return CauseNone
	}
}

// stopping is a run that was asked to end, or whose main process has ended and
// left others behind: stop signal, grace, kill, look.
func stopping(want *spec.Service, f *Facts, n int, now time.Time) verdict {
	i := &f.Replicas[n]
	v := verdict{phase: status.PhaseTerminating, reason: i.Cause.reason(), since: i.StoppingAt}
	if i.unclear() {
		return unclear(want, f, n, now)
	}
	if u, ok := release(want, f, n, now); ok {
		return u
	}
	if !i.asked() || i.Cause == CauseLeftOver {
		// Nobody asked: what is left has no claim to a grace.
		v.since = i.EndedAt
		v.reason = ReasonMainEnded
		if i.Cause == CauseLeftOver {
			v.reason = ReasonLeftOver
		}
		if i.KilledAt.IsZero() {
			cause := CauseMainEnded
			if i.Cause == CauseLeftOver {
				cause = CauseLeftOver
			}
			v.action = Action{Deed: DeedKill, Index: n, Cause: cause}
			return v
		}
		return killed(i, n, now, v)
	}
	if !i.KilledAt.IsZero() {
		return killed(i, n, now, v)
	}
	deadline := i.deadline(want)
	if f.ShutdownNowAt.IsZero() && i.stage() == stageLive && !i.signalled() {
		return i.preStop(n, now, deadline, v)
	}
	if !f.ShutdownNowAt.IsZero() || !now.Before(deadline) {
		v.action = Action{Deed: DeedKill, Index: n, Cause: i.Cause}
		return v
	}
	if !i.EndedAt.IsZero() && i.RestAt.IsZero() {
		v.action = Action{Deed: DeedSignalGroup, Index: n, Cause: i.Cause}
	}
	v.next = deadline
	return v
}

// unclear is a replica in whose group something lives that nobody can tell what
// it is. It is left alone, and no successor starts beside it, until somebody
// wants it to end: then all of it gets the stop signal and the grace.
func unclear(want *spec.Service, f *Facts, n int, now time.Time) verdict {
	i := &f.Replicas[n]
	cause := unwanted(want, f, i, now)
	if cause == CauseNone && i.personAsked() {
		cause = CauseRestarted
	}
	if cause == CauseNone {
		return verdict{phase: status.PhaseHeld, reason: ReasonRecordUnreadable, since: i.EndedAt}
	}
	return verdict{action: Action{Deed: DeedSignalGroup, Index: n, Cause: cause}, phase: status.PhaseTerminating, reason: cause.reason(), since: now}
}

// killed is a run whose group was killed and is not gone yet. A look tells who
// is left and why; after each look that found somebody the kill is repeated.
func killed(i *Instance, n int, now time.Time, v verdict) verdict {
	if i.InspectedAt.After(i.KilledAt) {
		v.action = Action{Deed: DeedKill, Index: n, Cause: i.Cause}
	}
	if !i.InspectedAt.IsZero() {
		v.reason = ReasonStuck
	}
	if i.InspectTakenAt.After(i.KilledAt) && !i.InspectedAt.After(i.InspectTakenAt) {
		return v // the answer will come
	}
	look := i.KilledAt.Add(stuckAfter)
	if !i.InspectedAt.IsZero() {
		begun := i.EndedAt
		if i.asked() {
			begun = i.StoppingAt
		}
		look = i.KilledAt.Add(min(max(i.KilledAt.Sub(begun), stuckAfter), stuckAtMost))
	}
	if v.action.Deed != DeedNone {
		return v
	}
	if !now.Before(look) {
		v.action = Action{Deed: DeedInspect, Index: n}
		return v
	}
	v.next = look
	return v
}

// grace is the time between stop signal and kill. The manifest decides while
// there is one, and then the one that the run was started from, with its later
// live-class edits.
func grace(want *spec.Service, i *Instance) time.Duration {
	if want == nil {
		want = i.Spec
	}
	if want == nil {
		return defaultGrace
	}
	seconds := want.Spec.TerminationGracePeriodSeconds
	var probe *spec.Probe
	switch i.Cause {
	case CauseNotStartedUp:
		probe = want.Spec.StartupProbe
	case CauseUnhealthy:
		probe = want.Spec.LivenessProbe
	default:
	}
	if probe != nil && probe.TerminationGracePeriodSeconds != nil {
		seconds = *probe.TerminationGracePeriodSeconds
	}
	return time.Duration(seconds) * time.Second
}

// idle is a replica of which nothing lives.
func idle(want *spec.Service, f *Facts, n int, now time.Time, cause Cause) verdict {
	i := &f.Replicas[n]
	if v, ok := postStop(f, n, cause); ok {
		return v
	}
	switch cause {
	case CauseShutdown:
		return verdict{phase: status.PhaseTerminating, reason: ReasonShuttingDown, since: f.ShutdownAt}
	case CauseStopped:
		return verdict{phase: status.PhaseHeld, reason: ReasonStopped, since: f.StoppedAt, next: f.StoppedUntil}
	case CauseNone:
		if !i.ForgetTakenAt.IsZero() {
			// Forgotten is on its way; the start comes after it.
			return verdict{phase: status.PhasePending, reason: ReasonQueued, since: f.EditedAt}
		}
		return start(want, f, n, now)
	default:
		v := verdict{phase: status.PhaseTerminating, reason: cause.reason(), since: f.EditedAt}
		switch {
		case i.StartTakenAt.IsZero() && i.EndedAt.IsZero():
			v.action = Action{Deed: DeedDrop, Index: n, Cause: cause}
		case i.ForgetTakenAt.IsZero():
			v.action = Action{Deed: DeedForget, Index: n, Cause: cause}
		}
		return v
	}
}

// start is a replica that should run and does not: at once, when what it depends
// on is there, after a delay, or never again by itself.
func start(want *spec.Service, f *Facts, n int, now time.Time) verdict {
	v := startAlone(want, f, n, now)
	if v.action.Deed != DeedStart || len(want.Spec.DependsOn) == 0 {
		return v
	}
	unmet := f.unmet(want)
	if unmet < 0 {
		return v
	}
	v = verdict{phase: status.PhasePending, reason: ReasonDependencyUnmet, since: v.since}
	if d := f.dependency(unmet, want); d == nil || !d.Declared {
		v.reason = ReasonDependencyUnknown
	}
	return v
}

// startAlone is start as if it depended on nobody.
func startAlone(want *spec.Service, f *Facts, n int, now time.Time) verdict {
	i := &f.Replicas[n]
	s := &want.Spec
	asap := verdict{
		action: Action{Deed: DeedStart, Index: n},
		phase:  status.PhasePending, reason: ReasonQueued, since: latest(f.DeclaredAt, i.GoneAt),
	}
	ended := i.EndedAt
	switch {
	case !i.runs(want), i.personAsked(), i.initDone(), i.envFilesChanged(f), i.envFilesMended(f):
		return asap
	case i.Failure != nil:
		if !i.amended(want) && gaveUp(s.Backoff.Limit, i) {
			return verdict{phase: status.PhaseFailed, reason: ReasonRestartLimitExceeded, since: ended}
		}
		v := verdict{phase: status.PhasePending, reason: i.Failure.Reason, since: ended}
		// Who occupies it may have been found, and have gone, since.
		if i.Failure.Reason == ReasonGroupOccupied && !i.KilledAt.After(ended) && !i.GoneAt.After(ended) {
			v.action = Action{Deed: DeedKill, Index: n, Cause: CauseLeftOver}
			return v
		}
		if i.amended(want) {
			return asap
		}
		return v.after(restartDelay(&s.Backoff, i.ID, i.Streak, false), asap, now)
	case i.obeyed():
		return asap
	}
	success := slices.Contains(s.SuccessExitCodes, i.Exit.Status()) && !i.asked() && i.Init == 0
	daemonized := i.daemonized()
	reason := ReasonExited
	switch {
	case i.asked():
		reason = i.Cause.reason()
	case i.Init != 0:
		reason = ReasonInitFailed
	}
	switch {
	case success && !daemonized && s.RestartPolicy != spec.RestartAlways:
		return verdict{phase: status.PhaseCompleted, reason: ReasonCompleted, since: ended}
	case i.amended(want):
		return asap
	case daemonized && s.RestartPolicy == spec.RestartNever:
		return verdict{phase: status.PhaseFailed, reason: ReasonDaemonized, since: ended}
	case s.RestartPolicy == spec.RestartNever:
		return verdict{phase: status.PhaseFailed, reason: reason, since: ended}
	case gaveUp(s.Backoff.Limit, i):
		return verdict{phase: status.PhaseFailed, reason: ReasonRestartLimitExceeded, since: ended}
	}
	v := verdict{phase: status.PhaseCrashLoopBackOff, reason: reason, since: ended}
	if daemonized {
		v.reason = ReasonDaemonized
	}
	return v.after(restartDelay(&s.Backoff, i.ID, i.Streak, !daemonized && i.Init == 0 && i.Cause != CausePostStart), asap, now)
}

// after is the verdict itself until delay has passed since then, and asap from
// there on.
func (v verdict) after(delay time.Duration, asap verdict, now time.Time) verdict {
	due := v.since.Add(delay)
	if !now.Before(due) {
		return asap
	}
	v.next = due
	return v
}
