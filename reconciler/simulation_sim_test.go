package reconciler_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

// simulationSize reads how much is simulated. The defaults keep a plain
// `go test` short; RECONCILER_SIM_SEEDS=200 is what every change must pass.
type simulationSize struct {
	first, seeds, hours, services int
}

func size(t *testing.T) simulationSize {
	t.Helper()
	number := func(name string, or int) int {
		s := os.Getenv(name)
		if s == "" {
			return or
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			t.Fatalf("%s=%q is not a number", name, s)
		}
		return n
	}
	s := simulationSize{
		first: number("RECONCILER_SIM_SEED", 1), seeds: number("RECONCILER_SIM_SEEDS", 8),
		hours: number("RECONCILER_SIM_HOURS", 12), services: number("RECONCILER_SIM_SERVICES", 50),
	}
	if os.Getenv("RECONCILER_SIM_SEED") != "" && os.Getenv("RECONCILER_SIM_SEEDS") == "" {
		s.seeds = 1
	}
	return s
}

// TestSimulatedWorldsKeepEveryPromise lets a storm of edits, commands, crashes
// and failures go over simulated machines, then a calm, then a shutdown.
func TestSimulatedWorldsKeepEveryPromise(t *testing.T) {
	s := size(t)
	for seed := s.first; seed < s.first+s.seeds; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			violations := simulate(t, uint64(seed), time.Duration(s.hours)*time.Hour, s.services, genuine)
			for _, v := range violations {
				t.Errorf("%v", v)
			}
			if len(violations) > 0 {
				t.Logf("again: RECONCILER_SIM_SEED=%d RECONCILER_SIM_HOURS=%d RECONCILER_SIM_SERVICES=%d go test -run TestSimulatedWorlds ./reconciler/",
					seed, s.hours, s.services)
			}
		})
	}
}

// simulate runs one world and returns the promises that it broke, the first
// ones first. It stops soon after the first.
func simulate(t *testing.T, seed uint64, lasting time.Duration, services int, e engine) (violations []hosttest.Violation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newStorm(seed, services, e)
		defer func() {
			w.close()
			synctest.Wait()
			violations = w.violations
			if testing.Verbose() {
				t.Logf("%d starts, %d exits, %d decisions", w.machine.Count(hosttest.Started), w.machine.Count(hosttest.Exited), w.watched.calls.Load())
			}
		}()
		w.rage(lasting)
		if seed%4 != 0 && !w.caught.Load() {
			w.settle()
		}
		if !w.caught.Load() {
			w.shutDown()
		}
	})
	return violations
}

// rage is the storm.
func (w *storm) rage(lasting time.Duration) {
	for _, name := range w.names {
		if chance(w.rng, 0.9) {
			w.declareOne(name)
		}
	}
	end := time.Now().Add(lasting)
	for n := 0; time.Now().Before(end) && !w.caught.Load(); n++ {
		time.Sleep(about(w.rng, 75*time.Second, time.Hour))
		w.step()
		if n%24 == 0 {
			w.audit()
		}
	}
}

// settle is the calm: it must converge, and then nothing may move.
func (w *storm) settle() {
	w.survive()
	w.calm.Store(true)
	deadline := time.Now().Add(longest + 4*time.Hour)
	for {
		time.Sleep(20 * time.Minute)
		w.audit()
		why := w.unsettled()
		if why == "" && time.Now().After(deadline.Add(-4*time.Hour)) {
			break // no run that will end by itself is left
		}
		if time.Now().After(deadline) {
			w.broken(Converges, "%s", why)
		}
		if w.caught.Load() {
			return
		}
	}
	for _, state := range w.machine.States() {
		w.mu.Lock()
		want := w.books.account(state.Replica.Service).want
		w.mu.Unlock()
		kept := want != nil && state.Replica.Ordinal < want.Spec.Replicas || state.Forgotten || state.Run == 0 || w.left[state.Replica]
		if !kept {
			w.broken(NothingKept, "the host keeps %v: %+v", state.Replica, state)
		}
	}
	w.crashInCalm()
	w.rest()
}

// rest lets six hours pass in which only what is blocked may be looked at.
func (w *storm) rest() {
	waits := 0
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		w.broken(Converges, "no snapshot: %v", err)
		return
	}
	for _, s := range snapshot.Services {
		for _, r := range s.Status.ReplicaStatuses {
			reason := reconciler.Reason(r.Reason) // or an answer is awaited just now
			if !r.Next.IsZero() || reason == reconciler.ReasonReplacementBlocked || reason == reconciler.ReasonStarting {
				waits++
			}
		}
	}
	before := w.watched.calls.Load()
	time.Sleep(6 * time.Hour)
	synctest.Wait()
	// What waits for a program to appear looks each minute; each look is a few
	// decisions.
	if most := int64(waits * 6 * 60 * 8); w.watched.calls.Load()-before > most {
		w.broken(SilentInCalm, "%d decisions in six calm hours with %d replicas that wait", w.watched.calls.Load()-before, waits)
	}
}

// shutDown ends the world in one of four ways.
func (w *storm) shutDown() {
	w.survive()
	w.mu.Lock()
	w.books.changing = true
	w.mu.Unlock()
	immediate := w.seed%3 == 0
	w.loop.Shutdown(immediate)
	synctest.Wait()
	w.mu.Lock()
	w.books.shutdown, w.books.immediate = true, immediate
	w.books.changed(false)
	w.mu.Unlock()
	if w.seed%5 == 0 {
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		w.books.immediate = true
		w.mu.Unlock()
		w.loop.Shutdown(true)
	}
	select {
	case err := <-w.ended:
		if err != nil {
			w.broken(ShutdownEnds, "Run returned %v", err)
		}
	case <-time.After(3 * time.Hour):
		w.broken(ShutdownEnds, "it is not over after three hours")
		return
	}
	for _, state := range w.machine.States() {
		if len(state.Processes) > 0 && !w.left[state.Replica] {
			w.broken(ShutdownEnds, "%v lives on: %+v", state.Replica, state.Processes)
		}
	}
}
