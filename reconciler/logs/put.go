package logs

import (
	"bytes"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// put appends the first n bytes of the journal's batch, which hold used bytes of
// output and the ends of so many lines, to the replica's file. What there is no
// room for is dropped and counted: a disk that is full holds up nobody.
func (l *lane) put(s *source, n, used, lines int, now time.Time) {
	j := l.journal
	f, err := l.ready(s, n, now)
	if err == nil {
		err = l.makeUp(f, now)
	}
	if err != nil {
		l.lose(s, lines, used, err, now)
		j.lost(used)
		return
	}
	j.batched(n, used, f.device, f.inode, f.size)
	l.stop()
	done := l.append(f, j.out[:n], now)
	j.wrote()
	if l.sink != nil && done > 0 {
		l.sink.Entries(s.id, j.out[:done])
	}
}

// append writes entries. The answer is the length of those that are in the file;
// of one that is there in part the rest is kept and written next.
func (l *lane) append(f *file, entries []byte, now time.Time) int {
	done, err := l.writeAll(f.fd, entries)
	f.size += int64(done)
	l.keeper.wrote(done)
	if err == nil {
		return done
	}
	whole := bytes.LastIndexByte(entries[:done], '\n') + 1
	end := done
	if whole < done {
		end = done + bytes.IndexByte(entries[done:], '\n') + 1
		f.rest = bytes.Clone(entries[done:end])
	}
	lines, size := weigh(entries[end:])
	l.lose(f.of, lines, size, err, now)
	return whole
}

// lossPrefix begins the line of a log that tells of a loss.
const lossPrefix = "reconciler: "

// weigh counts the lines that end in entries, and their text.
func weigh(entries []byte) (lines, size int) {
	for len(entries) > 0 {
		end := bytes.IndexByte(entries, '\n') + 1
		if end <= cri.HeaderSize {
			return lines, size // no entry of ours
		}
		size += end - cri.HeaderSize - 1
		if entries[cri.HeaderSize-2] == 'F' {
			size++
			lines++
		}
		entries = entries[end:]
	}
	return lines, size
}

// makeUp writes what a file still misses of its last entry, and how much was lost.
func (l *lane) makeUp(f *file, now time.Time) error {
	if len(f.rest) > 0 {
		done, err := l.writeAll(f.fd, f.rest)
		f.size += int64(done)
		f.rest = f.rest[done:]
		if err != nil {
			return err
		}
		f.rest = nil
	}
	s := f.of
	if s.loss == nil {
		return nil
	}
	lost := s.lossReport()
	stream := cri.Stderr
	if s.pipes[cri.Stderr].open.Load() && !s.pipes[cri.Stdout].open.Load() {
		stream = cri.Stdout // it must not stand in the midst of a line
	}
	mark := cri.AppendHeader(nil, now, stream, false)
	mark = append(append(append(mark, lossPrefix...), lost.String()...), '\n')
	done, err := l.writeAll(f.fd, mark)
	f.size += int64(done)
	if err != nil {
		if done > 0 {
			f.rest = mark[done:]
			l.forgetLoss(s)
		}
		return err
	}
	l.log.Info("Output is written again", "service", s.id.Service, "replica", s.id.String(), "lines", lost.Lines, "bytes", lost.Bytes)
	l.forgetLoss(s)
	return nil
}

// lose counts output that cannot be written.
func (l *lane) lose(s *source, lines, size int, err error, now time.Time) {
	errno := unix.EIO
	_ = errors.As(err, &errno)
	if s.loss == nil {
		k := s.pipes[cri.Stdout].key()
		loss := l.journal.lossOf(&k, true)
		if loss == nil {
			loss = &lossSlot{Key: k}
		}
		loss.Since, loss.Error = now.UnixNano(), int32(errno) // before anybody can see it
		l.mu.Lock()
		s.loss = loss
		l.lossy = append(l.lossy, s)
		l.mu.Unlock()
		l.log.Error(err, "Cannot write output; dropping it until that is possible", "service", s.id.Service, "replica", s.id.String())
	}
	s.loss.count(lines, size)
	l.remind(now.Add(retryAfter))
}

// retry tries again to write the files that could not be written; it says whether
// some still cannot.
func (l *lane) retry(now time.Time) bool {
	l.mu.Lock()
	lossy := append([]*source(nil), l.lossy...)
	l.mu.Unlock()
	left := false
	for _, s := range lossy {
		f, err := l.ready(s, 0, now)
		if err == nil {
			err = l.makeUp(f, now)
		}
		left = left || err != nil
	}
	return left
}

func (l *lane) forgetLoss(s *source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.loss == nil {
		return
	}
	*s.loss = lossSlot{}
	s.loss = nil
	for n, other := range l.lossy {
		if other == s {
			l.lossy = append(l.lossy[:n:n], l.lossy[n+1:]...)
			return
		}
	}
}

// lossList tells what was lost and is not told in the files yet.
func (l *lane) lossList() []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Loss
	for _, s := range l.lossy {
		all = append(all, s.lossReport())
	}
	return all
}
