package reconciler

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"svc.d/spec"
	"svc.d/status"
)

// Config is what a Loop needs. Host, Sets and Log are required.
type Config struct {
	Host Host
	// Sets delivers what is wanted. Only the newest matters.
	Sets <-chan *spec.Set
	Log  logr.Logger
	// Found are the replicas in whose groups a daemon that died left
	// something; for each the host sends one Emptied with Run 0 when it is
	// gone.
	Found []ReplicaID
	// Conditions are what the host has to say of itself; shown as they are.
	Conditions []status.Condition
	// Verify makes what "cannot happen" a panic instead of a log line.
	Verify bool

	// Observe and Decide are the engine's own when nil. Tests plant bugs here.
	Observe func(Instance, Event) Instance
	Decide  func(*spec.Service, *Facts, time.Time, []Action) ([]Action, time.Time)
}

// Loop owns every record and is the only one that reads the clock: it receives
// what happened, observes, decides and acts. It never blocks on a send.
type Loop struct {
	Config
	services map[string]*record
	due      dueHeap
	timer    *time.Timer
	armed    time.Time // what the timer is set to; zero when it is stopped
	queue    workQueue
	stamp    time.Time // the last time given out by now
	runs     uint64    // the last run or question given out
	set      *spec.Set
	actions  []Action // scratch of turn
	busy     int      // records that are not quiet
	stopping time.Time

	commands  chan commandRequest
	snapshots chan snapshotRequest
	shutdowns chan bool
	done      chan struct{}
}

// record is a service as the loop keeps it: wanted and known side by side.
type record struct {
	want  *spec.Service // nil: not declared any more
	facts Facts
	due   time.Time
	place int // in the heap of due times; -1 is none
	// queued says that the record is in the queue of those with work.
	queued bool
	busy   bool
}

// NewLoop returns a loop that does nothing until Run.
func NewLoop(c Config) *Loop {
	if c.Observe == nil {
		c.Observe = Observe
	}
	if c.Decide == nil {
		c.Decide = Decide
	}
	return &Loop{
		Config:    c,
		services:  map[string]*record{},
		commands:  make(chan commandRequest),
		snapshots: make(chan snapshotRequest),
		shutdowns: make(chan bool),
		done:      make(chan struct{}),
	}
}

// Run reconciles until a shutdown is complete, or ctx is done: then it returns
// at once, ctx's error, and leaves everything running. It may be called once.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.done)
	l.timer = time.NewTimer(time.Hour)
	l.timer.Stop()
	defer l.timer.Stop()
	for _, id := range l.Found {
		l.happened(Event{Kind: EventFound, Replica: id})
	}
	events := l.Host.Events()
	for l.stopping.IsZero() || l.busy > 0 {
		offer, to := l.offer()
		l.arm()
		// Ready cases run in random order; none may depend on another's turn.
		select {
		case e := <-events:
			l.happened(e)
		case to <- offer:
			l.taken(offer)
		case set := <-l.Sets:
			l.declare(set)
		case <-l.timer.C:
			l.armed = time.Time{}
			l.wake()
		case r := <-l.commands:
			r.answer <- l.command(r.Command)
		case r := <-l.snapshots:
			r.answer <- l.snapshot(r.names)
		case immediately := <-l.shutdowns:
			l.shutdown(immediately)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ErrStopped answers whoever asks a loop that has ended.
var ErrStopped = errors.New("the daemon has stopped")

// Shutdown asks to stop everything: in order and with grace, or, when
// immediately is true, by killing it. It is one-way. It returns when the loop
// knows, not when it is done; a loop that has ended is no error.
func (l *Loop) Shutdown(immediately bool) {
	select {
	case l.shutdowns <- immediately:
	case <-l.done:
	}
}

// now is the time of an event. No two events have the same time, so the order
// of facts can always be told.
func (l *Loop) now() time.Time {
	t := time.Now()
	if !t.After(l.stamp) {
		t = l.stamp.Add(time.Nanosecond)
	}
	l.stamp = t
	return t
}

// wake turns every record whose time has come.
func (l *Loop) wake() {
	now := l.now()
	for len(l.due) > 0 && !l.due[0].due.After(now) {
		r := l.due[0]
		l.due.remove(r)
		r.due = time.Time{}
		l.turn(r)
	}
}

// arm sets the one timer to the earliest due time, if it is not yet.
func (l *Loop) arm() {
	var earliest time.Time
	if len(l.due) > 0 {
		earliest = l.due[0].due
	}
	if earliest.Equal(l.armed) {
		return
	}
	l.armed = earliest
	if earliest.IsZero() {
		l.timer.Stop()
		return
	}
	l.timer.Reset(time.Until(earliest))
}

// happened takes in what the host saw.
func (l *Loop) happened(e Event) {
	e.At = l.now()
	r := l.services[e.Replica.Service]
	if r == nil {
		if e.Kind == EventChecked || e.Kind == EventInspected {
			return // a late answer about what was removed meanwhile
		}
		if e.Kind != EventFound {
			l.impossible("Event of an unknown service", e)
			return
		}
		r = l.add(e.Replica.Service)
	}
	if e.Kind == EventFound && r.facts.index(e.Replica.Ordinal) < 0 {
		r.facts.Replicas = append(r.facts.Replicas, Instance{ID: e.Replica})
		slices.SortFunc(r.facts.Replicas, byOrdinal)
	}
	l.observe(r, e)
	l.logEvent(r, e)
	l.turn(r)
}

// observe folds an event into the record's facts.
func (l *Loop) observe(r *record, e Event) {
	r.facts = ObserveService(r.facts, e)
	if n := r.facts.index(e.Replica.Ordinal); n >= 0 && e.Kind.ofReplica() {
		r.facts.Replicas[n] = l.Observe(r.facts.Replicas[n], e)
	}
}

// declare takes in a new set: whoever's pointer changed has changed.
func (l *Loop) declare(set *spec.Set) {
	l.logSet(l.set, set)
	l.set = set
	if !l.stopping.IsZero() {
		return
	}
	var changed []string
	for name, want := range set.Services {
		if r := l.services[name]; r == nil || r.want != want {
			changed = append(changed, name)
		}
	}
	for name, r := range l.services {
		if r.want != nil && set.Services[name] == nil {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	for _, name := range changed {
		r := l.services[name]
		if r == nil {
			r = l.add(name)
		}
		l.want(r, set.Services[name])
	}
}

func (l *Loop) want(r *record, want *spec.Service) {
	e := Event{Kind: EventDeclared, Service: want, At: l.now()}
	l.logDeclared(r, want)
	r.want = want
	r.facts = ObserveService(r.facts, e)
	l.turn(r)
}

func (l *Loop) add(name string) *record {
	r := &record{facts: Facts{Name: name}, place: -1}
	l.services[name] = r
	return r
}

func (l *Loop) shutdown(immediately bool) {
	e := Event{Kind: EventShutdown, At: l.now()}
	if l.stopping.IsZero() {
		l.stopping = e.At
		l.Log.Info("Stopping all services", "services", len(l.services))
	}
	if immediately {
		e.Kind = EventShutdownNow
		l.Log.Info("Killing all services")
	}
	for _, r := range l.services {
		r.facts = ObserveService(r.facts, e)
		l.turn(r)
	}
}

// impossible reports what the design rules out.
func (l *Loop) impossible(message string, e Event) {
	if l.Verify {
		panic(message + ": " + e.Replica.String())
	}
	l.Log.Error(nil, message, "replica", e.Replica.String(), "event", e.Kind, "run", e.Run)
}
