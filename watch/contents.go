package watch

import (
	"context"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/spec"
)

const (
	// settleFor is how long nothing must have happened before files are looked at:
	// a certificate and its key are written one after the other.
	settleFor = 50 * time.Millisecond
	// settleMost bounds how long a change waits for others.
	settleMost = time.Second
	// maxHeld is how many directories a look holds open, more or less.
	maxHeld = 256
)

// FilesOptions say how Files watches.
type FilesOptions struct {
	// Resync is the time between looks at everything when nothing happens;
	// DefaultResync when zero.
	Resync time.Duration
	// Poll is the time between them while notification does not work; 2 seconds
	// when zero.
	Poll time.Duration
	Log  logr.Logger
}

// Files watches the content of single files, wherever they are and whatever links
// lead to them. Its methods may be called from any goroutine.
//
// A file is read when nobody has it open for writing, and only when it is not the
// one that was read before. A change is told when nothing has happened for 50 ms and
// no file is in the making, after a second at the latest. One that is removed is
// gone when it has been missing for a second. What cannot be read keeps the digests
// that it has: those are of a time when it could.
//
// A file system that hangs holds up all of this, and nothing but this: also the end
// of Run.
type Files struct {
	resync, poll time.Duration
	log          logr.Logger
	contents     chan *spec.Contents
	news         chan struct{} // there is another wanted

	mu     sync.Mutex
	wanted []string // as the last Want had it

	// Run's own. open is a seam for tests.
	open      func() (notifier, error)
	reader    reader
	coverage  *coverage
	paths     []string // sorted
	files     map[string]*fileState
	published map[string]spec.Content
	changed   bool      // something may differ from published
	degraded  bool      // we are not told of every change
	next      time.Time // when to look although nothing happens; zero for never
	told      time.Time // when something last happened that was not looked at
	burst     time.Time // since when there is something to publish, or to look at
}

// NewFiles makes a Files. Nothing is looked at before Run.
func NewFiles(o FilesOptions) *Files {
	return &Files{
		resync:   orDefault(o.Resync, DefaultResync),
		poll:     orDefault(o.Poll, defaultPoll),
		log:      o.Log,
		contents: make(chan *spec.Contents, 1),
		news:     make(chan struct{}, 1),
		open:     openInotify,
		reader: reader{lease: lease, class: classify, now: time.Now, limit: maxRawSize, keep: maxEnvSize,
			check: func(*unix.Stat_t) error { return nil }},
		coverage: newCoverage(),
		files:    map[string]*fileState{},
	}
}

// Want says which files are to be watched, by absolute paths, from now on and
// instead of those before. A path may be there more than once. It returns at once,
// and does nothing when the list is the one that was given last. What is new is read
// and told without waiting for anything.
func (f *Files) Want(paths []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Equal(paths, f.wanted) {
		return
	}
	f.wanted = slices.Clone(paths)
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// Contents gives what the wanted files hold, when it differs from what was given
// before. Who reads late gets the newest and none of those before it. A file is missing
// in it as long as it could not be read for the first time because somebody writes
// it. One that has a Problem and no Raw was never read: nothing is known of its
// content. The channel is never closed.
func (f *Files) Contents() <-chan *spec.Contents { return f.contents }

// Run watches until ctx ends and then returns nil. It may be called once. While
// nothing is wanted it holds no descriptor and does not wake up.
func (f *Files) Run(ctx context.Context) error {
	defer f.closeNotifier()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Stop()
		if due := f.due(); !due.IsZero() {
			timer.Reset(time.Until(due))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.news:
			if f.adopt() {
				f.look(time.Now(), true)
			}
		case batch, open := <-f.events():
			if open {
				f.happened(batch, time.Now())
				continue
			}
			f.log.Info("Lost the notification of files that services name")
			f.closeNotifier()
			f.look(time.Now(), false)
		case <-timer.C:
			f.look(time.Now(), false)
		}
	}
}

func (f *Files) events() <-chan []event {
	if f.coverage.notifier == nil {
		return nil
	}
	return f.coverage.notifier.events()
}

func (f *Files) closeNotifier() {
	if f.coverage.notifier != nil {
		f.coverage.notifier.close()
	}
	f.coverage.lost()
}

// adopt takes over what is wanted; it says whether that is something else.
func (f *Files) adopt() bool {
	f.mu.Lock()
	paths := slices.Clone(f.wanted)
	f.mu.Unlock()
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if slices.Equal(paths, f.paths) {
		return false
	}
	before := f.files
	f.paths, f.files, f.changed = paths, make(map[string]*fileState, len(paths)), true
	for _, p := range paths {
		if f.files[p] = before[p]; f.files[p] == nil {
			f.files[p] = &fileState{}
		}
	}
	return true
}

// happened notes whether something happened to one of the files, or to what leads
// there. Whatever it was, everything is looked at.
func (f *Files) happened(batch []event, now time.Time) {
	for _, e := range batch {
		s := f.coverage.spots[e.wd]
		if s == nil && !e.overflow {
			continue
		}
		if s != nil && !e.overflow && !e.ended && e.name != "" {
			if _, ours := s.names[e.name]; !ours {
				continue
			}
		}
		if e.ended {
			delete(f.coverage.spots, e.wd)
		}
		f.told = now
		if f.burst.IsZero() {
			f.burst = now
		}
	}
}

// due is when to look; zero for when something happens.
func (f *Files) due() time.Time {
	if f.told.IsZero() {
		return f.next
	}
	return earlier(f.next, earlier(f.told.Add(settleFor), f.burst.Add(settleMost)))
}

// look looks at every file and publishes what differs, with atOnce whatever else may
// be about to change.
func (f *Files) look(now time.Time, atOnce bool) {
	f.told, f.next = time.Time{}, time.Time{}
	if len(f.paths) == 0 {
		f.closeNotifier()
		f.degraded = false
		f.publish()
		return
	}
	inDoubt := f.pass(now)
	interval := f.resync
	if f.degraded {
		interval = f.poll
	}
	f.next = earlier(f.next, now.Add(interval))
	if f.changed && inDoubt && !atOnce {
		if f.burst.IsZero() {
			f.burst = now
		}
		if end := f.burst.Add(settleMost); now.Before(end) {
			f.next = earlier(f.next, end)
			return
		}
	}
	f.publish()
}

// pass looks at every file once; inDoubt says that one is in the making.
func (f *Files) pass(now time.Time) (inDoubt bool) {
	var failure error
	if f.coverage.notifier == nil {
		if f.coverage.notifier, failure = f.open(); failure != nil {
			f.coverage.notifier = nil
		}
	}
	f.coverage.begin()
	w := newWalk(nil, f.coverage)
	blind, remote := false, false
	for i, name := range f.paths {
		// Those of one directory are of the same side of a link's flip.
		if len(w.opened) > maxHeld && path.Dir(name) != path.Dir(f.paths[i-1]) {
			w.close()
			w = newWalk(nil, f.coverage)
		}
		file := f.files[name]
		saw := f.see(w, name, file, now)
		f.changed = file.take(saw, now) || f.changed
		f.next = earlier(f.next, file.due(now))
		inDoubt = inDoubt || file.inDoubt(now)
		blind = blind || saw.kind == sightUnreadable
		remote = remote || saw.class == fsRemote
	}
	w.close()
	f.coverage.end()
	if failure == nil {
		failure = f.coverage.failure
	}
	if failure == nil && blind {
		failure = f.coverage.denied // it may be what has to be mended
	}
	if failure != nil && !f.degraded {
		f.log.Info("Degraded the notification of files that services name", "reason", failure.Error())
	}
	f.degraded = failure != nil || remote
	return inDoubt
}

// publish sends what is known, when it differs from what was sent before.
func (f *Files) publish() {
	f.burst = time.Time{}
	if !f.changed {
		return
	}
	f.changed = false
	known := make(map[string]spec.Content, len(f.files))
	for name, file := range f.files {
		if file.known {
			known[name] = file.content
		}
	}
	if maps.Equal(known, f.published) {
		return
	}
	f.published = known
	select {
	case <-f.contents: // those that nobody took are out of date
	default:
	}
	f.contents <- &spec.Contents{Files: known} // there is room: nobody else sends
}
