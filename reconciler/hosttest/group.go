package hosttest

import (
	"slices"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// shownProcesses is how many processes an event lists at most.
const shownProcesses = 8

// group is what a machine knows of one replica.
type group struct {
	id      reconciler.ReplicaID
	run     uint64 // the last run that was started
	service *spec.Service
	main    *proc   // nil when no main process lives
	procs   []*proc // all that live, the main one included
	// owes says that Emptied is still to be sent: Exited named survivors, or a
	// question found processes that no run explains.
	owes bool
	// planted says that the processes are of no run that is known.
	planted   bool
	exit      reconciler.Exit // how the last main process ended
	lastStart uint64          // number of the last Start that was taken
	working   reconciler.Verb
	hook      *hook // that runs, or that a worker is at
	told      told
	forgotten bool
}

// told is what the reader of the events can know of a group.
type told uint8

const (
	toldNothing told = iota
	toldRunning
	toldSurvivors // the main process has ended, some are left
	toldEmpty
)

func (t *told) observe(e reconciler.Event) {
	switch e.Kind {
	case reconciler.EventStarted:
		*t = toldRunning
	case reconciler.EventExited:
		*t = toldEmpty
		if len(e.Processes) > 0 {
			*t = toldSurvivors
		}
	case reconciler.EventEmptied:
		*t = toldEmpty
	default:
	}
}

// proc is one process.
type proc struct {
	pid    int32
	ticks  uint64
	temper Temper
	// dies is when it will die of a signal that it was sent; zero is not.
	dies time.Time
	dead bool
	// released says that it lives outside of the group.
	released bool
}

func (m *Machine) group(id reconciler.ReplicaID) *group {
	g := m.groups[id]
	if g == nil {
		g = &group{id: id}
		m.groups[id] = g
	}
	return g
}

func (g *group) claim(m *Machine, w reconciler.Work) {
	if g.working != 0 {
		m.broken(OneWorkAtATime, "verb %d of %v while verb %d is worked on", w.Verb, w.Replica, g.working)
	}
	g.working = w.Verb
}

// intruded reports whether something lives of which the host has not told.
func (g *group) intruded() bool { return g.planted && !g.owes }

// all returns a copy of what lives, since signals may change it.
func (g *group) all() []*proc { return slices.Clone(g.procs) }

func (g *group) list() []reconciler.Process { return listed(g.procs) }

// listed describes the first few of procs.
func listed(procs []*proc) []reconciler.Process {
	var out []reconciler.Process
	for _, p := range procs[:min(len(procs), shownProcesses)] {
		state := "S"
		if p.temper.Hangs > 0 && !p.dies.IsZero() {
			state = "D"
		}
		out = append(out, reconciler.Process{Pid: p.pid, Name: p.temper.Shown, State: state})
	}
	return out
}

func occupied(id reconciler.ReplicaID) *reconciler.Failure {
	return &reconciler.Failure{
		Reason:  reconciler.ReasonGroupOccupied,
		Message: "cannot start " + id.String() + ": something lives in its group",
	}
}

// start does what Start asks for, when the time that it takes has passed.
func (m *Machine) start(g *group, w reconciler.Work) {
	b := m.script(w)
	if len(g.procs) > 0 || g.hook != nil {
		b.Fails = occupied(g.id)
	}
	if b.Fails != nil {
		m.record(g, Record{What: StartFailed, Run: w.Run, Service: w.Service, Failure: b.Fails})
		m.send(reconciler.Event{Kind: reconciler.EventStartFailed, Replica: g.id, Run: w.Run, Failure: b.Fails})
		return
	}
	g.run, g.service, g.forgotten, g.owes, g.planted = w.Run, w.Service, false, false, false
	g.told = toldNothing // what was told was of the run before
	m.record(g, Record{What: Started, Run: w.Run, Service: w.Service})
	g.main = m.spawn(g, b.Main)
	for _, c := range b.Children {
		m.spawnChild(g, c)
	}
	m.send(reconciler.Event{
		Kind: reconciler.EventStarted, Replica: g.id, Run: w.Run,
		Pid: g.main.pid, StartTicks: g.main.ticks, EnvFiles: b.EnvFiles,
	})
	if main := g.main; b.Ends {
		m.after(b.After, func() { m.end(g, main, b.Exit) })
	}
}

func (m *Machine) spawn(g *group, t Temper) *proc {
	p := m.newProc(t)
	g.procs = append(g.procs, p)
	return p
}

func (m *Machine) spawnChild(g *group, c Child) {
	p := m.spawn(g, c.Temper)
	if c.Lives > 0 {
		m.after(c.Lives, func() { m.end(g, p, reconciler.Exit{}) })
	}
}

// deliver sends a signal to one process.
func (m *Machine) deliver(g *group, p *proc, sig syscall.Signal) {
	var in time.Duration
	exit := reconciler.Exit{Signal: sig}
	switch {
	case sig == syscall.SIGKILL:
		in = p.temper.Hangs
	case sig == 0 || p.temper.Ignores:
		return
	default:
		in = p.temper.Lingers
		if p.temper.Answers {
			exit = p.temper.Last
		}
	}
	at := time.Now().Add(in)
	if !p.dies.IsZero() && !at.Before(p.dies) {
		return // it dies of an earlier signal first
	}
	p.dies = at
	m.after(in, func() { m.end(g, p, exit) })
}

// end ends a process, if it still lives.
func (m *Machine) end(g *group, p *proc, exit reconciler.Exit) {
	switch {
	case p.dead:
		return
	case p.released:
		m.endReleased(g.id.Service, p)
		return
	}
	if p == g.main {
		m.record(g, Record{What: Exited, Exit: exit})
	}
	p.dead = true
	g.procs = slices.DeleteFunc(g.procs, func(q *proc) bool { return q == p })
	if p == g.main {
		g.main, g.exit = nil, exit
		m.exited(g, exit)
		return
	}
	if len(g.procs) > 0 || !g.owes {
		g.planted = g.planted && len(g.procs) > 0
		return
	}
	m.emptied(g)
}

// exited tells the end of the main process.
func (m *Machine) exited(g *group, exit reconciler.Exit) {
	m.besidesEnd(g)
	g.owes = len(g.procs) > 0
	m.send(reconciler.Event{
		Kind: reconciler.EventExited, Replica: g.id, Run: g.run, Exit: exit, Processes: g.list(),
	})
}

// emptied tells that nothing is left.
func (m *Machine) emptied(g *group) {
	m.besidesEnd(g)
	run := g.run
	if g.planted {
		run = 0
	}
	g.owes, g.planted = false, false
	m.record(g, Record{What: Emptied, Run: run})
	m.send(reconciler.Event{Kind: reconciler.EventEmptied, Replica: g.id, Run: run})
}

// Plant puts processes into the group of a replica, which nothing may live in,
// as a daemon that died would have left them. The loop is to be told by
// Config.Found; Emptied with Run 0 will come.
func (m *Machine) Plant(id reconciler.ReplicaID, children ...Child) {
	m.plant(id, true, children)
}

// Intrude is Plant for processes of which the host has not told the loop: it
// meets them when it starts the replica.
func (m *Machine) Intrude(id reconciler.ReplicaID, children ...Child) {
	m.plant(id, false, children)
}

func (m *Machine) plant(id reconciler.ReplicaID, told bool, children []Child) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.group(id)
	if len(g.procs) > 0 || g.working != 0 {
		panic("hosttest: cannot plant processes in " + id.String() + ": it is in use")
	}
	g.planted, g.owes, g.told = true, told, toldNothing
	for _, c := range children {
		m.spawnChild(g, c)
	}
}

// End has the main process of a replica end now, as by itself. It says whether
// one lived.
func (m *Machine) End(id reconciler.ReplicaID, exit reconciler.Exit) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.group(id)
	if g.main == nil {
		return false
	}
	m.end(g, g.main, exit)
	return true
}

// State is what the machine knows of one replica.
type State struct {
	Replica reconciler.ReplicaID
	Run     uint64
	// Service is what the main process was started from; nil when none lives.
	Service   *spec.Service
	MainPid   int32
	Processes []reconciler.Process
	Working   bool // a Start or a Forget is being worked on
	Forgotten bool // nothing is kept of it
}

// State tells how a replica is.
func (m *Machine) State(id reconciler.ReplicaID) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.group(id).state()
}

// States tells how every replica is that was ever heard of, in no order.
func (m *Machine) States() []State {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []State
	for _, g := range m.groups {
		out = append(out, g.state())
	}
	return out
}

// Count tells how often something was recorded.
func (m *Machine) Count(what What) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[what]
}

func (g *group) state() State {
	s := State{Replica: g.id, Run: g.run, Processes: g.list(), Working: g.working != 0, Forgotten: g.forgotten}
	if g.main != nil {
		s.Service, s.MainPid = g.service, g.main.pid
	}
	return s
}
