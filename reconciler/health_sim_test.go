package reconciler_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
	"svc.d/status"
)

// clinic is a simulated machine whose services have probes, hooks, init commands and
// dependencies, and fall ill and recover. It is smaller than a storm and looks at
// other things.
type clinic struct {
	seed    uint64
	rng     *rand.Rand
	names   []string
	calm    atomic.Bool
	machine *hosttest.Machine
	watched *watched
	loop    *reconciler.Loop
	keeper  *keeper
	sets    chan *spec.Set
	ended   chan error
	end     context.CancelFunc
	fuse    atomic.Int64
	probes  atomic.Int64

	mu         sync.Mutex
	chart      chart
	violations []hosttest.Violation
	caught     atomic.Bool
}

func newClinic(seed uint64, services int, e engine) *clinic {
	w := &clinic{seed: seed, rng: dice(seed, "clinic"), keeper: newKeeper()}
	for n := range services {
		w.names = append(w.names, fmt.Sprintf("h%02d", n))
	}
	w.chart = newChart(func(promise, story string, args ...any) { w.brokenLocked(promise, story, args...) })
	w.machine = hosttest.NewMachine(hosttest.Config{
		Script: func(work reconciler.Work) hosttest.Behaviour { return clinicBehaviour(seed, work, w.calm.Load()) },
		Takes: func(work reconciler.Work) time.Duration {
			return time.Duration(dice(seed, "takes", work.Verb, work.Replica, work.Run).IntN(20)) * time.Millisecond
		},
		Probe: w.probe,
		Watch: func(r hosttest.Record) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.chart.see(r)
		},
		Fail: func(v hosttest.Violation) { w.broken(v.Promise, "%s", v.Story) },
	})
	w.watched = &watched{engine: w.untilCaught(e), broken: w.broken, reports: true}
	w.open(reconciler.Config{})
	return w
}

// untilCaught is an engine that turns good once a promise was broken.
func (w *clinic) untilCaught(e engine) engine {
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

// probe answers as ill as the service is.
func (w *clinic) probe(p reconciler.ProbeWork) (time.Duration, *reconciler.Failure) {
	run := w.probes.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	var failure *reconciler.Failure
	if w.chart.ill[p.Replica.Service] && !w.calm.Load() {
		failure = &reconciler.Failure{Reason: reconciler.ReasonProbeFailed, Message: "it is ill"}
	}
	w.chart.probed(p, failure, time.Now())
	return time.Duration(dice(w.seed, "probe", run).IntN(900)) * time.Millisecond, failure
}

func (w *clinic) open(c reconciler.Config) {
	w.sets, w.ended = make(chan *spec.Set), make(chan error, 1)
	c.Host, c.Sets, c.Log, c.Verify, c.Recorder = w.machine, w.sets, logr.Discard(), true, w.keeper
	c.Prober, c.Observe, c.Decide = w.machine.Prober(), w.watched.engine.observe, w.watched.decision
	c.Step = func(reconciler.Step) {
		if w.fuse.Add(-1) == 0 {
			w.machine.Crash()
			runtime.Goexit()
		}
	}
	loop, ended := reconciler.NewLoop(c), w.ended
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	w.loop = loop
	go func() {
		err := errCrashed
		defer func() {
			if p := recover(); p != nil {
				w.broken(CannotHappen, "the loop panics: %v\n%s", p, debug.Stack())
			}
			ended <- err
		}()
		err = loop.Run(ctx)
	}()
}

func (w *clinic) broken(promise, story string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.brokenLocked(promise, story, args...)
}

func (w *clinic) brokenLocked(promise, story string, args ...any) {
	w.caught.Store(true)
	if len(w.violations) < 10 {
		w.violations = append(w.violations, hosttest.Violation{At: time.Now(), Promise: promise, Story: fmt.Sprintf(story, args...)})
	}
}

func (w *clinic) dead() bool {
	select {
	case err := <-w.ended:
		w.ended <- err
		return true
	default:
		return false
	}
}

// crash has another daemon come after the present one, which ends here if it lives.
func (w *clinic) crash() {
	synctest.Wait()
	atRest := !w.dead()
	if atRest {
		w.end()
		<-w.ended
		w.machine.Crash()
	}
	if chance(w.rng, 0.5) {
		time.Sleep(about(w.rng, 10*time.Second, time.Minute))
	}
	records := w.keeper.crash(0)
	found, unclear := w.machine.Reopen(records, nil)
	w.mu.Lock()
	w.chart.crashed(atRest)
	w.mu.Unlock()
	w.fuse.Store(0)
	w.open(reconciler.Config{Restored: slices.Clone(records), Found: found, Unclear: unclear})
	w.declare(func(map[string]*spec.Service) {})
}

// declare changes what is wanted, of services that nobody judges meanwhile.
func (w *clinic) declare(change func(wants map[string]*spec.Service)) {
	w.mu.Lock()
	change(w.chart.wants)
	set := &spec.Set{Services: map[string]*spec.Service{}}
	for name, want := range w.chart.wants {
		set.Services[name] = want
	}
	w.chart.changing = true
	w.mu.Unlock()
	select {
	case w.sets <- set:
	case err := <-w.ended:
		w.ended <- err
	}
	synctest.Wait()
	w.mu.Lock()
	w.chart.changing = false
	w.mu.Unlock()
}

// step does one random thing.
func (w *clinic) step() {
	if w.dead() {
		w.crash()
	}
	name := w.names[w.rng.IntN(len(w.names))]
	touch := func() {
		w.mu.Lock()
		w.chart.touch(name, time.Now())
		w.mu.Unlock()
	}
	ask := func(c reconciler.Command) {
		touch()
		w.mu.Lock()
		w.chart.changing = true
		w.mu.Unlock()
		_ = w.loop.Do(context.Background(), c)
		synctest.Wait()
		w.mu.Lock()
		w.chart.changing = false
		w.mu.Unlock()
	}
	switch n := w.rng.IntN(100); {
	case n < 45:
		w.mu.Lock()
		w.chart.ill[name] = !w.chart.ill[name]
		w.mu.Unlock()
	case n < 58:
		touch()
		w.declare(func(wants map[string]*spec.Service) {
			s := clinicService(w.seed, w.names, name)
			s.Spec.Args = []string{fmt.Sprint(w.rng.IntN(1000))}
			wants[name] = s
		})
	case n < 64:
		touch()
		w.declare(func(wants map[string]*spec.Service) { delete(wants, name) })
	case n < 72:
		id := reconciler.ReplicaID{Service: name, Ordinal: int32(w.rng.IntN(2))}
		w.machine.End(id, end(w.rng))
		synctest.Wait()
	case n < 78:
		ask(reconciler.Command{Kind: reconciler.EventRestart, Service: name, Ordinal: -1})
	case n < 82:
		ask(reconciler.Command{Kind: reconciler.EventStop, Service: name, Ordinal: -1, Until: time.Now().Add(about(w.rng, time.Minute, time.Hour))})
	case n < 87:
		ask(reconciler.Command{Kind: reconciler.EventReload, Service: name, Ordinal: -1})
	case n < 93:
		w.crash()
	default:
		w.fuse.Store(int64(1 + w.rng.IntN(40)))
	}
}

// simulateHealth runs one clinic and returns the promises that it broke.
func simulateHealth(t *testing.T, seed uint64, lasting time.Duration, e engine) (violations []hosttest.Violation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newClinic(seed, 14, e)
		defer func() {
			w.end()
			w.machine.Close()
			synctest.Wait()
			violations = w.violations
		}()
		w.declare(func(wants map[string]*spec.Service) {
			for _, name := range w.names {
				wants[name] = clinicService(seed, w.names, name)
			}
		})
		for end := time.Now().Add(lasting); time.Now().Before(end) && !w.caught.Load(); {
			time.Sleep(about(w.rng, 40*time.Second, 10*time.Minute))
			w.step()
		}
		if !w.caught.Load() {
			w.recover()
		}
		if !w.caught.Load() {
			w.closeDown()
		}
		if testing.Verbose() {
			t.Logf("%d starts, %d hooks, %d probes, %d decisions", w.machine.Count(hosttest.Started), w.machine.Count(hosttest.HookTaken), w.probes.Load(), w.watched.calls.Load())
		}
	})
	return violations
}

// recover lets everything get well: then all must be ready, and nothing may happen but
// probes.
func (w *clinic) recover() {
	w.fuse.Store(0)
	if w.dead() {
		w.crash()
	}
	w.calm.Store(true)
	w.declare(func(wants map[string]*spec.Service) {
		for _, name := range w.names {
			if wants[name] == nil {
				wants[name] = clinicService(w.seed, w.names, name)
			}
		}
	})
	time.Sleep(4 * time.Hour)
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		w.broken(Converges, "no snapshot: %v", err)
		return
	}
	for _, s := range snapshot.Services {
		for _, r := range s.Status.ReplicaStatuses {
			if r.Phase != status.PhaseCompleted && (!r.Ready || r.Reason != "") {
				w.broken(Converges, "%s is %s %s: %s", r.Name, r.Phase, r.Reason, r.Message)
			}
		}
	}
	calls, probes, starts := w.watched.calls.Load(), w.probes.Load(), w.machine.Count(hosttest.Started)
	time.Sleep(time.Hour)
	synctest.Wait()
	made := w.probes.Load() - probes
	if more := w.watched.calls.Load() - calls; more > 12*made+100 {
		w.broken(SilentInCalm, "%d decisions for %d probes", more, made)
	}
	if w.machine.Count(hosttest.Started) != starts {
		w.broken(SilentInCalm, "something was started")
	}
	w.askForReloads()
}

// askForReloads shows that no request for a reload is lost that comes during one.
func (w *clinic) askForReloads() {
	var asked time.Time
	for range 2 {
		asked = time.Now()
		for _, name := range w.names { // who cannot reload refuses
			_ = w.loop.Do(context.Background(), reconciler.Command{Kind: reconciler.EventReload, Service: name, Ordinal: -1})
		}
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, p := range w.chart.patients {
		loaded := p.checkedAt
		if loaded.IsZero() {
			loaded = p.takenAt // the signal to reload ends most of these programs
		}
		if p.lives && p.init == 0 && p.service.Spec.Reload != nil && loaded.Before(asked) {
			w.brokenLocked(ReloadsAnswered, "%v was last reloaded at %v, and asked to at %v", id, loaded, asked)
		}
	}
}

// closeDown ends the daemon in order.
func (w *clinic) closeDown() {
	w.mu.Lock()
	w.chart.stopping = true
	w.mu.Unlock()
	w.loop.Shutdown(false)
	select {
	case <-w.ended:
		w.ended <- nil
	case <-time.After(time.Hour):
		w.broken(ShutdownEnds, "it is not over after an hour")
		return
	}
	for _, s := range w.machine.States() {
		if len(s.Processes) > 0 {
			w.broken(ShutdownEnds, "%v lives on: %+v", s.Replica, s.Processes)
		}
	}
}

// TestSimulatedHealthKeepsEveryPromise has services fall ill and recover.
func TestSimulatedHealthKeepsEveryPromise(t *testing.T) {
	s := size(t)
	for seed := s.first; seed < s.first+(s.seeds+7)/8; seed++ { // each is as long as several storms
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			for _, v := range simulateHealth(t, uint64(seed), 3*time.Hour, genuine) {
				t.Errorf("%v", v)
			}
		})
	}
}
