package reconciler_test

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
	"svc.d/status"
)

// The promises about a daemon that comes after another.
const (
	AllRecorded         = "AllRecorded"         // a loop at rest has recorded what must be known
	LivesOn             = "LivesOn"             // what runs and is recorded is known again, and runs on
	WaitsForTheFirstSet = "WaitsForTheFirstSet" // nothing is done before it is known what is wanted
	PersonsStopSurvives = "PersonsStopSurvives"
	NothingEdited       = "NothingEdited" // a set that says the same is no edit
	HandoverWaits       = "HandoverWaits" // no start is under way when it is done
)

var errCrashed = errors.New("the daemon has crashed")

// mortal is what a storm needs to know of the crashes of its daemon.
type mortal struct {
	bugs   engine
	keeper *keeper
	// fuse is after how many of the loop's steps it crashes; 0 is never.
	fuse *atomic.Int64
	// damaged are the replicas whose records cannot be read.
	damaged map[reconciler.ReplicaID]bool
	// interrupted are the services about which somebody got no answer.
	interrupted map[string]bool
	// died is the last run of each replica whose main process was seen to end.
	died map[reconciler.ReplicaID]uint64
}

func newMortal(e engine) mortal {
	return mortal{
		bugs: e, keeper: newKeeper(), fuse: new(atomic.Int64),
		damaged: map[reconciler.ReplicaID]bool{}, interrupted: map[string]bool{}, died: map[reconciler.ReplicaID]uint64{},
	}
}

// burn ends the daemon at the loop's step where its fuse is down.
func (w *storm) burn(reconciler.Step) {
	if w.fuse.Add(-1) == 0 {
		w.machine.Crash()
		runtime.Goexit()
	}
}

// dead reports whether the loop has ended.
func (w *storm) dead() bool {
	select {
	case err := <-w.ended:
		w.ended <- err
		return true
	default:
		return false
	}
}

// survive has a daemon live, and not crash any more.
func (w *storm) survive() {
	if w.fuse.Store(0); w.dead() && !w.caught.Load() {
		w.revive(nil)
	}
}

// crashAtRest ends the daemon while it has nothing to do: all must be recorded.
func (w *storm) crashAtRest() {
	if synctest.Wait(); w.dead() {
		return
	}
	last := w.look()
	w.end()
	<-w.ended
	w.judgeRecords()
	w.machine.Crash()
	w.revive(last)
}

// handOver has the daemon make place for another, which may fail.
func (w *storm) handOver() {
	if synctest.Wait(); w.dead() {
		return
	}
	last := w.look()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fails := chance(w.rng, 0.2)
	err := w.loop.Handover(ctx, func(time.Time) error {
		if fails {
			return errors.New("cannot exec")
		}
		for _, s := range w.machine.States() {
			if s.Working {
				w.broken(HandoverWaits, "%v is worked on: %+v", s.Replica, s)
			}
		}
		return nil
	})
	if synctest.Wait(); err != nil {
		return // it goes on
	}
	last.running = w.running()
	w.machine.Crash()
	w.revive(last)
}

// sight is how the world was when a daemon ended.
type sight struct {
	running     map[reconciler.ReplicaID]hosttest.State
	generations map[string]int64
}

func (w *storm) look() *sight { return &sight{w.running(), w.generations()} }

func (w *storm) running() map[reconciler.ReplicaID]hosttest.State {
	all := map[reconciler.ReplicaID]hosttest.State{}
	for _, s := range w.machine.States() {
		if s.MainPid != 0 {
			all[s.Replica] = s
		}
	}
	return all
}

func (w *storm) generations() map[string]int64 {
	all := map[string]int64{}
	for _, s := range w.known() {
		all[s.Metadata.Name] = s.Metadata.Generation
	}
	return all
}

// known is what the loop says of all services.
func (w *storm) known() []status.Service {
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		return nil
	}
	return snapshot.Services
}

// revive has a daemon come after one that has ended. last is what was so when
// that one had recorded everything; nil when it had not: then some of the latest
// records are lost, or cannot be read, and the books begin anew with the rest.
func (w *storm) revive(last *sight) {
	if chance(w.rng, 0.7) {
		time.Sleep(about(w.rng, 20*time.Second, 5*time.Minute))
	}
	edited, lost := w.editUnseen(), 0
	if last == nil {
		lost = w.rng.IntN(3)
	}
	records := w.keeper.crash(lost)
	records, unreadable := w.damage(records, last == nil && chance(w.rng, 0.25))
	w.rewrite(records, last != nil)
	found, unclear := w.machine.Reopen(records, unreadable)
	w.note(found, unclear)
	c := reconciler.Config{Restored: slices.Clone(records), Found: found, Unclear: unclear, Recorder: w.keeper}
	if w.bugs.reopened != nil && !w.caught.Load() {
		w.bugs.reopened(&c)
	}
	asked := w.asked()
	w.open(c)
	if chance(w.rng, 0.5) {
		time.Sleep(about(w.rng, 3*time.Second, 20*time.Second))
	}
	if synctest.Wait(); w.asked() != asked {
		w.broken(WaitsForTheFirstSet, "%d things were asked of the machine before the first set", w.asked()-asked)
	}
	w.judgeStops(last != nil)
	w.send(&spec.Set{Services: w.wanted()})
	synctest.Wait()
	if last != nil {
		w.judgeSurvival(last, records, edited)
	}
}

// asked counts what was asked of the machine.
func (w *storm) asked() int {
	n := 0
	for _, what := range []hosttest.What{
		hosttest.StartTaken, hosttest.CheckTaken, hosttest.ForgetTaken, hosttest.Signalled, hosttest.Killed,
	} {
		n += w.machine.Count(what)
	}
	return n
}

// editUnseen edits the directory while nobody watches it, and says what.
func (w *storm) editUnseen() string {
	if w.calm.Load() || chance(w.rng, 0.7) {
		return ""
	}
	name := w.names[w.rng.IntN(len(w.names))]
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.books.account(name)
	edited := declaration(w.seed, name)
	switch n := w.rng.IntN(4); {
	case a.want == nil || n == 0:
		w.reroll(edited)
	case n == 1:
		edited = nil
	default:
		e := *a.want
		edited = &e
		if liveEdit(w.rng, edited); n == 2 {
			edited.Spec.Replicas = int32(w.rng.IntN(5))
		}
	}
	a.touched = time.Now()
	w.books.declared(name, edited)
	return name
}

// damage makes one more record unreadable, if again is true, and returns the
// others and all that are.
func (w *storm) damage(records []reconciler.Record, again bool) (readable []reconciler.Record, unreadable []reconciler.ReplicaID) {
	for _, r := range records {
		delete(w.damaged, r.Instance.ID) // it was written anew
	}
	if again && len(records) > 0 {
		id := records[w.rng.IntN(len(records))].Instance.ID
		w.keeper.lose(id)
		w.damaged[id], w.interrupted[id.Service] = true, true
		records = slices.DeleteFunc(records, func(r reconciler.Record) bool { return r.Instance.ID == id })
	}
	return records, slices.Collect(maps.Keys(w.damaged))
}

// crashInCalm shows that a crash at rest moves nothing.
func (w *storm) crashInCalm() {
	count := func() (n int) {
		for _, what := range []hosttest.What{hosttest.Started, hosttest.Exited, hosttest.Signalled, hosttest.Killed} {
			n += w.machine.Count(what)
		}
		return n
	}
	before := count()
	w.crashAtRest()
	time.Sleep(time.Hour)
	if w.audit(); count() != before {
		w.broken(LivesOn, "%d things happened after a crash in a calm", count()-before)
	}
}
