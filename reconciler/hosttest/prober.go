package hosttest

import (
	"time"

	"svc.d/reconciler"
)

// prober is the machine as a reconciler.Prober.
type prober struct{ m *Machine }

// Prober is what probes the processes of the machine: Config.Probe answers. It has
// no limit to how many probes are under way. A crash loses them.
func (m *Machine) Prober() reconciler.Prober { return prober{m} }

// Work implements reconciler.Prober.
func (p prober) Work() chan<- reconciler.ProbeWork {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.probes
}

// Events implements reconciler.Prober.
func (p prober) Events() <-chan reconciler.Event {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.probed
}

// probe takes a probe.
func (m *Machine) probe(w reconciler.ProbeWork, daemons int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.daemons != daemons {
		return // the one that gave it has crashed
	}
	var takes time.Duration
	var failure *reconciler.Failure
	if m.config.Probe != nil {
		takes, failure = m.config.Probe(w)
	}
	m.after(takes, func() {
		if m.daemons == daemons {
			m.answers = append(m.answers, reconciler.Event{Kind: reconciler.EventProbed, Replica: w.Replica, Run: w.Run, Probe: w.Kind, Failure: failure})
			m.poke()
		}
	})
}

// answered notes that the answer to a probe was delivered.
func (m *Machine) answered(daemons int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.daemons == daemons {
		m.answers = m.answers[1:]
	}
}

// Notify has a process of the replica tell of itself. It says whether a main
// process lives, and sends nothing otherwise.
func (m *Machine) Notify(id reconciler.ReplicaID, n reconciler.Notice) bool {
	return m.tell(reconciler.Event{Kind: reconciler.EventNotified, Replica: id, Notice: &n})
}

// Line has the replica write a line that matches readyLogLine. It says whether a
// main process lives, and sends nothing otherwise.
func (m *Machine) Line(id reconciler.ReplicaID) bool {
	return m.tell(reconciler.Event{Kind: reconciler.EventLineSeen, Replica: id})
}

func (m *Machine) tell(e reconciler.Event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[e.Replica]
	if g == nil || g.main == nil {
		return false
	}
	e.Run = g.run
	m.send(e)
	return true
}
