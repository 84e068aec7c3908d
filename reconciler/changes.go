package reconciler

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"svc.d/status"
)

// Revisions numbers the states of everything that the API shows. Numbers never go
// back. Both are safe for concurrent use.
type Revisions interface {
	// Next is a number above all that were given out.
	Next() uint64
	// Now is the last number that was given out.
	Now() uint64
}

// counter is for loops whose numbers nobody compares with those of another.
type counter struct{ last atomic.Uint64 }

func (c *counter) Next() uint64 { return c.last.Add(1) }
func (c *counter) Now() uint64  { return c.last.Load() }

// Changes are the services of which something has changed that is shown.
type Changes struct {
	Names    []string // in order; also of those that are gone
	Revision uint64   // the state that Names lead to: ask on from here
	// More is closed at the next change.
	More <-chan struct{}
}

// maxGone is how many services that are gone are remembered.
const maxGone = 1024

// history is what the loop remembers of changes. It costs nothing while nobody
// asks but a number a service.
type history struct {
	// since is the oldest state from which all changes are known.
	since uint64
	gone  []gone
	more  chan struct{} // nil: nobody waits
	// besides are the conditions of services that no event tells of, as they were when
	// somebody asked last.
	besides map[string][]status.Condition
}

// knows reports whether all changes after a state are known.
func (h *history) knows(since, now uint64) bool { return since > 0 && since >= h.since && since <= now }

type gone struct {
	name     string
	revision uint64
}

type changesRequest struct {
	since  uint64
	answer chan changesAnswer // buffered
}

type changesAnswer struct {
	Changes
	known bool
}

// Changes tells what has changed after the state since. It is false when that is
// too long ago to tell, or is none that was given out by this loop, or the loop has
// ended. Safe for concurrent use.
func (l *Loop) Changes(since uint64) (Changes, bool) {
	r := changesRequest{since, make(chan changesAnswer, 1)}
	select {
	case l.changesAsked <- r:
		a := await(l, r.answer, changesAnswer{})
		slices.Sort(a.Names)
		a.Names = slices.Compact(a.Names) // what was removed twice
		return a.Changes, a.known
	case <-l.done:
		return Changes{}, false
	}
}

func (l *Loop) changesSince(since uint64) changesAnswer {
	l.besides()
	now := l.Revisions.Now()
	if !l.history.knows(since, now) {
		return changesAnswer{}
	}
	a := changesAnswer{Changes{Revision: now}, true}
	for name, r := range l.services {
		if r.revision > since {
			a.Names = append(a.Names, name)
		}
	}
	a.Names = append(a.Names, l.goneSince(since)...)
	if l.history.more == nil {
		l.history.more = make(chan struct{})
	}
	a.More = l.history.more
	return a
}

// goneSince are the services that were there after a state and are not any more, some
// more than once.
func (l *Loop) goneSince(since uint64) (names []string) {
	for _, g := range l.history.gone {
		if g.revision > since && l.services[g.name] == nil {
			names = append(names, g.name)
		}
	}
	return names
}

// besides asks for the conditions that no event tells of, and notes which services they
// have changed of.
func (l *Loop) besides() {
	if l.ServiceConditions == nil {
		return
	}
	before, now := l.history.besides, l.ServiceConditions()
	l.history.besides = now
	for name := range now {
		if r := l.services[name]; r != nil && !slices.Equal(before[name], now[name]) {
			l.changed(r)
		}
	}
	for name := range before {
		if r := l.services[name]; r != nil && now[name] == nil {
			l.changed(r)
		}
	}
}

// changed notes that something of the record is shown otherwise now.
func (l *Loop) changed(r *record) {
	r.revision = l.Revisions.Next()
	l.history.tell()
}

func (h *history) tell() {
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// vanished notes that a record is gone.
func (l *Loop) vanished(r *record) {
	h := &l.history
	if len(h.gone) == maxGone {
		h.since = max(h.since, h.gone[0].revision)
		h.gone = slices.Delete(h.gone, 0, 1)
	}
	h.gone = append(h.gone, gone{r.facts.Name, l.Revisions.Next()})
	h.tell()
}

// shows reports whether an event changes what is shown of a replica. Most answers to
// probes do not, and there may be a thousand a second.
func shows(before, i *Instance, e Event) bool {
	switch e.Kind {
	case EventProbeTaken:
		return false
	case EventProbed:
		return e.Failure != nil || !i.known().Probes[e.Probe].PassedAt.Equal(before.known().Probes[e.Probe].PassedAt) || turned(before, i)
	case EventNotified:
		return before.Pid != i.Pid || before.known().Status != i.known().Status || turned(before, i)
	default:
		return true
	}
}

// wokeUp notes that a record's time has come. Without an event that is shown only
// when times stand in what is shown; probes, which are due all the time, do not.
func (l *Loop) wokeUp(r *record) {
	if !r.probed() || r.facts.unready() || r.want != nil && r.want.Spec.MinReadySeconds > 0 || !r.facts.StoppedUntil.IsZero() || r.facts.CheckOf != nil {
		l.changed(r)
	}
}

// unready reports whether a process runs that is not ready.
func (f *Facts) unready() bool {
	for n := range f.Replicas {
		if since, _ := f.Replicas[n].ready(); since.IsZero() && f.Replicas[n].stage() == stageLive {
			return true
		}
	}
	return false
}

// probed reports whether the record has probes to be due for.
func (r *record) probed() bool {
	return r.want != nil && (r.want.Spec.LivenessProbe != nil || r.want.Spec.ReadinessProbe != nil || r.want.Spec.StartupProbe != nil)
}

// uid tells a service from one of the same name that was declared before.
func uid(name string, declared time.Time) string {
	sum := sha256.Sum256(strconv.AppendInt([]byte(name+"\x00"), declared.UnixNano(), 10))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8 of RFC 9562: our own kind
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
