package reconciler

import (
	"syscall"
	"time"
)

// turn decides about one service, and about those that wait for how it is now.
func (l *Loop) turn(r *record) {
	l.turnOne(r)
	for len(l.concerned) > 0 {
		next := l.concerned[0]
		l.concerned = l.concerned[1:]
		if l.services[next.facts.Name] == next {
			l.turnOne(next)
		}
	}
}

// turnOne decides about one service and does what can be done at once, until only
// work for the host's workers or the prober is left, or nothing. It is the one place
// that acts.
func (l *Loop) turnOne(r *record) {
	if l.set == nil && l.stopping.IsZero() {
		l.countBusy(r)
		return // what is wanted is not known yet
	}
	// Signal, group signal, kill, drop, and what each of them brings.
	most := 8 + 6*len(r.facts.Replicas)
	for range most {
		var next time.Time
		l.actions, next = l.Decide(r.want, &r.facts, l.now(), l.actions[:0])
		work, probe, acted := false, false, false
		for _, a := range l.actions {
			if a.Deed.work() {
				work = true
				continue
			}
			if a.Deed == DeedProbe {
				probe = true
				continue
			}
			acted = true
			l.act(r, a)
			if a.Deed == DeedDrop {
				break // the other indices have moved
			}
		}
		if acted {
			continue
		}
		if work {
			l.queue.add(r, &r.queued)
		}
		if probe {
			l.probes.add(r, &r.probing)
		}
		l.settle(r, next)
		return
	}
	l.impossible("Decide does not come to rest", Event{Replica: ReplicaID{Service: r.facts.Name}})
	l.settle(r, l.now().Add(time.Second))
}

// settle notes when the record is due, whether it is busy, and drops it when
// nothing of it is left.
func (l *Loop) settle(r *record, next time.Time) {
	if !next.IsZero() && !next.After(l.stamp) {
		l.impossible("Decide wants to be asked again in the past", Event{Replica: ReplicaID{Service: r.facts.Name}})
		next = l.stamp.Add(time.Second)
	}
	switch {
	case next.IsZero():
		l.due.remove(r)
		r.due = next
	case !next.Equal(r.due) || r.place < 0:
		r.due = next
		l.due.put(r)
	}
	l.countBusy(r)
	gone := r.want == nil && len(r.facts.Replicas) == 0
	if gone {
		l.due.remove(r)
		delete(l.services, r.facts.Name)
		l.vanished(r)
	}
	l.tellBonds(r, gone)
}

// countBusy notes whether anything of the record lives or is under way.
func (l *Loop) countBusy(r *record) {
	busy := !r.facts.Quiet()
	if busy == r.busy {
		return
	}
	r.busy = busy
	if busy {
		l.busy++
	} else {
		l.busy--
	}
}

// work reports whether a deed is for the host's workers.
func (d Deed) work() bool {
	switch d {
	case DeedStart, DeedCheck, DeedInspect, DeedForget, DeedHook, DeedRelease:
		return true
	case DeedNone, DeedSignal, DeedSignalGroup, DeedKill, DeedDrop, DeedReload, DeedProbe:
		return false
	}
	return false
}

// act does one thing and observes that it was done.
func (l *Loop) act(r *record, a Action) {
	i := &r.facts.Replicas[a.Index]
	e := Event{Replica: i.ID, Run: i.Run, At: l.now(), Cause: a.Cause}
	var err error
	switch a.Deed {
	case DeedSignal:
		e.Kind, e.Signal = EventSignalled, stopSignal(r, i)
		scope := ScopeMain
		if i.Detached() {
			scope = ScopeGroup // nobody knows whom else
		}
		err = l.Host.Signal(i.ID, e.Signal, scope)
	case DeedReload:
		e.Kind, e.Signal = EventReloaded, reloadSignal(i)
		e.Files = r.facts.files()
		err = l.Host.Signal(i.ID, e.Signal, ScopeMain)
	case DeedSignalGroup:
		e.Kind, e.Signal = EventGroupSignalled, stopSignal(r, i)
		err = l.Host.Signal(i.ID, e.Signal, ScopeGroup)
	case DeedKill:
		e.Kind, e.Signal = EventKilled, syscall.SIGKILL
		if i.stage() == stageLive && i.spares(r.want) && !i.Detached() {
			err = l.Host.Signal(i.ID, e.Signal, ScopeMain)
		} else {
			err = l.Host.Kill(i.ID)
		}
	case DeedDrop:
		r.facts.Replicas = append(r.facts.Replicas[:a.Index:a.Index], r.facts.Replicas[a.Index+1:]...)
		l.drop(r, e.Replica)
		return
	case DeedNone, DeedStart, DeedCheck, DeedInspect, DeedForget, DeedHook, DeedRelease, DeedProbe:
		return
	}
	l.logAct(r, e, err)
	l.step(StepSignalSent, e.Kind != EventKilled)
	l.step(StepKilled, e.Kind == EventKilled)
	// A signal that could not be sent was still tried: the kill, and then the
	// look, come at their times.
	l.observe(r, e)
	l.step(StepStopRecorded, true)
}

// stopSignal is what the manifest says, or said last; SIGTERM when nobody knows.
func stopSignal(r *record, i *Instance) syscall.Signal {
	want := r.want
	if want == nil {
		want = i.Spec
	}
	if want == nil {
		return syscall.SIGTERM
	}
	return want.Spec.Lifecycle.StopSignal.Number()
}

// reloadSignal is what the manifest says.
func reloadSignal(i *Instance) syscall.Signal {
	if i.Spec == nil || i.Spec.Spec.Reload == nil || i.Spec.Spec.Reload.Signal == "" {
		return syscall.SIGHUP
	}
	return i.Spec.Spec.Reload.Signal.Number()
}

// workQueue holds the records that have work for the host's workers, or for the
// prober, first come first served.
type workQueue struct {
	records []*record
	head    int
}

// add puts r at the end, unless its mark says that it is in.
func (q *workQueue) add(r *record, in *bool) {
	if !*in {
		*in = true
		q.records = append(q.records, r)
	}
}

func (q *workQueue) first() *record {
	if q.head == len(q.records) {
		q.records, q.head = q.records[:0], 0
		return nil
	}
	return q.records[q.head]
}

// drop takes out the first; the caller clears its mark.
func (q *workQueue) drop() *record {
	r := q.records[q.head]
	q.records[q.head] = nil
	q.head++
	return r
}

// offer returns the next work and where to send it; a nil channel when there is
// none. What is offered is decided anew each time, so that an edit can still
// change or cancel it.
func (l *Loop) offer() (Work, chan<- Work) {
	if l.handover != nil {
		return Work{}, nil
	}
	for r := l.queue.first(); r != nil; r = l.queue.first() {
		now := l.now()
		l.actions, _ = l.Decide(r.want, &r.facts, now, l.actions[:0])
		for _, a := range l.actions {
			if a.Deed.work() {
				return l.work(r, a), l.Host.Work()
			}
		}
		l.queue.drop().queued = false
	}
	return Work{}, nil
}

func (l *Loop) work(r *record, a Action) Work {
	i := &r.facts.Replicas[a.Index]
	switch a.Deed {
	case DeedStart:
		return Work{Verb: VerbStart, Replica: i.ID, Run: l.runs + 1, Service: r.want, Init: i.nextInit(r.want)}
	case DeedHook:
		w := Work{Verb: VerbHook, Replica: i.ID, Run: l.runs + 1, Service: i.Spec, Hook: a.Hook, Cause: a.Cause}
		w.Env, w.Timeout = i.hookTerms(a.Hook)
		return w
	case DeedRelease:
		return Work{Verb: VerbRelease, Replica: i.ID, Run: i.Run}
	case DeedCheck:
		return Work{Verb: VerbCheck, Replica: i.ID, Run: l.runs + 1, Service: r.want}
	case DeedInspect:
		return Work{Verb: VerbInspect, Replica: i.ID, Run: i.Run}
	case DeedForget:
		return Work{Verb: VerbForget, Replica: i.ID, Run: i.Run}
	case DeedNone, DeedSignal, DeedSignalGroup, DeedKill, DeedDrop, DeedReload, DeedProbe:
	}
	return Work{}
}

// taken notes that the host has accepted the offered work, which is of the
// queue's first record.
func (l *Loop) taken(w Work) {
	r := l.queue.first()
	l.queue.drop().queued = false
	e := Event{Replica: w.Replica, Run: w.Run, Service: w.Service, Init: w.Init, Hook: w.Hook, Cause: w.Cause, At: l.now()}
	l.step(StepStartTaken, w.Verb == VerbStart)
	switch w.Verb {
	case VerbStart:
		e.Kind, e.Files = EventStartTaken, r.facts.files()
		if r.facts.Bonds != nil {
			e.EnvFiles = r.facts.Bonds.EnvFiles
		}
		l.runs++
		l.pending++
	case VerbHook:
		e.Kind, e.Files = EventHookTaken, r.facts.files()
		l.runs++
		l.logHook(e)
	case VerbRelease:
		e.Kind = EventReleaseTaken
	case VerbCheck:
		e.Kind = EventCheckTaken
		l.runs++
	case VerbInspect:
		e.Kind = EventInspectTaken
	case VerbForget:
		e.Kind = EventForgetTaken
		l.pending++
	}
	l.observe(r, e)
	l.turn(r)
}
