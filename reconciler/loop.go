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
	// Unclear are the replicas in whose groups something lives for which there
	// is a record that cannot be read; for each the host sends one Emptied with
	// Run 0 when it is gone.
	Unclear []ReplicaID
	// Restored is what an earlier loop had recorded. For each run in it that had
	// not ended, the host goes on as if it had started it: Exited comes when it
	// ends, or at once when it has; likewise Emptied. The loop owns the slice.
	Restored []Record
	// Prober looks whether processes do their work; nil is nobody, and then no probe
	// ever succeeds.
	Prober Prober
	// Contents delivers what files mean that services name; nil is never. Only the
	// newest matters.
	Contents <-chan *spec.Contents
	// Recorder keeps what must outlive the process; nil is nobody.
	Recorder Recorder
	// First is the first set, when somebody has taken it from Sets; nil if not.
	First *spec.Set
	// Declared is told of each set; nil is nobody. It must not block.
	Declared func(*spec.Set)
	// Conditions are what others than the loop have to say, shown as they are;
	// nil is nobody. It must not block.
	Conditions func() []status.Condition
	// Beat is called every Heartbeat while the loop turns, for a watchdog; not
	// at all when Heartbeat is 0. It must not block.
	Heartbeat time.Duration
	Beat      func()
	// Step is told of each step of which a crash must do no harm; nil is nobody.
	Step func(Step)
	// ServiceConditions, when not nil, are conditions of services that no event
	// tells of, by name. It is called when somebody asks what is so or what has changed,
	// and must not block. What it has told must not change.
	ServiceConditions func() map[string][]status.Condition
	// Revisions numbers states; nil is from 1 on.
	Revisions Revisions
	// Occurred is told what people want to hear of; nil is nobody. It must not block.
	Occurred func(Occurrence)
	// Cgroup tells the directory of the cgroup that a replica runs in; empty is none, as
	// is a nil function. Whoever asks for a snapshot calls it.
	Cgroup func(ReplicaID) string
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
	probes   workQueue
	// dependents are the records that depend on a service, by its name; concerned
	// are those to decide about because another one has changed.
	dependents map[string][]*record
	concerned  []*record
	contents   *spec.Contents
	stamp      time.Time // the last time given out by now
	runs       uint64    // the last run or question given out
	set        *spec.Set
	actions    []Action // scratch of turn
	busy       int      // records that are not quiet
	pending    int      // starts and forgets that the host has not answered yet
	beatAt     time.Time
	stopping   time.Time
	handover   *handoverRequest // what waits for the host's answers; nil is nothing
	history    history

	changesAsked chan changesRequest
	runsAsked    chan runRequest

	commands  chan commandRequest
	snapshots chan snapshotRequest
	shutdowns chan bool
	handovers chan *handoverRequest
	done      chan struct{}
}

// record is a service as the loop keeps it: wanted and known side by side.
type record struct {
	want  *spec.Service // nil: not declared any more
	facts Facts
	due   time.Time
	// revision is of the last change that is shown.
	revision uint64
	place    int32 // in the heap of due times; -1 is none
	// queued says that the record is in the queue of those with work, probing in
	// that of those to probe.
	queued, probing bool
	busy            bool
	ties            *ties
}

// NewLoop returns a loop that knows what was restored and does nothing until Run.
func NewLoop(c Config) *Loop {
	if c.Observe == nil {
		c.Observe = Observe
	}
	if c.Decide == nil {
		c.Decide = Decide
	}
	l := &Loop{
		Config:   c,
		services: map[string]*record{}, dependents: map[string][]*record{},
		commands:  make(chan commandRequest),
		snapshots: make(chan snapshotRequest),
		shutdowns: make(chan bool),
		handovers: make(chan *handoverRequest),
		done:      make(chan struct{}),

		changesAsked: make(chan changesRequest),
		runsAsked:    make(chan runRequest),
	}
	if l.Revisions == nil {
		l.Revisions = &counter{}
	}
	l.history.since = l.Revisions.Next()
	l.restore()
	return l
}

// Run reconciles until a shutdown is complete, or a handover has succeeded, or
// ctx is done: then it returns at once, ctx's error, and leaves everything
// running. It may be called once.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.done)
	l.timer = time.NewTimer(time.Hour)
	l.timer.Stop()
	defer l.timer.Stop()
	l.begin()
	events := l.Host.Events()
	var probed <-chan Event
	if l.Prober != nil {
		probed = l.Prober.Events()
	}
	for l.stopping.IsZero() || l.busy > 0 {
		if l.handedOver() {
			return nil
		}
		offer, to := l.offer()
		probe, prober := l.pushProbes()
		l.arm()
		// Ready cases run in random order; none may depend on another's turn.
		select {
		case e := <-events:
			l.happened(e)
		case to <- offer:
			l.taken(offer)
		case e := <-probed:
			l.probed(e, probed)
		case prober <- probe:
			l.probeTaken(probe)
		case set := <-l.Sets:
			l.declare(set)
		case c := <-l.Contents:
			l.learn(c)
		case <-l.timer.C:
			l.armed = time.Time{}
			l.wake()
		case r := <-l.commands:
			r.answer <- l.command(r.Command)
		case r := <-l.snapshots:
			r.answer <- l.snapshot(r)
		case r := <-l.changesAsked:
			r.answer <- l.changesSince(r.since)
		case r := <-l.runsAsked:
			r.answer <- l.runOf(r.replica)
		case immediately := <-l.shutdowns:
			l.shutdown(immediately)
		case r := <-l.asked():
			l.prepare(r)
		case <-l.abandoned():
			l.endHandover(context.Cause(l.handover.ctx))
		case <-l.still():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// begin takes in what was there before the loop.
func (l *Loop) begin() {
	if l.Heartbeat > 0 {
		l.beatAt = l.now().Add(l.Heartbeat)
	}
	l.tieAll()
	for _, id := range l.Found {
		l.happened(Event{Kind: EventFound, Replica: id})
	}
	for _, id := range l.Unclear {
		l.happened(Event{Kind: EventUnclear, Replica: id})
	}
	if l.First != nil {
		l.declare(l.First)
	}
}

// ErrStopped answers whoever asks a loop that has ended.
var ErrStopped = errors.New("the daemon has stopped")

// await waits for the loop's answer to somebody; it is none when the loop ends
// without one.
func await[T any](l *Loop, answer <-chan T, none T) T {
	select {
	case a := <-answer:
		return a
	case <-l.done:
	}
	select {
	case a := <-answer: // its last deed
		return a
	default:
		return none
	}
}

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
	l.beat(now)
	for len(l.due) > 0 && !l.due[0].due.After(now) {
		r := l.due[0]
		l.due.remove(r)
		r.due = time.Time{}
		l.wokeUp(r)
		l.turn(r)
	}
}

// arm sets the one timer to the earliest due time, if it is not yet.
func (l *Loop) arm() {
	var earliest time.Time
	if len(l.due) > 0 {
		earliest = l.due[0].due
	}
	earliest = earlier(earliest, l.beatAt)
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
	switch e.Kind {
	case EventStarted, EventStartFailed, EventForgotten:
		l.pending--
	default:
	}
	l.step(stepOf(e.Kind), true)
	r := l.services[e.Replica.Service]
	if r == nil {
		if e.Kind.late() {
			return // about what was removed meanwhile
		}
		if e.Kind != EventFound && e.Kind != EventUnclear {
			l.impossible("Event of an unknown service", e)
			return
		}
		r = l.add(e.Replica.Service)
	}
	if (e.Kind == EventFound || e.Kind == EventUnclear) && r.facts.index(e.Replica.Ordinal) < 0 {
		r.facts.Replicas = append(r.facts.Replicas, Instance{ID: e.Replica})
		slices.SortFunc(r.facts.Replicas, byOrdinal)
	}
	l.observe(r, e)
	l.turn(r)
}

// observe folds an event into the record's facts, and logs what became of it.
func (l *Loop) observe(r *record, e Event) {
	r.facts = ObserveService(r.facts, e)
	before, i := l.observeReplica(r, e)
	if i == nil || shows(&before, i, e) {
		l.changed(r)
		if l.Occurred != nil {
			l.occurred(r, &before, i, e)
		}
	}
	l.logEvent(r, e)
	if i != nil && (before.Life != nil || i.Life != nil) {
		l.logLife(&before, i, e)
	}
}

// observeReplica answers the replica before and after, or nil when it is not known.
func (l *Loop) observeReplica(r *record, e Event) (before Instance, i *Instance) {
	if n := r.facts.index(e.Replica.Ordinal); n >= 0 && e.Kind.ofReplica() {
		before = r.facts.Replicas[n]
		i = &r.facts.Replicas[n]
		*i = l.Observe(before, e)
		i.remember(&before)
		if e.Kind.kept() || e.Kind.tells() && turned(&before, i) {
			l.keep(r, i)
		}
	}
	return before, i
}

func (l *Loop) shutdown(immediately bool) {
	e := Event{Kind: EventShutdown, At: l.now()}
	if l.stopping.IsZero() {
		l.stopping = e.At
		l.Log.Info("Stopping all services", "services", len(l.services))
		l.occurredIn("", false, OccurredShutdown, "all services are stopped")
	}
	if immediately {
		e.Kind = EventShutdownNow
		l.Log.Info("Killing all services")
	}
	for _, r := range l.services {
		r.facts = ObserveService(r.facts, e)
		l.changed(r)
	}
	for _, r := range l.services {
		l.tellNeeds(r, false)
	}
	for _, r := range l.services {
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
