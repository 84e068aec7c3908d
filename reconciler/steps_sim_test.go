package reconciler_test

import (
	"fmt"
	"maps"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// step does one random thing.
func (w *storm) step() {
	if w.dead() {
		w.revive(nil)
	}
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
	switch n := w.rng.IntN(112); {
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
	case n < 100:
		w.crash(name)
	case n < 104:
		w.crashAtRest()
	case n < 109:
		w.fuse.Store(int64(1 + w.rng.IntN(60)))
	default:
		w.handOver()
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
		set := &spec.Set{Services: w.wanted()}
		maps.Copy(set.Services, final)
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
