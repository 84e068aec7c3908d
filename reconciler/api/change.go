package api

import (
	"encoding/json"
	"sync"

	"svc.d/status"
)

// change is what has become of one object. Watchers share it; it is immutable but for
// what was encoded of it.
type change struct {
	revision    uint64
	before, now object // nil: it was not there, or is gone
	// blind says that it is not known how it was before.
	blind bool
	// shared says that others will be told the same.
	shared bool

	mu      sync.Mutex
	encoded [2][sights][]byte // of now, and of before with the revision of its end
}

// told is what a watcher with a selector learns of a change, in Kubernetes' words: it
// sees an object come and go as it begins and ceases to match. deleted says that the
// object is the one before. The type is empty when it learns nothing.
func (c *change) told(s *selector) (kind status.WatchType, deleted bool) {
	is := c.now != nil && s.matches(c.now)
	was := c.before != nil && s.matches(c.before)
	switch {
	case c.blind && !is:
		return status.WatchDeleted, c.now == nil
	case is && (was || c.blind):
		return status.WatchModified, false
	case is:
		return status.WatchAdded, false
	case was:
		return status.WatchDeleted, true
	default:
		return "", false
	}
}

// after is the change for a watcher that knew of a revision before, which may be later
// than that of the change: revisions that it is told do not go back.
func (c *change) after(since uint64) *change {
	if c.revision >= since {
		return c
	}
	other := &change{revision: since, before: c.before, now: c.now, blind: c.blind}
	if c.now != nil {
		other.now = c.now.at(since)
	}
	return other
}

// encode is the object as JSON.
func (c *change) encode(deleted bool, s sight) ([]byte, error) {
	o, place := c.now, 0
	if deleted {
		o, place = c.before, 1
	}
	if !c.shared {
		return encode(o, deleted, c.revision, s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.encoded[place][s] == nil {
		text, err := encode(o, deleted, c.revision, s)
		if err != nil {
			return nil, err
		}
		c.encoded[place][s] = text
	}
	return c.encoded[place][s], nil
}

func encode(o object, deleted bool, revision uint64, s sight) ([]byte, error) {
	if deleted {
		o = o.at(revision) // what ends there, as Kubernetes has it
	}
	return json.Marshal(o.shown(s))
}

// changesOf are the changes of the replicas of a service, nil being one that is not
// there. Only the last has the revision: a watcher whose stream breaks before it asks
// again from the one before, and misses nothing.
func changesOf(before, now *status.Service, previous, revision uint64) []*change {
	was, is := map[string]*status.ReplicaObject{}, []*status.ReplicaObject(nil)
	var all []*change
	if before != nil {
		for _, r := range replicasOf(before) {
			was[r.Metadata.Name] = r
		}
	}
	if now != nil {
		is = replicasOf(now)
	}
	for _, r := range is {
		c := &change{now: replicaObject{r}, shared: true}
		if old := was[r.Metadata.Name]; old != nil {
			delete(was, r.Metadata.Name)
			if sameReplica(old, r) {
				continue
			}
			c.before = replicaObject{old}
		}
		all = append(all, c)
	}
	if before != nil {
		for n := range before.Status.ReplicaStatuses {
			if old := was[before.Status.ReplicaStatuses[n].Name]; old != nil {
				all = append(all, &change{before: replicaObject{old}, shared: true})
			}
		}
	}
	for n, c := range all {
		c.revision = revision
		if n == len(all)-1 {
			break
		}
		c.revision = previous
		if c.now != nil {
			c.now = c.now.at(previous)
		}
	}
	return all
}
