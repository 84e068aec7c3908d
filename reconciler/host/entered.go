package host

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// maxEntered bounds what people run beside one replica at a time: hooks and probes
// must find room among maxCommands.
const maxEntered = 8

// enterPatience is how long a group waits for whoever has asked for it.
const enterPatience = 10 * time.Second

// Entry is what a process needs that is to run beside a replica: the surroundings
// that its processes were started in.
type Entry struct {
	Replica  string
	Env      []string // NAME=value
	Dir      string
	Umask    uint32
	UID, GID uint32
	Groups   []uint32
	Rlimits  map[string]spec.Rlimit // those of the manifest
	Cgroup   string                 // the directory to join; empty without cgroups
}

// ExecPlan tells how to run something beside a replica, of which service is what the
// run was started from. With cgroups it makes a group for that below the replica's:
// what joins it is not taken for a process of the service, so it neither keeps a run
// alive nor is waited for, and it is killed when the main process has ended. A group
// that nobody joins goes soon. It outlives the daemon as services do, and the next one
// goes on with it. It fails at the end of ctx: files may have
// to be read. Safe for concurrent use.
func (h *Host) ExecPlan(ctx context.Context, id reconciler.ReplicaID, run uint64, service *spec.Service) (*Entry, *reconciler.Failure) {
	c := newCommand("a command")
	c.entered, c.run = true, run
	h.mu.Lock()
	g := h.groups[id]
	h.mu.Unlock()
	if g == nil {
		return nil, enterFailure(id, reconciler.ReasonMainEnded, "it does not run")
	}
	c.group = g
	var p *plan
	var f *reconciler.Failure
	if !g.apart(ctx.Done(), func() { p, f = makePlan(&h.accounts, service, id.Ordinal, h.filesOf(g)) }) {
		return nil, enterFailure(id, reconciler.ReasonEnvFileInvalid, "its environment files cannot be read: %v", context.Cause(ctx))
	}
	if f != nil {
		return nil, enterFailure(id, f.Reason, "%s", f.Message)
	}
	e := &Entry{
		Replica: id.String(), Env: p.env, Dir: p.dir, Umask: uint32(p.umask),
		UID: p.who.uid, GID: p.who.gid, Groups: p.who.groups, Rlimits: service.Spec.Rlimits,
	}
	if !p.who.change {
		e.UID, e.GID = h.uid, h.gid
	}
	if !p.who.change || !p.who.setGroups {
		e.Groups = ownGroups()
	}
	if f := h.register(c); f != nil {
		return nil, enterFailure(id, f.Reason, "%s", f.Message)
	}
	if c.tree == nil {
		h.unregister(c)
		return e, nil
	}
	var err error
	if c.name, err = c.tree.makeCommand(id, enteredPrefix, func() uint64 { return h.lastCommand.Add(1) }); err != nil {
		h.unregister(c)
		f := explainCgroup(id, err)
		return nil, enterFailure(id, f.Reason, "%s", f.Message)
	}
	if err := h.keepEntered(c); err != nil {
		c.tree.end(c.name)
		h.unregister(c)
		return nil, enterFailure(id, reconciler.ReasonCgroupRefused, "its cgroup cannot be watched: %v", err)
	}
	e.Cgroup = c.tree.root + "/" + c.name
	return e, nil
}

func enterFailure(id reconciler.ReplicaID, reason reconciler.Reason, format string, args ...any) *reconciler.Failure {
	return failure(reason, "cannot exec in %s: "+format, append([]any{id}, args...)...)
}

// ownGroups are the supplementary groups of this process.
func ownGroups() []uint32 {
	list, _ := unix.Getgroups()
	groups := make([]uint32, 0, len(list))
	for _, gid := range list {
		groups = append(groups, uint32(gid))
	}
	return groups
}

// entered counts what people run beside the group. The caller holds Host.mu.
func (g *group) entered() (n int) {
	for c := range g.commands {
		if c.entered {
			n++
		}
	}
	return n
}

// entering notices when what a person runs has ended.
type entering struct {
	host    *Host
	command *command

	mu     sync.Mutex
	fd     int  // cgroup.events, or -1
	joined bool // somebody was seen in the group
	token  uint64
}

// keepEntered removes the group of what a person runs once nothing lives in it any more,
// and kills that when it is to end. It fails when it cannot see that.
func (h *Host) keepEntered(c *command) error {
	c.ended = make(chan struct{})
	e := &entering{host: h, command: c}
	var err error
	if e.fd, err = unix.Openat(c.tree.rootFD, c.name+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	e.mu.Lock()
	e.token, err = h.watcher.add(e.fd, unix.EPOLLPRI, e.changed)
	e.mu.Unlock()
	if err != nil {
		e.close()
		return err
	}
	e.changed() // reading arms the notification
	go func() {
		defer h.unregister(c)
		patience := time.AfterFunc(enterPatience, e.giveUp)
		left := false
		select {
		case <-c.ended:
		case <-c.over:
		case <-h.done:
			left = true
		}
		patience.Stop()
		e.close()
		if !left {
			h.clear(c)
		}
	}()
	return nil
}

// changed looks whether somebody lives in the group.
func (e *entering) changed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd < 0 {
		return
	}
	var buf [256]byte
	n, err := unix.Pread(e.fd, buf[:], 0)
	switch {
	case err == unix.ENODEV: // somebody has removed it
	case err != nil:
		return
	case bytes.Contains(buf[:n], []byte("populated 1")):
		e.joined = true
		return
	case !e.joined:
		return
	}
	close(e.command.ended)
	e.drop()
}

// giveUp ends what nobody has come for.
func (e *entering) giveUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd >= 0 && !e.joined {
		close(e.command.ended)
		e.drop()
	}
}

func (e *entering) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop()
}

// drop closes what is watched. The caller holds mu.
func (e *entering) drop() {
	if e.fd >= 0 {
		e.host.watcher.remove(e.fd, e.token)
		_ = unix.Close(e.fd)
		e.fd = -1
	}
}

// resumeEntered goes on with what people run beside a replica that was taken over, in
// the groups names. What cannot be watched is killed.
func (h *Host) resumeEntered(g *group, t *cgroupTree, names []string) {
	for _, name := range names {
		c := newCommand("a command")
		c.entered, c.group, c.run, c.name, c.tree = true, g, g.run, name, t
		h.mu.Lock()
		if g.commands == nil {
			g.commands = map[*command]struct{}{}
		}
		g.commands[c] = struct{}{}
		h.commands.Add(1)
		h.mu.Unlock()
		if err := h.keepEntered(c); err != nil {
			h.log.Error(err, "Cannot watch what runs beside a replica; killing it", "service", g.id.Service, "replica", g.id.Ordinal)
			h.clear(c)
			h.unregister(c)
		}
	}
}
