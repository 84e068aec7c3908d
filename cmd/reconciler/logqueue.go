package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// logQueueBytes bounds what waits for a reader of our log that does not
	// read: a few thousand lines.
	logQueueBytes = 512 << 10
	// logFlushPatience bounds how long the end of the daemon waits for it.
	logFlushPatience = 2 * time.Second
	// What services write may fill the queue so far, and one that writes much at
	// a time so far: it must hide neither what the others write nor our own lines.
	quietQueueBytes = logQueueBytes / 4 * 3
	floodQueueBytes = logQueueBytes / 2
)

// logQueue writes in a goroutine of its own, so that a terminal that was
// stopped, or a pipe that nobody reads, never holds up the loop. What does not
// fit is dropped and counted; the count is written as soon as there is room.
type logQueue struct {
	out     io.Writer
	dropped func(n int) []byte // the line that tells of n dropped lines

	mu      sync.Mutex
	waiting []byte
	spare   []byte // the buffer that was written last, to be filled again
	lost    int
	closed  bool
	flushes []chan struct{} // closed when nothing waits any more
	more    chan struct{}   // one token: there is something to do
	done    chan struct{}
}

func newLogQueue(out io.Writer, dropped func(n int) []byte) *logQueue {
	q := &logQueue{out: out, dropped: dropped, more: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Write takes one line, or drops it. It never blocks and never fails. It is safe
// for concurrent use.
func (q *logQueue) Write(line []byte) (int, error) { return q.write(line, logQueueBytes) }

// share is a queue that takes lines while so many bytes wait at most.
type share struct {
	queue *logQueue
	most  int
}

func (s share) Write(line []byte) (int, error) { return s.queue.write(line, s.most) }

func (q *logQueue) write(line []byte, most int) (int, error) {
	q.mu.Lock()
	if q.closed || len(q.waiting)+len(line) > most {
		q.lost++
	} else {
		q.note()
		q.waiting = append(q.waiting, line...)
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
	return len(line), nil
}

// note puts the count of what was dropped before what comes next.
func (q *logQueue) note() {
	if q.lost > 0 {
		q.waiting = append(q.waiting, q.dropped(q.lost)...)
		q.lost = 0
	}
}

// Sync is there for zap. Lines are on their way as soon as they are written.
func (q *logQueue) Sync() error { return nil }

// flush waits until everything is written, for so long at most.
func (q *logQueue) flush(most time.Duration) {
	done := make(chan struct{})
	q.mu.Lock()
	q.flushes = append(q.flushes, done)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
	select {
	case <-done:
	case <-q.done:
	case <-time.After(most):
	}
}

// Close writes what waits, for two seconds at most: the goroutine of a writer
// that is stuck is left behind.
func (q *logQueue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
	select {
	case <-q.done:
		return nil
	case <-time.After(logFlushPatience):
		return fmt.Errorf("cannot write the end of the log: nobody reads it")
	}
}

func (q *logQueue) run() {
	defer close(q.done)
	for range q.more {
		for {
			lines, closed := q.take()
			if len(lines) == 0 {
				if closed {
					return
				}
				break
			}
			// An error (a closed terminal, a full disk) has nobody to be told
			// to: this is the log.
			q.out.Write(lines)
			q.giveBack(lines)
		}
	}
}

func (q *logQueue) take() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.note()
	}
	lines := q.waiting
	q.waiting, q.spare = q.spare[:0], nil
	if len(lines) == 0 {
		for _, done := range q.flushes {
			close(done)
		}
		q.flushes = nil
	}
	return lines, q.closed
}

// giveBack keeps a written buffer for reuse, unless a burst made it large.
func (q *logQueue) giveBack(lines []byte) {
	const keep = 16 << 10
	q.mu.Lock()
	defer q.mu.Unlock()
	if cap(lines) <= keep {
		q.spare = lines
	}
}
