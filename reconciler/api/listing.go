package api

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"svc.d/reconciler"
	"svc.d/status"
)

// listingLinger is how long it is remembered what was listed. People ask again and again
// when they ask at all.
const listingLinger = time.Minute

// listing is all services as they were at one moment. It is immutable.
type listing struct {
	revision uint64
	services []*listed // in order of names
}

// listed is a service of a listing, which encodes it and its replicas once for all.
type listed struct {
	service  *change
	report   *status.Service
	once     sync.Once
	replicas []*change
}

// newListed takes a copy: the snapshot as a whole is let go.
func newListed(report status.Service) *listed {
	return &listed{report: &report, service: &change{revision: revisionOf(report.Metadata.ResourceVersion), now: serviceObject{&report}, shared: true}}
}

func (l *listed) name() string { return l.report.Metadata.Name }

// changes are the objects of a kind as ones that are there now.
func (l *listed) changes(k *kind) []*change {
	if k == services {
		return []*change{l.service}
	}
	l.once.Do(func() {
		for _, r := range replicasOf(l.report) {
			l.replicas = append(l.replicas, &change{now: replicaObject{r}, shared: true})
		}
	})
	return l.replicas
}

// listings tells how all services are. It asks, and has encoded, only what has changed
// since somebody asked last. Its methods may be called by any goroutine.
type listings struct {
	engine Engine
	turn   chan struct{} // of who asks the engine

	mu     sync.Mutex
	last   *listing // nil: forgotten
	linger *time.Timer
}

func newListings(e Engine) *listings { return &listings{engine: e, turn: make(chan struct{}, 1)} }

// now is how the services are.
func (l *listings) now(ctx context.Context) (*listing, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	if last == nil {
		last = &listing{}
	}
	news, err := l.engine.SnapshotSince(ctx, last.revision)
	if err != nil {
		return nil, err
	}
	next := last.with(news)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = next
	if l.linger == nil {
		l.linger = time.AfterFunc(listingLinger, l.rest)
	} else {
		l.linger.Reset(listingLinger)
	}
	return next, nil
}

// rest gives back what lists have taken, since nobody asks for one any more.
func (l *listings) rest() {
	l.forget()
	debug.FreeOSMemory()
}

// forget lets go of what was listed.
func (l *listings) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.linger != nil {
		l.linger.Stop()
	}
	l.last, l.linger = nil, nil
}

// with is the listing after a snapshot.
func (l *listing) with(news *reconciler.Snapshot) *listing {
	next := &listing{revision: news.Revision}
	fresh := make([]*listed, len(news.Services))
	for n := range news.Services {
		fresh[n] = newListed(news.Services[n])
	}
	if news.Since == 0 {
		next.services = fresh
		return next
	}
	next.services = make([]*listed, 0, len(l.services)+len(fresh))
	for _, old := range l.services {
		name := old.name()
		for len(fresh) > 0 && fresh[0].name() < name {
			next.services, fresh = append(next.services, fresh[0]), fresh[1:]
		}
		switch {
		case len(fresh) > 0 && fresh[0].name() == name: // it takes its place
		default:
			if _, gone := slices.BinarySearch(news.Gone, name); !gone {
				next.services = append(next.services, old)
			}
		}
	}
	next.services = append(next.services, fresh...)
	return next
}
