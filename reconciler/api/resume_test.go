package api

import (
	"context"
	"fmt"
	"math"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/events"
	"svc.d/status"
)

// toldBy are the changes of a tail, as "TYPE NAME REVISION".
func toldBy(t *testing.T, changes []*change) (all []string) {
	t.Helper()
	for _, c := range changes {
		kind, deleted := c.told(&selector{})
		o := c.now
		if deleted {
			o = c.before.at(c.revision)
		}
		all = append(all, fmt.Sprintf("%s %s %s", kind, o.meta().Name, o.meta().ResourceVersion))
	}
	return all
}

// TestABrokenWatchFromTheBeginningMissesNothing wherever it breaks off.
func TestABrokenWatchFromTheBeginningMissesNothing(t *testing.T) {
	for _, k := range []*kind{services, replicas} {
		t.Run(k.plural, func(t *testing.T) {
			e := newTown()
			s := NewServer(Config{Engine: e})
			defer s.feed.close()
			for _, name := range []string{"web", "db", "cache"} { // not the order of names
				e.set(name, running(1, 2, 3))
			}
			names := func(since uint64) (all []string, revisions []uint64) {
				tail, err := s.follow(context.Background(), k, since)
				if err != nil {
					t.Fatal(err)
				}
				defer tail.close()
				n, err := tail.next()
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range n.changes {
					all = append(all, c.now.meta().Name)
					revisions = append(revisions, revisionOf(c.now.meta().ResourceVersion))
				}
				return all, revisions
			}
			all, revisions := names(0)
			s.feed.close() // as over a re-exec
			s.feed.open()
			for n := range all {
				if n > 0 && revisions[n] < revisions[n-1] {
					t.Errorf("%s goes back from %d to %d", all[n], revisions[n-1], revisions[n])
				}
				for _, name := range all[n+1:] {
					if k == replicas {
						if revisions[n] >= e.changed[name[:len(name)-2]] {
							t.Errorf("who breaks off at %s (%d) is not told of %s (%d)", all[n], revisions[n], name, e.changed[name[:len(name)-2]])
						}
						continue
					}
					if rest, _ := names(revisions[n]); !slices.Contains(rest, name) {
						t.Errorf("who breaks off at %s (%d) is not told of %s, but of %v", all[n], revisions[n], name, rest)
					}
				}
			}
		})
	}
}

// TestRevisionsDoNotGoBack for who has listed what the feed has not seen yet.
func TestRevisionsDoNotGoBack(t *testing.T) {
	for _, k := range []*kind{services, replicas} {
		t.Run(k.plural, func(t *testing.T) {
			r := &run{engine: newTown(), services: map[string]*listed{}, more: make(chan struct{}), stop: func() {}}
			snapshot := &reconciler.Snapshot{Revision: 100}
			at := func(name string, revision int, pids ...int32) status.Service {
				s := status.Service{Metadata: status.Metadata{Name: name, ResourceVersion: strconv.Itoa(revision)}}
				running(pids...)(&s)
				return s
			}
			snapshot.Services = []status.Service{at("another", 91, 1), at("old", 90, 1, 2), at("web", 95, 1, 2)}
			r.begin(snapshot)
			const from = 120 // with web at 110, and the old one
			tail := &serviceTail{kind: k, run: r, since: from}
			another := at("another", 128, 7)
			another.Metadata.UID = "declared again"
			r.add(&reconciler.Snapshot{Revision: 130, Services: []status.Service{another, at("web", 125, 3, 4)}},
				&reconciler.Changes{Names: []string{"another", "old", "web"}, Revision: 130})
			n, err := tail.next()
			if err != nil {
				t.Fatal(err)
			}
			last := uint64(from)
			for _, c := range n.changes {
				o := c.now
				if o == nil {
					o = c.before.at(c.revision)
				}
				if revision := revisionOf(o.meta().ResourceVersion); revision < last {
					t.Errorf("it goes back from %d to %d: %v", last, revision, toldBy(t, n.changes))
				} else {
					last = revision
				}
			}
			if last != 128 {
				t.Errorf("it ends at %d: %v", last, toldBy(t, n.changes))
			}
		})
	}
}

// countingEvents counts how often it is looked for changes.
type countingEvents struct {
	*events.Ring
	looks int
}

func (e *countingEvents) Changes(since uint64) (events.Changes, bool) {
	e.looks++
	return e.Ring.Changes(since)
}

// TestManyEventsWakeAWatcherAFewTimes and it is told all of them.
func TestManyEventsWakeAWatcherAFewTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := &countingEvents{Ring: events.NewRing(&revisions{}, nil)}
		s := NewServer(Config{Events: ring})
		ctx, cancel := context.WithCancel(t.Context())
		tail, err := s.followEvents(0)
		if err != nil {
			t.Fatal(err)
		}
		w, ended := httptest.NewRecorder(), make(chan error)
		go func() { ended <- s.stream(ctx, newLogWriter(w, math.MaxInt64), tail, happenings, &query{}, everything) }()
		const many = 1000 // within two pauses
		for n := range many {
			ring.Add(reconciler.Occurrence{At: time.Now(), Service: fmt.Sprintf("s%d", n), Reason: "Started"})
			time.Sleep(2 * feedPause / many)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if ring.looks > 5 {
			t.Errorf("it was woken %d times", ring.looks)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if told := strings.Count(w.Body.String(), "ADDED"); told != many {
			t.Errorf("it was told %d of %d", told, many)
		}
	})
}
