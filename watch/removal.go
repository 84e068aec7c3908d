package watch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// sweep removes what has been undeclared for long enough, unless that is held.
func (l *ledger) sweep(now time.Time) {
	if l.blind() {
		return
	}
	l.sweepConfiguration(now)
	l.heldBefore = l.heldBefore && len(l.absent) > 0
	if len(l.absent) == 0 || !l.pruneSince.IsZero() || now.Before(l.removal()) {
		return
	}
	var due []string
	for name, h := range l.absent {
		if now.Sub(h.missing) >= l.patience {
			due = append(due, name)
		}
	}
	if len(due) > 0 && !l.obey && (l.massive() || l.heldBefore) {
		l.pruneSince = now
		return
	}
	l.remove(due)
}

// removalBound is how many times the patience the first of many removals may wait
// for the last one.
const removalBound = 3

// removal is when to remove what is missing. Programs remove files one after the
// other; services that go together end in the order of their dependencies, so
// the first waits for the last, but not for ever.
func (l *ledger) removal() time.Time {
	var first, last time.Time
	for _, h := range l.absent {
		first, last = earlier(first, h.missing), later(last, h.missing)
	}
	return earlier(first.Add(removalBound*l.patience), last.Add(l.patience))
}

// massive says that so much is missing that it may be an accident.
func (l *ledger) massive() bool {
	return len(l.services) >= pruneFloor && 2*len(l.absent) > len(l.services)
}

func (l *ledger) remove(names []string) {
	for _, name := range names {
		e := l.services[name].by
		delete(l.services, name)
		delete(l.absent, name)
		l.changed[name] = struct{}{}
		l.drop(e)
	}
}

// due is when something is to be done although nothing happens: a removal, or
// another look at a file. It is zero when there is nothing.
func (l *ledger) due() time.Time {
	var due time.Time
	if !l.blind() && l.pruneSince.IsZero() && len(l.absent) > 0 {
		due = l.removal()
	}
	if !l.blind() && !l.tenure.missing.IsZero() {
		due = earlier(due, l.tenure.missing.Add(l.patience))
	}
	for _, e := range l.pending {
		due = earlier(due, e.trouble.next)
	}
	return due
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// confirm obeys what the guards hold: the replaced directories are taken for
// empty, and everything that nobody declares is removed. It tells the names.
func (l *ledger) confirm(now time.Time) ([]string, error) {
	for _, path := range slices.Sorted(maps.Keys(l.held)) {
		if t := l.held[path]; t.reason != ReasonReplaced {
			return nil, fmt.Errorf("cannot prune: %w", errors.New(t.message))
		}
	}
	if !l.blind() && l.pruneSince.IsZero() {
		return nil, nil
	}
	for dir, t := range l.held {
		l.dirs[dir] = t.id
		for path, e := range l.files {
			if below(path, dir) {
				l.lose(e, now)
			}
		}
	}
	clear(l.held)
	names := slices.Sorted(maps.Keys(l.absent))
	l.remove(names)
	l.pruneSince = time.Time{}
	return names, nil
}
