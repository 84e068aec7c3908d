package reconciler

import (
	"fmt"
	"slices"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// notReady is the sentence to why a replica that runs, or has run, is not ready.
func (i *Instance) notReady(why Reason) string {
	l := i.known()
	switch why {
	case ReasonInitializing:
		return "runs its init command " + initName(i)
	case ReasonPostStart:
		return "runs its postStart hook"
	case ReasonPostStop:
		return "runs its postStop hook"
	case ReasonNotNotified:
		return "has not told that it is ready (READY=1 with notify: Systemd)" + said(l.Status)
	case ReasonNoReadyLine:
		awaits := fmt.Sprintf("no line of its output has matched readyLogLine yet: %q", i.line())
		if i.line() != i.Spec.Spec.ReadyLogLine {
			awaits += ", with which it was started; the present one is for the next start"
		}
		return awaits
	case ReasonNotStartedUp:
		return "its startup probe has not succeeded yet" + latestOf(&l.Probes[ProbeStartup])
	case ReasonUnready:
		if l.Probes[ProbeReadiness].FailedAt.IsZero() {
			return "its readiness probe has not succeeded yet" + latestOf(&l.Probes[ProbeReadiness])
		}
		return "its readiness probe fails" + latestOf(&l.Probes[ProbeReadiness])
	default:
		return ""
	}
}

func said(status string) string {
	if status == "" {
		return ""
	}
	return fmt.Sprintf("; it says: %q", status)
}

func latestOf(p *Probing) string {
	if p.Failure == nil {
		return ""
	}
	return ": " + p.Failure.Message
}

// blamed is what is wrong with a run that is about to be told to end, or was.
func (i *Instance) blamed(v verdict) string {
	if i.asked() {
		return i.blame()
	}
	about := *i
	about.Cause = v.action.Cause
	return about.blame()
}

// term says how long a run has that was told to end, since it was told.
func (i *Instance) term(want *spec.Service) string {
	l := i.known()
	allowed, due := grace(want, i), i.deadline(want)
	total := due.Sub(i.StoppingAt)
	switch {
	case total <= allowed:
		return fmt.Sprintf("%s to end", allowed)
	case due.Equal(l.ExtendedUntil):
		return fmt.Sprintf("%s to end, as it asked for (EXTEND_TIMEOUT_USEC)", total.Round(100*time.Millisecond))
	default:
		return fmt.Sprintf("%s to end from then on, since its preStop hook left less of the grace of %s", lastGrace, allowed)
	}
}

// keepsRunning is the beginning of a sentence about a live replica that is not
// replaced although it should be.
func keepsRunning(want *spec.Service, f *Facts, i *Instance) string {
	if why := replaced(i.outdated(want, f)); why != "" {
		return "keeps running, though " + why + ": "
	}
	return "keeps running its former manifest: "
}

// turnToCome is the sentence about a live replica that is to be replaced.
func turnToCome(want *spec.Service, f *Facts, i *Instance) string {
	until := " until its turn to be replaced"
	if i.reloadRuns() {
		until = " until its reload.exec hook has ended, and is replaced then"
	}
	if why := replaced(i.outdated(want, f)); why != "" {
		return "runs" + until + ": " + why
	}
	return "runs its former manifest" + until
}

// replaced is why a process is replaced whose manifest did not change.
func replaced(c Cause) string {
	switch c {
	case CauseRestarted, CauseEnvFiles, CauseDependency:
		return causeWords[c.reason()]
	default:
		return ""
	}
}

// initName is the name of the init command that the latest run was.
func initName(i *Instance) string {
	if i.Spec == nil || i.Init < 1 || int(i.Init) > len(i.Spec.Spec.Init) {
		return "(edited since)"
	}
	return i.Spec.Spec.Init[i.Init-1].Name
}

// waiting is whom a replica waits for before it starts.
func waiting(want *spec.Service, f *Facts) string {
	unmet := f.unmet(want)
	if unmet < 0 {
		return ""
	}
	need := &want.Spec.DependsOn[unmet]
	d := f.dependency(unmet, want)
	switch {
	case d == nil || !d.Declared:
		return "waits for " + need.Name + ", which no manifest declares"
	case need.Condition != spec.DependencyCompleted && !d.CompletedAt.IsZero():
		return fmt.Sprintf("waits for %s to be %s, which has completed; did you mean condition: Completed?", need.Name, need.Condition)
	case d.Hindered != "":
		return fmt.Sprintf("waits for %s to be %s, which %s", need.Name, need.Condition, d.Hindered)
	default:
		return fmt.Sprintf("waits for %s to be %s", need.Name, need.Condition)
	}
}

// usual are the conditions that each service has, with the meanings that Pods and
// Deployments give them: Ready, Available and Progressing.
func usual(want *spec.Service, f *Facts, s *status.ServiceStatus, now time.Time) []status.Condition {
	if want == nil {
		return nil
	}
	condition := func(typ string, holds bool, since time.Time, reason, message string) status.Condition {
		c := status.Condition{Type: typ, Status: "False", Reason: reason, Message: message, LastTransitionTime: since}
		if holds {
			c.Status = "True"
		}
		return c
	}
	desired := s.DesiredReplicas
	var since, lost time.Time // of the last that got ready, and the first that is not
	for n := range s.ReplicaStatuses {
		one := &s.ReplicaStatuses[n]
		switch {
		case one.Ordinal >= want.Spec.Replicas:
		case one.Ready:
			since = latest(since, one.ReadySince)
		default:
			lost = earlier(lost, one.Since)
		}
	}
	count := fmt.Sprintf("%d of %d replicas", s.ReadyReplicas, desired)
	ready := condition("Ready", false, lost, string(ReasonUnready), count+" are ready")
	switch {
	case s.Held != nil:
		ready.Reason, ready.Message, ready.LastTransitionTime = string(ReasonStopped), "stopped by "+who(f.StoppedBy), f.StoppedAt
	case want.Spec.Replicas == 0:
		ready.Reason, ready.Message, ready.LastTransitionTime = string(ReasonReplicasZero), "declared with replicas: 0", f.EditedAt
	case s.ReadyReplicas >= desired && desired > 0:
		ready = condition("Ready", true, since, "ReplicasReady", count+" are ready")
	case s.Reason != "":
		ready.Reason = s.Reason
	}
	spare := int32(0) // as many as a replacement takes down at a time
	if desired > 1 {
		spare = 1
	}
	available := s.Held == nil && s.AvailableReplicas >= desired-spare
	reason := "MinimumReplicasUnavailable"
	if available {
		reason = "MinimumReplicasAvailable"
		lost = since
	}
	all := []status.Condition{ready, condition("Available", available, lost, reason,
		fmt.Sprintf("%d of %d replicas are available", s.AvailableReplicas, desired))}
	return append(all, progressing(want, f, s, now, condition))
}

// progressing is the condition of a Deployment by that name: false when a
// replacement, or a start, does not get on.
func progressing(want *spec.Service, f *Facts, s *status.ServiceStatus, now time.Time,
	condition func(string, bool, time.Time, string, string) status.Condition) status.Condition {
	for n := range s.ReplicaStatuses {
		one := &s.ReplicaStatuses[n]
		switch reason := Reason(one.Reason); reason {
		case ReasonProgressDeadline, ReasonReplacementHalted, ReasonReplacementBlocked:
			return condition("Progressing", false, one.Since, one.Reason, one.Name+" "+one.Message)
		default:
		}
		deadline := time.Duration(want.Spec.ProgressDeadlineSeconds) * time.Second
		if one.Phase == status.PhaseRunning && one.Updated && !one.Ready && !now.Before(one.Started.Add(deadline)) && !f.Replicas[n].wasReady() {
			return condition("Progressing", false, one.Started.Add(deadline), string(ReasonProgressDeadline),
				fmt.Sprintf("%s did not get ready within %s: %s", one.Name, deadline, one.Message))
		}
	}
	switch {
	case s.DesiredReplicas > 0 && s.Phase == status.PhaseCompleted:
		return condition("Progressing", true, f.EditedAt, string(ReasonCompleted), "all replicas have done their work")
	case s.UpdatedReplicas >= s.DesiredReplicas && s.AvailableReplicas >= s.DesiredReplicas:
		return condition("Progressing", true, f.EditedAt, "ReplicasUpdated", "all replicas run what is wanted")
	default:
		return condition("Progressing", true, f.EditedAt, "ReplicasUpdating", fmt.Sprintf("%d of %d replicas are updated", s.UpdatedReplicas, s.DesiredReplicas))
	}
}

// wasReady reports whether a live run has been ready before: then it is none that
// does not get on.
func (i *Instance) wasReady() bool { return !i.known().FirstReadyAt.IsZero() }

// beyond are conditions about reloads and dependencies.
func beyond(f *Facts, add func(typ string, reason Reason, message string, since time.Time)) {
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if l := i.known(); i.stage() == stageLive && l.ReloadFailure != nil {
			add("ReloadFailed", l.ReloadFailure.Reason, i.ID.String()+" runs with what it had loaded before: "+l.ReloadFailure.Message, l.TriedAt)
			break
		}
	}
}

// unmetNow are the names of dependencies whose condition does not hold, of a service
// that runs nevertheless: they are looked at when it starts.
func unmetNow(want *spec.Service, f *Facts) []string {
	var names []string
	for n := range want.Spec.DependsOn {
		need := &want.Spec.DependsOn[n]
		if d := f.dependency(n, want); d == nil || !d.met(need.Condition) {
			names = append(names, fmt.Sprintf("%s is not %s", need.Name, need.Condition))
		}
	}
	slices.Sort(names)
	return names
}
