package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"svc.d/reconciler"
	"svc.d/status"
)

const (
	// maxEntries is how far a watcher may lag behind: what is older is forgotten.
	// It is more than four of each of a thousand services.
	maxEntries = 4096
	// feedPause is the time from a change to a look at what has changed. What changes
	// more often is told as it is in the end.
	feedPause = 10 * time.Millisecond
	// feedLook is how often it looks when nothing has been told.
	feedLook = time.Second
	// feedLinger is how long it goes on without watchers: who was told to begin
	// anew lists first, and then asks for what came since.
	feedLinger = 5 * time.Second
)

// feed follows the services for everybody who watches them or their replicas. While
// nobody does, there is no goroutine and nothing is remembered.
type feed struct {
	engine Engine

	mu       sync.Mutex
	watchers int
	run      *run // nil while nobody watches
	linger   *time.Timer
	closed   bool
}

// join begins to watch. The caller leaves when it has ended.
func (f *feed) join(ctx context.Context) (*run, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, context.Canceled
	}
	f.watchers++
	if f.linger != nil {
		f.linger.Stop()
		f.linger = nil
	}
	if f.run == nil || f.run.failed() != nil {
		f.run = startRun(f.engine)
	}
	r := f.run
	f.mu.Unlock()
	select {
	case <-r.begun:
		if err := r.failed(); err != nil {
			f.leave()
			return nil, err
		}
		return r, nil
	case <-ctx.Done():
		f.leave()
		return nil, ctx.Err()
	}
}

// leave ends watching. After the last one the feed ends, a while later.
func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
	if f.watchers == 0 && !f.closed {
		f.linger = time.AfterFunc(feedLinger, f.rest)
	}
}

// rest ends the feed unless somebody watches.
func (f *feed) rest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == 0 && f.run != nil {
		f.run.stop()
		f.run = nil
	}
}

// open lets watchers join again after close.
func (f *feed) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = false
}

// close ends the feed, and waits for its end.
func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	r := f.run
	f.run = nil
	if f.linger != nil {
		f.linger.Stop()
		f.linger = nil
	}
	f.mu.Unlock()
	if r != nil {
		r.stop()
		<-r.ended
	}
}

// entry is a change of a service. before and now are nil where it is not there.
type entry struct {
	revision    uint64 // after which it is known
	before, now *status.Service
	service     *change

	previous uint64
	once     sync.Once
	replicas []*change
}

// changes are what the entry means for objects of a kind.
func (e *entry) changes(k *kind) []*change {
	if k == services {
		return []*change{e.service}
	}
	e.once.Do(func() { e.replicas = changesOf(e.before, e.now, e.previous, e.service.revision) })
	return e.replicas
}

// run is the feed from when somebody began to watch until nobody does.
type run struct {
	engine Engine
	stop   context.CancelFunc
	begun  chan struct{} // closed when the services are known, or it has failed
	ended  chan struct{}

	mu       sync.Mutex
	services map[string]*listed // as they were told last
	entries  []*entry           // the latest, oldest first
	passed   uint64             // how many there were before those
	first    uint64             // all after this revision are in entries
	revision uint64             // and up to this one
	more     chan struct{}      // closed at the next entry, or the end
	err      error              // why it has ended
}

func startRun(engine Engine) *run {
	ctx, stop := context.WithCancel(context.Background())
	r := &run{engine: engine, stop: stop, begun: make(chan struct{}), ended: make(chan struct{}), more: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.end(r.follow(ctx))
	}()
	return r
}

func (r *run) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// end tells all watchers that nothing more comes, and lets go of everything.
func (r *run) end(err error) {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.services, r.entries = err, nil, nil
	close(r.more)
	select {
	case <-r.begun:
	default:
		close(r.begun)
	}
}

// follow renders what changes. It returns why it cannot go on.
func (r *run) follow(ctx context.Context) error {
	snapshot, err := r.ask(ctx)
	if err != nil {
		return err
	}
	r.begin(snapshot)
	close(r.begun)
	for since := snapshot.Revision; ; {
		changes, ok := r.engine.Changes(since)
		if !ok {
			return expired(since)
		}
		since = changes.Revision
		if len(changes.Names) > 0 {
			if snapshot, err = r.ask(ctx, changes.Names...); err != nil {
				return err
			}
			r.add(snapshot, &changes)
		} else {
			r.reached(changes.Revision)
		}
		if err := r.rest(ctx, changes.More); err != nil {
			return err
		}
	}
}

// rest waits for more, and a while longer: who restarts a process is not to compete with
// those who watch it, and what happens together is told together. Without a word it looks
// again all the same, for what no event tells of.
func (r *run) rest(ctx context.Context, more <-chan struct{}) error {
	look := time.NewTimer(feedLook)
	defer look.Stop()
	select {
	case <-more:
	case <-look.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	if !pause(ctx) {
		return ctx.Err()
	}
	return nil
}

func (r *run) ask(ctx context.Context, names ...string) (*reconciler.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	return r.engine.Snapshot(ctx, names...)
}

func (r *run) begin(s *reconciler.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services = make(map[string]*listed, len(s.Services))
	for n := range s.Services {
		one := newListed(s.Services[n])
		r.services[one.name()] = one
	}
	r.first, r.revision = s.Revision, s.Revision
}

func (r *run) reached(revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision = max(r.revision, revision)
}

// add notes what has become of the services that have changed. The reports may be
// newer than the changes. One of a later revision is left for the next time, when it
// is among the changes for sure: a watcher that has seen a revision has seen all
// before it.
func (r *run) add(snapshot *reconciler.Snapshot, changes *reconciler.Changes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[string]bool, len(snapshot.Services))
	var batch []*entry
	for n := range snapshot.Services {
		now := snapshot.Services[n]
		name := now.Metadata.Name
		known[name] = true
		revision := revisionOf(now.Metadata.ResourceVersion)
		before := r.known(name)
		if revision > changes.Revision || before != nil && sameService(before, &now) {
			continue
		}
		if before != nil && before.Metadata.UID != now.Metadata.UID {
			// It was removed, and is another one by now.
			c := &change{revision: r.revision, before: serviceObject{before}, shared: true}
			batch = append(batch, &entry{revision: revision, before: before, service: c})
			before = nil
		}
		c := &change{revision: revision, now: serviceObject{&now}, shared: true}
		if before != nil {
			c.before = serviceObject{before}
		}
		r.services[name] = newListed(now)
		batch = append(batch, &entry{revision: revision, before: before, now: &now, service: c})
	}
	slices.SortStableFunc(batch, func(a, b *entry) int { return cmp.Compare(a.revision, b.revision) })
	batch = slices.Concat(r.gone(known, changes.Names, snapshot.Revision), batch)
	if len(batch) > 0 {
		r.publish(batch)
	}
	r.revision = changes.Revision
}

// gone are the entries for services that have changed and are not known any more. They
// come first and are told with the revision before: nobody knows theirs, and a watcher
// that asks on from there may hear of them twice, but misses nothing. They may have gone
// at any time up to seen, which is later than the changes: who has listed in between
// has to be told. The caller holds mu.
func (r *run) gone(known map[string]bool, names []string, seen uint64) (batch []*entry) {
	for _, name := range slices.Sorted(slices.Values(names)) {
		before := r.known(name)
		if known[name] || before == nil {
			continue
		}
		delete(r.services, name)
		c := &change{revision: r.revision, before: serviceObject{before}, shared: true}
		batch = append(batch, &entry{revision: seen, before: before, service: c})
	}
	return batch
}

// known is how a service was told last; nil is not at all. The caller holds mu.
func (r *run) known(name string) *status.Service {
	if one := r.services[name]; one != nil {
		return one.report
	}
	return nil
}

// publish has watchers see the entries. The caller holds mu.
func (r *run) publish(batch []*entry) {
	previous := r.revision
	for _, e := range batch {
		e.previous = previous
		e.service.revision = max(e.service.revision, previous) // what ended to be another one is told among others
		previous = e.service.revision
	}
	r.entries = append(r.entries, batch...)
	if over := len(r.entries) - maxEntries; over > 0 {
		for _, e := range r.entries[:over] {
			r.first = max(r.first, e.revision)
		}
		r.entries = slices.Delete(r.entries, 0, over)
		r.passed += uint64(over)
	}
	close(r.more)
	r.more = make(chan struct{})
}
