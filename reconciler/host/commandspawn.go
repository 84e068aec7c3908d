package host

import (
	"errors"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// spawnCommand forks the command.
func (h *Host) spawnCommand(c *command, p *plan, path string, direct bool, stdout, stderr output) *reconciler.Failure {
	id, cgroup := c.group.id, ""
	if c.tree != nil {
		var err error
		c.name, err = c.tree.makeCommand(id, commandPrefix, func() uint64 { return h.lastCommand.Add(1) })
		if err != nil {
			return explainCgroup(id, err)
		}
		cgroup = c.tree.root + "/" + c.name
	} else {
		p.env = withVariable(p.env, commandVariable, h.instance+"/"+id.String())
	}
	if direct {
		err := h.forkCommand(c, p.child(path, cgroup, stdout, stderr))
		if err == nil {
			return nil
		}
		if f := explainResources("start "+path, err); f != nil && !errors.Is(err, unix.EAGAIN) {
			return f
		}
		// The stage tries again, and can tell which step failed.
	}
	dir := -1
	if cgroup != "" {
		var err error
		if dir, err = openGroup(cgroup); err != nil {
			return explainCgroup(id, err)
		}
		defer func() { _ = unix.Close(dir) }()
	}
	out, f := openOutputs(id, stdout, stderr)
	if f != nil {
		return f
	}
	defer out.close()
	s, err := h.runStage(stageStart, p, out, dir, func(s *stage) { h.trials[s.pid] = struct{}{} })
	if err != nil {
		return explainStage(id, err)
	}
	c.pid, c.pidfd, c.report = s.pid, s.pidfd, s.pipe
	return nil
}

func (h *Host) forkCommand(c *command, child *child) error {
	free, err := h.reserve()
	if err != nil {
		return err
	}
	h.forks.RLock()
	defer h.forks.RUnlock()
	pid, err := h.spawners.fork(child)
	free()
	if err != nil {
		return err
	}
	if c.pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
		endUnwatched(pid)
		return err
	}
	c.pid = int32(pid)
	h.mu.Lock()
	h.trials[c.pid] = struct{}{}
	h.mu.Unlock()
	return nil
}
