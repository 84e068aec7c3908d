package reconciler

import (
	"fmt"
	"strings"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// Occurrence is something that people want to hear of (status.Event). Its message has
// no numbers that differ each time, such as pids, so that what happens again is told
// with a count.
type Occurrence struct {
	At time.Time
	// Service and Ordinal are whom it is about: Ordinal -1 is the service as a whole, and
	// an empty Service the directory.
	Service string
	Ordinal int32
	Warning bool
	Reason  OccurrenceReason
	Message string
	// Public is the message for those who may not see everything; empty: the same.
	Public string
}

// OccurrenceReason is one CamelCase word. The list is closed and documented: people
// write alerts on it. What failed for a Reason has the name of that.
type OccurrenceReason string

// What is told of services and replicas.
const (
	OccurredDeclared    OccurrenceReason = "Declared"         // a manifest declares it
	OccurredEdited      OccurrenceReason = "Edited"           // its manifest changed
	OccurredRemoved     OccurrenceReason = "Removed"          // no manifest declares it any more
	OccurredHeld        OccurrenceReason = "Held"             // a person stopped it
	OccurredFreed       OccurrenceReason = "Freed"            // a person started it
	OccurredRestart     OccurrenceReason = "RestartRequested" // a person asked for a restart
	OccurredReload      OccurrenceReason = "ReloadRequested"  // a person asked for a reload
	OccurredSignal      OccurrenceReason = "SignalSent"       // a person sent a signal
	OccurredStarted     OccurrenceReason = "Started"          // its process runs
	OccurredReady       OccurrenceReason = "Ready"            // it does its work
	OccurredUnready     OccurrenceReason = "Unready"          // it does not any more
	OccurredUnhealthy   OccurrenceReason = "Unhealthy"        // a probe has failed as often as it may
	OccurredReloaded    OccurrenceReason = "Reloaded"         // it was told to read its files
	OccurredStopping    OccurrenceReason = "Stopping"         // it was sent its stop signal
	OccurredKilling     OccurrenceReason = "Killing"          // its group was killed
	OccurredStopped     OccurrenceReason = "Stopped"          // it ended when told to
	OccurredCompleted   OccurrenceReason = "Completed"        // it ended by itself with success
	OccurredExited      OccurrenceReason = "Exited"           // it ended by itself without success
	OccurredDetached    OccurrenceReason = "Detached"         // its main process ended and others carry on
	OccurredGaveUp      OccurrenceReason = OccurrenceReason(ReasonRestartLimitExceeded)
	OccurredBlocked     OccurrenceReason = OccurrenceReason(ReasonReplacementBlocked)
	OccurredHookFailed  OccurrenceReason = OccurrenceReason(ReasonHookFailed)
	OccurredLeftOver    OccurrenceReason = OccurrenceReason(ReasonLeftOver)
	OccurredUnclear     OccurrenceReason = OccurrenceReason(ReasonRecordUnreadable)
	OccurredStuck       OccurrenceReason = OccurrenceReason(ReasonStuck)
	OccurredReleaseFail OccurrenceReason = OccurrenceReason(ReasonReleaseFailed)
)

// What is told of the directory; the reasons of its conditions besides.
const (
	OccurredInvalid  OccurrenceReason = "ManifestInvalid" // a file has an error
	OccurredMended   OccurrenceReason = "ManifestMended"  // it has none any more
	OccurredWell     OccurrenceReason = "DirectoryWell"   // what needed attention there is over
	OccurredShutdown OccurrenceReason = "ShuttingDown"    // the daemon stops everything
)

// occurred tells what has come of an event. i is nil when it is of the service.
func (l *Loop) occurred(r *record, before, i *Instance, e Event) {
	secret := hidden(e.Failure)
	if i != nil {
		secret = append(append(secret, before.hidden()...), i.hidden()...)
	}
	tell := func(warning bool, reason OccurrenceReason, message string) {
		o := Occurrence{At: e.At, Service: r.facts.Name, Ordinal: -1, Warning: warning, Reason: reason, Message: message}
		if i != nil {
			o.Ordinal = i.ID.Ordinal
		}
		if public := status.Hide(message, secret); public != message {
			o.Public = public
		}
		l.Occurred(o)
	}
	if i == nil {
		if e.Kind == EventChecked && e.Failure != nil {
			tell(true, OccurredBlocked, "keeps running its former manifest: "+e.Failure.Message)
		}
		return
	}
	occurredToRun(r.want, before, i, e, tell)
	if i.Life != nil || before.Life != nil {
		occurredToLife(before, i, e, tell)
	}
}

// occurredToRun tells what has become of the processes of a replica.
func occurredToRun(want *spec.Service, before, i *Instance, e Event, tell func(warning bool, reason OccurrenceReason, message string)) {
	switch e.Kind {
	case EventStarted:
		what := "started"
		if i.Init > 0 && i.Spec != nil && int(i.Init) <= len(i.Spec.Spec.Init) {
			what = "started its init command " + i.Spec.Spec.Init[i.Init-1].Name
		}
		tell(false, OccurredStarted, what)
	case EventStartFailed:
		tell(true, OccurrenceReason(e.Failure.Reason), e.Failure.Message)
	case EventSignalled, EventGroupSignalled:
		if !before.asked() && i.asked() {
			tell(i.Cause.failed(), OccurredStopping, fmt.Sprintf("sent %s: %s", spec.SignalOf(e.Signal), because(i)))
		}
	case EventKilled:
		if before.KilledAt.IsZero() {
			tell(true, OccurredKilling, "killed: "+because(i))
		}
	case EventExited, EventEmptied:
		if before.EndedAt.IsZero() && !i.EndedAt.IsZero() {
			occurredEnd(i, tell)
		}
	case EventFound:
		tell(true, OccurredLeftOver, "processes that an earlier daemon left are being killed")
	case EventUnclear:
		tell(true, OccurredUnclear, "something lives in its group and its record cannot be read; it is left alone")
	case EventInspected:
		if len(e.Processes) > 0 {
			tell(true, OccurredStuck, "was killed and does not end: "+commands(e.Processes))
		}
	default:
	}
	if (e.Kind == EventExited || e.Kind == EventStartFailed) && want != nil && !i.asked() && gaveUp(want.Spec.Backoff.Limit, i) {
		tell(true, OccurredGaveUp, fmt.Sprintf("gave up after %d restarts within %s", want.Spec.Backoff.Limit.Restarts, time.Duration(want.Spec.Backoff.Limit.Within)))
	}
}

// occurredEnd tells how a run has ended.
func occurredEnd(i *Instance, tell func(warning bool, reason OccurrenceReason, message string)) {
	what := i.Exit.Words()
	if i.Init > 0 && i.Spec != nil && int(i.Init) <= len(i.Spec.Spec.Init) {
		what = "init command " + i.Spec.Spec.Init[i.Init-1].Name + " " + what
	}
	switch {
	case i.obeyed():
		tell(false, OccurredStopped, what)
	case !i.asked() && i.Exit.Status() == 0 && !i.daemonized():
		tell(false, OccurredCompleted, what)
	case i.daemonized():
		tell(true, OccurrenceReason(ReasonDaemonized), what+", leaving "+commands(i.Left))
	default:
		if why := i.blame(); why != "" {
			what += ": " + why
		}
		tell(true, OccurredExited, what)
	}
}

// because is why a run was asked to end, or what was wrong with it.
func because(i *Instance) string {
	if why := i.blame(); why != "" {
		return why
	}
	if i.Cause == CauseNone {
		return causeWords[ReasonMainEnded]
	}
	return causeWords[i.Cause.reason()]
}

// commands names processes without their numbers.
func commands(left []Process) string {
	var all []string
	for _, p := range left {
		all = append(all, p.Name)
	}
	if len(all) == 0 {
		return "(none seen)"
	}
	return strings.Join(all, ", ")
}

// occurredToLife tells what else has become of a replica.
func occurredToLife(before, i *Instance, e Event, tell func(warning bool, reason OccurrenceReason, message string)) {
	was, now := before.known(), i.known()
	if before.Spec != nil && i.Spec != nil && i.stage() == stageLive && before.Run == i.Run {
		ready, _ := before.ready()
		since, why := i.ready()
		switch {
		case ready.IsZero() && !since.IsZero():
			tell(false, OccurredReady, "is ready")
		case !ready.IsZero() && since.IsZero() && !i.asked():
			tell(true, OccurredUnready, i.notReady(why))
		}
	}
	switch e.Kind {
	case EventHookEnded:
		if was.HookRun == e.Run && !now.HookEndedAt.IsZero() && e.Failure != nil && e.Failure.Reason != ReasonMainEnded {
			tell(true, OccurrenceReason(e.Failure.Reason), now.Hook.String()+": "+e.Failure.Message)
		}
		if !was.ReloadedAt.Equal(now.ReloadedAt) {
			tell(false, OccurredReloaded, "was told to read its files again")
		}
	case EventReloaded:
		tell(false, OccurredReloaded, "was told to read its files again")
	case EventProbed:
		if now.Probes[e.Probe].FailedAt.After(was.Probes[e.Probe].FailedAt) {
			tell(true, OccurredUnhealthy, e.Probe.String()+" failed: "+now.Probes[e.Probe].Failure.Message)
		}
	case EventReleased:
		if e.Failure != nil {
			tell(true, OccurredReleaseFail, e.Failure.Message)
		}
	case EventExited:
		if was.DetachedAt.IsZero() && !now.DetachedAt.IsZero() {
			tell(false, OccurredDetached, "its main process ended with success; "+commands(i.Left)+" carries on")
		}
	default:
	}
}

// commanded tells what a person has asked for.
func (l *Loop) commanded(r *record, c Command) {
	if l.Occurred == nil {
		return
	}
	o := Occurrence{At: l.stamp, Service: c.Service, Ordinal: c.Ordinal}
	by := " by " + who(c.By)
	switch c.Kind {
	case EventStop:
		o.Reason, o.Message = OccurredHeld, "stopped"+by
		if !c.Until.IsZero() {
			o.Message += " until " + c.Until.Format(time.RFC3339)
		}
	case EventStart:
		o.Reason, o.Message = OccurredFreed, "started"+by
	case EventRestart:
		o.Reason, o.Message = OccurredRestart, "a restart was asked for"+by
	case EventReload:
		o.Reason, o.Message = OccurredReload, "a reload was asked for"+by
	case 0:
		o.Reason, o.Message = OccurredSignal, string(spec.SignalOf(c.Signal))+" was sent"+by
	default:
		return
	}
	l.Occurred(o)
}

// occurredDeclared tells of a change of what is wanted. What the first set declares is
// no news.
func (l *Loop) occurredDeclared(r *record, want *spec.Service, first bool) {
	if l.Occurred == nil {
		return
	}
	o := Occurrence{At: l.stamp, Service: r.facts.Name, Ordinal: -1}
	switch {
	case want == nil:
		o.Reason, o.Message = OccurredRemoved, "no manifest declares it any more"
	case r.want == nil && first:
		return
	case r.want == nil:
		o.Reason, o.Message = OccurredDeclared, "declared by "+want.Source.File
	default:
		var fields []string
		for _, c := range spec.Diff(r.want, want) {
			fields = append(fields, c.Field)
		}
		o.Reason, o.Message = OccurredEdited, "its manifest changed: "+strings.Join(fields, ", ")
	}
	l.Occurred(o)
}

// occurredInvalid tells of a manifest that is wrong.
func (l *Loop) occurredInvalid(p *spec.Problem) {
	if l.Occurred == nil {
		return
	}
	o := Occurrence{At: l.now(), Service: p.Service, Ordinal: -1, Warning: true, Reason: OccurredInvalid, Message: p.String()}
	if public := p.Public().String(); public != o.Message {
		o.Public = public
	}
	l.Occurred(o)
}

// occurredIn tells what has become of the directory, or of a file that declares the
// service.
func (l *Loop) occurredIn(service string, warning bool, reason OccurrenceReason, message string) {
	if l.Occurred != nil {
		l.Occurred(Occurrence{At: l.now(), Service: service, Ordinal: -1, Warning: warning, Reason: reason, Message: message})
	}
}

// EventType is the type of the event that tells of it.
func (o *Occurrence) EventType() status.EventType {
	if o.Warning {
		return status.EventWarning
	}
	return status.EventNormal
}
