package reconciler_test

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"svc.d/reconciler"
	"svc.d/spec"
)

// keeper is a recorder in memory: what was told since the last Sync may be lost
// at a crash.
type keeper struct {
	mu    sync.Mutex
	kept  map[reconciler.ReplicaID]reconciler.Record
	late  []note // oldest first
	fails error  // what Sync answers
}

// note is something that a keeper was told; a nil record is to be forgotten.
type note struct {
	id     reconciler.ReplicaID
	record *reconciler.Record
}

func newKeeper() *keeper { return &keeper{kept: map[reconciler.ReplicaID]reconciler.Record{}} }

// Record implements reconciler.Recorder.
func (k *keeper) Record(r reconciler.Record) { k.note(note{r.Instance.ID, &r}) }

// Forget implements reconciler.Recorder.
func (k *keeper) Forget(id reconciler.ReplicaID) { k.note(note{id, nil}) }

// Sync implements reconciler.Recorder.
func (k *keeper) Sync() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails == nil {
		k.write(k.late)
		k.late = nil
	}
	return k.fails
}

func (k *keeper) note(n note) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.late = append(k.late, n)
}

func (k *keeper) write(notes []note) {
	for _, n := range notes {
		if n.record == nil {
			delete(k.kept, n.id)
		} else {
			k.kept[n.id] = *n.record
		}
	}
}

// crash returns what is kept when the daemon ends now and up to lost of the
// latest notes were not written. Which, each replica's goroutine has decided: a
// note that is lost takes the later ones about its replica with it.
func (k *keeper) crash(lost int) []reconciler.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	gone := map[reconciler.ReplicaID]bool{}
	var written []note
	for n, one := range k.late {
		if n >= len(k.late)-2*lost && (len(k.late)-n)%2 == 1 {
			gone[one.id] = true
		}
		if !gone[one.id] {
			written = append(written, one)
		}
	}
	k.write(written)
	k.late = nil
	return k.records()
}

// record is what would be known of a replica if the daemon ended now; nil is
// nothing.
func (k *keeper) record(id reconciler.ReplicaID) *reconciler.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.write(k.late)
	k.late = nil
	if r, ok := k.kept[id]; ok {
		return &r
	}
	return nil
}

// lose drops the record of a replica, which nobody told it to.
func (k *keeper) lose(id reconciler.ReplicaID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.kept, id)
}

// records are copies as a file gives them: no manifest is that of another.
func (k *keeper) records() []reconciler.Record {
	ids := slices.SortedFunc(maps.Keys(k.kept), func(a, b reconciler.ReplicaID) int {
		return strings.Compare(a.String(), b.String())
	})
	all := make([]reconciler.Record, 0, len(ids))
	for _, id := range ids {
		r := k.kept[id]
		r.Want, r.Instance.Spec = anew(r.Want), anew(r.Instance.Spec)
		all = append(all, r)
	}
	return all
}

func anew(s *spec.Service) *spec.Service {
	if s == nil {
		return nil
	}
	c := *s
	c.Source = spec.Source{}
	return &c
}
