package logs

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// Attach makes the pipes of a replica ready for a process of that user that is
// about to be started, and ends a line that the process before it has not ended.
// They stay until Release.
func (c *Capture) Attach(id Replica, uid, gid uint32) error {
	return c.attach(id, &owner{uid, gid})
}

// Pipes are the FIFOs for a replica's stdout and stderr. A process opens them for
// reading and writing.
func (c *Capture) Pipes(id Replica) (stdout, stderr string) {
	base := c.dir + "/" + id.String()
	return base + ".stdout", base + ".stderr"
}

type owner struct{ uid, gid uint32 }

// attach is Attach; without an owner the pipes must be there.
func (c *Capture) attach(id Replica, who *owner) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return os.ErrClosed
	}
	s := c.source(id)
	c.mu.Unlock()
	s.mu.Lock()
	err := c.openPipes(s, who)
	unended, before := false, false
	switch {
	case err != nil:
	case who == nil:
		s.before = true
	default:
		before, s.before = s.before, false
		unended = before
		for n := range s.pipes {
			p := &s.pipes[n]
			unended = unended || p.open.Load() || available(p.fd) > 0
		}
	}
	s.mu.Unlock()
	if unended {
		var late atomic.Bool
		late.Store(!c.lane.do(endPatience, func() {
			if before {
				c.lane.recall(s)
			}
			c.lane.endLines(s, &late)
		}))
	}
	return err
}

// source is the one of a replica, which is made when there is none. The caller
// holds mu, or is Open.
func (c *Capture) source(id Replica) *source {
	if s := c.sources[id]; s != nil {
		return s
	}
	s := &source{id: id}
	c.sources[id] = s
	for n := range s.pipes {
		s.pipes[n] = pipe{of: s, stream: cri.Stream(n), fd: -1, token: -1, slot: -1}
	}
	limits := c.limits[id.Service]
	if limits == nil {
		limits = &defaultLimits
	}
	s.limits.Store(limits)
	return s
}

// openPipes opens what is not open, and opens anew what somebody has removed. The
// caller holds the source's mu.
func (c *Capture) openPipes(s *source, who *owner) error {
	for n := range s.pipes {
		p := &s.pipes[n]
		path := c.dir + "/" + p.name()
		if who != nil {
			inode, err := makePipe(path, p.fd < 0, who.uid, who.gid)
			if err != nil {
				return err
			}
			if p.fd >= 0 && inode != p.inode {
				c.lane.drop(p) // what its old children hold is not to be reached any more
			}
		}
		if p.fd >= 0 {
			continue
		}
		if err := c.openOne(p, path); err != nil {
			if who == nil && errors.Is(err, unix.ENOENT) {
				continue
			}
			return err
		}
	}
	return nil
}

func (c *Capture) openOne(p *pipe, path string) error {
	fd, inode := c.inherit(p, path)
	if fd < 0 {
		var err error
		if fd, inode, err = openPipe(path); err != nil {
			return err
		}
	}
	if err := c.lane.add(p, fd, inode); err != nil {
		_ = unix.Close(fd)
		return err
	}
	c.opened(p.name(), fd)
	return nil
}

// attachAll attaches the FIFOs that are there, or were kept open: something may be
// in them.
func (c *Capture) attachAll() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		c.log.Error(err, "Cannot list the pipes of services")
	}
	names := slices.Collect(maps.Keys(c.inherited))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, name := range names {
		if id, _, ok := parsePipeName(name); ok {
			if err := c.attach(id, nil); err != nil {
				c.log.Error(err, "Cannot take output", "replica", id.String())
			}
		}
	}
	for _, fds := range c.inherited { // under names that are not ours
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	c.inherited = nil
}

// inherit returns the inherited descriptor of the FIFO at path, or -1. When
// nothing is there, it is the newest: a process may write to it. What the others
// hold is taken; they are closed then.
func (c *Capture) inherit(p *pipe, path string) (fd int, inode uint64) {
	fds := c.inherited[p.name()]
	delete(c.inherited, p.name())
	fd = -1
	for _, other := range slices.Backward(fds) {
		ino, err := pipeInode(other)
		switch {
		case err != nil, ino == inode:
			_ = unix.Close(other)
		case fd < 0 && !replaced(path, other):
			fd, inode = other, ino
		case c.lane.add(p, other, ino) != nil:
			_ = unix.Close(other)
		default:
			c.lane.drop(p)
		}
	}
	return fd, inode
}

// replaced says that another file than the descriptor's is at the path.
func replaced(path string, fd int) bool {
	var at, is unix.Stat_t
	return unix.Lstat(path, &at) != unix.ENOENT && (unix.Fstat(fd, &is) != nil || is.Ino != at.Ino || is.Dev != at.Dev)
}
