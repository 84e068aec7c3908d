package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
	"svc.d/status"
)

// The promises that are audited while the world holds its breath.
const (
	NoExitLost    = "NoExitLost"    // what is said to run does run
	NothingUnseen = "NothingUnseen" // what runs is said to run
	Converges     = "Converges"     // in a calm all is as declared, or has a reason that may last
	SilentInCalm  = "SilentInCalm"  // in a calm nothing wakes up
	ShutdownEnds  = "ShutdownEnds"  // a shutdown ends everything, and itself
	NothingKept   = "NothingKept"   // what was removed is forgotten
	ChangesTold   = "ChangesTold"   // what is shown otherwise has another revision
	CannotHappen  = "CannotHappen"  // the loop meets nothing that its design rules out
)

// storm is one simulated machine with a loop on it, and what happens to them.
type storm struct {
	seed    uint64
	rng     *rand.Rand
	names   []string
	calm    atomic.Bool
	machine *hosttest.Machine
	watched *watched
	loop    *reconciler.Loop
	sets    chan *spec.Set
	ended   chan error
	end     context.CancelFunc
	mortal

	mu         sync.Mutex
	books      books
	violations []hosttest.Violation
	caught     atomic.Bool // there is a violation

	edits int
	// shown is what was told of services, by name, since the loop runs.
	shown map[string]status.Service
	// left are the processes that a daemon before this one left behind.
	left map[reconciler.ReplicaID]bool
}

// newStorm must be called in a synctest bubble; close ends everything in it.
func newStorm(seed uint64, services int, e engine) *storm {
	w := &storm{
		seed: seed, rng: dice(seed, "world"), mortal: newMortal(e),
		left: map[reconciler.ReplicaID]bool{},
	}
	for n := range services {
		w.names = append(w.names, fmt.Sprintf("s%02d", n))
	}
	w.books = books{
		services: map[string]*account{}, replicas: map[reconciler.ReplicaID]*book{},
		broken: w.brokenLocked,
	}
	w.machine = hosttest.NewMachine(hosttest.Config{
		Script: func(work reconciler.Work) hosttest.Behaviour {
			b := behaviour(seed, work)
			if w.calm.Load() && !isBad(work.Service) {
				return hosttest.Behaviour{}
			}
			return b
		},
		Takes:    func(work reconciler.Work) time.Duration { return takes(seed, work) },
		Survives: func(work reconciler.Work) bool { return chance(dice(seed, "survives", work.Replica, work.Run), 0.5) },
		Tells:    func(id reconciler.ReplicaID, run uint64) bool { return chance(dice(seed, "tells", id, run), 0.5) },
		Watch: func(r hosttest.Record) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if r.What == hosttest.Exited && r.MainLives {
				w.died[r.Replica] = r.Run
			}
			w.books.see(r)
		},
		Fail: func(v hosttest.Violation) { w.broken(v.Promise, "%s", v.Story) },
	})
	found := w.plant()
	w.watched = &watched{engine: w.untilCaught(e), broken: w.broken, reports: true}
	w.open(reconciler.Config{Found: found})
	return w
}

// open runs a loop on the machine.
func (w *storm) open(c reconciler.Config) {
	w.sets, w.ended = make(chan *spec.Set), make(chan error, 1)
	w.fuse.Store(0)
	w.shown = map[string]status.Service{}
	c.Host, c.Sets, c.Log, c.Verify = w.machine, w.sets, logr.Discard(), true
	c.Observe, c.Decide, c.Step = w.watched.engine.observe, w.watched.decision, w.burn
	if c.Recorder == nil {
		c.Recorder = w.keeper
	}
	loop, ended := reconciler.NewLoop(c), w.ended
	if w.bugs.begun != nil && c.Restored != nil && !w.caught.Load() {
		w.bugs.begun(loop)
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	w.loop = loop
	go func() {
		err := errCrashed
		defer func() {
			if p := recover(); p != nil {
				w.broken(CannotHappen, "the loop panics: %v\n%s", p, debug.Stack())
				err = nil
			}
			ended <- err
		}()
		err = loop.Run(ctx)
	}()
}

// untilCaught is an engine that turns good once a promise was broken, so that a
// world with a planted bug comes to its end.
func (w *storm) untilCaught(e engine) engine {
	return engine{
		observe: func(i reconciler.Instance, ev reconciler.Event) reconciler.Instance {
			if w.caught.Load() {
				return genuine.observe(i, ev)
			}
			return e.observe(i, ev)
		},
		decide: func(want *spec.Service, f *reconciler.Facts, now time.Time, into []reconciler.Action) ([]reconciler.Action, time.Time) {
			if w.caught.Load() {
				return genuine.decide(want, f, now, into)
			}
			return e.decide(want, f, now, into)
		},
	}
}

// plant leaves processes in some groups, of which the loop is told or not.
func (w *storm) plant() []reconciler.ReplicaID {
	var found []reconciler.ReplicaID
	for _, name := range append([]string{"gone"}, w.names[:len(w.names)/5]...) {
		id := reconciler.ReplicaID{Service: name, Ordinal: int32(w.rng.IntN(4))}
		told := name == "gone" || chance(w.rng, 0.7)
		plant := w.machine.Intrude
		if told {
			plant = w.machine.Plant
		}
		plant(id, hosttest.Child{Temper: temper(w.rng)}, hosttest.Child{Temper: temper(w.rng)})
		if w.left[id] = true; told {
			found = append(found, id)
		}
	}
	return found
}

func (w *storm) close() {
	w.end()
	w.machine.Close()
}

func (w *storm) broken(promise, story string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.brokenLocked(promise, story, args...)
}

func (w *storm) brokenLocked(promise, story string, args ...any) {
	w.caught.Store(true)
	if len(w.violations) < 10 {
		w.violations = append(w.violations, hosttest.Violation{
			At: time.Now(), Promise: promise, Story: fmt.Sprintf(story, args...),
		})
	}
}

// change does something to what is wanted: before lets the books expect it,
// tell tells the loop, and after makes the books insist on it, once everything
// has come to rest.
func (w *storm) change(names []string, tell func(), after func(now time.Time)) {
	w.mu.Lock()
	one := !w.books.changing
	w.books.changing = true
	w.mu.Unlock()
	tell()
	synctest.Wait()
	w.mu.Lock()
	now := time.Now()
	for _, name := range names {
		w.books.account(name).touched = now
	}
	after(now)
	w.books.changed(one && !w.dead()) // what a crash interrupts may be done or not
	w.mu.Unlock()
}

// declare makes the loop want what wants says; nil removes a service.
func (w *storm) declare(wants map[string]*spec.Service) {
	names := slices.Sorted(maps.Keys(wants))
	set := &spec.Set{Services: w.wanted()}
	for name, want := range wants {
		if delete(set.Services, name); want != nil {
			set.Services[name] = want
		}
	}
	w.change(names, func() { w.send(set) }, func(time.Time) {
		for _, name := range names {
			w.books.declared(name, wants[name])
		}
	})
}

// wanted is what is declared now; the map is the caller's own.
func (w *storm) wanted() map[string]*spec.Service {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]*spec.Service{}
	for name, a := range w.books.services {
		if a.want != nil {
			all[name] = a.want
		}
	}
	return all
}

func (w *storm) send(set *spec.Set) {
	select {
	case w.sets <- set:
	case err := <-w.ended:
		w.ended <- err
	}
}

// ask carries out a person's command.
func (w *storm) ask(c reconciler.Command) {
	former := w.pardon(c)
	var err error
	w.change([]string{c.Service}, func() { err = w.loop.Do(context.Background(), c) }, func(now time.Time) {
		a := w.books.account(c.Service)
		switch {
		case err != nil:
			for id, k := range former {
				*w.books.book(id) = k
			}
			if errors.Is(err, reconciler.ErrStopped) {
				w.interrupted[c.Service] = true
			}
		case c.Kind == reconciler.EventStop:
			a.heldAt, a.heldUntil = now, c.Until
		case c.Kind == reconciler.EventStart:
			a.heldAt, a.heldUntil, a.startAsked = time.Time{}, time.Time{}, now
		default:
			for ordinal := range int32(10) {
				if c.Ordinal < 0 || c.Ordinal == ordinal {
					a.restartAsked[ordinal] = now
				}
			}
		}
	})
}

// pardon forgets the ends of whom a person wants to start again, and returns
// the books as they were before.
func (w *storm) pardon(c reconciler.Command) map[reconciler.ReplicaID]book {
	w.mu.Lock()
	defer w.mu.Unlock()
	former := map[reconciler.ReplicaID]book{}
	for id, k := range w.books.replicas {
		if c.Kind != reconciler.EventStop && id.Service == c.Service && (c.Ordinal < 0 || c.Ordinal == id.Ordinal) {
			former[id] = *k
			k.streak, k.ends = 0, nil
		}
	}
	return former
}

func (w *storm) declareOne(name string) {
	w.declare(map[string]*spec.Service{name: declaration(w.seed, name)})
}
