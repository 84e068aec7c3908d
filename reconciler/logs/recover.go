package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// recover goes on where the daemon before us was when it ended: it ends the chunk
// that was worked on, and knows again whose lines wait for their ends. The lane's
// goroutine does not run yet.
func (l *lane) recover(source func(Replica) *source) {
	j := l.journal
	if !j.sound() { // it is on a disk, and the machine lost power
		j.enter(stageIdle)
	}
	if j.Stage == stageHolding {
		j.hold()
	}
	now := time.Now()
	for n := range j.held {
		h := &j.held[n]
		if h.Length == 0 {
			continue
		}
		id, stream, ok := parsePipeName(h.Key.String())
		if !ok || h.Length > cri.MaxText {
			h.Length = 0
			continue
		}
		p := &source(id).pipes[stream]
		if p.slot >= 0 {
			h.Length = 0
			continue
		}
		p.slot, p.since = int32(n), now
		p.open.Store(true)
		l.held = append(l.held, p)
		l.remind(now.Add(holdFor))
	}
	for n := range j.losses {
		if loss := &j.losses[n]; loss.Key != (key{}) {
			if id, _, ok := parsePipeName(loss.Key.String()); ok {
				s := source(id)
				s.loss = loss
				l.lossy = append(l.lossy, s)
				l.remind(now.Add(retryAfter))
			}
		}
	}
	l.recoverChunk(source, now)
}

func (l *lane) recoverChunk(source func(Replica) *source, now time.Time) {
	j := l.journal
	id, stream, ok := parsePipeName(j.Key.String())
	if !ok {
		j.enter(stageIdle)
		return
	}
	switch j.Stage {
	case stageReading:
		if !j.wasRead() {
			j.enter(stageIdle)
			return
		}
		j.filled(int(j.Held + j.Announced))
	case stageWriting:
	default:
		return
	}
	s := source(id)
	if j.Batch == 1 {
		l.complete(s, now)
	}
	l.write(&s.pipes[stream])
	l.log.Info("Wrote the output that the daemon before had begun to write", "service", id.Service, "replica", id.String())
}

// sound says whether the numbers of the chunk can be those of a chunk.
func (j *journal) sound() bool {
	return j.Slot >= -1 && j.Slot < heldSlots && j.Held <= cri.MaxText && j.Announced <= chunkSize &&
		(j.Stage != stageWriting && j.Stage != stageHolding || j.Length <= uint32(rawSize) && j.Done <= j.Length) &&
		(j.Stage != stageHolding || j.Length-j.Done <= cri.MaxText) &&
		(j.Batch == 0 || j.OutLength <= batchSize && j.After <= j.Length)
}

// complete writes what is not yet in the file of the batch that was being written.
// The file's size tells how much is: nobody else appends to it.
func (l *lane) complete(s *source, now time.Time) {
	j := l.journal
	out := j.out[:j.OutLength]
	path := l.findFile(s)
	if path == "" { // somebody has removed it
		j.setBatch(0)
		if f, err := l.ready(s, 0, now); err == nil {
			l.append(f, out, now)
			j.wrote()
		} // else write formats it once more, and counts it
		return
	}
	fd, err := openAppend(path)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		j.setBatch(0)
		return
	}
	there := min(max(0, st.Size-j.Offset), int64(len(out))) // 0 when it was truncated
	f := &file{of: s, path: path, fd: fd, size: st.Size}
	l.append(f, out[there:], now)
	_ = unix.Close(fd)
	if len(f.rest) > 0 {
		s.file = &file{of: s, path: l.pathOf(s.id), fd: -1, rest: f.rest}
	}
	j.wrote()
}

// findFile finds the file of the batch by its identity: somebody may have moved it.
func (l *lane) findFile(s *source) string {
	is := func(path string) bool {
		var st unix.Stat_t
		return unix.Lstat(path, &st) == nil && st.Ino == l.journal.Inode && uint64(st.Dev) == l.journal.Device
	}
	path := l.pathOf(s.id)
	if is(path) {
		return path
	}
	names, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range names {
		if other := filepath.Join(filepath.Dir(path), e.Name()); is(other) {
			return other
		}
	}
	return ""
}

// recall finds out by the file which of the replica's lines have no end: a part
// that was written is not in the journal any more.
func (l *lane) recall(s *source) {
	var known [2]bool
	for end := fileEnd(l.pathOf(s.id)); len(end) > 0; { // the last first
		start := bytes.LastIndexByte(end[:len(end)-1], '\n') + 1
		if last, ok := cri.Parse(end[start:]); ok && !known[last.Stream] {
			known[last.Stream] = true
			if p := &s.pipes[last.Stream]; p.slot < 0 {
				p.open.Store(last.Partial)
			}
		}
		end = end[:start]
	}
}

// endSize is how much the end of a file is.
const endSize = 4 * cri.MaxText

// fileEnd is the end of a file, or nothing.
func fileEnd(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	end := make([]byte, endSize)
	n, _ := unix.Pread(fd, end, max(0, st.Size-int64(len(end))))
	return end[:max(0, n)]
}
