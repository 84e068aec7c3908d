package hosttest

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// silence is how long the suite waits for an event that must come before it
// says so. It decides nothing else.
const silence = time.Minute

// readyLooks is how often the suite looks whether a program is ready, which takes
// some milliseconds, before it says that it will never be.
const readyLooks = 30_000

// client stands for the loop: it offers work, receives events, and checks at
// each one what a Host guarantees.
type client struct {
	t      *testing.T
	target Target
	nextID uint64
	runs   map[reconciler.ReplicaID]*seen
	works  map[question]bool // asked and not answered
	events []reconciler.Event
}

type question struct {
	id  reconciler.ReplicaID
	run uint64
}

// seen is what a host has told of a replica's last run.
type seen struct {
	run  uint64
	live bool // started and not exited
	left bool // exited with survivors and not emptied
}

func newClient(t *testing.T, target Target) *client {
	return &client{t: t, target: target, runs: map[reconciler.ReplicaID]*seen{}, works: map[question]bool{}}
}

// service declares a program with what a manifest's defaults give.
func (c *client) service(p Program, edits ...func(*spec.Spec)) *spec.Service {
	c.t.Helper()
	s := &spec.Service{
		APIVersion: spec.APIVersion,
		Kind:       spec.KindService,
		Metadata:   spec.Metadata{Name: "conformance"},
		Spec: spec.Spec{
			Replicas:                      1,
			Command:                       c.target.Programs(c.t, p),
			WorkingDir:                    "/",
			SecurityContext:               spec.SecurityContext{Umask: 0o022},
			RestartPolicy:                 spec.RestartAlways,
			SuccessExitCodes:              []int32{0},
			Lifecycle:                     spec.Lifecycle{StopSignal: "SIGTERM"},
			TerminationGracePeriodSeconds: 30,
			Log:                           spec.Defaults().Log,
		},
	}
	for _, edit := range edits {
		edit(&s.Spec)
	}
	return s
}

// offer gives the host a work, receiving events all the while.
func (c *client) offer(verb reconciler.Verb, id reconciler.ReplicaID, s *spec.Service) uint64 {
	c.t.Helper()
	return c.offerWork(reconciler.Work{Verb: verb, Replica: id, Service: s})
}

func (c *client) offerWork(w reconciler.Work) uint64 {
	c.t.Helper()
	c.nextID++
	w.Run = c.nextID
	for {
		select {
		case c.target.Host.Work() <- w:
			c.works[question{w.Replica, w.Run}] = true
			return w.Run
		case e := <-c.target.Host.Events():
			c.observe(e)
		case <-time.After(silence):
			c.t.Fatalf("the host did not take a work of verb %d for %v", w.Verb, w.Replica)
		}
	}
}

// await receives events until one is as wanted, which it returns. Events that
// came before are searched first; each is found once.
func (c *client) await(id reconciler.ReplicaID, run uint64, kind reconciler.EventKind) reconciler.Event {
	c.t.Helper()
	for {
		for i, e := range c.events {
			if e.Kind == kind && e.Replica == id && e.Run == run {
				c.events = slices.Delete(c.events, i, i+1)
				return e
			}
		}
		c.receive(id, run, kind)
	}
}

func (c *client) receive(id reconciler.ReplicaID, run uint64, kind reconciler.EventKind) {
	c.t.Helper()
	select {
	case e := <-c.target.Host.Events():
		c.observe(e)
	case <-time.After(silence):
		for _, e := range c.events {
			if e.Failure != nil {
				c.t.Errorf("unclaimed is the failure %+v", *e.Failure)
			}
		}
		c.t.Fatalf("no event of kind %d for %v run %d; unclaimed events: %+v", kind, id, run, c.events)
	}
}

// observe checks an event against what came before it.
func (c *client) observe(e reconciler.Event) {
	c.t.Helper()
	c.events = append(c.events, e)
	r := c.runs[e.Replica]
	if r == nil {
		r = &seen{}
		c.runs[e.Replica] = r
	}
	if !e.At.IsZero() {
		c.t.Errorf("event %+v has a time; only the loop reads the clock", e)
	}
	switch e.Kind {
	case reconciler.EventStarted:
		c.answered(e)
		if r.live || r.left {
			c.t.Errorf("%v run %d started while run %d lives", e.Replica, e.Run, r.run)
		}
		if e.Pid <= 0 || e.StartTicks == 0 {
			c.t.Errorf("%v started with pid %d and start ticks %d", e.Replica, e.Pid, e.StartTicks)
		}
		*r = seen{run: e.Run, live: true}
	case reconciler.EventStartFailed:
		c.answered(e)
		if e.Failure == nil || e.Failure.Reason == "" || e.Failure.Message == "" {
			c.t.Errorf("%v failed to start without a reason: %+v", e.Replica, e)
		}
	case reconciler.EventExited:
		if !r.live || r.run != e.Run {
			c.t.Errorf("%v run %d exited; known is %+v", e.Replica, e.Run, *r)
		}
		r.live, r.left = false, len(e.Processes) > 0
	case reconciler.EventEmptied:
		if !r.left || r.run != e.Run {
			c.t.Errorf("%v run %d was emptied; known is %+v", e.Replica, e.Run, *r)
		}
		r.left = false
	case reconciler.EventChecked, reconciler.EventInspected, reconciler.EventForgotten, reconciler.EventReleased:
		c.answered(e)
	case reconciler.EventHookEnded:
		c.answered(e)
		if e.Hook == reconciler.HookNone || e.Failure != nil && (e.Failure.Reason == "" || e.Failure.Message == "") {
			c.t.Errorf("a hook of %v ended without a name or a reason: %+v", e.Replica, e)
		}
	case reconciler.EventNotified, reconciler.EventLineSeen:
		if !r.live && !r.left || r.run != e.Run {
			c.t.Errorf("%v run %d told of itself; known is %+v", e.Replica, e.Run, *r)
		}
	default:
		c.t.Errorf("a host has no event of kind %d", e.Kind)
	}
}

func (c *client) answered(e reconciler.Event) {
	c.t.Helper()
	q := question{e.Replica, e.Run}
	if !c.works[q] {
		c.t.Errorf("event %+v answers nothing that is open", e)
	}
	delete(c.works, q)
}

// start starts a program that runs, and returns its run and first event.
func (c *client) start(id reconciler.ReplicaID, s *spec.Service) (uint64, reconciler.Event) {
	c.t.Helper()
	run := c.offer(reconciler.VerbStart, id, s)
	for {
		for i, e := range c.events {
			if e.Replica == id && e.Run == run && e.Kind == reconciler.EventStartFailed {
				c.t.Fatalf("%v did not start: %+v", id, *e.Failure)
			}
			if e.Replica == id && e.Run == run && e.Kind == reconciler.EventStarted {
				c.events = slices.Delete(c.events, i, i+1)
				return run, e
			}
		}
		c.receive(id, run, reconciler.EventStarted)
	}
}

// ready starts a program and returns when it takes signals as it should: its
// processes are asked for until they go by the names that tell.
func (c *client) ready(id reconciler.ReplicaID, p Program) (uint64, reconciler.Event) {
	c.t.Helper()
	run, started := c.start(id, c.service(p))
	for range readyLooks {
		names := map[string]int{}
		for _, q := range c.inspect(id) {
			names[q.Name]++
		}
		for _, name := range p.awaited() {
			names[name]--
		}
		if !slices.ContainsFunc(p.awaited(), func(name string) bool { return names[name] < 0 }) {
			return run, started
		}
	}
	c.t.Fatalf("%v (%s) does not get ready", id, p)
	return 0, started
}

func (c *client) inspect(id reconciler.ReplicaID) []reconciler.Process {
	c.t.Helper()
	return c.await(id, c.offer(reconciler.VerbInspect, id, nil), reconciler.EventInspected).Processes
}

func (c *client) check(id reconciler.ReplicaID, s *spec.Service) *reconciler.Failure {
	c.t.Helper()
	return c.await(id, c.offer(reconciler.VerbCheck, id, s), reconciler.EventChecked).Failure
}

func (c *client) forget(id reconciler.ReplicaID) {
	c.t.Helper()
	if f := c.await(id, c.offer(reconciler.VerbForget, id, nil), reconciler.EventForgotten).Failure; f != nil {
		c.t.Errorf("forgetting %v failed: %+v", id, *f)
	}
}

func (c *client) signal(id reconciler.ReplicaID, sig syscall.Signal, scope reconciler.Scope) {
	c.t.Helper()
	if err := c.target.Host.Signal(id, sig, scope); err != nil {
		c.t.Errorf("signal %d to %v: %v", sig, id, err)
	}
}

func (c *client) kill(id reconciler.ReplicaID) {
	c.t.Helper()
	if err := c.target.Host.Kill(id); err != nil {
		c.t.Errorf("kill of %v: %v", id, err)
	}
}

// exited waits for the end of a run and of everything that it left behind.
func (c *client) exited(id reconciler.ReplicaID, run uint64) reconciler.Event {
	c.t.Helper()
	e := c.await(id, run, reconciler.EventExited)
	if len(e.Processes) > 0 {
		c.await(id, run, reconciler.EventEmptied)
	}
	return e
}

// finish ends everything that still runs, forgets it, and checks that nothing
// was left unanswered or unclaimed.
func (c *client) finish() {
	c.t.Helper()
	for len(c.works) > 0 { // two workers may answer in any order
		for q := range c.works {
			c.receive(q.id, q.run, 0)
			break
		}
	}
	for id, r := range c.runs {
		if r.live || r.left {
			c.kill(id)
		}
		for r.live || r.left {
			c.receive(id, r.run, reconciler.EventExited)
		}
		if left := c.inspect(id); len(left) > 0 {
			c.t.Errorf("%v has processes left at the end: %+v", id, left)
		}
		c.forget(id)
	}
	for q := range c.works {
		c.t.Errorf("work %d of %v was not answered", q.run, q.id)
	}
}
