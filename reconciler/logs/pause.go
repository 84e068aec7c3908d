package logs

import (
	"time"

	"golang.org/x/sys/unix"
)

func (l *lane) pause() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused == nil {
		l.paused, l.resumed = make(chan struct{}), make(chan struct{})
		if l.closed {
			close(l.paused)
			return l.paused
		}
		l.alert()
	}
	return l.paused
}

func (l *lane) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused != nil {
		close(l.resumed)
		l.paused, l.resumed = nil, nil
	}
}

// rest stands still if that is asked for.
func (l *lane) rest() {
	l.mu.Lock()
	paused, resumed, closed := l.paused, l.resumed, l.closed
	l.mu.Unlock()
	if paused != nil && !closed {
		close(paused)
		l.busy.Store(0)
		<-resumed
		l.busy.Store(time.Now().UnixNano())
	}
}

// close ends the goroutine and lets go of everything; of nothing, when a disk
// that hangs holds the goroutine: the process is about to end.
func (l *lane) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.mu.Unlock()
	l.resume()
	l.wake()
	select {
	case <-l.ended:
	case <-time.After(releasePatience):
		l.log.Info("Left output unwritten: the disk of the logs hangs")
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	for len(l.files) > 0 {
		l.closeFile(l.files[0])
	}
	for _, e := range l.tokens {
		if e.pipe != nil {
			_ = unix.Close(e.fd)
		}
	}
	_ = unix.Close(l.epfd)
	_, _ = unix.Close(l.scratch[0]), unix.Close(l.scratch[1])
	l.journal.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = unix.Close(l.alarm)
	l.alarm = -1
}
