package reconciler_test

import (
	"context"
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

	mu         sync.Mutex
	books      books
	violations []hosttest.Violation
	caught     atomic.Bool // there is a violation

	edits int
	// left are the processes that a daemon before this one left behind.
	left map[reconciler.ReplicaID]bool
}

// newStorm must be called in a synctest bubble; close ends everything in it.
func newStorm(seed uint64, services int, e engine) *storm {
	w := &storm{
		seed: seed, rng: dice(seed, "world"), sets: make(chan *spec.Set), ended: make(chan error, 1),
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
		Takes: func(work reconciler.Work) time.Duration { return takes(seed, work) },
		Watch: func(r hosttest.Record) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.books.see(r)
		},
		Fail: func(v hosttest.Violation) { w.broken(v.Promise, "%s", v.Story) },
	})
	found := w.plant()
	w.watched = &watched{engine: e, broken: w.broken, reports: true}
	w.loop = reconciler.NewLoop(reconciler.Config{
		Host: w.machine, Sets: w.sets, Log: logr.Discard(), Found: found, Verify: true,
		Observe: e.observe, Decide: w.watched.decision,
	})
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	go func() {
		defer func() {
			if p := recover(); p != nil {
				w.broken(CannotHappen, "the loop panics: %v\n%s", p, debug.Stack())
				w.ended <- nil
			}
		}()
		w.ended <- w.loop.Run(ctx)
	}()
	return w
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
	w.books.changing = false
	w.mu.Unlock()
}

// declare makes the loop want what wants says; nil removes a service.
func (w *storm) declare(wants map[string]*spec.Service) {
	names := slices.Sorted(maps.Keys(wants))
	set := &spec.Set{Services: map[string]*spec.Service{}}
	for name, a := range w.books.services {
		if a.want != nil {
			set.Services[name] = a.want
		}
	}
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
		case c.Kind == reconciler.EventStop:
			a.heldAt, a.heldUntil = now, c.Until
		case c.Kind == reconciler.EventStart:
			a.heldAt, a.heldUntil = time.Time{}, time.Time{}
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

// step does one random thing.
func (w *storm) step() {
	name := w.names[w.rng.IntN(len(w.names))]
	w.mu.Lock()
	want := w.books.account(name).want
	w.mu.Unlock()
	if want == nil {
		again := declaration(w.seed, name)
		w.reroll(again)
		w.declare(map[string]*spec.Service{name: again})
		return
	}
	edited := *want
	ordinal := int32(w.rng.IntN(int(want.Spec.Replicas+1))) - 1
	switch n := w.rng.IntN(100); {
	case n < 28:
		w.reroll(&edited)
		w.declare(map[string]*spec.Service{name: &edited})
	case n < 44:
		liveEdit(w.rng, &edited)
		w.declare(map[string]*spec.Service{name: &edited})
	case n < 52:
		edited.Spec.Command = []string{badProgram}
		w.declare(map[string]*spec.Service{name: &edited})
	case n < 62:
		edited.Spec.Replicas = int32(w.rng.IntN(5))
		w.declare(map[string]*spec.Service{name: &edited})
	case n < 68:
		w.declare(map[string]*spec.Service{name: nil})
	case n < 69:
		w.prune()
	case n < 72:
		w.burst()
	case n < 78:
		stop := reconciler.Command{Kind: reconciler.EventStop, Service: name, Ordinal: -1, By: "root"}
		if chance(w.rng, 0.5) {
			stop.Until = time.Now().Add(about(w.rng, 20*time.Minute, 2*time.Hour))
		}
		w.ask(stop)
	case n < 86:
		w.ask(reconciler.Command{Kind: reconciler.EventStart, Service: name, Ordinal: -1})
	case n < 93:
		w.ask(reconciler.Command{Kind: reconciler.EventRestart, Service: name, Ordinal: ordinal})
	default:
		w.crash(name)
	}
}

// reroll makes a restart-class edit, with which the temperament changes.
func (w *storm) reroll(s *spec.Service) {
	w.edits++
	s.Spec.Command = []string{"/bin/web"}
	s.Spec.Args = []string{fmt.Sprint(w.rng.IntN(1000)), fmt.Sprint(w.edits)}
	if chance(w.rng, 0.3) {
		liveEdit(w.rng, s)
	}
}

// prune removes a quarter of everything at once.
func (w *storm) prune() {
	gone := map[string]*spec.Service{}
	for _, name := range w.names {
		if chance(w.rng, 0.25) {
			gone[name] = nil
		}
	}
	w.declare(gone)
}

// burst makes many edits within one instant, as a script that writes files
// does; the loop sees them while it acts.
func (w *storm) burst() {
	w.mu.Lock()
	w.books.changing = true
	w.mu.Unlock()
	final := map[string]*spec.Service{}
	for range 20 {
		name := w.names[w.rng.IntN(len(w.names))]
		s := declaration(w.seed, name)
		w.reroll(s)
		s.Spec.Replicas = int32(w.rng.IntN(4))
		final[name] = s
		set := &spec.Set{Services: maps.Clone(final)}
		for other, a := range w.books.services {
			if set.Services[other] == nil && a.want != nil {
				set.Services[other] = a.want
			}
		}
		w.send(set)
	}
	w.declare(final)
}

// crash ends a random main process of a service.
func (w *storm) crash(name string) {
	id := reconciler.ReplicaID{Service: name, Ordinal: int32(w.rng.IntN(4))}
	w.machine.End(id, end(w.rng))
	synctest.Wait()
}

// audit compares what the loop says with what the machine runs, while nothing
// moves.
func (w *storm) audit() {
	synctest.Wait()
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		return
	}
	said := map[reconciler.ReplicaID]int32{}
	for _, s := range snapshot.Services {
		for _, r := range s.Status.ReplicaStatuses {
			if r.Pid != 0 {
				said[reconciler.ReplicaID{Service: s.Metadata.Name, Ordinal: r.Ordinal}] = r.Pid
			}
		}
	}
	for _, state := range w.machine.States() {
		switch pid := said[state.Replica]; {
		case pid != 0 && pid != state.MainPid:
			w.broken(NoExitLost, "%v is said to run as %d; what runs is %d", state.Replica, pid, state.MainPid)
		case pid == 0 && state.MainPid != 0:
			w.broken(NothingUnseen, "%v runs as %d and is not said to", state.Replica, state.MainPid)
		}
	}
}

// unsettled says what is not as it should be for good; empty when all is.
func (w *storm) unsettled() string {
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		return err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	declared := 0
	for _, a := range w.books.services {
		if a.want != nil {
			declared++
		}
	}
	if len(snapshot.Services) != declared {
		return fmt.Sprintf("%d services are known, %d declared", len(snapshot.Services), declared)
	}
	for _, s := range snapshot.Services {
		a := w.books.account(s.Metadata.Name)
		expected := int(a.want.Spec.Replicas)
		if len(s.Status.ReplicaStatuses) != expected {
			return fmt.Sprintf("%s has %d replicas of %d", s.Metadata.Name, len(s.Status.ReplicaStatuses), expected)
		}
		for _, r := range s.Status.ReplicaStatuses {
			if !mayLast(a, r, now) {
				return fmt.Sprintf("%s is %s for %s: %s (wanted %+v)", r.Name, r.Phase, r.Reason, r.Message, a.want.Spec)
			}
		}
	}
	return ""
}

// mayLast reports whether a replica may stay as it is in a calm.
func mayLast(a *account, r status.Replica, now time.Time) bool {
	held := a.held(now)
	switch r.Phase {
	case status.PhaseRunning:
		switch reconciler.Reason(r.Reason) {
		case "":
			return r.Updated && !held
		case reconciler.ReasonReplacementBlocked, reconciler.ReasonReplacementPending:
			return isBad(a.want)
		case reconciler.ReasonReplacementHalted:
			return true // another replica has given up, or cannot start
		}
		return false
	case status.PhaseHeld:
		return held
	case status.PhaseCompleted, status.PhaseFailed:
		return a.want.Spec.RestartPolicy != spec.RestartAlways || r.Reason == string(reconciler.ReasonRestartLimitExceeded)
	case status.PhasePending:
		return isBad(a.want)
	default:
		return false
	}
}

func (w *storm) declareOne(name string) {
	w.declare(map[string]*spec.Service{name: declaration(w.seed, name)})
}
