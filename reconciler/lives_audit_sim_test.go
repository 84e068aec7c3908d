package reconciler_test

import (
	"maps"
	"slices"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/status"
)

// judgeRecords compares what a loop at rest has recorded with the books.
func (w *storm) judgeRecords() {
	for _, s := range w.machine.States() {
		r := w.keeper.record(s.Replica)
		w.mu.Lock()
		k, want := *w.books.book(s.Replica), w.books.account(s.Replica.Service).want
		w.mu.Unlock()
		if k.run == 0 || s.Working {
			continue
		}
		if r == nil {
			promise := AllRecorded
			if want == nil || s.Replica.Ordinal >= want.Spec.Replicas {
				promise = NothingKept // it was dropped, and the host was not told
			}
			w.broken(promise, "of %v nothing is recorded; it is %+v", s.Replica, k)
			continue
		}
		i := &r.Instance
		same := i.Run == k.run && i.EndedAt.IsZero() == k.endedAt.IsZero() && i.GoneAt.IsZero() == k.goneAt.IsZero() &&
			i.StoppingAt.IsZero() == k.askedAt.IsZero()
		switch {
		case unanswered(i) && k.failed: // that is what a successor makes of it
		case !same:
			w.broken(AllRecorded, "the record of %v is %+v; it is %+v", s.Replica, *i, k)
		case i.Streak > k.streak:
			w.broken(BackoffResets, "the record of %v says %d ends in a row, it is %d", s.Replica, i.Streak, k.streak)
		case i.Streak < k.streak:
			w.broken(BackoffGrows, "the record of %v says %d ends in a row, it is %d", s.Replica, i.Streak, k.streak)
		}
	}
}

// rewrite has the books say what the next daemon can know. When all was recorded
// that is what they say, but for a start that nobody has heard of; otherwise it
// is what the records say.
func (w *storm) rewrite(records []reconciler.Record, complete bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := map[reconciler.ReplicaID]*reconciler.Record{}
	for n := range records {
		id := records[n].Instance.ID
		kept[id] = &records[n]
		w.books.book(id)
	}
	for id, k := range w.books.replicas {
		switch r := kept[id]; {
		case r == nil:
			*k = book{}
		case !complete || r.Instance.Run != k.run || unanswered(&r.Instance):
			*k = entry(r)
			a := w.books.account(id.Service)
			if asked := r.Instance.RestartAskedAt; !asked.IsZero() {
				a.restartAsked[id.Ordinal] = asked
			}
			if want := a.want; want != nil {
				k.grace = min(k.grace, want.Spec.TerminationGracePeriodSeconds) // edited since
			}
		}
	}
	if !complete {
		for _, a := range w.books.services {
			a.touched = time.Now()
		}
	}
}

// unanswered reports whether it is not known what came of the latest start.
func unanswered(i *reconciler.Instance) bool {
	return !i.StartTakenAt.IsZero() && i.StartedAt.IsZero() && i.EndedAt.IsZero()
}

// entry is what a record says of a replica.
func entry(r *reconciler.Record) book {
	i := &r.Instance
	at := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(-time.Microsecond) // a loop's times run ahead by some ns
	}
	k := book{
		run: i.Run, service: i.Spec, takenAt: at(i.StartTakenAt), startedAt: at(i.StartedAt), askedAt: at(i.StoppingAt),
		killed: !i.KilledAt.IsZero(), endedAt: at(i.EndedAt), goneAt: at(i.GoneAt), failed: i.Failure != nil,
		exit: i.Exit, left: len(i.Left) > 0, streak: i.Streak, ends: i.Ends,
	}
	if i.Spec == nil {
		k.run = 0 // it was forgotten
	}
	if unanswered(i) {
		k.endedAt, k.goneAt, k.failed = at(r.At), at(r.At), true
	}
	if i.Spec != nil {
		k.grace = i.Spec.Spec.TerminationGracePeriodSeconds
	}
	if r.Want != nil {
		k.grace = min(k.grace, r.Want.Spec.TerminationGracePeriodSeconds)
	}
	return k
}

// note has the books know what lives unexplained.
func (w *storm) note(found, unclear []reconciler.ReplicaID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range found {
		k := w.books.book(id)
		k.run, k.killed = 0, true // without a grace
	}
	for _, id := range unclear {
		*w.books.book(id) = book{unclearSince: time.Now()}
	}
	for id := range w.damaged {
		if !slices.Contains(unclear, id) {
			delete(w.damaged, id) // nothing lives there: the host has dropped it
		}
	}
}

// judgeSurvival judges that a crash touched nothing which was recorded.
func (w *storm) judgeSurvival(last *sight, records []reconciler.Record, edited string) {
	w.mu.Lock()
	died := maps.Clone(w.died)
	w.mu.Unlock()
	for id, was := range last.running {
		if s := w.machine.State(id); s.MainPid != was.MainPid && died[id] != was.Run {
			w.broken(LivesOn, "%v ran as %d and is %+v", id, was.MainPid, s)
		}
	}
	now := w.generations()
	for name, was := range last.generations {
		has := slices.ContainsFunc(records, func(r reconciler.Record) bool { return r.Instance.ID.Service == name })
		is, known := now[name]
		if has && known && name != edited && is != was {
			w.broken(NothingEdited, "%s is generation %d and was %d", name, is, was)
		}
	}
}

// judgeStops compares who is stopped by a person with the books. When not all
// was recorded, a stop may have been undone and still be there, and one that
// nobody got an answer about may be or not.
func (w *storm) judgeStops(complete bool) {
	stops := map[string]*status.Held{}
	for _, s := range w.known() {
		stops[s.Metadata.Name] = s.Status.Held
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, a := range w.books.services {
		is, was := stops[name] != nil, a.held(time.Now())
		if a.want == nil || is == was && !w.interrupted[name] {
			continue
		}
		if is != was && (was && !w.interrupted[name] || complete) {
			w.brokenLocked(PersonsStopSurvives, "%s is stopped: %v, and was: %v", name, is, was)
		}
		a.heldAt, a.heldUntil = time.Time{}, time.Time{}
		if is { // perhaps by a later one, for another time
			a.heldAt, a.heldUntil = stops[name].Since, stops[name].Until
		}
	}
	clear(w.interrupted)
}

// judgeUnclear judges a signal to what nobody can tell: somebody must want it
// to end.
func (b *books) judgeUnclear(a *account, k *book, r hosttest.Record) {
	since := k.unclearSince
	if since.IsZero() || r.Lives == 0 {
		return
	}
	wanted := a.want != nil && r.Replica.Ordinal < a.want.Spec.Replicas && !a.held(r.At) && !b.shutdown
	asked := a.restartAskedSince(since, r.Replica.Ordinal) || !a.startAsked.IsZero() && !a.startAsked.Before(since)
	if wanted && !asked && !b.changing {
		b.broken(UnclearIsLeftAlone, "%v was told to end without a reason", r.Replica)
	}
	k.unclearSince = time.Time{}
}
