package logs

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"sync/atomic"
	"time"

	"svc.d/reconciler/logs/cri"
	"svc.d/reconciler/logs/reader"
)

// await is a line that somebody waits for.
type await struct {
	line *regexp.Regexp
	seen func()
	over atomic.Bool        // seen was called, or nobody wants it any more
	stop context.CancelFunc // of the search
	// heads are the unfinished lines; the lane's goroutine owns them.
	heads [2]lineHead
}

// lineHead is what is known of a line that goes on.
type lineHead struct {
	text []byte
	// full says that there is more of the line than is looked at, or that its
	// beginning is not known.
	full bool
}

// Await has seen called once, when the replica writes a line to stdout or stderr
// that matches, from now on. It is called between Attach and the start of the
// process: no line of that one is missed, and none of another one is seen. It takes
// the place of an Await before it, and holds until CancelAwait, Release or Close.
//
// A line is its text without the newline; of one that is longer than 16 KiB it is the
// first 16 KiB. One that does not end, such as a prompt, is looked at after a second,
// as far as it is there, and again whenever more of it is written to the log.
//
// With a since that is not zero, what the replica has written to its log from then on
// is searched, too, in the background: for a process that runs, as whoever wanted to
// know may have died before it could tell.
//
// seen is called by the goroutine that all output goes through, or by the one that
// searches. It must not block, and not call the capture.
func (c *Capture) Await(id Replica, line *regexp.Regexp, since time.Time, seen func()) {
	ctx, stop := context.WithCancel(context.Background())
	w := &await{line: line, seen: seen, stop: stop}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		w.cancel()
		return
	}
	s := c.source(id)
	s.awaited.cancel()
	s.awaited = w
	if since.IsZero() {
		s.await.Store(w)
		return
	}
	// What is written before the lane knows of it is in the files by then.
	known := make(chan struct{})
	c.lane.post(func() {
		w.recall(c.lane.pathOf(id))
		c.mu.Lock()
		if s.awaited == w {
			s.await.Store(w)
		}
		c.mu.Unlock()
		close(known)
	})
	c.searches.Go(func() {
		select {
		case <-known:
			c.guard(func() { c.search(ctx, w, id, since) })
		case <-ctx.Done():
		}
	})
}

// CancelAwait ends an Await. Its seen may be under way, and is not called any more
// otherwise.
func (c *Capture) CancelAwait(id Replica) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sources[id]; s != nil {
		s.awaited.cancel()
		s.awaited = nil
	}
}

func (w *await) cancel() {
	if w != nil {
		w.over.Store(true)
		w.stop()
	}
}

// matches looks at a line, or as much of it as there is.
func (w *await) matches(line []byte) bool {
	if !w.line.Match(line[:min(len(line), cri.MaxText)]) {
		return false
	}
	if w.over.CompareAndSwap(false, true) {
		w.stop()
		w.seen()
	}
	return true
}

// sees looks at what was written of a stream. What it goes on with comes next.
func (w *await) sees(stream cri.Stream, text []byte) {
	h := &w.heads[stream]
	for len(text) > 0 {
		part, rest, ends := bytes.Cut(text, []byte{'\n'})
		text = rest
		switch {
		case h.full:
		case ends && len(h.text) == 0: // most lines: not copied
			if w.matches(part) {
				return
			}
		default:
			h.text = append(h.text, part[:min(len(part), cri.MaxText-len(h.text))]...)
			h.full = len(h.text) == cri.MaxText
			if w.matches(h.text) {
				return
			}
		}
		if ends {
			h.text, h.full = h.text[:0], false
		}
	}
}

// look has whoever waits for a line of the replica look at what was written.
func (s *source) look(w *await, stream cri.Stream, text []byte) {
	if !w.over.Load() {
		w.sees(stream, text)
	}
	if w.over.Load() {
		s.await.CompareAndSwap(w, nil)
	}
}

// recall finds the beginnings of the lines that go on at the end of the file.
func (w *await) recall(path string) {
	end := fileEnd(path)
	all := len(end) < endSize // else what is before it is not known
	var began [2]bool         // the beginning of the last line is known
	for len(end) > 0 {
		start := bytes.LastIndexByte(end[:len(end)-1], '\n') + 1
		if entry, ok := cri.Parse(end[start:]); ok && !began[entry.Stream] {
			h := &w.heads[entry.Stream]
			if began[entry.Stream] = !entry.Partial; entry.Partial {
				h.text = append(bytes.Clone(entry.Text), h.text...)
			}
		}
		end = end[:start]
	}
	for n := range w.heads {
		h := &w.heads[n]
		h.full = len(h.text) >= cri.MaxText || len(h.text) > 0 && !began[n] && !all
		h.text = h.text[:min(len(h.text), cri.MaxText)]
	}
}

var errSeen = errors.New("the line was seen")

// searching looks for the line in files.
type searching struct {
	ctx context.Context
	w   *await
}

func (s searching) Line(l *reader.Line) error {
	if !l.Rest && s.w.matches(l.Text) {
		return errSeen
	}
	return s.ctx.Err()
}

func (searching) Idle() error { return nil }

// search looks for the line in the replica's files. One at a time does.
func (c *Capture) search(ctx context.Context, w *await, id Replica, since time.Time) {
	select {
	case c.searching <- struct{}{}:
		defer func() { <-c.searching }()
	case <-ctx.Done():
		return
	}
	q := reader.Query{Dir: c.logDir, Tail: -1, Targets: []reader.Target{{Service: id.Service, Ordinal: id.Ordinal, Since: since}}}
	err := reader.Read(ctx, q, searching{ctx, w})
	if err != nil && !errors.Is(err, errSeen) && ctx.Err() == nil {
		c.log.Error(err, "Cannot search a log for the line that says that the service is ready", "service", id.Service, "replica", id.String())
	}
}

// endSearches waits for the searches, which were told to end, unless the disk hangs.
func (c *Capture) endSearches() {
	done := make(chan struct{})
	go func() {
		c.searches.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(releasePatience):
	}
}
