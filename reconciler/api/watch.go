package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"runtime"
	"time"

	"svc.d/reconciler/events"
	"svc.d/spec"
	"svc.d/status"
)

const (
	// maxWatches is how many watches there are at a time.
	maxWatches = 256
	// bookmarkPeriod is how often a watch that asks for it is told the revision, as
	// Kubernetes does.
	bookmarkPeriod = time.Minute
)

// Events are what the API tells of what has happened. *events.Ring is one.
type Events interface {
	// List tells all, and the state that they are.
	List() ([]status.Event, uint64)
	// Changes tells what has come after a state; it is false when that is too long ago.
	Changes(since uint64) (events.Changes, bool)
}

// collection answers a list or a watch of objects of a kind.
func (s *Server) collection(k *kind) http.Handler {
	list := s.answer(func(r *http.Request) (any, error) { return s.listOf(r, k) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.survive(w)
		if failure := s.admit(r); failure != nil {
			writeFailure(w, failure)
			return
		}
		q, err := readQuery(r.URL.RawQuery, k)
		switch {
		case err != nil:
			writeFailure(w, failureOf(err))
		case q.watch:
			s.watch(w, r, k, q)
		default:
			list.ServeHTTP(w, r)
		}
	})
}

// objectList is a list as it is sent to somebody with a sight.
type objectList struct {
	kind     *kind
	revision uint64
	items    []*change // as they are now
	sight    sight
}

func (s *Server) listOf(r *http.Request, k *kind) (any, error) {
	q, err := readQuery(r.URL.RawQuery, k)
	if err != nil {
		return nil, err
	}
	l := &objectList{kind: k, sight: s.sightOf(r)}
	add := func(c *change) {
		if q.matches(c.now) {
			l.items = append(l.items, c)
		}
	}
	if k == happenings {
		all, revision := s.config.Events.List()
		l.revision = revision
		for n := range all {
			add(&change{now: eventObject{&all[n]}})
		}
	} else {
		now, err := s.listings.now(r.Context())
		if err != nil {
			return nil, err
		}
		l.revision = now.revision
		for _, one := range now.services {
			for _, c := range one.changes(k) {
				add(c)
			}
		}
	}
	return l.in(formOf(r), q.include), nil
}

// watch sends what changes, one object a line, until the client has enough. One that
// does not read is cut off.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, k *kind, q *query) {
	select {
	case s.watches <- struct{}{}:
		defer func() { <-s.watches }()
	default:
		writeFailure(w, status.NewFailure(status.FailureTooManyRequests, "too many watches are under way; try again later"))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if q.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, q.timeout)
		defer cancel()
	}
	t, err := s.follow(ctx, k, q.since)
	if err != nil {
		writeFailure(w, failureOf(err))
		return
	}
	defer t.close()
	out := newLogWriter(w, math.MaxInt64)
	if ending, ok := r.Context().Value(endingKey{}).(context.Context); ok {
		defer context.AfterFunc(ending, func() { cancel(); out.cut() })()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if out.flush() == nil {
		_ = s.stream(ctx, out, t, k, q, s.sightOf(r)) // the client is gone, or will see that it is over
	}
}

// stream sends what a tail has. The error is that of the client's connection.
func (s *Server) stream(ctx context.Context, out *logWriter, t tail, k *kind, q *query, as sight) error {
	var bookmarks <-chan time.Time
	if q.bookmarks {
		ticker := time.NewTicker(bookmarkPeriod)
		defer ticker.Stop()
		bookmarks = ticker.C
	}
	for {
		n, err := t.next()
		if err != nil {
			var failure *status.Failure
			if !errors.As(err, &failure) || failure.Reason != status.FailureExpired {
				return err // the daemon is ending: the client asks again
			}
			if err := sendLine(out, status.WatchError, failure); err != nil {
				return err
			}
			return out.flush()
		}
		for _, c := range n.changes {
			kind, deleted := c.told(&q.selector)
			if kind == "" {
				continue
			}
			text, err := c.encode(deleted, as)
			if err != nil {
				return err
			}
			runtime.Gosched() // as in writeList
			if err := sendLine(out, kind, json.RawMessage(text)); err != nil {
				return err
			}
		}
		if len(n.changes) > 0 {
			if err := out.flush(); err != nil {
				return err
			}
		}
		if k == happenings && len(n.changes) > 0 && !pause(ctx) {
			return nil
		}
		select {
		case <-n.more:
		case <-ctx.Done():
			return nil
		case <-bookmarks:
			mark := bookmark{spec.APIVersion, k.singular, status.ListMeta{ResourceVersion: version(n.revision)}}
			if err := errors.Join(sendLine(out, status.WatchBookmark, mark), out.flush()); err != nil {
				return err
			}
		}
	}
}

// pause has what happens next wait for what happens soon after it, as the feed does: a
// thousand starts wake a watcher a few times.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(feedPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bookmark is an object with nothing but its kind and revision.
type bookmark struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   status.ListMeta `json:"metadata"`
}

func sendLine(out *logWriter, kind status.WatchType, object any) error {
	text, ok := object.(json.RawMessage)
	if !ok {
		var err error
		if text, err = json.Marshal(object); err != nil {
			return err
		}
	}
	// In pieces, which the connection's buffer puts together: text is everybody's.
	for _, piece := range [][]byte{[]byte(`{"type":"` + string(kind) + `","object":`), text, []byte("}\n")} {
		if _, err := out.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// follow begins to watch after a state; 0 is with all that there is.
func (s *Server) follow(ctx context.Context, k *kind, since uint64) (tail, error) {
	if k == happenings {
		return s.followEvents(since)
	}
	r, err := s.feed.join(ctx)
	if err != nil {
		return nil, err
	}
	t, err := s.watchServices(r, k, since)
	if err != nil {
		s.feed.leave()
		return nil, err
	}
	return t, nil
}

// eventTail is a place in the ring of events.
type eventTail struct {
	events Events
	since  uint64
	first  []*change
}

func (s *Server) followEvents(since uint64) (tail, error) {
	t := &eventTail{events: s.config.Events, since: since}
	if since == 0 {
		all, revision := s.config.Events.List()
		t.since = revision
		for n := range all {
			t.first = append(t.first, &change{revision: revisionOf(all[n].Metadata.ResourceVersion), now: eventObject{&all[n]}})
		}
		return t, nil
	}
	if _, ok := s.config.Events.Changes(since); !ok {
		return nil, expired(since)
	}
	return t, nil
}

func (t *eventTail) next() (news, error) {
	c, ok := t.events.Changes(t.since)
	if !ok {
		return news{}, expired(t.since)
	}
	t.since = c.Revision
	n := news{changes: t.first, revision: c.Revision, more: c.More}
	t.first = nil
	for i := range c.Events {
		e := &change{revision: revisionOf(c.Events[i].Metadata.ResourceVersion), now: eventObject{&c.Events[i]}}
		if c.Events[i].Count > 1 {
			e.before = e.now // it was told before, of the same object and reason
		}
		n.changes = append(n.changes, e)
	}
	return n, nil
}

func (t *eventTail) close() {}

// event answers one event by its name.
func (s *Server) event(r *http.Request) (any, error) {
	all, _ := s.config.Events.List()
	for n := range all {
		if all[n].Metadata.Name == r.PathValue("name") {
			return s.show(r, happenings, eventObject{&all[n]}), nil
		}
	}
	return nil, notFound(happenings.plural, r.PathValue("name"))
}
