package reconciler

import (
	"reflect"
	"time"

	"svc.d/spec"
)

// Record is what outlives the process for one replica: its facts, with those of
// its service. It is a value; what it points to is never written again. Where
// records of one service disagree about the service, the latest (At) is right.
type Record struct {
	// At is when it was so.
	At time.Time

	// Want is what the service was declared as; nil when it was not any more.
	Want         *spec.Service
	DeclaredAt   time.Time
	EditedAt     time.Time
	Generation   int64
	StoppedAt    time.Time
	StoppedUntil time.Time
	StoppedBy    string

	Instance Instance
}

// Recorder keeps records, so that a daemon that comes after this one, for
// whatever reason, knows what Observe knows. The loop calls Record and Forget,
// which must not block. What is told of different replicas may be kept in any
// order: each record must be right by itself.
type Recorder interface {
	// Record replaces the record of the replica.
	Record(r Record)
	// Forget drops the record of the replica.
	Forget(id ReplicaID)
	// Sync returns when all that was told before is kept, or why it is not. It
	// waits for some seconds at most. Safe for concurrent use.
	Sync() error
}

// keep has the facts of a replica recorded. While it is unclear, the record that
// could not be read stays: another version may be able to.
func (l *Loop) keep(r *record, i *Instance) {
	if l.Recorder == nil || i.unclear() {
		return
	}
	f := &r.facts
	l.Recorder.Record(Record{
		At: l.stamp, Want: r.want, DeclaredAt: f.DeclaredAt, EditedAt: f.EditedAt, Generation: f.Generation,
		StoppedAt: f.StoppedAt, StoppedUntil: f.StoppedUntil, StoppedBy: f.StoppedBy,
		Instance: *i,
	})
}

// keepAll has all replicas of a service recorded.
func (l *Loop) keepAll(r *record) {
	for n := range r.facts.Replicas {
		l.keep(r, &r.facts.Replicas[n])
	}
	if r.facts.index(0) < 0 {
		l.keepHold(r)
	}
}

// keepHold has the record of the first replica stand for the service when there
// is no such replica: at no moment may a person's stop be in no record.
func (l *Loop) keepHold(r *record) {
	first := ReplicaID{Service: r.facts.Name}
	switch {
	case l.Recorder == nil:
	case r.facts.StoppedAt.IsZero():
		l.Recorder.Forget(first)
	default:
		l.keep(r, &Instance{ID: first})
	}
}

// drop has the record of a replica dropped of which nothing is left.
func (l *Loop) drop(r *record, id ReplicaID) {
	switch {
	case id.Ordinal == 0:
		l.keepHold(r)
	case l.Recorder != nil:
		// The record of the first replica may have been lost meanwhile, and this
		// one be the last that tells of a person's stop.
		if n := r.facts.index(0); n >= 0 && !r.facts.StoppedAt.IsZero() {
			l.keep(r, &r.facts.Replicas[n])
		}
		l.Recorder.Forget(id)
	}
}

// unedited takes over a manifest that says what was wanted before, and reports
// whether it does. Where it stands now is recorded: a daemon that comes after
// this one must not take it for removed.
func (l *Loop) unedited(r *record, want *spec.Service) bool {
	before := r.want
	if !r.adopt(want) {
		return false
	}
	if before.Source != want.Source {
		l.changed(r)
	}
	if before.Source.File != want.Source.File {
		l.Log.Info("Manifest moved", "service", r.facts.Name, "from", before.Source.File, "file", want.Source.File)
		l.keepAll(r)
	}
	return true
}

// adopt takes over a manifest that says what an earlier loop knew of the
// service, and reports whether it does: then nothing was edited.
func (r *record) adopt(want *spec.Service) bool {
	if r.want == nil || !sameManifest(r.want, want) {
		return false
	}
	for n := range r.facts.Replicas {
		i := &r.facts.Replicas[n]
		if i.Spec != nil && i.runs(want) && !i.amended(want) {
			i.Spec = want
		}
	}
	if r.facts.CheckOf == r.want {
		r.facts.CheckOf = want // what was found out holds
	}
	r.want = want
	return true
}

// sameManifest reports whether two manifests say the same. Diff knows; what is
// the same to the last byte, as nearly all is, need not be walked through by it.
func sameManifest(a, b *spec.Service) bool {
	return reflect.DeepEqual(&a.Spec, &b.Spec) && reflect.DeepEqual(&a.Metadata, &b.Metadata) || len(spec.Diff(a, b)) == 0
}

// kept reports whether an event changes what must be known later. A question
// under way is lost with the process, and asked again.
func (k EventKind) kept() bool {
	switch k {
	case EventStarted, EventStartFailed, EventExited, EventEmptied, EventForgotten, EventSignalled, EventGroupSignalled, EventKilled,
		EventHookTaken, EventHookEnded, EventReloaded, EventFound, EventUnclear, EventRestart, EventReload:
		return true
	case EventChecked, EventInspected, EventStartTaken, EventCheckTaken, EventInspectTaken, EventForgetTaken,
		EventReleaseTaken, EventReleased, EventProbeTaken, EventProbed, EventNotified, EventLineSeen,
		EventDeclared, EventStop, EventStart, EventDependency, EventDependents, EventContents, EventShutdown, EventShutdownNow:
		return false
	}
	return false
}

// late reports whether an event may come when the service that it is about is known
// no more.
func (k EventKind) late() bool {
	switch k {
	case EventChecked, EventInspected, EventHookEnded, EventReleased, EventProbed, EventNotified, EventLineSeen:
		return true
	default:
		return false
	}
}

// tells reports whether an event may change what must be known later, and mostly does
// not: a thousand probes a second are not written down.
func (k EventKind) tells() bool { return k == EventProbed || k == EventNotified || k == EventLineSeen }

// turned reports whether what an event of that kind has told must be known later.
func turned(before, after *Instance) bool {
	a, b := before.known(), after.known()
	for k := range a.Probes {
		if !a.Probes[k].PassedAt.Equal(b.Probes[k].PassedAt) || !a.Probes[k].FailedAt.Equal(b.Probes[k].FailedAt) {
			return true
		}
	}
	return before.Pid != after.Pid || !a.ReadyToldAt.Equal(b.ReadyToldAt) || !a.LineAt.Equal(b.LineAt) ||
		a.HeardAt.IsZero() != b.HeardAt.IsZero() || !a.DeafAt.Equal(b.DeafAt) || a.WatchdogEvery != b.WatchdogEvery ||
		after.asked() && !a.ExtendedUntil.Equal(b.ExtendedUntil)
}

// Wanted lists what was declared of each service in the latest of its records:
// the very pointers that a loop takes for wanted which is given the records.
func Wanted(records []Record) []*spec.Service {
	latest := map[string]*Record{}
	for n := range records {
		k := &records[n]
		if before := latest[k.Instance.ID.Service]; before == nil || k.At.After(before.At) {
			latest[k.Instance.ID.Service] = k
		}
	}
	var all []*spec.Service
	for _, k := range latest {
		if k.Want != nil {
			all = append(all, k.Want)
		}
	}
	return all
}
