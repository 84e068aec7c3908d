package host

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxClosing is how many threads may hang in close(2).
	maxClosing = 16
	// maxToClose is how many descriptors may wait for them before no more are
	// received.
	maxToClose = 512
	// maxToCloseAtEnd is the same for the last messages of a process that has ended.
	maxToCloseAtEnd = 8192
)

// closer closes descriptors that services have sent. That may take as long as they
// like (a file system of their own, a socket that lingers), so nobody waits for it.
type closer struct {
	mu      sync.Mutex
	fds     []int
	running int
}

// behind says that more than so many are to be closed yet.
func (c *closer) behind(most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.fds) > most
}

// close closes those of the descriptors that are not negative.
func (c *closer) close(fds []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fd := range fds {
		if fd >= 0 {
			c.fds = append(c.fds, fd)
		}
	}
	if len(c.fds) > 0 && c.running < maxClosing {
		c.running++
		go c.run()
	}
}

func (c *closer) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.fds) > 0 {
		fd := c.fds[0]
		c.fds = c.fds[1:]
		c.mu.Unlock()
		_ = unix.Close(fd)
		c.mu.Lock()
	}
	c.running--
}
