package hosttest

import (
	"cmp"
	"maps"
	"slices"

	"svc.d/reconciler"
)

// Crash ends the daemon, whose loop must have ended: what it was not told yet is
// lost, and what its workers were doing is done or not, unheard. The processes
// live on.
func (m *Machine) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crash()
}

func (m *Machine) crash() {
	m.daemons++
	m.down, m.queue, m.answers = true, nil, nil
	m.work, m.events = make(chan reconciler.Work), make(chan reconciler.Event)
	m.probes, m.probed = make(chan reconciler.ProbeWork), make(chan reconciler.Event)
	for _, key := range slices.Sorted(maps.Keys(m.works)) {
		w := m.works[key]
		delete(m.works, key)
		m.group(w.Replica).working = 0
		if m.config.Survives != nil && m.config.Survives(w) {
			m.finish(w)
		}
	}
	for _, g := range m.groups {
		m.dropHook(g)
	}
	m.poke()
}

// Reopen is another daemon that comes after a crash: the machine is to be used
// by a new loop. It is given what was recorded, and the replicas whose records
// cannot be read; it returns those of which the loop is to be told by
// Config.Found and Config.Unclear, in order.
func (m *Machine) Reopen(records []reconciler.Record, unclear []reconciler.ReplicaID) (found, unclearFound []reconciler.ReplicaID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.down {
		m.crash()
	}
	m.down = false
	known := map[reconciler.ReplicaID]*reconciler.Instance{}
	for n := range records {
		i := &records[n].Instance
		known[i.ID] = i
		m.group(i.ID)
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.groups), inOrder) {
		switch g := m.groups[id]; {
		case !m.resume(g, known[id]):
		case slices.Contains(unclear, id):
			unclearFound = append(unclearFound, id)
		default:
			found = append(found, id)
		}
	}
	return found, unclearFound
}

func inOrder(a, b reconciler.ReplicaID) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Ordinal, b.Ordinal))
}

// resume goes on with a group as its record has it, nil when there is none. It
// reports whether something lives in it that the record does not explain.
func (m *Machine) resume(g *group, i *reconciler.Instance) (found bool) {
	main, run := g.main, g.run
	// What no record tells of is not known any more: no run, and no number.
	g.main, g.run, g.lastStart, g.owes, g.planted, g.told = nil, 0, 0, false, false, toldEmpty
	if i != nil {
		g.run, g.lastStart = i.Run, i.Run
	}
	switch {
	case i != nil && !i.StartedAt.IsZero() && i.EndedAt.IsZero():
		g.told = toldRunning
		if main != nil && main.pid == i.Pid && main.ticks == i.StartTicks {
			g.main = main
			return false
		}
		g.service = i.Spec
		exit := reconciler.Exit{Unknown: true}
		if main == nil && run == i.Run && m.config.Tells != nil && m.config.Tells(g.id, run) {
			exit = g.exit
		}
		m.record(g, Record{What: Exited, Exit: exit})
		m.exited(g, exit)
	case i != nil && !i.EndedAt.IsZero() && i.GoneAt.IsZero():
		if g.told = toldSurvivors; len(g.procs) == 0 {
			m.emptied(g)
		}
		g.owes = len(g.procs) > 0
	case len(g.procs) > 0:
		g.told, g.owes, g.planted = toldNothing, true, true
		return true
	case i == nil:
		g.forgotten = true
	case i.Failure != nil:
		g.told = toldNothing // the kill of what was in its way may not be recorded, and come again
	}
	return false
}
