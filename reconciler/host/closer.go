package host

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxClosing is how many threads may hang in close(2) before no more are received.
	// What is risky does not wait for a thread: it is out of the table of the process as
	// soon as its closing has begun, and who forks gets no copy, on which the exec of the
	// child would hang.
	maxClosing = 512
	// maxFiles is how many threads close files, which may be long and end.
	maxFiles = 2
	// maxToClose is how many may wait for them before no more are received.
	maxToClose = 512
	// maxToCloseAtEnd is the same for the last messages of a process that has ended.
	maxToCloseAtEnd = 8192
	// maxRisky is more than a message can add to them.
	maxRisky = maxClosing + maxNotifyFDs
)

// closer closes descriptors that services have sent. That may take as long as they
// like (a file system of their own, a socket that lingers), so nobody waits for it, and
// what cannot hang does not wait for what can.
type closer struct {
	kinds        *remotePaths
	files, risky lane
}

// close closes those of the descriptors that are not negative; at once, what takes no
// time.
func (c *closer) close(fds []int) {
	for _, fd := range fds {
		if fd < 0 {
			continue
		}
		switch k := c.kinds.kindOf(fd); {
		case k == kindFile:
			c.files.close(fd, maxFiles)
		case k == kindRisky || lingers(fd):
			c.risky.close(fd, maxRisky)
		default:
			_ = unix.Close(fd)
		}
	}
}

// closeRisky closes those of which nobody knows what their closing takes, and returns
// the others.
func (c *closer) closeRisky(fds []int) (others []int, some bool) {
	for _, fd := range fds {
		if c.kinds.kindOf(fd) == kindRisky {
			c.risky.close(fd, maxRisky)
			some = true
		} else {
			others = append(others, fd)
		}
	}
	return others, some
}

// behind says that no more is to be received yet: more than so many wait to be closed.
func (c *closer) behind(most int) bool {
	waiting, _ := c.files.load()
	_, hanging := c.risky.load()
	return waiting > most || hanging >= maxClosing
}

// idle is closed when nothing that may hang is being closed. An execve(2) would wait
// for it: it ends the threads that are at it.
func (c *closer) idle() <-chan struct{} { return c.risky.idle() }

// lane closes descriptors in their order, by a bounded number of threads.
type lane struct {
	mu      sync.Mutex
	fds     []int
	running int
	waiters []chan struct{}
}

func (l *lane) load() (waiting, running int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fds), l.running
}

func (l *lane) close(fd, threads int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fds = append(l.fds, fd)
	if l.running < threads {
		l.running++
		go l.run()
	}
}

func (l *lane) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.fds) > 0 {
		fd := l.fds[0]
		l.fds = l.fds[1:]
		l.mu.Unlock()
		_ = unix.Close(fd)
		l.mu.Lock()
	}
	if l.running--; l.running == 0 {
		for _, c := range l.waiters {
			close(c)
		}
		l.waiters = nil
	}
}

func (l *lane) idle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	if l.running == 0 {
		close(c)
	} else {
		l.waiters = append(l.waiters, c)
	}
	return c
}
