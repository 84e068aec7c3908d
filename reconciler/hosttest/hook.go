package hosttest

import (
	"fmt"
	"time"

	"svc.d/reconciler"
)

// hook is a command that runs beside a main process, or after it.
type hook struct {
	work  reconciler.Work
	procs []*proc // its own one and the children; empty while a worker is at it
	over  bool
}

// hookTaken notes that a hook was accepted, which ends the one before, and says
// when that breaks a promise.
func (m *Machine) hookTaken(g *group, w reconciler.Work) *hook {
	m.record(g, Record{What: HookTaken, Hook: w.Hook, Service: w.Service})
	switch {
	case w.Hook == reconciler.HookPostStop && len(g.procs) > 0 && !g.intruded():
		m.broken(PostStopAlone, "%v of %v while %d processes of run %d live", w.Hook, w.Replica, len(g.procs), g.run)
	case w.Hook == reconciler.HookPostStop && g.working == reconciler.VerbStart:
		m.broken(PostStopAlone, "%v of %v while it starts", w.Hook, w.Replica)
	case w.Hook != reconciler.HookPostStop && g.told == toldEmpty:
		m.broken(HookBesideLife, "%v of %v, which is known to have ended", w.Hook, w.Replica)
	}
	if g.hook != nil {
		g.hook.over = true // and not answered
		m.record(g, Record{What: HookEnded, Hook: g.hook.work.Hook, Superseded: true})
	}
	g.hook = &hook{work: w}
	return g.hook
}

// runHook begins a hook when the time that a worker needs has passed.
func (m *Machine) runHook(g *group, h *hook) {
	w := h.work
	if h.over {
		return
	}
	b := m.script(w)
	switch alone := w.Hook == reconciler.HookPostStop; {
	case b.Fails != nil:
		m.endHook(g, h, b.Fails)
		return
	case alone && len(g.procs) > 0:
		m.endHook(g, h, hookFailure(w.Hook, "something lives in the group"))
		return
	case !alone && len(g.procs) == 0:
		m.endHook(g, h, mainHasEnded(w.Hook))
		return
	}
	h.procs = append(h.procs, m.newProc(b.Main))
	for _, c := range b.Children {
		h.procs = append(h.procs, m.newProc(c.Temper))
	}
	if b.Ends {
		m.after(b.After, func() {
			if b.Exit == (reconciler.Exit{}) {
				m.endHook(g, h, nil)
				return
			}
			m.endHook(g, h, hookFailure(w.Hook, fmt.Sprintf("it ended with status %d", b.Exit.Status())))
		})
	}
	if w.Timeout > 0 {
		m.after(w.Timeout, func() {
			m.endHook(g, h, hookFailure(w.Hook, fmt.Sprintf("it took longer than %v", w.Timeout)))
		})
	}
}

func hookFailure(hook reconciler.Hook, why string) *reconciler.Failure {
	return &reconciler.Failure{Reason: reconciler.ReasonHookFailed, Message: "cannot run " + hook.String() + ": " + why}
}

// mainHasEnded is why a hook ends whose main process has.
func mainHasEnded(hook reconciler.Hook) *reconciler.Failure {
	f := hookFailure(hook, "the main process has ended")
	f.Reason = reconciler.ReasonMainEnded
	return f
}

// endHook ends a hook, if it has not ended, and answers it.
func (m *Machine) endHook(g *group, h *hook, f *reconciler.Failure) {
	if h.over {
		return
	}
	h.over, g.hook = true, nil
	m.record(g, Record{What: HookEnded, Hook: h.work.Hook, Failure: f})
	m.send(reconciler.Event{Kind: reconciler.EventHookEnded, Replica: g.id, Run: h.work.Run, Hook: h.work.Hook, Failure: f})
}

// dropHook ends a hook that nobody waits for any more.
func (m *Machine) dropHook(g *group) {
	if g.hook != nil {
		g.hook.over, g.hook = true, nil
	}
}

// besidesEnd is the end of what runs beside the processes of a group, when the last
// one of them, or the main process, has ended.
func (m *Machine) besidesEnd(g *group) {
	if g.hook != nil && g.hook.work.Hook != reconciler.HookPostStop {
		m.endHook(g, g.hook, mainHasEnded(g.hook.work.Hook))
	}
}

// newProc makes a process that is in no group yet.
func (m *Machine) newProc(t Temper) *proc {
	m.lastPid++
	return &proc{pid: m.lastPid, ticks: uint64(time.Now().UnixMilli()), temper: t}
}
