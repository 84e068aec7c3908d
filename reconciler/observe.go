package reconciler

import (
	"slices"
	"time"

	"svc.d/spec"
)

// Observe returns what is known of a replica after an event. It is pure: the
// instance that was passed in is not changed, nothing is asked of the world.
// An event of another run, or one that cannot follow the facts, changes nothing.
func Observe(i Instance, e Event) Instance {
	switch e.Kind {
	case EventFound:
		return found(i, e, CauseLeftOver)
	case EventUnclear:
		return found(i, e, CauseUnclear)
	case EventStartTaken:
		return begin(i, e)
	case EventStarted:
		if e.Run == i.Run && i.stage() == stageStarting {
			i.StartedAt, i.Pid, i.StartTicks = e.At, e.Pid, e.StartTicks
			i.KilledAt = time.Time{} // that was for the start: what runs now gets its grace
			if e.EnvFiles != "" {
				l := i.life()
				l.EnvFiles = e.EnvFiles
				i.Life = l
			}
		}
	case EventStartFailed:
		if e.Run == i.Run && i.stage() == stageStarting {
			i.EndedAt, i.GoneAt, i.Failure = e.At, e.At, e.Failure
			i = countEnd(i, e.At)
		}
	case EventExited:
		if e.Run == i.Run && i.stage() == stageLive {
			i = exited(i, e)
		}
	case EventEmptied:
		switch {
		case e.Run != i.Run:
		case i.stage() == stageLeftOver:
			i.GoneAt = e.At
		case i.Detached():
			i = exited(i, Event{Kind: EventExited, At: e.At, Exit: Exit{Unknown: true}})
		}
	case EventSignalled:
		i = toldToEnd(i, e)
		if i.Life != nil && !i.Life.PreStopAt.IsZero() {
			l := i.life()
			l.SignalledAt = e.At
			i.Life = l
		}
	case EventGroupSignalled:
		i.RestAt = e.At
		i = toldToEnd(i, e)
	case EventKilled:
		i.KilledAt = e.At
		if i.stage() == stageLive {
			i = toldToEnd(i, e)
		}
	case EventInspectTaken:
		i.InspectTakenAt = e.At
	case EventInspected:
		if e.Run == i.Run {
			i.InspectedAt = e.At
			if len(e.Processes) > 0 {
				i.Left = e.Processes
			}
		}
	case EventForgetTaken:
		i.ForgetTakenAt = e.At
	case EventForgotten:
		if e.Run == i.Run && !i.ForgetTakenAt.IsZero() {
			// The number stays, so that nothing late can be taken for news.
			return Instance{ID: i.ID, Run: i.Run}
		}
	case EventRestart:
		i.RestartAskedAt, i.Streak, i.Ends = e.At, 0, nil
	case EventStart:
		i.Streak, i.Ends = 0, nil
		// What runs is what was asked for: that it ends later is no reason to
		// run it again.
		if s := i.stage(); s == stageIdle || s == stageLeftOver {
			i.StartAskedAt = e.At
		}
	case EventHookTaken, EventHookEnded, EventReleaseTaken, EventReleased, EventProbeTaken, EventProbed,
		EventNotified, EventLineSeen, EventReloaded, EventReload:
		return lived(i, e)
	case EventChecked, EventCheckTaken, EventDeclared, EventStop, EventDependency, EventDependents, EventContents,
		EventShutdown, EventShutdownNow:
		// of the service, not of a replica
	}
	return i
}

// toldToEnd notes when a run was first told to end, and why.
func toldToEnd(i Instance, e Event) Instance {
	if i.asked() {
		return i
	}
	i.StoppingAt, i.Cause = e.At, e.Cause
	if !i.known().ExtendedUntil.IsZero() {
		l := i.life()
		l.ExtendedUntil = time.Time{} // that was for what it did until now
		i.Life = l
	}
	if e.Cause.failed() {
		l := i.life()
		l.Why = i.blame()
		i.Life = l
	}
	return i
}

// found is a replica in whose group something lives that is of no run which is
// known. What is known of the last run stays: when the group is empty, that
// decides again what it had decided before.
func found(i Instance, e Event, cause Cause) Instance {
	if i.stage() != stageIdle {
		return i
	}
	i.Run = 0 // as Emptied will have it
	if i.EndedAt.IsZero() {
		i.EndedAt, i.Exit = e.At, Exit{Unknown: true}
	}
	i.GoneAt, i.KilledAt, i.RestAt, i.Cause = time.Time{}, time.Time{}, time.Time{}, cause
	if cause == CauseUnclear {
		i.StoppingAt = time.Time{} // nobody has asked this one to end
	}
	return i
}

// begin is a new run: the facts of the one before are dropped but for what
// spaces restarts and what people are shown.
func begin(i Instance, e Event) Instance {
	n := Instance{
		ID: i.ID, Run: e.Run, Init: e.Init, Spec: e.Service, StartTakenAt: e.At,
		Streak: i.Streak, Ends: i.Ends, Restarts: i.Restarts, Last: i.Last, Exits: i.Exits,
		RestartAskedAt: i.RestartAskedAt, StartAskedAt: i.StartAskedAt,
	}
	if e.EnvFiles != "" || e.Files != "" {
		n.Life = &Life{EnvFiles: e.EnvFiles, Loaded: e.Files}
	}
	before := i.known().EnvFiles
	switch {
	case i.Spec != nil && !i.runs(e.Service), i.amended(e.Service), before != "" && e.EnvFiles != "" && before != e.EnvFiles:
		n.Streak, n.Ends, n.Restarts = 0, nil, 0
	case !i.StartedAt.IsZero() && !i.obeyed() && !i.initDone():
		n.Restarts++
	}
	return n
}

func exited(i Instance, e Event) Instance {
	if i.detaches(e) {
		l := i.life()
		l.DetachedAt = e.At
		i.Life, i.Left = l, e.Processes
		return i
	}
	i.EndedAt, i.Exit = e.At, e.Exit
	if len(e.Processes) > 0 {
		i.Left = e.Processes
	} else {
		i.GoneAt = e.At
	}
	if i.Init != 0 && !i.asked() && e.Exit.Status() == 0 {
		return i // a step on the way
	}
	i.Last = Ended{StartedAt: i.StartedAt, EndedAt: e.At, Exit: e.Exit, Asked: i.obeyed(), Why: i.blame()}
	if i.obeyed() {
		return i
	}
	if i.Init == 0 && e.At.Sub(i.StartedAt) >= time.Duration(i.Spec.Spec.Backoff.StableAfter) {
		i.Streak = 0
	}
	return countEnd(i, e.At)
}

// detaches reports whether the end of the main process leaves the group to carry
// on.
func (i *Instance) detaches(e Event) bool {
	return i.Spec != nil && i.Spec.Spec.Lifetime == spec.LifetimeGroup && i.Init == 0 && !i.Detached() && !i.asked() &&
		e.Exit.Status() == 0 && len(e.Processes) > 0
}

// countEnd adds an end that nobody asked for.
func countEnd(i Instance, at time.Time) Instance {
	i.Streak++
	limit := i.Spec.Spec.Backoff.Limit
	if limit == nil {
		i.Ends = nil
		return i
	}
	oldest := at.Add(-time.Duration(limit.Within))
	kept := make([]time.Time, 0, len(i.Ends)+1)
	for _, t := range i.Ends {
		if t.After(oldest) {
			kept = append(kept, t)
		}
	}
	kept = append(kept, at)
	if most := int(limit.Restarts) + 1; len(kept) > most {
		kept = kept[len(kept)-most:]
	}
	i.Ends = kept
	return i
}

// ObserveService returns what is known of a service after an event that
// concerns it as a whole. It is pure; Replicas is copied when one of them
// changes.
func ObserveService(f Facts, e Event) Facts {
	switch e.Kind {
	case EventDeclared:
		return declared(f, e)
	case EventCheckTaken:
		if f.CheckOf != e.Service {
			f.CheckFailures, f.CheckFailure = 0, nil
		}
		f.CheckOf, f.CheckRun, f.CheckTakenAt = e.Service, e.Run, e.At
		f.CheckedAt = time.Time{}
	case EventChecked:
		if e.Run != f.CheckRun || !f.CheckedAt.IsZero() {
			return f
		}
		f.CheckedAt, f.CheckFailure = e.At, e.Failure
		if e.Failure != nil {
			f.CheckFailures++
		} else {
			f.CheckFailures = 0
		}
	case EventSignalled, EventKilled, EventHookTaken:
		if e.Cause.replaces() {
			// Each replacement has a check of its own.
			f.CheckOf = nil
		}
	case EventStop:
		f.StoppedAt, f.StoppedUntil, f.StoppedBy = e.At, e.Until, e.By
	case EventStart:
		f.StoppedAt, f.StoppedUntil, f.StoppedBy = time.Time{}, time.Time{}, ""
		f.Replicas = each(f.Replicas, e)
	case EventRestart, EventReload:
		f.Replicas = each(f.Replicas, e)
	case EventDependency, EventDependents, EventContents:
		return bonded(f, e)
	case EventShutdown:
		f.ShutdownAt = e.At
	case EventShutdownNow:
		if f.ShutdownAt.IsZero() {
			f.ShutdownAt = e.At
		}
		f.ShutdownNowAt = e.At
	case EventStarted, EventStartFailed, EventExited, EventEmptied, EventInspected, EventForgotten,
		EventStartTaken, EventGroupSignalled, EventInspectTaken, EventForgetTaken, EventFound, EventUnclear,
		EventHookEnded, EventReleaseTaken, EventReleased, EventProbeTaken, EventProbed, EventNotified, EventLineSeen, EventReloaded:
		// of one replica
	}
	return f
}

func each(replicas []Instance, e Event) []Instance {
	replicas = slices.Clone(replicas)
	for n := range replicas {
		replicas[n] = Observe(replicas[n], e)
	}
	return replicas
}

// declared is a change of what is wanted. Replicas that are wanted for the
// first time get an instance; those that run the same process take over the
// new live-class fields.
func declared(f Facts, e Event) Facts {
	f.EditedAt = e.At
	if e.Service == nil {
		// A person's stop ends with the manifest that it beat.
		f.StoppedAt, f.StoppedUntil, f.StoppedBy = time.Time{}, time.Time{}, ""
		f.DeclaredAt = time.Time{}
		return f
	}
	if f.DeclaredAt.IsZero() {
		f.DeclaredAt = e.At
	}
	f.Generation++
	want := e.Service
	replicas := slices.Clone(f.Replicas)
	reads := true // the same files
	for n := range replicas {
		before := replicas[n].Spec
		if before == nil {
			continue
		}
		reads = reads && sameFiles(&before.Spec, &want.Spec)
		if spec.SameProcess(&before.Spec, &want.Spec) {
			replicas[n] = edited(replicas[n], e, want)
		}
	}
	f = bind(f, want, reads)
	f.Replicas = withReplicas(f.Name, replicas, want.Spec.Replicas)
	slices.SortFunc(f.Replicas, byOrdinal)
	return f
}

func byOrdinal(a, b Instance) int { return int(a.ID.Ordinal - b.ID.Ordinal) }
