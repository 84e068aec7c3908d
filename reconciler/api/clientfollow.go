package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"svc.d/status"
)

const (
	// shortestPause and longestPause are what a follower waits before it asks again.
	shortestPause = 100 * time.Millisecond
	longestPause  = 2 * time.Second
)

// Follower tells what becomes of the objects of a collection. It outlives the
// daemon: one that has executed itself anew, or was restarted, is asked for what
// happened meanwhile. Its methods are called by one goroutine.
type Follower struct {
	// Lost is called when the daemon cannot be asked any more, once until it can be
	// again. It may be nil.
	Lost func(error)

	client     *Client
	collection string
	selection  Selection
	revision   string
	known      map[string]json.RawMessage
}

// Follow returns a follower that begins after a list of the same collection and
// selection.
func (c *Client) Follow(collection string, s Selection, after *Objects) (*Follower, error) {
	f := &Follower{client: c, collection: collection, selection: s, revision: after.Metadata.ResourceVersion, known: map[string]json.RawMessage{}}
	for _, item := range after.Items {
		m, err := metadataIn(item)
		if err != nil {
			return nil, err
		}
		f.keep(m.Name, item)
	}
	return f, nil
}

// Run calls tell with each object that was added, modified or deleted, until ctx
// ends, tell returns an error, or the daemon refuses. It returns that error.
func (f *Follower) Run(ctx context.Context, tell func(status.WatchEvent) error) error {
	pause, lost := shortestPause, false
	for {
		told, err := f.once(ctx, tell)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var stopped *stoppedError
		if errors.As(err, &stopped) {
			return stopped.error
		}
		if err != nil && !passing(err) {
			return err
		}
		if told || err == nil {
			lost, pause = false, shortestPause
		}
		if err != nil && !lost && f.Lost != nil {
			lost = true
			f.Lost(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// stoppedError is an error of tell.
type stoppedError struct{ error }

// passing tells what may be better the next time.
func passing(err error) bool {
	var unreachable *UnreachableError
	var failure *status.Failure
	if errors.As(err, &failure) {
		return slices.Contains([]status.FailureReason{
			status.FailureUnavailable, status.FailureTimeout, status.FailureTooManyRequests,
		}, failure.Reason)
	}
	return errors.As(err, &unreachable)
}

// once watches until the stream ends, or lists again where the daemon does not
// remember what has happened since. told says that the daemon had something to say.
func (f *Follower) once(ctx context.Context, tell func(status.WatchEvent) error) (told bool, err error) {
	s, err := f.client.watch(ctx, f.collection, f.selection, f.revision)
	if isExpired(err) {
		return true, f.again(ctx, tell)
	}
	if err != nil {
		return false, err
	}
	defer s.close()
	for {
		e, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return told, nil
		case isExpired(err):
			return true, f.again(ctx, tell)
		case err != nil:
			return told, err
		}
		told = true
		if err := f.take(e, tell); err != nil {
			return told, err
		}
	}
}

func isExpired(err error) bool {
	var failure *status.Failure
	return errors.As(err, &failure) && failure.Reason == status.FailureExpired
}

// take notes an event and tells it.
func (f *Follower) take(e status.WatchEvent, tell func(status.WatchEvent) error) error {
	m, err := metadataIn(e.Object)
	if err != nil {
		return err
	}
	if m.ResourceVersion != "" {
		f.revision = m.ResourceVersion
	}
	switch e.Type {
	case status.WatchBookmark:
		return nil
	case status.WatchDeleted:
		delete(f.known, m.Name)
	default:
		f.keep(m.Name, e.Object)
	}
	if err := tell(e); err != nil {
		return &stoppedError{err}
	}
	return nil
}

// keep remembers an object, for the day when it is gone from a list. Events are not
// remembered: they go by falling out, which is not told.
func (f *Follower) keep(name string, object json.RawMessage) {
	if f.collection != "events" {
		f.known[name] = object
	}
}

// again lists everything, and tells what is not as it was.
func (f *Follower) again(ctx context.Context, tell func(status.WatchEvent) error) error {
	list, err := f.client.List(ctx, f.collection, f.selection)
	if err != nil {
		return err
	}
	before := f.revision
	gone := f.known
	f.known = map[string]json.RawMessage{}
	var news []status.WatchEvent
	for _, item := range list.Items {
		m, err := metadataIn(item)
		if err != nil {
			return err
		}
		last, wasThere := gone[m.Name]
		delete(gone, m.Name)
		f.keep(m.Name, item)
		switch {
		case wasThere && !sameRevision(last, m):
			news = append(news, status.WatchEvent{Type: status.WatchModified, Object: item})
		case !wasThere && (f.collection != "events" || isLater(m.ResourceVersion, before)):
			news = append(news, status.WatchEvent{Type: status.WatchAdded, Object: item})
		}
	}
	var deleted []status.WatchEvent
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		deleted = append(deleted, status.WatchEvent{Type: status.WatchDeleted, Object: gone[name]})
	}
	f.revision = list.Metadata.ResourceVersion
	for _, e := range append(deleted, news...) {
		if err := tell(e); err != nil {
			return &stoppedError{err}
		}
	}
	return nil
}

func sameRevision(last json.RawMessage, m status.Metadata) bool {
	before, err := metadataIn(last)
	return err == nil && before.ResourceVersion == m.ResourceVersion && before.UID == m.UID
}

// isLater tells whether one revision comes after another, which may be of an earlier
// daemon.
func isLater(revision, than string) bool {
	a, errA := strconv.ParseUint(revision, 10, 64)
	b, errB := strconv.ParseUint(than, 10, 64)
	return errA != nil || errB != nil || a > b
}

func metadataIn(object json.RawMessage) (status.Metadata, error) {
	var o struct {
		Metadata status.Metadata `json:"metadata"`
	}
	if err := json.Unmarshal(object, &o); err != nil {
		return o.Metadata, fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return o.Metadata, nil
}
