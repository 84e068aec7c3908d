package events

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

const (
	// maxEvents bounds a ring: with a thousand services one for the start of each, and
	// as many again.
	maxEvents = 2048
	// surplus is how many more there may be before the oldest are dropped together.
	surplus = 256
	// maxSimilar is how many events of one reason a replica has that differ in their
	// messages.
	maxSimilar = 10
	// similarWithin is how long an event may be over that is told again with a count.
	similarWithin = time.Hour
	combined      = "(combined from similar events): "
)

// Ring holds the latest events. Its methods are safe for concurrent use.
type Ring struct {
	revisions reconciler.Revisions

	mu     sync.Mutex
	events []event // in order of revisions, which is that of their last time
	// since is the state from which all changes are known.
	since uint64
	more  chan struct{} // nil: nobody waits
}

// event is what is kept of one.
type event struct {
	service     string
	ordinal     int32  // -1: of the service; of an empty service: of the daemon
	kind        uint32 // a digest of whom and what it is about: most differ
	count       int32
	warning     bool
	reason      string
	message     string
	public      string // the message for those who may not see everything; empty: the same
	first, last time.Time
	uid         uint64
	revision    uint64
}

// Changes are the events that are new or were told again.
type Changes struct {
	Events []status.Event // in order of revisions
	// Revision is the state that Events lead to: ask on from here.
	Revision uint64
	// More is closed at the next change.
	More <-chan struct{}
}

// NewRing returns a ring with what an earlier one kept.
func NewRing(revisions reconciler.Revisions, kept []Kept) *Ring {
	r := &Ring{revisions: revisions}
	for _, k := range kept {
		e := k.event()
		e.revision = revisions.Next()
		e.digest()
		r.events = append(r.events, e)
	}
	r.since = revisions.Next()
	return r
}

// Add takes in what happened. It does not block.
func (r *Ring) Add(o reconciler.Occurrence) {
	e := event{
		service: o.Service, ordinal: o.Ordinal, count: 1, warning: o.Warning, reason: string(o.Reason), message: o.Message,
		public: o.Public, first: o.At, last: o.At,
	}
	e.digest()
	r.mu.Lock()
	defer r.mu.Unlock()
	e.revision = r.revisions.Next()
	if n := r.like(&e); n >= 0 {
		e.first, e.count, e.uid = r.events[n].first, r.events[n].count+1, r.events[n].uid
		r.events = slices.Delete(r.events, n, n+1)
	} else {
		e.uid = e.revision
	}
	if len(r.events) == maxEvents+surplus {
		r.since = max(r.since, r.events[surplus-1].revision)
		r.events = slices.Delete(r.events, 0, surplus)
	}
	r.events = append(r.events, e)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// like finds the event that e tells of again, or the one that many like it are combined
// in. It is -1 when there is none. The latest are looked at first. The caller holds mu.
func (r *Ring) like(e *event) int {
	similar, latest := 0, -1
	for n := len(r.events) - 1; n >= 0; n-- {
		o := &r.events[n]
		if e.last.Sub(o.last) > similarWithin {
			break
		}
		if o.kind != e.kind || o.ordinal != e.ordinal || o.reason != e.reason || o.service != e.service || o.warning != e.warning {
			continue
		}
		if o.message == e.message {
			return n
		}
		if latest < 0 || strings.HasPrefix(o.message, combined) {
			latest = n
		}
		similar++
	}
	if similar < maxSimilar {
		return -1
	}
	e.message = combined + e.message
	if e.public != "" {
		e.public = combined + e.public
	}
	return latest
}

// List tells all events, in order of their last time, and the state that they are.
func (r *Ring) List() ([]status.Event, uint64) {
	r.mu.Lock()
	all, now := r.after(0), r.revisions.Now()
	r.mu.Unlock()
	return rendered(all), now
}

// Changes tells what has changed after the state since. It is false when that is too
// long ago to tell, or has not come yet.
func (r *Ring) Changes(since uint64) (Changes, bool) {
	all, now, more := r.changes(since)
	if more == nil {
		return Changes{}, false
	}
	return Changes{rendered(all), now, more}, true
}

// changes are those of Changes; more is nil when it is false.
func (r *Ring) changes(since uint64) (all []event, now uint64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = r.revisions.Now()
	if since < r.since || since > now {
		return nil, now, nil
	}
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return r.after(since), now, r.more
}

// after copies what is newer than a state. The caller holds mu, for which the loop may
// wait: no words are found here.
func (r *Ring) after(since uint64) []event {
	first, _ := slices.BinarySearchFunc(r.events, since+1, func(e event, revision uint64) int {
		switch {
		case e.revision < revision:
			return -1
		case e.revision > revision:
			return 1
		}
		return 0
	})
	return slices.Clone(r.events[first:])
}

func rendered(events []event) []status.Event {
	all := make([]status.Event, 0, len(events))
	for n := range events {
		runtime.Gosched() // many may ask at a time, and the loop shall not wait behind all of them
		all = append(all, events[n].status())
	}
	return all
}

func (e *event) digest() {
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.service))
	_, _ = h.Write([]byte(e.reason))
	e.kind = h.Sum32() ^ uint32(e.ordinal)
}

func (e *event) status() status.Event {
	about := status.ObjectReference{APIVersion: spec.APIVersion, Kind: "Service", Name: e.service}
	switch {
	case e.service == "":
		about.Kind, about.Name = "Daemon", "reconciler"
	case e.ordinal >= 0:
		about.Kind, about.Name = "Replica", reconciler.ReplicaID{Service: e.service, Ordinal: e.ordinal}.String()
	}
	typ := status.EventNormal
	if e.warning {
		typ = status.EventWarning
	}
	return status.Event{
		APIVersion: spec.APIVersion, Kind: "Event",
		Metadata: status.Metadata{
			Name: fmt.Sprintf("%s.%x", about.Name, e.uid), UID: eventUID(e.uid),
			ResourceVersion: strconv.FormatUint(e.revision, 10), CreationTimestamp: e.first,
		},
		InvolvedObject: about, Reason: e.reason, Message: e.message, Source: status.EventSource{Component: "reconciler"},
		FirstTimestamp: e.first, LastTimestamp: e.last, Count: e.count, Type: typ, Public: e.public,
	}
}

// eventUID has the form of an UUID.
func eventUID(number uint64) string {
	h := fnv.New128a()
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte("event"), number))
	b := h.Sum(nil)
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
