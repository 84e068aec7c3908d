package host

import (
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// clear ends what is left of a command, waits until nothing is, and takes its exit
// status. What does not go is left to a goroutine of its own: it holds up whoever
// starts the replica, and nobody else.
func (h *Host) clear(c *command) (exit reconciler.Exit) {
	if c.tree == nil {
		c.session = newGroup(c.group.id, h.sessions)
		c.session.pid, c.session.pidfd = c.pid, c.pidfd
	}
	for waited, delay := time.Duration(0), time.Duration(0); !h.goneCommand(c, &exit); waited += delay {
		delay = min(max(2*delay, 200*time.Microsecond), 50*time.Millisecond)
		if waited > goPatience {
			h.stuck(c)
			c.mu.Lock()
			h.closePipe(c) // who has asked reads what has come
			c.mu.Unlock()
			return reconciler.Exit{Unknown: true}
		}
		time.Sleep(delay)
	}
	return exit
}

// goneCommand kills what is left of a command. It says whether that was nothing,
// and then exit is how the process of the command ended.
func (h *Host) goneCommand(c *command, exit *reconciler.Exit) bool {
	ended, status := true, reconciler.Exit{}
	if c.pidfd >= 0 {
		// The number of a session is nobody else's while its leader is unreaped.
		var err error
		if status, ended, err = waitExit(c.pidfd, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT); err != nil {
			status.Unknown = true
		}
	}
	if ended && c.tree != nil && c.tree.end(c.name) || ended && c.tree == nil && h.endSession(c) {
		*exit = status
		h.reapCommand(c)
		return true
	}
	if !ended {
		if c.tree != nil {
			_ = c.tree.killGroup(c.name)
		} else {
			_ = h.sessions.kill(c.session)
		}
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0) // it may have left its group
	}
	return false
}

// endSession is cgroupTree.end for a command without a cgroup.
func (h *Host) endSession(c *command) bool {
	if pids, alive := h.sessions.survivors(c.session); len(pids) == 0 && !alive {
		return true
	}
	_ = h.sessions.kill(c.session)
	return false
}

// reapCommand takes the exit status of a command that has ended, and closes what
// it has, after a last look at what it has written.
func (h *Host) reapCommand(c *command) {
	const most = 1 << 20 >> 15 // the largest pipe, in reads
	h.drain(c, most)
	c.mu.Lock()
	defer c.mu.Unlock()
	h.closePipe(c)
	if c.pidfd >= 0 {
		h.watcher.remove(c.pidfd, c.token)
		h.mu.Lock()
		delete(h.trials, c.pid) // while the number is nobody else's
		h.mu.Unlock()
		_, _, _ = waitExit(c.pidfd, unix.WEXITED|unix.WNOHANG)
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// letGo closes what a command has that does not end, and is not waited for any more.
func (h *Host) letGo(c *command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.closePipe(c)
	if c.pidfd >= 0 {
		h.watcher.remove(c.pidfd, c.token)
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// busy says that something runs beside the main process, or after it. The caller
// holds Host.mu.
func (g *group) busy() bool { return len(g.commands)+len(g.stuck) > 0 }

// closeCommands ends all commands and waits for their ends. What people run lives on as
// the services do.
func (h *Host) closeCommands() {
	h.mu.Lock()
	h.closed = true
	for _, g := range h.groups {
		for c := range g.commands {
			if !c.entered {
				c.end("the host is closed")
			}
		}
	}
	h.mu.Unlock()
	h.commands.Wait()
}

// refusal is what the exec stage of a command has reported; nil when it became the
// program.
func (c *command) refusal() *reconciler.Failure {
	if c.report < 0 {
		return nil
	}
	s := &stage{pipe: c.report, pidfd: -1}
	defer s.close()
	c.report = -1
	return s.refusal()
}

// stuck is for a command of which something does not go although it was killed.
func (h *Host) stuck(c *command) {
	h.log.Error(nil, "A command does not end although it was killed", "service", c.group.id.Service, "replica", c.group.id.Ordinal,
		"command", c.what, "pid", c.pid)
	h.mu.Lock()
	if c.group.stuck == nil {
		c.group.stuck = map[*command]struct{}{}
	}
	c.group.stuck[c] = struct{}{}
	h.commands.Add(1) // it is one of them as long as it is looked at
	h.mu.Unlock()
	go func() {
		defer h.commands.Done()
		var exit reconciler.Exit
		for !h.goneCommand(c, &exit) {
			select {
			case <-time.After(time.Second):
			case <-h.done:
				h.letGo(c)
				return
			}
		}
		h.mu.Lock()
		delete(c.group.stuck, c)
		h.watcher.soon(func() { h.lookAgain(c.group) })
		h.mu.Unlock()
	}()
}
