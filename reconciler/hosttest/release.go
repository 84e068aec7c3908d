package hosttest

import (
	"slices"

	"svc.d/reconciler"
)

// release takes what a main process has left out of the group.
func (m *Machine) release(g *group, w reconciler.Work) {
	answer := reconciler.Event{Kind: reconciler.EventReleased, Replica: g.id, Run: w.Run}
	if g.main != nil || m.config.Unreleasable {
		answer.Failure = &reconciler.Failure{
			Reason: reconciler.ReasonReleaseFailed, Message: "cannot let what " + g.id.String() + " has left live on: the script says so",
		}
		m.send(answer)
		return
	}
	answer.Processes = g.list()
	m.record(g, Record{What: Released, Run: w.Run})
	m.left[g.id.Service] = append(m.left[g.id.Service], g.procs...)
	for _, p := range g.procs {
		p.released = true
	}
	g.procs = nil
	m.send(answer)
	if g.owes {
		m.emptied(g)
	}
}

// endReleased is the end of a process that was released.
func (m *Machine) endReleased(service string, p *proc) {
	p.dead = true
	if m.left[service] = slices.DeleteFunc(m.left[service], func(q *proc) bool { return q == p }); len(m.left[service]) == 0 {
		delete(m.left, service)
	}
}

// KillReleased ends something that was released.
func (m *Machine) KillReleased(pid int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for service, procs := range m.left {
		for _, p := range slices.Clone(procs) {
			if p.pid == pid {
				m.endReleased(service, p)
			}
		}
	}
}

// LeftBehind lists what was released and lives, by service.
func (m *Machine) LeftBehind() map[string][]reconciler.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]reconciler.Process{}
	for service, procs := range m.left {
		out[service] = listed(procs)
	}
	return out
}
