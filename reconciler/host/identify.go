package host

import (
	"errors"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// likeness is the answer to whether a process is the one of a record.
type likeness uint8

const (
	same    likeness = iota // it is
	gone                    // it has ended, and nothing of it is left to ask
	unclear                 // it cannot be told now
)

// identify finds the main process of a group by its number and start time. From
// the moment that the pidfd is open the number cannot become another's, so the
// start time is looked at afterwards.
func (h *Host) identify(g *group) (int, likeness) {
	fd, err := unix.PidfdOpen(int(g.pid), 0)
	switch {
	case err == unix.ESRCH || err == unix.EINVAL || err == unix.ENOENT:
		return -1, gone // of a thread by now (ENOENT since Linux 6.15), or no number of a process
	case err != nil:
		return -1, unclear
	}
	s, seen := readStat(g.pid)
	switch {
	case seen && s.startTicks == g.ticks:
		return fd, same
	case seen && g.ticks != 0:
		_ = unix.Close(fd)
		return -1, gone
	case !seen && readable(fd):
		_ = unix.Close(fd)
		return -1, gone
	}
	// /proc does not show it, or its start was never seen: whether it is in the
	// group that nobody else uses tells as well.
	if t, ok := g.in.(*cgroupTree); ok {
		pids, _ := t.members(g.id.String(), 0)
		for _, pid := range pids {
			if pid == g.pid {
				return fd, same
			}
		}
	}
	_ = unix.Close(fd)
	return -1, unclear
}

// identifyAgain is for a main process that could not be told from others, for
// want of descriptors perhaps. Until it can, it counts as living, and nobody
// signals it.
func (h *Host) identifyAgain(g *group) {
	fd, v := h.identify(g)
	switch v {
	case same:
		h.mu.Lock()
		g.pidfd = fd
		if readable(fd) {
			h.leaderless(g)
		}
		h.mu.Unlock()
		h.watchMain(g)
	case gone:
		h.mainGone(g)
	case unclear:
		if g.looks == 0 {
			h.log.Error(errors.New("cannot tell whether it is the process that was started"), "Cannot adopt a process; trying again",
				"service", g.id.Service, "replica", g.id.Ordinal, "pid", g.pid)
		}
		g.looks++
		h.watcher.after(retryAfter, func() { h.identifyAgain(g) })
	}
}

// mainGone tells of a main process that ended while nobody looked. What lives in
// its group is left by it, or is of a later run that was not written down.
func (h *Host) mainGone(g *group) {
	if h.awaitCommands(g, func() { h.mainGone(g) }) {
		return
	}
	h.mu.Lock()
	h.leaderless(g)
	g.pid = 0
	h.mu.Unlock()
	h.tellEnded(g, reconciler.Exit{Unknown: true})
}

// leaderless is for a group without cgroup whose main process ended while nobody
// looked: its session has a number that may be a stranger's by now, and what lives
// may be of a later run. The caller holds mu, or is Open.
func (h *Host) leaderless(g *group) {
	if g.in == grouping(h.sessions) {
		g.in = &strays{h: h, since: g.ticks}
	}
}
