package reconciler

import "github.com/go-logr/logr"

// logLife writes what has become of a replica that tells more of itself than that it
// runs.
func (l *Loop) logLife(before, i *Instance, e Event) {
	if e.Kind == EventProbeTaken {
		return
	}
	was, now := before.known(), i.known()
	if e.Kind == EventProbed && e.Failure == nil && now.Probes[e.Probe].PassedAt.Equal(was.Probes[e.Probe].PassedAt) {
		return // as nearly all do, a thousand times a second perhaps
	}
	log := l.Log.WithValues("service", i.ID.Service, "replica", i.ID.String())
	if before.Spec != nil && i.Spec != nil && i.stage() == stageLive && before.Run == i.Run {
		ready, _ := before.ready()
		since, why := i.ready()
		switch {
		case ready.IsZero() && !since.IsZero():
			log.Info("Became ready", "after", since.Sub(i.StartedAt))
		case !ready.IsZero() && since.IsZero() && !i.asked():
			log.Info("Became unready", "reason", why, "message", i.notReady(why))
		}
	}
	switch e.Kind {
	case EventHookEnded:
		switch {
		case was.HookRun != e.Run || now.HookEndedAt.IsZero():
		case e.Failure != nil && e.Failure.Reason == ReasonMainEnded:
			log.V(1).Info("Hook was ended with the main process", "hook", now.Hook.String())
		case e.Failure != nil:
			log.Info("Hook failed", "hook", now.Hook.String(), "reason", e.Failure.Reason, "message", e.Failure.Message)
		default:
			log.V(1).Info("Hook ended", "hook", now.Hook.String(), "took", now.HookEndedAt.Sub(now.HookTakenAt))
		}
		if !was.ReloadedAt.Equal(now.ReloadedAt) {
			log.Info("Reloaded process", "pid", i.Pid)
		}
	case EventEmptied:
		if before.Detached() && !i.Detached() {
			log.Info("All processes of the run ended", "asked", i.asked(), "ran", e.At.Sub(i.StartedAt))
		}
	case EventProbed:
		logProbe(log, &was.Probes[e.Probe], &now.Probes[e.Probe], e)
	case EventReleased:
		if e.Failure != nil {
			log.Info("Could not let live what the process left behind", "reason", e.Failure.Reason, "message", e.Failure.Message)
		} else {
			log.Info("Let live what the process left behind", "left", e.Processes)
		}
	case EventNotified:
		if before.Pid != i.Pid {
			log.Info("Process named another main process", "pid", i.Pid)
		}
		if was.Status != now.Status {
			log.V(1).Info("Process told its status", "status", now.Status)
		}
	case EventExited:
		if was.DetachedAt.IsZero() && !now.DetachedAt.IsZero() {
			log.Info("Process put itself in the background and carries on", "processes", i.Left)
		}
	default:
	}
}

// logProbe writes what an answer to a probe has changed.
func logProbe(log logr.Logger, a, b *Probing, e Event) {
	switch {
	case b.FailedAt.After(a.FailedAt):
		log.Info("Probe failed", "probe", e.Probe.String(), "message", b.Failure.Message, "failures", b.Count)
	case e.Failure != nil:
		log.V(1).Info("Probe had no success", "probe", e.Probe.String(), "message", e.Failure.Message)
	case b.PassedAt.After(a.PassedAt):
		log.V(1).Info("Probe succeeds", "probe", e.Probe.String())
	}
}

// logHook writes that a hook begins.
func (l *Loop) logHook(e Event) {
	l.Log.V(1).Info("Running hook", "service", e.Replica.Service, "replica", e.Replica.String(), "hook", e.Hook.String())
}
