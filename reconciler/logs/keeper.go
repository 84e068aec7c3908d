package logs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"svc.d/reconciler/logs/cri"
)

const (
	// settleFor is how long a file is left as it is after it was rotated: who
	// reads it may not have come to its end.
	settleFor = 30 * time.Second
	// beginAfter keeps the keeper from looking at everything, and compressing,
	// when the daemon has just begun. What is rotated meanwhile is bounded at once.
	beginAfter = 10 * time.Second
	// minShare is the least that the quota leaves to a file that is written to.
	minShare = 64 << 10
	// tryAgainAfter is when something is tried again that could not be done.
	tryAgainAfter = time.Minute
	// quotaSlack is which part of the quota is free when it was exceeded.
	quotaSlack = 10
	// tellAfter keeps services that write without end from filling our own log.
	tellAfter = time.Minute
)

// keeper removes and compresses files that were rotated, in a goroutine of its
// own. It has a timer only while something is due.
type keeper struct {
	log    logr.Logger
	dir    string
	quota  int64
	limits func(service string) *Limits
	expire func(Replica) // rotates a file in which everything is too old
	// attached says whether anybody may still write for a replica.
	attached func(Replica) bool
	due      time.Time // when the timer fires; zero: it does not

	bytes  atomic.Int64 // of all files, at most
	active atomic.Int64 // files that are written to, at least

	// begin is when it may look at every replica and compress.
	begin time.Time
	// removed is how many files the quota has cost since that was told.
	removed int
	told    time.Time

	mu    sync.Mutex
	dirty map[Replica]struct{}
	all   bool // look at every replica, when it may
	wake  chan struct{}
	stop  chan struct{}
	ended chan struct{}
}

func newKeeper(log logr.Logger, dir string, quota int64, limits func(string) *Limits) *keeper {
	return &keeper{
		log: log, dir: dir, quota: quota, limits: limits, attached: func(Replica) bool { return true }, dirty: map[Replica]struct{}{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (k *keeper) close() {
	close(k.stop)
	select {
	case <-k.ended:
	case <-time.After(releasePatience): // the disk hangs
	}
}

// rotated has the replica's files looked at. One is not written to any more.
func (k *keeper) rotated(id Replica) {
	k.active.Add(-1)
	k.mu.Lock()
	k.dirty[id] = struct{}{}
	k.mu.Unlock()
	k.nudge()
}

// look has all files looked at: limits may have changed.
func (k *keeper) look() {
	k.mu.Lock()
	k.all = true
	k.mu.Unlock()
	k.nudge()
}

func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// wrote counts what was written.
func (k *keeper) wrote(n int) {
	before := k.bytes.Add(int64(n)) - int64(n)
	if k.quota > 0 && before <= k.quota && before+int64(n) > k.quota {
		k.nudge()
	}
}

// opened counts a new file.
func (k *keeper) opened() { k.active.Add(1) }

// share is the size that the quota leaves to each file that is written to, so that
// all of them take half of it; 0 is no limit.
func (k *keeper) share() int64 {
	if k.quota <= 0 {
		return 0
	}
	return max(minShare, k.quota/2/max(1, k.active.Load()))
}

func (k *keeper) run() {
	defer close(k.ended)
	k.begin = time.Now().Add(beginAfter)
	k.look()
	timer := time.NewTimer(beginAfter)
	defer timer.Stop()
	for {
		select {
		case <-k.wake:
		case <-timer.C:
			k.due = time.Time{}
			k.look()
		case <-k.stop:
			return
		}
		if next := k.keep(time.Now()); k.sooner(next) {
			timer.Reset(max(time.Second, time.Until(next)))
		}
	}
}

// sooner says whether the timer is to be set to a time. It may wait for something
// of a replica that was not looked at now.
func (k *keeper) sooner(next time.Time) bool {
	if next.IsZero() || !k.due.IsZero() && !next.Before(k.due) {
		return false
	}
	k.due = next
	return true
}

// keep does what is to be done now. The answer is when there is more to do; zero
// is when something tells.
func (k *keeper) keep(now time.Time) (next time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	k.mu.Lock()
	dirty, all := k.dirty, k.all
	if now.Before(k.begin) && all {
		all = false
		sooner(k.begin)
	} else {
		k.all = false
	}
	k.dirty = map[Replica]struct{}{}
	k.mu.Unlock()
	if all {
		for _, id := range k.everyone() {
			dirty[id] = struct{}{}
		}
	}
	for id := range dirty {
		select {
		case <-k.stop:
			return time.Time{}
		default:
		}
		sooner(k.keepOne(id, now))
	}
	if k.quota > 0 && (all || k.bytes.Load() > k.quota) {
		k.sweep(now)
	}
	return next
}

// keepOne bounds the files of one replica and compresses them.
func (k *keeper) keepOne(id Replica, now time.Time) (next time.Time) {
	limits := k.limits(id.Service)
	if limits == nil { // it is not declared: the quota alone decides
		return time.Time{}
	}
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	dir := filepath.Join(k.dir, id.Service)
	rotated, active := k.list(dir, id.Ordinal)
	if limits.MaxAge > 0 && active != nil && active.Size() > 0 {
		switch due := active.ModTime().Add(limits.MaxAge); {
		case now.Before(due):
			sooner(due)
		case k.attached(id):
			k.expire(id)
		default:
			k.remove(filepath.Join(dir, active.Name()))
		}
	}
	for n, f := range rotated { // the newest first
		path := filepath.Join(dir, f.Name())
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		if limits.MaxFiles > 0 && n+1 >= limits.MaxFiles {
			k.remove(path)
			continue
		}
		if limits.MaxAge > 0 {
			due := info.ModTime().Add(limits.MaxAge)
			if !now.Before(due) {
				k.remove(path)
				continue
			}
			sooner(due)
		}
		if !limits.Compress || f.Compressed || n == 0 {
			continue
		}
		due := f.Rotated.Add(settleFor)
		if due.Before(k.begin) {
			due = k.begin
		}
		if now.Before(due) {
			sooner(due)
		} else if err := k.compress(path); err != nil {
			k.log.Error(err, "Cannot compress a log", "file", path)
			sooner(now.Add(tryAgainAfter))
		}
	}
	return next
}

// list finds the rotated files of a replica, the newest first, and the one that
// is written to. What a daemon that died left half compressed is removed.
func (k *keeper) list(dir string, ordinal int32) (rotated []cri.File, active fs.FileInfo) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if name, making := strings.CutSuffix(e.Name(), makingSuffix); making {
			if f, ok := cri.ParseName(name); ok && f.Ordinal == ordinal {
				k.remove(filepath.Join(dir, e.Name()))
			}
			continue
		}
		f, ok := cri.ParseName(e.Name())
		switch {
		case !ok || f.Ordinal != ordinal || !e.Type().IsRegular():
		case f.Rotated.IsZero():
			if !f.Compressed {
				active, _ = e.Info()
			}
		default:
			rotated = append(rotated, f)
		}
	}
	slices.SortFunc(rotated, func(a, b cri.File) int {
		if c := b.Rotated.Compare(a.Rotated); c != 0 {
			return c
		}
		return strings.Compare(a.Name(), b.Name())
	})
	whole := rotated[:0]
	for n, f := range rotated {
		if n > 0 && f.Rotated.Equal(rotated[n-1].Rotated) {
			// Compressed and not: it was interrupted before the original was removed.
			k.remove(filepath.Join(dir, f.Name()))
			continue
		}
		whole = append(whole, f)
	}
	return whole, active
}

// everyone lists the replicas that have files.
func (k *keeper) everyone() []Replica {
	var all []Replica
	services, _ := os.ReadDir(k.dir)
	for _, service := range services {
		if !service.IsDir() {
			continue
		}
		seen := map[int32]bool{}
		files, _ := os.ReadDir(filepath.Join(k.dir, service.Name()))
		for _, e := range files {
			f, ok := cri.ParseName(strings.TrimSuffix(e.Name(), makingSuffix))
			if ok && !seen[f.Ordinal] {
				seen[f.Ordinal] = true
				all = append(all, Replica{service.Name(), f.Ordinal})
			}
		}
	}
	return all
}

// sweep counts all bytes. When they are more than the quota it removes the oldest
// files that nobody writes to, and some more than it must: not to count again at
// once.
func (k *keeper) sweep(now time.Time) {
	type old struct {
		path string
		at   time.Time
		size int64
	}
	var total, active int64
	var olds []old
	before := k.bytes.Load()
	_ = filepath.WalkDir(k.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be seen is not counted
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		total += info.Size()
		f, ok := cri.ParseName(e.Name())
		switch {
		case !ok:
		case !f.Rotated.IsZero():
			olds = append(olds, old{path, f.Rotated, info.Size()})
		case k.attached(Replica{filepath.Base(filepath.Dir(path)), f.Ordinal}):
			active++
		default: // the last of a replica that is not wanted any more
			olds = append(olds, old{path, info.ModTime(), info.Size()})
		}
		return nil
	})
	slices.SortFunc(olds, func(a, b old) int { return a.at.Compare(b.at) })
	removed := 0
	if total > k.quota {
		for _, o := range olds {
			if total <= k.quota-k.quota/quotaSlack {
				break
			}
			if k.remove(o.path) {
				total -= o.size
				removed++
			}
		}
	}
	// What was written meanwhile counts twice, rather than not at all.
	k.bytes.Add(total - before)
	k.active.Store(active)
	k.tell(removed, total, now)
}

// tell says what the quota has cost, once in a while.
func (k *keeper) tell(removed int, total int64, now time.Time) {
	k.removed += removed
	if now.Sub(k.told) < tellAfter {
		return
	}
	switch {
	case total > k.quota:
		k.log.Info("Cannot keep the quota of logs: those that are written to take more", "bytes", total, "quota", k.quota)
	case k.removed > 0:
		k.log.Info("Removed old logs to keep the quota", "files", k.removed, "quota", k.quota)
	default:
		return
	}
	k.removed, k.told = 0, now
}

func (k *keeper) remove(path string) bool {
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Error(err, "Cannot remove an old log", "file", path)
		return false
	}
	return true
}
