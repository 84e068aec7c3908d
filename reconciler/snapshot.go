package reconciler

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// Snapshot is the loop's answer to a question: what is so at one moment.
// It is the caller's own.
type Snapshot struct {
	At       time.Time
	Revision uint64           // the state that it shows: see Loop.Changes
	Services []status.Service // in order of names
	// Since is the state to which it adds: Services are only those that have changed
	// since, and Gone names those that are gone, in order. 0: Services are all that was asked for.
	Since uint64
	Gone  []string
	Set   *spec.Set // nil until the first one came
	// Conditions are the host's (such as Degraded) and the directory's.
	Conditions []status.Condition
	// Stopping is when the shutdown began; zero while there is none.
	Stopping time.Time

	known      []known                       // what is still to be put in words
	conditions map[string][]status.Condition // of services, besides
}

// Command is what a person asks of the loop. Kind is EventStop, EventStart,
// EventRestart, EventReload, or 0 for a signal.
type Command struct {
	Kind    EventKind
	Service string
	// Signal is sent to the main processes at once, when Kind is 0.
	Signal syscall.Signal
	// Ordinal limits a restart, a reload or a signal to one replica; -1 is all of
	// them.
	Ordinal int32
	By      string    // who asks, as it is shown
	Until   time.Time // the end of a stop; zero for none
}

type snapshotRequest struct {
	names  []string
	since  uint64
	answer chan *Snapshot // buffered
}

// Snapshot reports on the named services, or on all when none is named; names
// that nothing is known of are left out. The error is ctx's or ErrStopped. Safe
// for concurrent use.
func (l *Loop) Snapshot(ctx context.Context, names ...string) (*Snapshot, error) {
	return l.askSnapshot(ctx, snapshotRequest{names: names})
}

// SnapshotSince reports on what has changed after the state since, or on everything when
// that is too long ago to tell or none that was given out: Snapshot.Since tells. The error
// is ctx's or ErrStopped. Safe for concurrent use.
func (l *Loop) SnapshotSince(ctx context.Context, since uint64) (*Snapshot, error) {
	return l.askSnapshot(ctx, snapshotRequest{since: since})
}

func (l *Loop) askSnapshot(ctx context.Context, r snapshotRequest) (*Snapshot, error) {
	r.answer = make(chan *Snapshot, 1)
	select {
	case l.snapshots <- r:
		s := await(l, r.answer, nil)
		if s == nil {
			return nil, ErrStopped
		}
		s.render()
		slices.Sort(s.Gone)
		s.Gone = slices.Compact(s.Gone)
		if l.Cgroup != nil {
			s.locate(l.Cgroup)
		}
		return s, nil
	case <-l.done:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// snapshot copies what the report needs; the words are found by the asker's
// goroutine (render), so that the loop is not held up.
func (l *Loop) snapshot(asked snapshotRequest) *Snapshot {
	l.besides()
	s := &Snapshot{At: l.now(), Revision: l.Revisions.Now(), Set: l.set, Stopping: l.stopping, conditions: l.history.besides}
	if l.Conditions != nil {
		s.Conditions = slices.Clone(l.Conditions())
	}
	add := func(r *record) {
		f := r.facts
		f.Replicas = slices.Clone(f.Replicas)
		s.known = append(s.known, known{r.want, f, r.revision})
	}
	if l.history.knows(asked.since, s.Revision) {
		s.Since = asked.since
		for _, r := range l.services {
			if r.revision > s.Since {
				add(r)
			}
		}
		s.Gone = l.goneSince(s.Since)
		return s
	}
	if len(asked.names) == 0 {
		s.known = make([]known, 0, len(l.services))
		for _, r := range l.services {
			add(r)
		}
		return s
	}
	for _, name := range asked.names {
		if r := l.services[name]; r != nil {
			add(r)
		}
	}
	return s
}

// locate tells in which cgroups replicas run.
func (s *Snapshot) locate(cgroup func(ReplicaID) string) {
	for n := range s.Services {
		replicas := s.Services[n].Status.ReplicaStatuses
		for i := range replicas {
			if replicas[i].Pid != 0 {
				replicas[i].Cgroup = cgroup(ReplicaID{s.Services[n].Metadata.Name, replicas[i].Ordinal})
			}
		}
	}
}

// known is a service as the loop knew it.
type known struct {
	want     *spec.Service
	facts    Facts
	revision uint64
}

// render makes the reports.
func (s *Snapshot) render() {
	slices.SortFunc(s.known, func(a, b known) int { return strings.Compare(a.facts.Name, b.facts.Name) })
	s.Services = make([]status.Service, 0, len(s.known))
	for n := range s.known {
		if n > 0 {
			runtime.Gosched() // many may ask at a time, and the loop shall not wait behind all of them
		}
		k := &s.known[n]
		service := status.Service{
			APIVersion: spec.APIVersion, Kind: spec.KindService,
			Metadata: status.Metadata{
				Name: k.facts.Name, UID: uid(k.facts.Name, k.facts.DeclaredAt), ResourceVersion: strconv.FormatUint(k.revision, 10),
				Generation: k.facts.Generation, CreationTimestamp: k.facts.DeclaredAt,
			},
			Status: Report(k.want, &k.facts, s.At),
		}
		service.Status.Conditions = append(service.Status.Conditions, s.conditions[k.facts.Name]...)
		if k.want != nil {
			service.Metadata.Labels, service.Metadata.Annotations = k.want.Metadata.Labels, k.want.Metadata.Annotations
			service.Spec = specJSON(k.want)
		}
		s.Services = append(s.Services, service)
	}
	s.known = nil
	if s.Set != nil {
		for _, c := range s.Set.Conditions {
			s.Conditions = append(s.Conditions, status.Condition{
				Type: c.Type, Status: "True", Reason: c.Reason, Message: c.Message, LastTransitionTime: c.Since,
			})
		}
	}
}
