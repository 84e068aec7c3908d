package reconciler

import (
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// rollout is the view over all replicas that a replacement needs: which
// outdated one goes next, or why none does.
type rollout struct {
	// candidate is the index of the replica to replace now; -1 is none.
	candidate int
	check     bool   // the successor must be checked first
	reason    Reason // why no candidate goes
	since     time.Time
	next      time.Time
	cause     Cause // why the candidate is to end
}

// plan looks whether a replacement is wanted and may go on: one replica at a
// time, the next when its successor has run minReadySeconds, none while a
// successor keeps ending or could not be started at all.
func plan(want *spec.Service, f *Facts, now time.Time) rollout {
	r := rollout{candidate: -1}
	if want == nil || !f.ShutdownAt.IsZero() || f.held(now) {
		return r
	}
	outdated, unready := -1, false
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if i.ID.Ordinal >= want.Spec.Replicas {
			continue
		}
		if i.stage() == stageLive && !i.asked() && i.outdated(want, f) != CauseNone {
			// What does not work yet goes first.
			if since, _ := i.ready(); outdated < 0 || since.IsZero() && !unready {
				outdated, unready = n, since.IsZero()
			}
			continue
		}
		r.waitFor(want, f, n, now)
	}
	if outdated < 0 || r.reason != "" {
		return r
	}
	return permit(want, f, now, outdated)
}

// waitFor notes that a replica which is no candidate itself keeps the others
// from being replaced, if it does.
func (r *rollout) waitFor(want *spec.Service, f *Facts, n int, now time.Time) {
	i := &f.Replicas[n]
	switch i.stage() {
	case stageStarting:
		r.wait(ReasonReplacementPending, i.StartTakenAt, time.Time{})
	case stageLeftOver:
		r.wait(ReasonReplacementPending, i.EndedAt, time.Time{})
	case stageLive:
		if i.asked() {
			r.wait(ReasonReplacementPending, i.StoppingAt, time.Time{})
			return
		}
		if proven := i.StartedAt.Add(halfProvenAfter); i.Streak > 0 && now.Before(proven) {
			r.wait(ReasonReplacementHalted, i.Last.EndedAt, proven)
		}
		ready, _ := i.ready()
		if ready.IsZero() {
			if deadline := i.StartedAt.Add(time.Duration(want.Spec.ProgressDeadlineSeconds) * time.Second); now.Before(deadline) {
				r.wait(ReasonReplacementPending, i.StartedAt, deadline)
			} else {
				r.wait(ReasonProgressDeadline, i.StartedAt, time.Time{})
			}
			return
		}
		if available := ready.Add(time.Duration(want.Spec.MinReadySeconds) * time.Second); now.Before(available) {
			r.wait(ReasonReplacementPending, ready, available)
		}
	case stageIdle:
		if !i.runs(want) || i.obeyed() || i.initDone() {
			r.wait(ReasonReplacementPending, i.EndedAt, time.Time{}) // it is about to start
			return
		}
		v := start(want, f, n, now)
		quick := !i.StartedAt.IsZero() && i.EndedAt.Sub(i.StartedAt) < halfProvenAfter
		switch {
		case v.phase == status.PhaseCompleted:
			// A job that did its work keeps nobody waiting.
		case i.Streak > 0 && (quick || i.Failure != nil):
			r.wait(ReasonReplacementHalted, i.EndedAt, time.Time{})
		case v.action.Deed != DeedNone || !v.next.IsZero() || v.reason == ReasonDependencyUnmet || v.reason == ReasonDependencyUnknown:
			// It is down and will be up again: no second one goes down by us.
			r.wait(ReasonReplacementPending, i.EndedAt, time.Time{})
		}
	}
}

// wait notes one reason to wait; that the replacement halts outweighs others.
func (r *rollout) wait(reason Reason, since, until time.Time) {
	if r.reason != ReasonReplacementHalted && (r.reason != ReasonProgressDeadline || reason == ReasonReplacementHalted) {
		r.reason, r.since = reason, since
	}
	r.next = earlier(r.next, until)
}

// permit lets a candidate go when its successor was checked and can start.
func permit(want *spec.Service, f *Facts, now time.Time, candidate int) rollout {
	r := rollout{candidate: candidate, cause: f.Replicas[candidate].outdated(want, f)}
	switch {
	case f.CheckOf != want:
		r.check, r.reason, r.since = true, ReasonReplacementPending, f.EditedAt
	case f.CheckedAt.IsZero():
		r.candidate, r.reason, r.since = -1, ReasonReplacementPending, f.CheckTakenAt
		if f.CheckFailure != nil {
			r.reason = ReasonReplacementBlocked // until the new answer is here
		}
	case f.CheckFailure != nil:
		r.reason, r.since = ReasonReplacementBlocked, f.CheckedAt
		again := f.CheckedAt.Add(doubling(time.Second, recheckAtMost, f.CheckFailures))
		if now.Before(again) {
			r.candidate, r.next = -1, again
		} else {
			r.check = true
		}
	}
	return r
}

// outdated is the verdict on a live replica that is to be replaced.
func (r *rollout) outdated(i *Instance, f *Facts, n int, now time.Time) verdict {
	switch {
	case r.candidate != n:
		return verdict{phase: status.PhaseRunning, reason: r.waiting(), since: latest(r.since, f.EditedAt), next: r.next, works: true}
	case r.check:
		return verdict{action: Action{Deed: DeedCheck, Index: n}, phase: status.PhaseRunning, reason: r.reason, since: r.since, works: true}
	case i.reloadRuns():
		// What it does to the files may be half done; it ends, at its timeout if not before.
		return verdict{phase: status.PhaseRunning, reason: ReasonReplacementPending, since: i.Life.HookTakenAt, works: true}
	}
	return i.end(n, r.cause, f, now)
}

// waiting is why an outdated replica runs on; behind another candidate it is
// simply not its turn.
func (r *rollout) waiting() Reason {
	if r.reason == "" {
		return ReasonReplacementPending
	}
	return r.reason
}
