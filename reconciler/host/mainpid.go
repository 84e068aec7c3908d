package host

import (
	"golang.org/x/sys/unix"
)

// maxFormer is how many former main processes of a replica may live: a descriptor is
// held for each.
const maxFormer = 16

// takeMain has the host watch another process of the group as main process, which
// one of the group has named (MAINPID=). It says whether there is another one now.
// The end of the former one is not told.
//
// The watcher's goroutine calls it, or who has told the start and has not begun to
// watch.
func (h *Host) takeMain(g *group, pid int32) (ticks uint64, taken bool) {
	h.mu.Lock()
	// While the end of the present one is looked into, it is too late.
	refused := g.phase != phaseRunning || g.pidfd < 0 || g.waited > 0 || h.formerOf(g) >= maxFormer
	same := g.pid == pid
	h.mu.Unlock()
	if refused || same {
		return 0, false
	}
	pidfd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return 0, false
	}
	s, seen := readStat(pid)
	// The number cannot be another's from now on, so it is looked again whose it is.
	if !seen || readable(pidfd) || h.groupOfProcess(pid) != g {
		_ = unix.Close(pidfd)
		return 0, false
	}
	h.mu.Lock()
	former, watched := g.pidfd, g.pidfdToken
	if watched != 0 {
		h.watcher.remove(former, watched)
	}
	// Without cgroups the number of the former one names the session, which the new
	// one need not lead: from now on the mark tells who belongs.
	h.leaderless(g)
	g.pid, g.pidfd, g.ticks, g.pidfdToken = pid, pidfd, s.startTicks, 0
	g.closed = false // the end of the former one may have been waiting for commands
	h.mu.Unlock()
	h.reapFormer(g, former)
	if watched != 0 {
		h.watchMain(g)
	}
	return s.startTicks, true
}

// reapFormer reaps a process that is the main one no more, when it ends. It is not
// told.
func (h *Host) reapFormer(g *group, pidfd int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.former[pidfd] = g
	var token uint64
	token, err := h.watcher.add(pidfd, unix.EPOLLIN, func() {
		_, ended, _ := waitExit(pidfd, unix.WEXITED|unix.WNOHANG)
		h.mu.Lock()
		h.watcher.remove(pidfd, token)
		if ended {
			delete(h.former, pidfd)
			_ = unix.Close(pidfd)
		}
		h.mu.Unlock()
		if !ended { // a debugger is told first
			h.watcher.after(retryAfter, func() { h.reapFormer(g, pidfd) })
		}
	})
	if err != nil {
		h.watcher.after(retryAfter, func() { h.reapFormer(g, pidfd) })
	}
}

// formerOf counts the former main processes of a group that live. The caller holds mu.
func (h *Host) formerOf(g *group) (n int) {
	for _, of := range h.former {
		if of == g {
			n++
		}
	}
	return n
}

// unled is for a main process without cgroup that is adopted: when it was named by
// MAINPID=, the session of its run is another's.
func (h *Host) unled(g *group) {
	if g.in != grouping(h.sessions) {
		return
	}
	if s, seen := readStat(g.pid); seen && s.session != g.pid {
		const second = 100 // in clock ticks; the start was told a little later than it was
		since := ticksAt(g.startedAt)
		g.in = &strays{h: h, since: since - min(since, second)}
	}
}

// refuseMain says once for a run that it has named a process that cannot be its
// main process.
func (h *Host) refuseMain(g *group, pid int32) {
	h.mu.Lock()
	again := g.refusedMain || g.pid == pid
	g.refusedMain = true
	h.mu.Unlock()
	if !again {
		h.log.Info("Refused a main process (MAINPID=): it does not live in the group of the replica, or too many former ones do",
			"service", g.id.Service, "replica", g.id.Ordinal, "pid", pid)
	}
}
