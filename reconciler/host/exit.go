package host

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// siginfo is siginfo_t as waitid(2) fills it.
type siginfo struct {
	Signo, Errno, Code int32
	_                  [unsafe.Sizeof(uintptr(0))/4 - 1]int32 // the union is aligned as a pointer is
	Pid                int32
	UID                uint32
	Status             int32
	_                  [128]byte // room for what the kernel may write
}

// Values of si_code for SIGCHLD (sigaction(2)).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// waitExit calls waitid for the process of pidfd. ended is false when it lives.
func waitExit(pidfd, options int) (exit reconciler.Exit, ended bool, err error) {
	var info siginfo
	for {
		err = unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(&info)), options, nil)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return reconciler.Exit{Unknown: true}, err == unix.ECHILD, err
	}
	if info.Pid == 0 {
		return reconciler.Exit{}, false, nil
	}
	switch info.Code {
	case cldExited:
		exit.Code = info.Status
	case cldKilled:
		exit.Signal = unix.Signal(info.Status)
	case cldDumped:
		exit.Signal, exit.CoreDumped = unix.Signal(info.Status), true
	default:
		exit.Unknown = true
	}
	return exit, true, nil
}

// retryAfter is when something is tried again for which there was no descriptor.
const retryAfter = 200 * time.Millisecond

// killedAtBirth is how soon a process is gone that was cloned into a group that
// was ever killed. Who writes cgroup.kill behind our back may cost one successor
// that way; to make the group anew after each SIGKILL would cost every restart a
// tenth of its time.
const killedAtBirth = time.Second

// mainEnded is called when the pidfd of the main process is readable: all its
// threads have ended.
func (h *Host) mainEnded(g *group) {
	if g.speaks != nil {
		// What it has said last counts, and can be told from what others say only
		// while it is not reaped.
		h.hear(notifyBacklog, maxToCloseAtEnd)
		if !readable(g.pidfd) {
			return // it has named another one, beside which commands may run on
		}
		h.tellStatus(g, g.run)
	}
	if h.awaitCommands(g, func() { h.mainEnded(g) }) {
		return
	}
	options := unix.WEXITED | unix.WNOHANG
	if g.in.reapAfter() {
		options |= unix.WNOWAIT
	}
	exit, ended, err := waitExit(g.pidfd, options)
	switch {
	case err == unix.ECHILD:
		h.strangerEnded(g)
	case !ended:
		h.awaitTracer(g, err)
	default:
		h.at(StepExitReaped)
		h.tellEnded(g, exit)
	}
}

// awaitCommands ends what runs beside a main process that has ended, which is told
// after it. It says whether there is any; again is called when it is gone.
func (h *Host) awaitCommands(g *group, again func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	g.closed = true
	if g.hook != nil && g.hook.hook != reconciler.HookPostStop {
		g.hook.end(whyMainEnded) // it may not have begun
	}
	if !h.endCommands(g, whyMainEnded, again) {
		return false
	}
	if g.pidfd >= 0 {
		h.watcher.remove(g.pidfd, g.pidfdToken) // it stays readable
	}
	return true
}

// tellEnded tells that the main process has ended.
func (h *Host) tellEnded(g *group, exit reconciler.Exit) {
	h.tellAnswers(g)
	keep := g.in.reapAfter()
	pids, alive := h.left(g)

	h.mu.Lock()
	if exit.Signal == unix.SIGKILL && time.Since(g.startedAt) < killedAtBirth {
		// Somebody else may have written cgroup.kill at some time: see
		// cgroupTree.prepare.
		g.killed = true
	}
	if g.pidfd >= 0 {
		h.watcher.remove(g.pidfd, g.pidfdToken)
	}
	if !keep || !alive {
		h.reap(g)
	}
	e := reconciler.Event{Kind: reconciler.EventExited, Replica: g.id, Run: g.run, Exit: exit}
	if alive {
		g.phase, g.closed = phaseEnded, false
		e.Processes = describe(pids)
	} else {
		g.phase = phaseIdle
	}
	in := g.in
	h.mu.Unlock()

	if !alive {
		h.abandon(g.id, in)
	}
	h.send(e)
	if alive {
		h.watchSurvivors(g)
	}
}

// awaitTracer waits for a main process that has ended and cannot be reaped yet:
// a debugger that traces it is told first (ptrace(2)), and may take its time.
// Its pidfd is readable all the while, so the watcher must not look at it.
func (h *Host) awaitTracer(g *group, err error) {
	if err != nil {
		h.log.Error(err, "Cannot wait for a process", "service", g.id.Service, "replica", g.id.Ordinal, "pid", g.pid)
	}
	h.mu.Lock()
	pidfd, err := unix.FcntlInt(uintptr(g.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	h.watcher.remove(g.pidfd, g.pidfdToken)
	g.waited = max(g.waited, 1)
	h.mu.Unlock()
	if err != nil {
		h.watcher.after(retryAfter, func() { h.watchMain(g) })
		return
	}
	go func() {
		_, _, _ = waitExit(pidfd, unix.WEXITED|unix.WNOWAIT)
		_ = unix.Close(pidfd)
		select {
		case <-h.done:
		default:
			h.watchMain(g)
		}
	}()
}

// reap takes the exit status of the main process and drops its pidfd. The
// caller holds mu.
func (h *Host) reap(g *group) {
	if g.pidfd < 0 {
		return
	}
	if g.in.reapAfter() {
		_, _, _ = waitExit(g.pidfd, unix.WEXITED|unix.WNOHANG)
	}
	_ = unix.Close(g.pidfd)
	g.pidfd, g.pid = -1, 0
}

// watchSurvivors waits for the group to become empty. The kernel tells when,
// through cgroup.events, but some milliseconds late; so the end of one survivor
// after the other is waited for too.
func (h *Host) watchSurvivors(g *group) {
	h.mu.Lock()
	if g.eventsFD < 0 {
		g.eventsFD = g.in.openEvents(g.id)
		if g.eventsFD >= 0 {
			var err error
			if g.eventsToken, err = h.watcher.add(g.eventsFD, unix.EPOLLPRI, func() { h.survivorsChanged(g) }); err != nil {
				_ = unix.Close(g.eventsFD)
				g.eventsFD = -1
			}
		}
	}
	h.mu.Unlock()
	h.survivorsChanged(g)
}

// survivorsChanged looks at what is left and tells when it is nothing. Only the
// watcher's goroutine, and Open before it runs, call it.
func (h *Host) survivorsChanged(g *group) {
	for {
		if g.eventsFD >= 0 {
			var buf [256]byte
			_, _ = unix.Pread(g.eventsFD, buf[:], 0) // reading arms the next notification
		}
		if h.settling(g) {
			return
		}
		pids, alive := g.in.survivors(g)
		if !alive {
			if !h.awaitLast(g) {
				h.groupEmptied(g)
			}
			return
		}
		switch h.watchOne(g, pids) {
		case lookWatched:
			return
		case lookImpossible:
			h.watcher.after(retryAfter, func() { h.lookAgain(g) })
			return
		case lookEnded:
		}
	}
}

// settling says that nobody need look at what is left.
func (h *Host) settling(g *group) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return g.settling > 0
}

// awaitLast ends what runs in a group that is empty otherwise. It says whether
// there is any; its end is looked at.
func (h *Host) awaitLast(g *group) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	g.closed = true
	// The answers of hooks come before Emptied: nobody looks until they were given.
	if h.endCommands(g, "nothing of the run lives", func() { h.settled(g) }) {
		g.settling++
	}
	return g.settling > 0 || len(g.stuck) > 0
}

// settled has the group looked at, when nobody else is at it. The watcher's goroutine
// calls it.
func (h *Host) settled(g *group) {
	h.mu.Lock()
	g.settling--
	h.mu.Unlock()
	h.lookAgain(g)
}

// left lists what a main process has left. What was killed and does not go is of
// it.
func (h *Host) left(g *group) (pids []int32, alive bool) {
	pids, alive = g.in.survivors(g)
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range g.stuck {
		pids, alive = append(pids, c.pid), true
	}
	return pids, alive
}

// lookAgain is survivorsChanged after a time in which everything may have
// happened.
func (h *Host) lookAgain(g *group) {
	h.mu.Lock()
	waiting := g.phase == phaseEnded && g.settling == 0
	h.mu.Unlock()
	if waiting {
		h.watchSurvivors(g)
	}
}

// look is what watchOne could do.
type look uint8

const (
	lookWatched    look = iota // something will tell
	lookEnded                  // all have ended since they were listed
	lookImpossible             // nothing will tell
)

// watchOne waits for the end of one of pids.
func (h *Host) watchOne(g *group, pids []int32) look {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.survivorFD >= 0 {
		if !readable(g.survivorFD) {
			return lookWatched
		}
		h.dropSurvivor(g)
	}
	other := lookImpossible
	if g.eventsFD >= 0 {
		other = lookWatched // cgroup.events will tell
	}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(int(pid), 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			return other
		}
		token, err := h.watcher.add(fd, unix.EPOLLIN, func() { h.survivorsChanged(g) })
		if err != nil {
			_ = unix.Close(fd)
			return other
		}
		g.survivorFD, g.survivorToken = fd, token
		return lookWatched
	}
	if len(pids) == 0 {
		return other
	}
	return lookEnded
}

func readable(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(p, 0)
	return n > 0
}

// dropSurvivor closes the pidfd of the survivor. The caller holds mu.
func (h *Host) dropSurvivor(g *group) {
	h.watcher.remove(g.survivorFD, g.survivorToken)
	_ = unix.Close(g.survivorFD)
	g.survivorFD = -1
}

func (h *Host) groupEmptied(g *group) {
	h.tellAnswers(g)
	h.mu.Lock()
	if g.survivorFD >= 0 {
		h.dropSurvivor(g)
	}
	if g.eventsFD >= 0 {
		h.watcher.remove(g.eventsFD, g.eventsToken)
		_ = unix.Close(g.eventsFD)
		g.eventsFD = -1
	}
	h.reap(g)
	g.phase = phaseIdle
	in := g.in
	h.mu.Unlock()
	h.abandon(g.id, in)
	h.send(reconciler.Event{Kind: reconciler.EventEmptied, Replica: g.id, Run: g.run})
}

// abandon removes the empty group of a replica from a tree of an earlier daemon:
// nothing is started there any more.
func (h *Host) abandon(id reconciler.ReplicaID, in grouping) {
	if t, ok := in.(*cgroupTree); ok && in != h.grouping {
		if err := t.forget(id); err != nil {
			h.log.Error(err, "Kept an empty cgroup")
		}
	}
}
