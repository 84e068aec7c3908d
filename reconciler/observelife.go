package reconciler

import (
	"reflect"
	"slices"
	"time"

	"svc.d/spec"
)

// lived takes in what hooks, probes and the program itself have told of a run.
func lived(i Instance, e Event) Instance {
	l := i.life()
	switch e.Kind {
	case EventHookTaken:
		i, l = hookTaken(i, e)
	case EventHookEnded:
		if e.Run != l.HookRun || !l.HookEndedAt.IsZero() {
			return i
		}
		hookEnded(l, e)
	case EventReleaseTaken:
		l.ReleaseTakenAt = e.At
	case EventReleased:
		if e.Run != i.Run {
			return i
		}
		l.ReleasedAt, l.ReleaseFailure = e.At, e.Failure
	case EventProbeTaken:
		p := &l.Probes[e.Probe]
		p.Run, p.TakenAt, p.DoneAt = e.Run, e.At, time.Time{}
	case EventProbed:
		p := &l.Probes[e.Probe]
		if i.stage() != stageLive || i.Spec == nil || e.Run != p.Run || !p.DoneAt.IsZero() {
			return i
		}
		probe := e.Probe.Of(&i.Spec.Spec)
		if probe == nil {
			return i
		}
		*p = p.answered(probe, e.Probe, e.Failure, e.At)
		if e.Probe == ProbeReadiness && l.FirstReadyAt.IsZero() {
			l.FirstReadyAt = p.PassedAt
		}
	case EventNotified:
		if e.Run != i.Run || i.stage() != stageLive {
			return i
		}
		notified(l, e)
		if e.Pid != 0 {
			i.Pid, i.StartTicks = e.Pid, e.StartTicks
		}
	case EventLineSeen:
		if e.Run != i.Run || i.stage() != stageLive || !l.LineAt.IsZero() {
			return i
		}
		l.LineAt = e.At
	case EventReloaded:
		l.tried(e.At)
		l.ReloadedAt, l.Loaded, l.Refused, l.ReloadFailure = e.At, e.Files, "", nil
	case EventReload:
		if i.stage() != stageLive {
			return i
		}
		l.ReloadAskedAt = e.At
	default:
	}
	i.Life = l
	return i
}

// hookTaken takes in that a hook runs. The one before stop makes it known that the
// run is to end.
func hookTaken(i Instance, e Event) (Instance, *Life) {
	if e.Hook == HookPreStop {
		i = toldToEnd(i, e)
	}
	l := i.life()
	l.Hook, l.HookRun, l.HookTakenAt, l.HookEndedAt, l.HookFailure = e.Hook, e.Run, e.At, time.Time{}, nil
	switch e.Hook {
	case HookPreStop:
		if l.PreStopAt.IsZero() {
			l.PreStopAt = e.At
		}
	case HookReloadCheck, HookReload:
		if l.Trying = e.Files; e.Hook == HookReloadCheck || l.TryingAt.IsZero() {
			l.TryingAt = e.At
		}
	case HookNone, HookPostStart, HookPostStop:
	}
	return i, l
}

// hookEnded takes in how the latest hook ended.
func hookEnded(l *Life, e Event) {
	l.HookEndedAt, l.HookFailure = e.At, e.Failure
	switch l.Hook {
	case HookPostStart:
		if e.Failure == nil {
			l.PostStartAt = e.At
		}
	case HookPostStop:
		l.PostStopAt = e.At
	case HookReloadCheck:
		if e.Failure == nil {
			l.CheckedAt, l.Checked = e.At, l.Trying
			return
		}
		l.tried(e.At)
		l.Refused, l.ReloadFailure = l.Trying, e.Failure
	case HookReload:
		l.tried(e.At)
		l.Loaded, l.Refused, l.ReloadFailure = l.Trying, l.Trying, e.Failure
		if e.Failure == nil {
			l.ReloadedAt, l.Refused = e.At, ""
		}
	case HookPreStop, HookNone:
	}
}

// tried notes that an attempt to reload is over, which began now if it had no hook.
func (l *Life) tried(now time.Time) {
	if l.TriedAt = l.TryingAt; l.TriedAt.IsZero() {
		l.TriedAt = now
	}
	l.TryingAt = time.Time{}
}

// notified takes in what the program told of itself.
func notified(l *Life, e Event) {
	n := e.Notice
	if n.Reloading {
		l.ReloadingAt = e.At
	}
	if n.Ready {
		l.ReloadingAt = time.Time{}
		if l.ReadyToldAt.IsZero() {
			l.ReadyToldAt, l.HeardAt, l.ExtendedUntil = e.At, e.At, time.Time{} // the extension was for the start
		}
	}
	if n.Watchdog {
		l.HeardAt = e.At
	}
	if n.WatchdogTrigger && l.DeafAt.IsZero() {
		l.DeafAt = e.At
	}
	if n.WatchdogEvery > 0 {
		l.WatchdogEvery = n.WatchdogEvery
	}
	if n.Extend > 0 {
		l.ExtendedUntil = latest(l.ExtendedUntil, e.At.Add(min(n.Extend, extendAtMost)))
	}
	if n.HasStatus {
		l.Status = n.Status
	}
}

// edited is a replica whose manifest changed without its process having to: what
// has started up stays so, and what was known of a probe that is another now is
// forgotten, but for whether it counts as successful.
func edited(i Instance, e Event, want *spec.Service) Instance {
	before, after := &i.Spec.Spec, &want.Spec
	if before == after || i.didNotWork() && !sameTrial(before, after) {
		return i
	}
	if i.Init > 0 && !slices.EqualFunc(before.Init, after.Init, sameInit) {
		i.Init = -1
	}
	l := *i.known()
	changed := false
	var started time.Time
	if i.stage() == stageLive {
		started, _ = i.startup()
	}
	for kind := range probeKinds {
		if sameProbe(kind.Of(before), kind.Of(after)) {
			continue
		}
		changed = true
		l.Probes[kind] = Probing{PassedAt: l.Probes[kind].PassedAt}
		if kind == ProbeStartup && !started.IsZero() {
			l.Probes[kind].PassedAt = started
		}
	}
	if before.ReadyLogLine != after.ReadyLogLine && l.Line == nil && (i.stage() == stageLive || i.stage() == stageStarting) {
		line := before.ReadyLogLine
		l.Line, changed = &line, true
	}
	if !started.IsZero() {
		if after.ReadyLogLine != "" && l.LineAt.IsZero() {
			l.LineAt, changed = started, true
		}
		if after.Lifecycle.PostStart != nil && l.PostStartAt.IsZero() {
			l.PostStartAt, changed = started, true
		}
	}
	if i.stage() == stageIdle && !i.EndedAt.IsZero() && before.Lifecycle.PostStop == nil && after.Lifecycle.PostStop != nil {
		l.PostStopAt, changed = e.At, true // it is for later runs
	}
	if l.ReloadFailure != nil && !reflect.DeepEqual(before.Reload, after.Reload) {
		if changed = true; after.Reload != nil {
			l.ReloadAskedAt = e.At
		} else {
			l.Refused, l.ReloadFailure = "", nil
		}
	}
	if !slices.Equal(before.EnvFiles(), after.EnvFiles()) {
		l.EnvFiles, changed = "", true // of other files
	}
	if !slices.Equal(reloadFiles(before), reloadFiles(after)) {
		l.Loaded, l.Refused, l.Checked, changed = "", "", "", true // of other files
	}
	i.Spec = want
	if changed {
		i.Life = &l
	}
	return i
}

// sameTrial reports whether two manifests have the same init commands, hooks and
// probes: what else than its process may have made a run fail.
func sameTrial(a, b *spec.Spec) bool {
	return slices.EqualFunc(a.Init, b.Init, sameInit) &&
		sameHook(a.Lifecycle.PostStart, b.Lifecycle.PostStart) && sameHook(a.Lifecycle.PreStop, b.Lifecycle.PreStop) &&
		sameHook(a.Lifecycle.PostStop, b.Lifecycle.PostStop) && sameProbe(a.StartupProbe, b.StartupProbe) &&
		sameProbe(a.ReadinessProbe, b.ReadinessProbe) && sameProbe(a.LivenessProbe, b.LivenessProbe)
}

func sameHook(a, b *spec.Handler) bool { return a == b || reflect.DeepEqual(a, b) }

func sameProbe(a, b *spec.Probe) bool { return a == b || reflect.DeepEqual(a, b) }

func sameInit(a, b spec.Init) bool {
	return slices.Equal(a.Command, b.Command) && slices.Equal(a.Args, b.Args)
}

// sameFiles reports whether two manifests read the same files.
func sameFiles(a, b *spec.Spec) bool {
	return slices.Equal(a.EnvFiles(), b.EnvFiles()) && slices.Equal(reloadFiles(a), reloadFiles(b))
}

func reloadFiles(s *spec.Spec) []string {
	if s.Reload == nil {
		return nil
	}
	return s.Reload.Files
}

// blame is what was wrong with a run that was told to end because it did not work;
// empty for others.
func (i *Instance) blame() string {
	l := i.known()
	if l.Why != "" {
		return l.Why
	}
	because := func(what string, f *Failure) string {
		if f == nil {
			return what
		}
		return what + ": " + f.Message
	}
	switch i.Cause {
	case CausePostStart:
		return because("its postStart hook failed", l.HookFailure)
	case CauseNotStartedUp:
		return because("its startup probe failed", l.Probes[ProbeStartup].Failure)
	case CauseUnhealthy:
		return because("its liveness probe failed", l.Probes[ProbeLiveness].Failure)
	case CauseWatchdog:
		if !l.DeafAt.IsZero() {
			return "it told its watchdog that it does not work"
		}
		return "it did not feed its watchdog in time"
	case CauseNone, CauseEdited, CauseRemoved, CauseScaled, CauseStopped, CauseRestarted, CauseShutdown, CauseMainEnded,
		CauseLeftOver, CauseUnclear, CauseEnvFiles, CauseDependency:
	}
	return ""
}
