package watch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"

	"svc.d/spec"
)

const (
	// guardDelay follows a look at single entries with a full list: more
	// than the resolution of file times (see racyLocal), and long enough
	// that a burst of events is followed by a few lists only.
	guardDelay = 100 * time.Millisecond
	// listWindow and listShare bound the full lists to half of one
	// processor, however many events come. A list after some quiet waits for nothing.
	listWindow = 100 * time.Millisecond
	listShare  = 50 * time.Millisecond
)

// Watcher watches one directory. Its methods may be called from any goroutine.
type Watcher struct {
	dir    string
	resync time.Duration
	poll   time.Duration
	log    logr.Logger
	sets   chan *spec.Set
	prune  chan chan pruned
	done   chan struct{}

	// Run's own. open is a seam for tests.
	open     func() (notifier, error)
	scan     *scanner
	coverage *coverage
	fullAt   time.Time // when the next full list is due; zero for none but the resync
	lastFull time.Time
	window   time.Time // since when spent is counted
	spent    time.Duration
}

type pruned struct {
	names []string
	err   error
}

// New makes a Watcher. Nothing is looked at before Run.
func New(o Options) (*Watcher, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, errors.Join(fmt.Errorf("cannot watch directory %q", o.Dir), err)
	}
	if o.Parse == nil {
		o.Parse = spec.Parse
	}
	w := &Watcher{
		dir:      dir,
		resync:   orDefault(o.Resync, DefaultResync),
		poll:     orDefault(o.Poll, defaultPoll),
		log:      o.Log,
		sets:     make(chan *spec.Set, 1),
		prune:    make(chan chan pruned),
		done:     make(chan struct{}),
		open:     openInotify,
		scan:     newScanner(o.Parse),
		coverage: newCoverage(),
	}
	w.scan.recursive = o.Recursive
	w.scan.coverage = w.coverage
	w.scan.trust = o.trust()
	w.scan.ledger.obey, w.scan.ledger.heldBefore = o.PruneObey, o.SeedHeld
	w.scan.ledger.root = dir
	if id := parseDirIdentity(o.SeedDirectory); id != (dirIdentity{}) {
		w.scan.ledger.dirs[dir] = id
	}
	if o.AtOnce {
		w.scan.ledger.patience = 0
	}
	w.scan.ledger.seed(o.Seed, o.SeedConfiguration)
	return w, nil
}

func orDefault(d, other time.Duration) time.Duration {
	if d <= 0 {
		return other
	}
	return d
}

// Sets gives the sets. The first one comes as soon as the directory has been
// read for the first time, also when there is none; later ones only when
// something differs. Who reads late gets the newest one and none of those
// before it. The channel is never closed.
func (w *Watcher) Sets() <-chan *spec.Set { return w.sets }

// ConfirmPrune lists the directory once more and then removes what a guard
// against accidents holds (ConditionPruneHeld, or ConditionDirectoryHeld for an
// empty directory that took the place of another). It tells the names of the
// services that were removed, sorted; none when nothing was held. While the
// directory is missing or unreadable it is an error.
func (w *Watcher) ConfirmPrune(ctx context.Context) (removed []string, err error) {
	answer := make(chan pruned, 1)
	select {
	case w.prune <- answer:
	case <-w.done:
		return nil, errors.New("cannot prune: the directory is not watched any more")
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot prune: %w", ctx.Err())
	}
	p := <-answer
	return p.names, p.err
}

// Run watches until ctx ends and then returns nil. It may be called once.
func (w *Watcher) Run(ctx context.Context) error {
	defer close(w.done)
	defer w.closeNotifier()
	w.full(time.Now())
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.settle(time.Now())
		timer.Reset(time.Until(w.due()))
		select {
		case <-ctx.Done():
			return nil
		case batch, open := <-w.events():
			if !open {
				w.log.Info("Lost the notification of files", "dir", w.dir)
				w.closeNotifier()
				w.fullAt = time.Now()
				continue
			}
			w.happened(batch, time.Now())
		case <-timer.C:
			w.tick(time.Now())
		case answer := <-w.prune:
			now := time.Now()
			w.full(now)
			names, err := w.scan.ledger.confirm(now)
			w.settle(now)
			answer <- pruned{names: names, err: err}
		}
	}
}

// settle lets removals take effect and sends what differs.
func (w *Watcher) settle(now time.Time) {
	w.scan.ledger.sweep(now)
	set := w.scan.ledger.publish(now)
	if set == nil {
		return
	}
	select {
	case <-w.sets: // a set that nobody took is out of date
	default:
	}
	w.sets <- set // there is room: nobody else sends
}

// due is when to look although nothing happens.
func (w *Watcher) due() time.Time {
	return earlier(earlier(w.lastFull.Add(w.interval()), w.fullAt), w.scan.ledger.due())
}

// interval is how often everything is listed although nothing happens. Without events, or
// after an error that may pass as it came (no descriptors, a disk), it is shorter.
func (w *Watcher) interval() time.Duration {
	if w.scan.ledger.degraded.Type != "" || w.scan.ledger.unreadable() {
		return w.poll
	}
	return w.resync
}

// tick does what is due.
func (w *Watcher) tick(now time.Time) {
	if !w.fullAt.IsZero() && !now.Before(w.fullAt) || now.Sub(w.lastFull) >= w.interval() {
		w.full(now)
		return
	}
	for file, e := range w.scan.ledger.pending {
		if !now.Before(e.trouble.next) && !w.scan.one(filepath.Dir(file), filepath.Base(file), now) {
			w.listSoon(now)
			return
		}
	}
	if w.scan.ledger.again {
		w.fullAt = earlier(w.fullAt, now.Add(guardDelay))
	}
}

func (w *Watcher) events() <-chan []event {
	if w.coverage.notifier == nil {
		return nil
	}
	return w.coverage.notifier.events()
}

// happened looks at once at the entries that the events name, whatever they
// say happened to them, and has everything listed soon after. So one rename
// does not wait for a list of thousands; and no event has to be right.
func (w *Watcher) happened(batch []event, now time.Time) {
	looked := map[string]bool{}
	for _, e := range batch {
		s := w.coverage.spots[e.wd]
		if e.overflow || s != nil && (e.ended || e.name == "") {
			if e.ended {
				delete(w.coverage.spots, e.wd)
			}
			w.listSoon(now)
			return
		}
		if s == nil {
			continue
		}
		if _, onTheWay := s.names[e.name]; onTheWay {
			w.listSoon(now)
			return
		}
		if !w.scan.candidate(e.name) {
			continue
		}
		for _, dir := range s.manifests {
			file := filepath.Join(dir, e.name)
			if looked[file] {
				continue
			}
			looked[file] = true
			if !isManifest(e.name) || !w.scan.one(dir, e.name, now) {
				w.listSoon(now)
				return
			}
			w.fullAt = earlier(w.fullAt, now.Add(guardDelay))
		}
	}
}

// listSoon lists everything at once, or a little later when that was done
// much in the last moments.
func (w *Watcher) listSoon(now time.Time) {
	if now.Sub(w.window) < listWindow && w.spent >= listShare {
		w.fullAt = earlier(w.fullAt, w.window.Add(listWindow))
		return
	}
	w.full(now)
}

// full lists everything.
func (w *Watcher) full(now time.Time) {
	if now.Sub(w.window) >= listWindow {
		w.window, w.spent = now, 0
	}
	var failure error
	if w.coverage.notifier == nil {
		w.coverage.notifier, failure = w.open()
		if failure != nil {
			w.coverage.notifier = nil
		}
	}
	w.scan.full(w.dir, now)
	w.lastFull, w.fullAt = now, time.Time{}
	if w.scan.ledger.again {
		w.fullAt = now.Add(guardDelay)
	}
	if failure == nil {
		failure = w.coverage.failure
	}
	if failure == nil && w.scan.ledger.blind() {
		failure = w.coverage.denied // it may be what has to be mended
	}
	w.degrade(failure, now)
	w.spent += time.Since(now)
}

func (w *Watcher) closeNotifier() {
	if w.coverage.notifier != nil {
		w.coverage.notifier.close()
	}
	w.coverage.lost()
}
