package reconciler_test

import (
	"syscall"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// FuzzDecide reads its input as a history: events in any order, legal or not,
// manifests, commands, time that passes, and deeds of Decide that are done. At
// each step Decide and Report must be sound on the facts that came of it.
func FuzzDecide(f *testing.F) {
	f.Add([]byte("\x00\x10\x20\x30\x40\x50\x60\x70"))
	f.Add([]byte{0, 200, 200, 1, 3, 200, 17, 2, 200, 200, 9, 200, 5, 200, 200})
	f.Add([]byte{0, 200, 200, 200, 65, 200, 3, 2, 200, 200, 33, 200, 12, 7, 200, 200, 4, 200})
	for name := range stageFacts() {
		f.Add([]byte(name))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 200 {
			return // longer histories only repeat themselves
		}
		h := history{facts: reconciler.Facts{Name: "web"}, now: begun}
		h.declare(0)
		for _, b := range input {
			h.step(b)
			for _, v := range sound(genuine, h.want, h.facts, h.now) {
				t.Fatalf("%v\nwanted %+v\nfacts %+v", v, h.want, h.facts)
			}
		}
	})
}

// history is a service to which things happen.
type history struct {
	want  *spec.Service
	facts reconciler.Facts
	now   time.Time
	run   uint64
}

// pauses are what time may pass; they cross all deadlines of the manifests.
var pauses = []time.Duration{
	time.Millisecond, time.Second, 5 * time.Second, 11 * time.Second, time.Minute, 10 * time.Minute, 2 * time.Hour,
}

func (h *history) step(b byte) {
	h.now = h.now.Add(time.Nanosecond)
	kind, which := b>>3, int(b&7)
	switch {
	case b >= 216:
		h.live(int(kind)-27, which)
	case b >= 192:
		h.act(which)
	case kind == 0:
		h.declare(which)
	case kind < 4:
		h.now = h.now.Add(pauses[which%len(pauses)])
	case kind == 4:
		h.tell(reconciler.Event{Kind: reconciler.EventStop})
	case kind == 5:
		h.tell(reconciler.Event{Kind: reconciler.EventStop, Until: h.now.Add(time.Minute)})
	case kind == 6:
		h.tell(reconciler.Event{Kind: reconciler.EventStart})
	case kind == 7:
		h.tell(reconciler.Event{Kind: reconciler.EventRestart})
	case kind == 8 && which == 7:
		h.tell(reconciler.Event{Kind: reconciler.EventShutdown})
	case kind == 9 && which == 7:
		h.tell(reconciler.Event{Kind: reconciler.EventShutdownNow})
	default:
		h.happen(int(kind), which)
	}
}

// declare changes what is wanted.
func (h *history) declare(which int) {
	s := declaration(1, "web")
	s.Spec = spec.Defaults()
	s.Spec.Command, s.Spec.Replicas = []string{"/bin/web"}, 2
	switch which {
	case 1:
		s.Spec.Args = []string{"other"}
	case 2:
		s.Spec.RestartPolicy = spec.RestartNever
	case 3:
		s.Spec.RestartPolicy, s.Spec.Replicas = spec.RestartOnFailure, 1
	case 4:
		s.Spec.Replicas = 0
	case 5:
		s.Spec.Backoff.Limit = &spec.RestartLimit{Restarts: 1, Within: spec.Duration(time.Minute)}
		s.Spec.TerminationGracePeriodSeconds = 0
	case 6:
		s.Spec.Args, s.Spec.MinReadySeconds, s.Spec.Replicas = []string{"third"}, 10, 3
	case 7:
		s = nil
	}
	h.want = s
	h.tell(reconciler.Event{Kind: reconciler.EventDeclared, Service: s})
}

// tell observes something that concerns the whole service.
func (h *history) tell(e reconciler.Event) {
	e.At = h.now
	h.facts = reconciler.ObserveService(h.facts, e)
}

// act does one of the things that Decide wants.
func (h *history) act(which int) {
	actions, _ := reconciler.Decide(h.want, &h.facts, h.now, nil)
	if len(actions) == 0 {
		return
	}
	h.run++
	h.facts = done(genuine, h.want, h.facts, actions[which%len(actions)], h.now, h.run)
}

// live lets more happen than that processes come and go: kind is 0 to 4.
func (h *history) live(kind, which int) {
	if kind == 0 {
		h.declare(which)
		if h.want != nil {
			full(&h.want.Spec, which)
			h.tell(reconciler.Event{Kind: reconciler.EventDeclared, Service: h.want})
		}
		return
	}
	if len(h.facts.Replicas) == 0 {
		return
	}
	n := which % len(h.facts.Replicas)
	i := &h.facts.Replicas[n]
	e := reconciler.Event{Replica: i.ID, Run: i.Run, At: h.now}
	var failure *reconciler.Failure
	if which >= 4 {
		failure = &reconciler.Failure{Reason: reconciler.ReasonHookFailed, Message: "cannot run it"}
	}
	switch {
	case kind == 1 && i.Life != nil:
		e.Kind, e.Hook, e.Run, e.Failure = reconciler.EventHookEnded, i.Life.Hook, i.Life.HookRun, failure
	case kind == 2 && i.Life != nil:
		e.Kind, e.Probe, e.Failure = reconciler.EventProbed, reconciler.ProbeKind(which%3), failure
		e.Run = i.Life.Probes[e.Probe].Run
	case kind == 3 && which < 2:
		e.Kind, e.Notice = reconciler.EventNotified, &reconciler.Notice{Ready: true, Watchdog: which == 1}
		e.Notice.Extend = []time.Duration{0, 1<<63 - 1}[which]
	case kind == 3 && which < 4:
		e.Kind = reconciler.EventLineSeen
	case kind == 3:
		e.Kind, e.Failure = reconciler.EventReleased, failure
	case kind == 4 && which < 3:
		d := &reconciler.Dependency{Name: "db", Declared: true}
		if which > 0 {
			d.StartedAt, d.ReadyAt = h.now, h.now
		}
		h.tell(reconciler.Event{Kind: reconciler.EventDependency, Dependency: d})
		return
	case kind == 4 && which == 3:
		h.tell(reconciler.Event{Kind: reconciler.EventDependents, Names: []string{"app"}})
		return
	case kind == 4 && which == 4:
		h.tell(reconciler.Event{Kind: reconciler.EventDependents})
		return
	case kind == 4 && which == 5:
		h.tell(reconciler.Event{Kind: reconciler.EventReload})
		return
	case kind == 4:
		digest := string(rune('a' + which))
		h.tell(reconciler.Event{Kind: reconciler.EventContents, EnvFiles: digest, Files: digest, Usable: which == 7})
		return
	default:
		return
	}
	replicas := append([]reconciler.Instance(nil), h.facts.Replicas...)
	replicas[n] = reconciler.Observe(replicas[n], e)
	h.facts.Replicas = replicas
}

// full gives a manifest a good deal of what it can have.
func full(s *spec.Spec, which int) {
	command := &spec.ExecAction{Command: []string{"/bin/hook"}}
	probe := &spec.Probe{Exec: command, PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 2}
	has := func(bit int) bool { return which&bit != 0 }
	if has(1) {
		s.StartupProbe, s.ReadinessProbe, s.LivenessProbe = probe, probe, probe
		s.Init = []spec.Init{{Name: "one", Command: command.Command}}
	}
	if has(2) {
		s.Lifecycle.PostStart, s.Lifecycle.PreStop, s.Lifecycle.PostStop = &spec.Handler{Exec: command}, &spec.Handler{Exec: command}, &spec.Handler{Exec: command}
		s.Reload = &spec.Reload{Signal: "SIGHUP", Check: command, Files: []string{"/etc/web.conf"}}
		s.StopScope, s.ReadyLogLine = spec.StopScopeMain, "ready"
	}
	if has(4) {
		s.DependsOn = []spec.Dependency{{Name: "db", Condition: spec.DependencyReady, Restart: true}}
		s.Notify, s.WatchdogSeconds, s.Lifetime = spec.NotifySystemd, 10, spec.LifetimeGroup
		s.EnvFrom = []spec.EnvFrom{{File: "/etc/web.env"}}
	}
}

// happen lets the host tell something, of the current run or an older one.
func (h *history) happen(kind, which int) {
	if len(h.facts.Replicas) == 0 {
		return
	}
	n := which % len(h.facts.Replicas)
	i := &h.facts.Replicas[n]
	e := reconciler.Event{Replica: i.ID, Run: i.Run, At: h.now}
	if which == 6 && e.Run > 0 {
		e.Run--
	}
	left := []reconciler.Process{{Pid: 7, Name: "web"}}
	switch kind % 12 {
	case 0:
		e.Kind, e.Pid = reconciler.EventStarted, 100
	case 1:
		e.Kind, e.Failure = reconciler.EventStartFailed, &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot start"}
	case 2:
		e.Kind, e.Failure = reconciler.EventStartFailed, &reconciler.Failure{Reason: reconciler.ReasonGroupOccupied, Message: "cannot start"}
	case 3:
		e.Kind = reconciler.EventExited
	case 4:
		e.Kind, e.Exit, e.Processes = reconciler.EventExited, reconciler.Exit{Signal: syscall.SIGTERM}, left
	case 5:
		e.Kind, e.Exit = reconciler.EventExited, reconciler.Exit{Code: 1}
	case 6:
		e.Kind = reconciler.EventEmptied
	case 7:
		e.Kind, e.Processes = reconciler.EventInspected, left
	case 8:
		e.Kind = reconciler.EventForgotten
	case 9:
		e.Kind = reconciler.EventFound
	case 10:
		e.Kind = reconciler.EventUnclear
	case 11:
		e.Kind, e.Run = reconciler.EventChecked, h.facts.CheckRun
		if which%2 == 0 {
			e.Failure = &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot find it"}
		}
		h.tell(e)
		return
	}
	replicas := append([]reconciler.Instance(nil), h.facts.Replicas...)
	replicas[n] = reconciler.Observe(replicas[n], e)
	h.facts.Replicas = replicas
}
