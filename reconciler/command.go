package reconciler

import (
	"context"
	"fmt"
	"time"

	"svc.d/spec"
)

// RefusalReason says why a command was refused, in the words of Kubernetes'
// Status reasons.
type RefusalReason string

// The reasons.
const (
	RefusedNotFound RefusalReason = "NotFound"
	RefusedConflict RefusalReason = "Conflict"
)

// Refusal is the error of a command that was not carried out.
type Refusal struct {
	Reason  RefusalReason
	Message string
}

func (r *Refusal) Error() string { return r.Message }

type commandRequest struct {
	Command
	answer chan error // buffered: the loop never waits for the asker
}

// Do carries out a command and returns when it is decided, not when it is
// done. The error is a *Refusal, ctx's, or ErrStopped. Safe for concurrent use.
func (l *Loop) Do(ctx context.Context, c Command) error {
	r := commandRequest{c, make(chan error, 1)}
	select {
	case l.commands <- r:
		err := await(l, r.answer, ErrStopped)
		if err == nil && l.Recorder != nil {
			// What a person asked for must survive from here on. Why it would not
			// is a condition; it is carried out all the same.
			_ = l.Recorder.Sync()
		}
		return err
	case <-l.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Loop) command(c Command) error {
	r := l.services[c.Service]
	if err := l.refuse(r, c); err != nil {
		return err
	}
	e := Event{Kind: c.Kind, At: l.now(), By: c.By, Until: c.Until}
	if c.Kind == 0 {
		return l.signal(r, c)
	}
	l.Log.Info("Person asked", "service", c.Service, "verb", c.Kind.verb(), "by", c.By)
	if (c.Kind == EventRestart || c.Kind == EventReload) && c.Ordinal >= 0 {
		n := r.facts.index(c.Ordinal)
		r.facts.Replicas[n] = l.Observe(r.facts.Replicas[n], e)
	} else {
		r.facts = ObserveService(r.facts, e)
	}
	l.changed(r)
	l.commanded(r, c)
	l.keepAll(r)
	l.step(StepPersonAsked, true)
	l.turn(r)
	return nil
}

// refuse says why a command cannot be carried out; nil when it can.
func (l *Loop) refuse(r *record, c Command) error {
	verb := c.Kind.verb()
	refusal := func(reason RefusalReason, format string, args ...any) error {
		return &Refusal{reason, fmt.Sprintf("cannot %s %s: ", verb, c.Service) + fmt.Sprintf(format, args...)}
	}
	switch {
	case r == nil:
		return refusal(RefusedNotFound, "no such service")
	case !l.stopping.IsZero():
		return refusal(RefusedConflict, "the daemon is shutting down")
	case r.want == nil:
		return refusal(RefusedConflict, "no manifest declares it any more; it is being stopped")
	case c.Ordinal >= 0 && (r.facts.index(c.Ordinal) < 0 || c.Ordinal >= r.want.Spec.Replicas):
		return refusal(RefusedNotFound, "it has no replica %d, only %d replicas", c.Ordinal, r.want.Spec.Replicas)
	case c.Kind == EventRestart && r.facts.held(l.now()):
		return refusal(RefusedConflict, "it is stopped by %s; start it instead", who(r.facts.StoppedBy))
	case c.Kind == EventReload && r.want.Spec.Reload == nil:
		return refusal(RefusedConflict, "its manifest does not say how (spec.reload); restart it instead")
	case (c.Kind == EventReload || c.Kind == 0) && !r.facts.lives(c.Ordinal):
		return refusal(RefusedConflict, "no process of it runs")
	case c.Kind == EventReload:
		if why := r.facts.outlived(r.want, c.Ordinal, l.now()); why != "" {
			return refusal(RefusedConflict, "it was edited, and what runs is to be replaced instead, but %s; mend the manifest, or undo the edit", why)
		}
	case c.Kind == EventRestart && r.want.Spec.Replicas == 0:
		return refusal(RefusedConflict, "it is declared with replicas: 0, so nothing runs")
	}
	return nil
}

// outlived says what keeps the replicas that are meant from being replaced, when all of
// them are of a former manifest: they reload no more. Empty is that one is not, or that
// the replacement goes on.
func (f *Facts) outlived(want *spec.Service, ordinal int32, now time.Time) string {
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if i.stage() == stageLive && (ordinal < 0 || i.ID.Ordinal == ordinal) && i.outdated(want, f) == CauseNone {
			return ""
		}
	}
	switch r := plan(want, f, now); r.reason {
	case ReasonReplacementBlocked:
		return f.CheckFailure.Message
	case ReasonReplacementHalted, ReasonProgressDeadline:
		return "its replacement has halted (" + string(r.reason) + ")"
	default:
		return ""
	}
}

// verb is the command line's word for a command.
func (k EventKind) verb() string {
	switch k {
	case EventStop:
		return "stop"
	case EventStart:
		return "start"
	case EventRestart:
		return "restart"
	case EventReload:
		return "reload"
	case 0:
		return "signal"
	default:
		return "change"
	}
}

// lives reports whether a main process lives, of one replica or (-1) of any.
func (f *Facts) lives(ordinal int32) bool {
	for n := range f.Replicas {
		if i := &f.Replicas[n]; i.stage() == stageLive && (ordinal < 0 || i.ID.Ordinal == ordinal) {
			return true
		}
	}
	return false
}

// signal sends what a person asks for. It changes no facts: what the signal does is
// between the person and the program.
func (l *Loop) signal(r *record, c Command) error {
	for n := range r.facts.Replicas {
		i := &r.facts.Replicas[n]
		if i.stage() != stageLive || c.Ordinal >= 0 && i.ID.Ordinal != c.Ordinal {
			continue
		}
		l.Log.Info("Person sends signal", "service", c.Service, "replica", i.ID.String(), "pid", i.Pid,
			"signal", string(spec.SignalOf(c.Signal)), "by", c.By)
		l.commanded(r, Command{Service: c.Service, Ordinal: i.ID.Ordinal, Signal: c.Signal, By: c.By})
		if err := l.Host.Signal(i.ID, c.Signal, ScopeMain); err != nil {
			return &Refusal{RefusedConflict, err.Error()}
		}
	}
	return nil
}

func who(by string) string {
	if by == "" {
		return "a person"
	}
	return by
}
