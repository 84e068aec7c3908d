package hosttest

import (
	"container/heap"
	"fmt"
	"sync"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// Config is how a Machine is to behave. Functions are called with the machine
// locked: they may not call its methods.
type Config struct {
	// Script tells how a run or a check of w.Service goes; nil is the zero
	// Behaviour for everything. It should depend on w alone: the order of
	// calls at one instant is the Go scheduler's.
	Script func(w reconciler.Work) Behaviour
	// Takes is how long a worker is busy with w; nil is no time.
	Takes func(w reconciler.Work) time.Duration
	// Survives tells whether a work that a crash of the daemon interrupts is done
	// all the same, unheard; nil is no.
	Survives func(w reconciler.Work) bool
	// Tells says whether it is known after a crash how a run ended while no
	// daemon lived; nil is no.
	Tells func(id reconciler.ReplicaID, run uint64) bool
	// Probe tells how a probe goes; nil is success at once.
	Probe func(w reconciler.ProbeWork) (takes time.Duration, failure *reconciler.Failure)
	// Unreleasable says that nothing can be taken out of a group.
	Unreleasable bool
	// Workers is how many works are done at one time; 0 stands for 2.
	Workers int
	// Watch sees every Record as it is made; nil is nobody.
	Watch func(Record)
	// Fail is told of broken promises; nil panics.
	Fail func(Violation)
}

// Machine is a simulated machine: a reconciler.Host whose processes do what a
// script says. It is made for synctest bubbles (it reads the clock of the time
// package) and needs one goroutine, which Close ends. All methods are safe for
// concurrent use.
//
// It stands for the kernel and for a correct host: it never runs two main
// processes of one replica, and it says so loudly when somebody asks for it. The
// daemon on it may end and another come after it: see Crash and Reopen.
type Machine struct {
	config Config
	wake   chan struct{}
	done   chan struct{}
	ended  chan struct{}

	mu      sync.Mutex
	work    chan reconciler.Work
	events  chan reconciler.Event
	groups  map[reconciler.ReplicaID]*group
	queue   []reconciler.Event // not yet delivered
	due     dueHeap
	seq     uint64
	works   map[uint64]reconciler.Work // being worked on
	down    bool                       // no daemon lives
	daemons int                        // that have crashed
	lastPid int32
	counts  map[What]int
	left    map[string][]*proc // released, by service

	probes  chan reconciler.ProbeWork
	probed  chan reconciler.Event
	answers []reconciler.Event // to probes, not yet delivered
}

var _ reconciler.Host = (*Machine)(nil)

// NewMachine starts a machine on which nothing runs.
func NewMachine(config Config) *Machine {
	if config.Workers == 0 {
		config.Workers = 2
	}
	m := &Machine{
		config:  config,
		work:    make(chan reconciler.Work),
		events:  make(chan reconciler.Event),
		works:   map[uint64]reconciler.Work{},
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		ended:   make(chan struct{}),
		groups:  map[reconciler.ReplicaID]*group{},
		lastPid: 100,
		counts:  map[What]int{},
		left:    map[string][]*proc{},
		probes:  make(chan reconciler.ProbeWork),
		probed:  make(chan reconciler.Event),
	}
	go m.run()
	return m
}

// Close switches the machine off. Nothing is delivered after it.
func (m *Machine) Close() {
	close(m.done)
	<-m.ended
}

// Work implements reconciler.Host.
func (m *Machine) Work() chan<- reconciler.Work {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.work
}

// Events implements reconciler.Host.
func (m *Machine) Events() <-chan reconciler.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events
}

// run is the machine's only goroutine. Whoever changes the queue or the heap
// from outside pokes wake.
func (m *Machine) run() {
	defer close(m.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		m.mu.Lock()
		m.happen(time.Now())
		var work chan reconciler.Work
		if len(m.works) < m.config.Workers {
			work = m.work
		}
		var events chan reconciler.Event
		var next reconciler.Event
		if len(m.queue) > 0 {
			events, next = m.events, m.queue[0]
		}
		var probed chan reconciler.Event
		var answer reconciler.Event
		if len(m.answers) > 0 {
			probed, answer = m.probed, m.answers[0]
		}
		probes := m.probes
		if len(m.due) > 0 {
			timer.Reset(time.Until(m.due[0].at))
		} else {
			timer.Stop()
		}
		daemons := m.daemons
		m.mu.Unlock()

		select {
		case w := <-work:
			m.accept(w, daemons)
		case events <- next:
			m.delivered(next, daemons)
		case w := <-probes:
			m.probe(w, daemons)
		case probed <- answer:
			m.answered(daemons)
		case <-timer.C:
		case <-m.wake:
		case <-m.done:
			return
		}
	}
}

// happen does everything that is due. The caller holds mu.
func (m *Machine) happen(now time.Time) {
	for len(m.due) > 0 && !m.due[0].at.After(now) {
		heap.Pop(&m.due).(due).do()
	}
}

// after has do called, with mu held, when d has passed. The caller holds mu.
func (m *Machine) after(d time.Duration, do func()) {
	m.seq++
	heap.Push(&m.due, due{at: time.Now().Add(d), seq: m.seq, do: do})
	m.poke()
}

func (m *Machine) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Machine) send(e reconciler.Event) {
	if m.down {
		return
	}
	m.queue = append(m.queue, e)
	m.poke()
}

func (m *Machine) delivered(e reconciler.Event, daemons int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.daemons != daemons {
		return // the one that it was told to has crashed
	}
	m.queue[0] = reconciler.Event{}
	m.queue = m.queue[1:]
	if g := m.groups[e.Replica]; g != nil {
		g.told.observe(e)
	}
}

// accept takes a work, which keeps one worker busy for as long as the script
// says.
func (m *Machine) accept(w reconciler.Work, daemons int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.daemons != daemons {
		return // the one that gave it has crashed
	}
	m.seq++
	key := m.seq
	m.works[key] = w
	h := m.taken(w)
	var takes time.Duration
	if m.config.Takes != nil {
		takes = m.config.Takes(w)
	}
	m.after(takes, func() {
		if _, under := m.works[key]; under {
			delete(m.works, key)
			if h != nil {
				m.runHook(m.group(w.Replica), h)
				return
			}
			m.finish(w)
		}
	})
}

// taken notes that w was accepted, and says when that breaks a promise. It answers
// the hook that w is.
func (m *Machine) taken(w reconciler.Work) *hook {
	g := m.group(w.Replica)
	switch w.Verb {
	case reconciler.VerbStart:
		m.record(g, Record{What: StartTaken, Run: w.Run, Service: w.Service, Init: w.Init})
		if g.main != nil || g.working == reconciler.VerbStart {
			m.broken(AtMostOne, "start of %v run %d while run %d lives or starts", w.Replica, w.Run, g.run)
		} else if len(g.procs) > 0 && !g.intruded() {
			m.broken(NothingLeft, "start of %v run %d while %d processes of run %d live", w.Replica, w.Run, len(g.procs), g.run)
		}
		if w.Run <= g.lastStart {
			m.broken(RunsDiffer, "start of %v as run %d after run %d", w.Replica, w.Run, g.lastStart)
		}
		if g.hook != nil {
			m.broken(PostStopAlone, "start of %v run %d while %v runs", w.Replica, w.Run, g.hook.work.Hook)
		}
		g.lastStart = w.Run
		g.claim(m, w)
	case reconciler.VerbForget:
		m.record(g, Record{What: ForgetTaken, Run: w.Run})
		if len(g.procs) > 0 && !g.intruded() {
			m.broken(NothingAliveForgotten, "forget of %v while %d processes live", w.Replica, len(g.procs))
		}
		g.claim(m, w)
	case reconciler.VerbCheck:
		m.record(g, Record{What: CheckTaken, Run: w.Run, Service: w.Service})
	case reconciler.VerbInspect:
	case reconciler.VerbHook:
		return m.hookTaken(g, w)
	case reconciler.VerbRelease:
		if g.main != nil || g.working == reconciler.VerbStart {
			m.broken(ReleasedAfterEnd, "release of %v while run %d lives or starts", w.Replica, g.run)
		}
	default:
		panic(fmt.Sprintf("hosttest: work of unknown verb %d", w.Verb))
	}
	return nil
}

// finish answers w.
func (m *Machine) finish(w reconciler.Work) {
	g := m.group(w.Replica)
	answer := reconciler.Event{Replica: w.Replica, Run: w.Run}
	switch w.Verb {
	case reconciler.VerbStart:
		g.working = 0
		m.start(g, w)
		return
	case reconciler.VerbCheck:
		answer.Kind = reconciler.EventChecked
		answer.Service = w.Service
		answer.Failure = m.script(w).Fails
	case reconciler.VerbInspect:
		answer.Kind = reconciler.EventInspected
		answer.Processes = g.list()
		if g.hook != nil {
			answer.Processes = append(answer.Processes, listed(g.hook.procs)...)
		}
	case reconciler.VerbHook: // of a crash: nobody hears of it, and the next host ends it
		return
	case reconciler.VerbRelease:
		m.release(g, w)
		return
	case reconciler.VerbForget:
		g.working = 0
		answer.Kind = reconciler.EventForgotten
		m.record(g, Record{What: Forgotten, Run: w.Run})
		if len(g.procs) > 0 || g.hook != nil {
			answer.Failure = occupied(w.Replica)
		} else {
			g.forgotten, g.lastStart = true, 0
		}
	}
	m.send(answer)
}

func (m *Machine) script(w reconciler.Work) Behaviour {
	if m.config.Script == nil {
		return Behaviour{}
	}
	return m.config.Script(w)
}

// Signal implements reconciler.Host.
func (m *Machine) Signal(id reconciler.ReplicaID, sig syscall.Signal, scope reconciler.Scope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.group(id)
	m.record(g, Record{What: Signalled, Signal: sig, Scope: scope})
	carriesOn := g.service != nil && g.service.Spec.Lifetime == spec.LifetimeGroup
	if g.told == toldEmpty || scope == reconciler.ScopeMain && g.told == toldSurvivors && !carriesOn {
		m.broken(NobodySignalled, "signal %d (scope %d) to %v, which is known to have ended", sig, scope, id)
	}
	for _, p := range g.all() {
		// No process is another's child here: all take the place of a main process.
		if p == g.main || g.main == nil && carriesOn || scope == reconciler.ScopeGroup {
			m.deliver(g, p, sig)
		}
	}
	return nil
}

// Kill implements reconciler.Host.
func (m *Machine) Kill(id reconciler.ReplicaID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.group(id)
	m.record(g, Record{What: Killed})
	if g.told == toldEmpty && g.working != reconciler.VerbStart && g.hook == nil {
		m.broken(NobodySignalled, "kill of %v, which is known to have ended", id)
	}
	if h := g.hook; h != nil {
		m.endHook(g, h, hookFailure(h.work.Hook, "its replica was killed"))
	}
	for _, p := range g.all() {
		m.deliver(g, p, syscall.SIGKILL)
	}
	return nil
}

func (m *Machine) record(g *group, r Record) {
	m.counts[r.What]++
	if m.config.Watch == nil {
		return
	}
	r.At = time.Now()
	r.Replica = g.id
	if r.Run == 0 {
		r.Run = g.run
	}
	if r.Service == nil {
		r.Service = g.service
	}
	r.MainLives = g.main != nil
	r.Lives = len(g.procs)
	m.config.Watch(r)
}

func (m *Machine) broken(promise, story string, args ...any) {
	v := Violation{At: time.Now(), Promise: promise, Story: fmt.Sprintf(story, args...)}
	if m.config.Fail == nil {
		panic(v.Error())
	}
	m.config.Fail(v)
}
