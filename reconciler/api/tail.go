package api

import (
	"cmp"
	"fmt"
	"slices"

	"svc.d/spec"
	"svc.d/status"
)

// news is what a watcher has not been told yet.
type news struct {
	changes  []*change
	revision uint64          // up to which that is everything
	more     <-chan struct{} // closed when there may be more
}

// tail is how a watcher gets one change after the other. One goroutine uses it.
type tail interface {
	// next is what is new. A *status.Failure is for the client.
	next() (news, error)
	close()
}

// expired is the answer to who has to begin anew.
func expired(since uint64) *status.Failure {
	return status.NewFailure(status.FailureExpired,
		fmt.Sprintf("too old resource version: %d; list again, and watch from there", since))
}

// serviceTail is a place in the feed.
type serviceTail struct {
	kind  *kind
	feed  *feed
	run   *run
	place uint64    // of the next entry
	since uint64    // what was known at this revision is no news
	first []*change // what comes before the entries
}

// watchServices begins to watch services or replicas. A watch from 0 begins with all
// that there are.
func (s *Server) watchServices(r *run, k *kind, since uint64) (tail, error) {
	t := &serviceTail{kind: k, feed: &s.feed, run: r, since: since}
	// Before the engine is asked: what the feed publishes meanwhile is not in its answer.
	r.mu.Lock()
	place, known := r.passed+uint64(len(r.entries)), r.revision
	r.mu.Unlock()
	var names []string
	if since > 0 {
		changes, ok := s.config.Engine.Changes(since)
		if !ok {
			return nil, expired(since)
		}
		names = changes.Names
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case since == 0:
		t.place, t.since = r.passed+uint64(len(r.entries)), r.revision
		t.first = t.all()
	case since >= r.first:
		t.place = r.passed
	case len(names) > 0 && k == replicas:
		return nil, expired(since) // nobody knows any more which there were
	default:
		t.place, t.since = place, known
		t.first = t.catchUp(names, since)
	}
	return t, nil
}

// all are the objects that there are, in order of their revisions: who breaks off asks
// from that of the last one, and misses none. The caller holds the run's mu.
func (t *serviceTail) all() (all []*change) {
	list := make([]*listed, 0, len(t.run.services))
	for _, one := range t.run.services {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *listed) int {
		return cmp.Or(cmp.Compare(a.service.revision, b.service.revision), cmp.Compare(a.name(), b.name()))
	})
	for _, one := range list {
		if t.kind == services {
			all = append(all, one.service)
			continue
		}
		revision := one.service.revision
		all = append(all, changesOf(nil, one.report, max(revision, 1)-1, revision)...)
	}
	return all
}

// catchUp tells how the services are that have changed since the watcher knew them.
// The caller holds the run's mu.
func (t *serviceTail) catchUp(names []string, since uint64) (all []*change) {
	slices.Sort(names)
	for _, name := range names {
		s := t.run.known(name)
		switch {
		case s == nil:
			gone := &status.Service{APIVersion: spec.APIVersion, Kind: spec.KindService, Metadata: status.Metadata{Name: name}}
			all = append(all, &change{revision: since, before: serviceObject{gone}, blind: true})
		case revisionOf(s.Metadata.ResourceVersion) > since:
			// In no order of revisions: who breaks off asks from where it began.
			all = append(all, &change{revision: since, now: serviceObject{s}.at(since), blind: true})
		}
	}
	return all
}

func (t *serviceTail) next() (news, error) {
	r := t.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return news{}, failureOf(r.err)
	}
	if t.place < r.passed {
		return news{}, expired(t.since)
	}
	n := news{changes: t.first, revision: r.revision, more: r.more}
	t.first = nil
	for _, e := range r.entries[t.place-r.passed:] {
		if e.revision <= t.since {
			continue
		}
		for _, c := range e.changes(t.kind) {
			n.changes = append(n.changes, c.after(t.since))
		}
	}
	t.place, t.since = r.passed+uint64(len(r.entries)), max(t.since, r.revision)
	return n, nil
}

func (t *serviceTail) close() { t.feed.leave() }
