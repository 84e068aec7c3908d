package reconciler

import (
	"time"

	"svc.d/spec"
)

// Prober looks whether processes do their work. The loop says when.
//
// What a Prober guarantees: each work that it has received is answered by exactly
// one EventProbed with the work's Replica, Run and Probe, at the latest some
// seconds after the probe's timeout; it needs bounded time and memory whatever the
// other side does.
type Prober interface {
	// Work is where the loop offers probes; receiving is accepting.
	Work() chan<- ProbeWork
	// Events delivers the answers. The loop must keep receiving.
	Events() <-chan Event
}

// ProbeKind is what a probe is for.
type ProbeKind uint8

// The kinds.
const (
	ProbeStartup ProbeKind = iota
	ProbeReadiness
	ProbeLiveness
	probeKinds // how many there are
)

// Of is the probe of this kind; nil when the service has none.
func (k ProbeKind) Of(s *spec.Spec) *spec.Probe {
	switch k {
	case ProbeStartup:
		return s.StartupProbe
	case ProbeReadiness:
		return s.ReadinessProbe
	case ProbeLiveness:
		return s.LivenessProbe
	case probeKinds:
	}
	return nil
}

// String is the word for the kind in messages, as the kubelet has it.
func (k ProbeKind) String() string {
	switch k {
	case ProbeStartup:
		return "Startup"
	case ProbeReadiness:
		return "Readiness"
	case ProbeLiveness:
		return "Liveness"
	case probeKinds:
	}
	return ""
}

// ProbeWork is one probe.
type ProbeWork struct {
	Replica ReplicaID
	// Run is the number that the answer carries. It is another one for each probe.
	Run  uint64
	Kind ProbeKind
	// Service is whose probe it is; Kind.Of(&Service.Spec) is not nil.
	Service *spec.Service
}

// Notice is what a process told of itself with sd_notify(3).
type Notice struct {
	Ready     bool
	Reloading bool
	Stopping  bool
	// Watchdog says that it lives; WatchdogTrigger that it wants to be taken for
	// dead.
	Watchdog, WatchdogTrigger bool
	// WatchdogEvery is a new time for the watchdog; 0 is none.
	WatchdogEvery time.Duration
	// Extend is how long, from now, what is under way may take at least: the stop, or
	// what the watchdog waits for; 0 says nothing.
	Extend time.Duration
	// Status is for people, when HasStatus.
	Status    string
	HasStatus bool
}
