package reconciler

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"svc.d/spec"
)

// Life is what is known of a replica's run beyond its processes: what probes,
// hooks and the program itself have told. Most services have none of it, so an
// Instance points to it. It is a value: who observes something makes a new one.
type Life struct {
	// ResumedAt is when a loop took over the run from one that had died: signs of
	// life from before it may have been missed.
	ResumedAt time.Time
	// DetachedAt is when the main process ended with success and left the group to
	// carry on (spec.LifetimeGroup).
	DetachedAt time.Time

	// PreStopAt is when the preStop hook was first taken; SignalledAt when the
	// stop signal was sent after it. Without such a hook both are zero.
	PreStopAt   time.Time
	SignalledAt time.Time
	PostStartAt time.Time // the postStart hook ended with success
	PostStopAt  time.Time // the postStop hook ended, or need not run
	// Why is what was wrong with a run that was told to end because it did not work.
	Why string

	// The latest hook, taken as question HookRun; zero HookEndedAt is not yet.
	Hook        Hook
	HookRun     uint64
	HookTakenAt time.Time
	HookEndedAt time.Time
	HookFailure *Failure

	ReleaseTakenAt time.Time // the host was asked to let live what is left
	ReleasedAt     time.Time // it has answered
	ReleaseFailure *Failure

	Probes       [probeKinds]Probing
	FirstReadyAt time.Time // its readiness probe first counted as successful

	ReadyToldAt time.Time // the program told that it is ready (READY=1)
	LineAt      time.Time // a line of its output matched readyLogLine
	// Line is the readyLogLine that the host looks for, when it was edited since; nil
	// is that of the manifest.
	Line        *string
	ReloadingAt time.Time // the program told that it reloads; zero when it is done
	HeardAt     time.Time // it last fed its watchdog, as the first READY=1 does
	DeafAt      time.Time // it wanted to be taken for dead (WATCHDOG=trigger)
	// WatchdogEvery is what the program asked for instead of the manifest's; 0 is
	// nothing.
	WatchdogEvery time.Duration
	// ExtendedUntil is until when it asked to be given time for what is under way: to
	// end when it was told to, and before that to feed its watchdog.
	ExtendedUntil time.Time
	Status        string // what it told people

	// EnvFiles is a digest of what the files of envFrom meant at the start; empty
	// when that is not known.
	EnvFiles string
	// Loaded is a digest of the content of reload.files that the program has
	// loaded, Refused of that for which check or exec failed (exec may have loaded it,
	// so it is in both then), Checked of that for which check succeeded, Trying of
	// that which the latest hook is about; empty when none is known.
	Loaded, Refused, Checked, Trying string
	CheckedAt                        time.Time // check succeeded
	// TryingAt is when the first hook of the attempt to reload that is under way was
	// taken, zero when none is; TriedAt when the latest one that is over began. What a
	// person asked for after that is still to be done.
	TryingAt, TriedAt time.Time
	ReloadedAt        time.Time // the latest one that succeeded
	ReloadAskedAt     time.Time // a person asked for a reload, or edited one that had failed
	ReloadFailure     *Failure  // why the latest attempt failed
}

// Probing is what is known of one kind of probe. It is pure arithmetic over the
// answers, as the kubelet's.
type Probing struct {
	Run     uint64 // of the latest question
	TakenAt time.Time
	DoneAt  time.Time // zero while the answer is awaited
	// PassedAt is since when the service counts as one that succeeds, FailedAt as
	// one that fails. Before either there were not enough answers in a row.
	PassedAt, FailedAt time.Time
	Count              int32 // of answers in a row that are as the latest
	Failure            *Failure
}

// answered takes in one answer.
func (p Probing) answered(probe *spec.Probe, kind ProbeKind, failure *Failure, at time.Time) Probing {
	if failure != nil && failure.Unmade() && kind != ProbeReadiness {
		p.DoneAt = at // nothing healthy is ended for what it cannot help
		return p
	}
	same := p.Count > 0 && (failure == nil) == (p.Failure == nil)
	p.DoneAt, p.Failure = at, failure
	if !same {
		p.Count = 0
	}
	if p.Count < 1<<30 {
		p.Count++
	}
	switch {
	case failure == nil && p.Count >= probe.SuccessThreshold && p.PassedAt.IsZero():
		p.PassedAt, p.FailedAt = at, time.Time{}
	case failure != nil && p.Count >= probe.FailureThreshold && p.FailedAt.IsZero():
		p.PassedAt, p.FailedAt = time.Time{}, at
	}
	return p
}

// Unmade reports whether a probe could not be made at all: that says nothing of the
// process, which runs on with what was there when it was started. It is not counted
// for a liveness or startup probe.
func (f *Failure) Unmade() bool {
	switch f.Reason {
	case ReasonEnvFileInvalid, ReasonWorkingDirInvalid, ReasonUserNotFound, ReasonResourcesExhausted:
		return true
	default:
		return false
	}
}

// life returns a copy of what is known, to be changed and stored.
func (i *Instance) life() *Life {
	n := new(Life)
	if i.Life != nil {
		*n = *i.Life
	}
	return n
}

// noLife is what is known of a run of which nothing is.
var noLife Life

// known is Life, for reading.
func (i *Instance) known() *Life {
	if i.Life == nil {
		return &noLife
	}
	return i.Life
}

// Detached reports whether the main process has ended with success and the
// others carry on as the service.
func (i *Instance) Detached() bool {
	return i.Life != nil && !i.Life.DetachedAt.IsZero() && i.EndedAt.IsZero()
}

// hookRuns reports whether a hook is under way.
func (i *Instance) hookRuns() bool {
	return i.Life != nil && i.Life.Hook != HookNone && i.Life.HookEndedAt.IsZero()
}

// reloadRuns reports whether the command to reload is under way.
func (i *Instance) reloadRuns() bool { return i.hookRuns() && i.Life.Hook == HookReload }

// owesPostStop reports whether the postStop hook is to run, or runs, for a run
// that is over.
func (i *Instance) owesPostStop() bool {
	return i.stage() == stageIdle && i.Spec != nil && HookPostStop.Command(&i.Spec.Spec) != nil &&
		!i.EndedAt.IsZero() && !i.StartTakenAt.IsZero() && !i.initDone() && i.known().PostStopAt.IsZero()
}

// initDone reports whether the latest run was an init command that succeeded.
func (i *Instance) initDone() bool {
	return i.Init != 0 && !i.GoneAt.IsZero() && !i.asked() && i.Failure == nil && !i.StartedAt.IsZero() && i.Exit.Status() == 0
}

// nextInit is which command a start runs now: the number of an init command, or 0
// for the main program.
func (i *Instance) nextInit(want *spec.Service) int32 {
	commands := int32(len(want.Spec.Init))
	switch {
	case commands == 0:
		return 0
	case i.Init <= 0 || !i.initDone() || !i.runs(want) || i.personAsked():
		return 1
	case i.Init >= commands:
		return 0
	default:
		return i.Init + 1
	}
}

// begun is when what probes and hooks are about began.
func (i *Instance) begun() time.Time { return latest(i.StartedAt, i.known().DetachedAt) }

// line is the readyLogLine that the host looks for in the output of the run: the one
// that the run was started with, whatever its manifest says since.
func (i *Instance) line() string {
	if l := i.known(); l.Line != nil {
		return *l.Line
	}
	return i.Spec.Spec.ReadyLogLine
}

// startup says since when a live run of the main program has started up; zero when
// it has not, and then why.
func (i *Instance) startup() (since time.Time, why Reason) {
	s, l := &i.Spec.Spec, i.known()
	since = i.begun()
	gates := [...]struct {
		closed bool
		opened time.Time
		why    Reason
	}{
		{s.Lifecycle.PostStart != nil, l.PostStartAt, ReasonPostStart},
		{s.Notify == spec.NotifySystemd, l.ReadyToldAt, ReasonNotNotified},
		{s.ReadyLogLine != "" && i.line() != "", l.LineAt, ReasonNoReadyLine},
		{s.StartupProbe != nil, l.Probes[ProbeStartup].PassedAt, ReasonNotStartedUp},
	}
	for n := range gates {
		g := &gates[n]
		if !g.closed {
			continue
		}
		if g.opened.IsZero() {
			return time.Time{}, g.why
		}
		since = latest(since, g.opened)
	}
	return since, ""
}

// ready says since when a replica is ready; zero when it is not, and then why. Its
// own manifest decides, with later live-class edits.
func (i *Instance) ready() (since time.Time, why Reason) {
	switch {
	case i.stage() != stageLive || i.asked() || i.Spec == nil:
		return time.Time{}, ReasonNotRunning
	case i.Init != 0:
		return time.Time{}, ReasonInitializing
	}
	if since, why = i.startup(); since.IsZero() || i.Spec.Spec.ReadinessProbe == nil {
		return since, why
	}
	p := &i.known().Probes[ProbeReadiness]
	if p.PassedAt.IsZero() {
		return time.Time{}, ReasonUnready
	}
	return latest(since, p.PassedAt), ""
}

// failing says why a live run is to be ended as one that does not work; CauseNone
// when it is not.
func (i *Instance) failing(now time.Time) Cause {
	l := i.Life
	if l == nil || i.Init != 0 || i.Spec == nil {
		return CauseNone
	}
	s := &i.Spec.Spec
	deaf, _ := i.watchdog()
	switch {
	case l.Hook == HookPostStart && l.HookFailure != nil && l.HookFailure.Reason != ReasonMainEnded && s.Lifecycle.PostStart != nil:
		return CausePostStart
	case s.StartupProbe != nil && !l.Probes[ProbeStartup].FailedAt.IsZero():
		return CauseNotStartedUp
	case s.LivenessProbe != nil && !l.Probes[ProbeLiveness].FailedAt.IsZero():
		return CauseUnhealthy
	case !deaf.IsZero() && !now.Before(deaf):
		return CauseWatchdog
	}
	return CauseNone
}

// watchdog says when a run that is silent until then is taken for dead; zero is
// never. every is the time that it has.
func (i *Instance) watchdog() (deaf time.Time, every time.Duration) {
	l := i.Life
	if l == nil || i.Spec == nil || i.Spec.Spec.Notify != spec.NotifySystemd {
		return time.Time{}, 0
	}
	if !l.DeafAt.IsZero() {
		return l.DeafAt, 0
	}
	every = time.Duration(i.Spec.Spec.WatchdogSeconds) * time.Second
	if l.WatchdogEvery > 0 {
		every = l.WatchdogEvery
	}
	if every == 0 || l.ReadyToldAt.IsZero() {
		return time.Time{}, every // as systemd, from when it is ready
	}
	if l.HeardAt.IsZero() && !l.ResumedAt.IsZero() {
		return time.Time{}, every // it cannot be heard, perhaps; see Host.unheard
	}
	heard := latest(latest(l.ReadyToldAt, l.HeardAt), l.ResumedAt)
	return latest(heard.Add(every), l.ExtendedUntil), every
}

// resume drops what ended with the daemon that knew it: questions that it had asked,
// and hooks, which the host ends. at is when it was known.
func (l *Life) resume(at time.Time) {
	l.ResumedAt = at
	if l.HookEndedAt.IsZero() {
		l.Hook, l.HookTakenAt = HookNone, time.Time{}
	}
	l.HookRun, l.TryingAt = 0, time.Time{}
	l.Line = nil // a host that takes over looks for that of the manifest, from the start on
	l.ReleaseTakenAt, l.ReleasedAt = time.Time{}, time.Time{}
	for k := range l.Probes {
		p := &l.Probes[k]
		*p = Probing{PassedAt: p.PassedAt, FailedAt: p.FailedAt, Failure: p.Failure}
		if ProbeKind(k) != ProbeReadiness {
			p.FailedAt = time.Time{} // who did not end it yet must see it fail himself
		}
	}
}

// hookTerms are what a hook gets to know besides, and how long it may take.
func (i *Instance) hookTerms(h Hook) (env []spec.EnvVar, timeout time.Duration) {
	switch h {
	case HookPostStop:
		return i.result(), max(time.Duration(i.Spec.Spec.TerminationGracePeriodSeconds)*time.Second, time.Second)
	case HookReloadCheck, HookReload:
		return nil, hookTimeout
	case HookPostStart, HookPreStop, HookNone:
	}
	return nil, 0
}

// result tells how the latest run ended in the variables of systemd.exec(5),
// "Environment Variables Set or Propagated by the Service Manager".
func (i *Instance) result() []spec.EnvVar {
	result, code, status := "success", "exited", strconv.Itoa(int(i.Exit.Code))
	switch {
	case i.Failure != nil:
		return []spec.EnvVar{{Name: "SERVICE_RESULT", Value: "resources"}}
	case i.Exit.Unknown:
		code, status = "", ""
	case i.Exit.CoreDumped:
		result, code = "core-dump", "dumped"
	case i.Exit.Signal != 0:
		result, code = "signal", "killed"
	case !slices.Contains(i.Spec.Spec.SuccessExitCodes, i.Exit.Status()):
		result = "exit-code"
	}
	if i.Exit.Signal != 0 {
		status = strings.TrimPrefix(string(spec.SignalOf(i.Exit.Signal)), "SIG")
		if i.obeyed() && i.Exit.Signal == i.Spec.Spec.Lifecycle.StopSignal.Number() {
			result = "success"
		}
	}
	if i.Cause == CauseWatchdog {
		result = "watchdog"
	}
	return []spec.EnvVar{
		{Name: "SERVICE_RESULT", Value: result}, {Name: "EXIT_CODE", Value: code}, {Name: "EXIT_STATUS", Value: status},
	}
}
