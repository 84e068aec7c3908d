package reconciler

import (
	"slices"
	"time"
)

// restore takes over what an earlier loop knew, before anything else happens. The
// times of records are in the past, whatever became of the clock: that is for who
// keeps them to see to.
func (l *Loop) restore() {
	latest := map[string]time.Time{}
	for n := range l.Restored {
		k := &l.Restored[n]
		name := k.Instance.ID.Service
		r := l.services[name]
		if r == nil {
			r = l.add(name)
		}
		if at, known := latest[name]; !known || k.At.After(at) {
			latest[name] = k.At
			r.want = k.Want
			f := &r.facts
			f.DeclaredAt, f.EditedAt, f.Generation = k.DeclaredAt, k.EditedAt, k.Generation
			f.StoppedAt, f.StoppedUntil, f.StoppedBy = k.StoppedAt, k.StoppedUntil, k.StoppedBy
		}
		i := resumed(k, l.now())
		r.facts.Replicas = append(r.facts.Replicas, i)
		l.runs = max(l.runs, i.Run)
		if k.At.After(l.stamp) {
			l.stamp = k.At
		}
	}
	for _, r := range l.services {
		if r.want != nil {
			r.facts = bind(r.facts, r.want, true)
			r.facts.Replicas = withReplicas(r.facts.Name, r.facts.Replicas, r.want.Spec.Replicas)
		}
		slices.SortFunc(r.facts.Replicas, byOrdinal)
		l.countBusy(r)
	}
	l.Restored = nil
}

// resumed are the facts of a replica without what ended with the process that
// knew them: the questions that it had asked, and a start without an answer.
func resumed(k *Record, now time.Time) Instance {
	i := k.Instance
	i.InspectTakenAt, i.InspectedAt, i.ForgetTakenAt = time.Time{}, time.Time{}, time.Time{}
	if i.Life != nil {
		l := i.life()
		l.resume(now)
		i.Life = l
	}
	if i.stage() == stageStarting {
		i.EndedAt, i.GoneAt = k.At, k.At
		i.Failure = &Failure{Reason: ReasonStartFailed, Message: "cannot tell whether it was started: the daemon ended meanwhile"}
	}
	return i
}

// withReplicas adds an instance for each wanted ordinal that has none.
func withReplicas(name string, replicas []Instance, wanted int32) []Instance {
	have := make(map[int32]bool, len(replicas))
	for n := range replicas {
		have[replicas[n].ID.Ordinal] = true
	}
	for ordinal := range wanted {
		if !have[ordinal] {
			replicas = append(replicas, Instance{ID: ReplicaID{name, ordinal}})
		}
	}
	return replicas
}
