package logs

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// take reads one chunk of a pipe and writes its lines. It says whether there was
// one.
func (l *lane) take(p *pipe, fd int) bool {
	n := available(fd)
	if n <= 0 {
		return false
	}
	l.grow(p, fd, n)
	n = min(n, chunkSize)
	var peeked []byte
	if n < nonceSize {
		if peeked = l.peek(fd, n); len(peeked) == 0 {
			return false // somebody else has read the pipe
		}
		n = len(peeked)
	}
	j := l.journal
	j.announce(p.key(), p.slot, n, peeked)
	l.stop()
	got, err := unix.Read(fd, j.place())
	for err == unix.EINTR {
		got, err = unix.Read(fd, j.place())
	}
	l.stop()
	if got <= 0 {
		j.enter(stageIdle)
		return false
	}
	l.taken += got
	j.filled(int(j.Held) + got)
	l.stop()
	l.write(p)
	return true
}

// drain reads a pipe until it is empty, but not for ever. It says whether there was
// something.
func (l *lane) drain(p *pipe, fd int) bool {
	const most = 2 * wideSize / chunkSize
	n := 0
	for n < most && fd >= 0 && l.take(p, fd) {
		n++
	}
	return n > 0
}

// flush writes what is held of a pipe's line as a part or, at the end of a run, as
// a line.
func (l *lane) flush(p *pipe, end bool) {
	j := l.journal
	j.Key, j.Slot, j.Flush = p.key(), p.slot, 1
	n := j.unhold(p.slot)
	if end {
		j.raw[n] = '\n'
		n++
	}
	j.filled(n)
	l.stop()
	l.write(p)
}

// endLines ends the lines that the processes of a replica have not ended: none of
// them lives, unless it is late. Then the line may be another's.
func (l *lane) endLines(s *source, late *atomic.Bool) {
	for n := range s.pipes {
		p := &s.pipes[n]
		s.mu.Lock()
		fd := p.fd
		s.mu.Unlock()
		l.drain(p, fd)
		if p.open.Load() && !late.Load() {
			l.flush(p, true)
		}
	}
}

// write formats the chunk in the journal and writes it, then holds what has no
// end yet.
func (l *lane) write(p *pipe) {
	j := l.journal
	now := time.Now()
	full, partial := l.headers(p.stream, now)
	s := p.of
	most := batchSize
	if limit := l.maxSize(s); limit > 0 {
		most = int(min(int64(most), max(limit, minBatch)))
	}
	flush := j.Flush == 1 || p.slot < 0 && !l.canHold()
	parted := p.open.Load() && p.slot < 0 // the last entry was a part
	head := p.slot < 0                    // what is held then is not what was
	from := j.Done
	for {
		rest := j.rest()
		if len(rest) == 0 {
			break
		}
		n, used, lines := split(j.out[:most], rest, full, partial, flush)
		if n == 0 {
			break
		}
		l.put(s, n, used, lines, now)
		head = true
		parted = j.out[n-1] == '\n' && rest[used-1] != '\n'
		l.stop()
	}
	if w := s.await.Load(); w != nil {
		s.look(w, p.stream, j.raw[from:j.Done])
	}
	before := p.slot
	if len(j.rest()) > 0 && p.slot < 0 {
		p.slot = j.freeSlot()
	}
	j.holding(p.slot)
	l.stop()
	p.slot = j.hold()
	l.stop()
	switch {
	case p.slot >= 0:
		if head {
			p.since = now
		}
		if before < 0 {
			l.held = append(l.held, p)
		}
		l.remind(p.since.Add(holdFor))
	case before >= 0:
		l.unheld(p)
	}
	p.open.Store(p.slot >= 0 || parted)
}

// minBatch holds the longest entry.
const minBatch = 64 << 10

// canHold says whether there is room for one more unfinished line.
func (l *lane) canHold() bool { return len(l.held) < heldSlots }

// unheld takes a pipe out of the list of those with an unfinished line.
func (l *lane) unheld(p *pipe) {
	for n, other := range l.held {
		if other == p {
			l.held[n] = l.held[len(l.held)-1]
			l.held = l.held[:len(l.held)-1]
			return
		}
	}
}

// headers are those of entries of a stream now: of whole lines and of parts.
func (l *lane) headers(s cri.Stream, now time.Time) (full, partial []byte) {
	h := &l.header[s]
	h[0] = cri.AppendHeader(h[0][:0], now, s, false)
	h[1] = append(h[1][:0], h[0]...)
	h[1][cri.HeaderSize-2] = 'P'
	return h[0], h[1]
}

// grow gives a pipe that was almost full more room: its service writes faster than
// it could wait for us.
func (l *lane) grow(p *pipe, fd, n int) {
	size := int(p.size.Load())
	want, most := grownSize, grownMost
	if size >= grownSize {
		want, most = wideSize, grownMost/2
	}
	if n < size/4*3 || size >= wideSize || l.grown >= most {
		return
	}
	// Without privileges it may not be granted (pipe(7), pipe-user-pages-soft).
	is, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, want)
	if err != nil {
		is = wideSize // do not ask again
	} else {
		l.grown += is - size
		p.grown += is - size
	}
	p.size.Store(int32(is))
}

// peek looks at the first bytes of a pipe and leaves them there (tee(2)).
func (l *lane) peek(fd, n int) []byte {
	got, err := unix.Tee(fd, l.scratch[1], n, unix.SPLICE_F_NONBLOCK)
	if err != nil || got <= 0 {
		return nil
	}
	buf := l.peeked[:got]
	for have := 0; have < int(got); {
		n, err := unix.Read(l.scratch[0], buf[have:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return nil
		}
		have += n
	}
	return buf
}
