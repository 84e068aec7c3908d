package host

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// maxCommands bounds what runs beside the main process of one replica, those that
// were killed and do not go included.
const maxCommands = 16

// command is a program of a service beside its main process: a hook, or a probe.
// One goroutine runs it from its start to its end; others only ask for that.
type command struct {
	group *group
	run   uint64 // of the group
	what  string // it is for, in messages
	hook  reconciler.Hook
	// entered says that a person runs it, who is no child of ours (entered.go).
	entered bool
	over    chan struct{} // closed when it is to end; why says for what
	done    chan struct{} // closed at its end; of hooks

	timer *time.Timer // has it end when it takes too long; nil is never

	// Host.mu guards these.
	why        string
	superseded bool

	// What follows is the running goroutine's.
	tree    *cgroupTree // nil without cgroups
	name    string      // of its group in the tree
	pid     int32
	session *group // what holds it together without cgroups
	pidfd   int
	report  int // the pipe of an exec stage, or -1
	ended   chan struct{}
	token   uint64

	out     *excerpt // what it writes; nil when that goes to the log
	mu      sync.Mutex
	pipe    int // guarded by mu, or -1
	pipeTok uint64
}

func newCommand(what string) *command {
	return &command{what: what, over: make(chan struct{}), done: make(chan struct{}), pidfd: -1, report: -1, pipe: -1}
}

// end has the command end. The caller holds Host.mu.
func (c *command) end(why string) {
	select {
	case <-c.over:
	default:
		c.why = why
		close(c.over)
	}
}

// refused is the failure of a command that could not be run, or not to its end.
func (c *command) refused(format string, args ...any) *reconciler.Failure {
	return failure(reconciler.ReasonHookFailed, "cannot run %s: "+format, append([]any{c.what}, args...)...)
}

// stopped is the same for one that was told to end.
func (h *Host) stopped(c *command) *reconciler.Failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.stopped()
}

// stopped is for a caller who holds Host.mu.
func (c *command) stopped() *reconciler.Failure {
	f := c.refused("%s", c.why)
	if c.why == whyMainEnded {
		f.Reason = reconciler.ReasonMainEnded
	}
	return f
}

// whyMainEnded is why a command was ended whose main process has: no failure of the
// command, whatever it was for.
const whyMainEnded = "the main process has ended"

// planCommand works out what a command of a service is to be. env is added to the
// environment that the main process was started with.
func (h *Host) planCommand(g *group, s *spec.Service, argv []string, env []spec.EnvVar) (*plan, *reconciler.Failure) {
	p, f := makePlan(&h.accounts, s, g.id.Ordinal, h.filesOf(g))
	if f != nil {
		return nil, f
	}
	for _, v := range env {
		p.env = withVariable(p.env, v.Name, v.Value)
	}
	p.argv = spec.NewExpander(p.env).Texts(argv)
	return p, nil
}

// withVariable sets a variable of an environment, whose lines are the caller's.
func withVariable(env []string, name, value string) []string {
	line := name + "=" + value
	for n, e := range env {
		if len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			env[n] = line
			return env
		}
	}
	return append(env, line)
}

// capture makes a pipe for the command's output. The child opens it by path, as
// whoever it runs as may do again.
func (c *command) capture(limit int, who *identity) (o output, closeChilds func(), err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return output{}, nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	if who.change {
		_ = unix.Fchown(pipe[1], int(who.uid), int(who.gid))
	}
	c.out, c.pipe = newExcerpt(limit), pipe[0]
	return output{"/proc/self/fd/" + strconv.Itoa(pipe[1]), unix.O_WRONLY}, func() { _ = unix.Close(pipe[1]) }, nil
}

// prepared is a command that can be started, or why it cannot.
type prepared struct {
	plan    *plan
	path    string
	direct  bool // the program can be executed directly, at path
	failure *reconciler.Failure
	// hung is what was being looked at when the command was told to end.
	hung reconciler.Reason
}

// prepare plans a command and looks its program up, as long as the command is not told
// to end.
func (h *Host) prepare(c *command, plan func() (*plan, *reconciler.Failure)) prepared {
	var r prepared
	var planned atomic.Bool
	if c.group.apart(c.over, func() {
		if r.plan, r.failure = plan(); r.failure == nil {
			planned.Store(true)
			r.path, r.direct, r.failure = h.route(r.plan)
		}
	}) {
		return r
	}
	at := reconciler.ReasonEnvFileInvalid
	if planned.Load() {
		at = reconciler.ReasonWorkingDirInvalid
	}
	return prepared{failure: h.stopped(c), hung: at}
}

// apart has f, which asks file systems that may hang, called by a goroutine of its own.
// It says whether f has returned before over is closed; otherwise nobody may look at
// what f does. Of one group one is called at a time: no more hang than there are groups.
func (g *group) apart(over <-chan struct{}, f func()) bool {
	select {
	case g.turn <- struct{}{}:
	case <-over:
		return false
	}
	done := make(chan struct{})
	go func() {
		defer func() { <-g.turn }()
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-over:
		return false
	}
}

// startCommand starts the command. When it fails nothing of it is left.
func (h *Host) startCommand(c *command, r prepared, stdout, stderr output) *reconciler.Failure {
	if f := h.register(c); f != nil {
		c.closeAll()
		return f
	}
	f := h.spawnCommand(c, r.plan, r.path, r.direct, stdout, stderr)
	if f != nil {
		if c.name != "" {
			c.tree.end(c.name)
		}
		c.closeAll()
		if c.hook == reconciler.HookNone {
			h.unregister(c)
		} // else hookEnded does it, after the answer
	}
	return f
}

// register notes that the command is about to be forked, if it may be.
func (h *Host) register(c *command) *reconciler.Failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.admits(c); f != nil {
		return f
	}
	g := c.group
	if c.hook == reconciler.HookPostStop {
		g.in = h.grouping
	}
	c.tree, _ = g.in.(*cgroupTree)
	if g.commands == nil {
		g.commands = map[*command]struct{}{}
	}
	g.commands[c] = struct{}{}
	h.commands.Add(1)
	return nil
}

// admits says whether the command may be forked. The caller holds mu.
func (h *Host) admits(c *command) *reconciler.Failure {
	g := c.group
	select {
	case <-c.over:
		return c.stopped()
	default:
	}
	switch {
	case h.closed:
		return c.refused("the host is closed")
	case h.groups[g.id] != g:
		return c.refused("%s was forgotten", g.id)
	case c.hook == reconciler.HookPostStop && g.phase != phaseIdle:
		return c.refused("something of %s still lives", g.id)
	case c.hook != reconciler.HookPostStop && (g.run != c.run || g.closed || g.phase != phaseRunning && g.phase != phaseEnded):
		f := c.refused("%s does not run", g.id)
		f.Reason = reconciler.ReasonMainEnded
		return f
	case c.entered && g.entered() >= maxEntered:
		return c.refused("%d others beside %s are under way", maxEntered, g.id)
	case len(g.commands)+len(g.stuck) >= maxCommands:
		return c.refused("%d others of %s are under way", maxCommands, g.id)
	}
	return nil
}

// unregister notes that nothing of the command is left, and tells who waits for
// that.
func (h *Host) unregister(c *command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropCommand(c)
}

// dropCommand is unregister for a caller who holds mu.
func (h *Host) dropCommand(c *command) {
	delete(c.group.commands, c)
	h.commandsChanged(c.group)
	h.commands.Done()
}

// commandsChanged tells who waits for the end of the commands. The caller holds
// mu.
func (h *Host) commandsChanged(g *group) {
	if len(g.commands) == 0 && g.afterCommands != nil {
		h.watcher.soon(g.afterCommands)
		g.afterCommands = nil
	}
}

// endCommands ends the commands of a group, and has f called by the watcher's
// goroutine when they are gone, or stuck. It says whether there are any. The
// caller holds mu.
func (h *Host) endCommands(g *group, why string, f func()) bool {
	for c := range g.commands {
		c.end(why)
	}
	if len(g.commands) > 0 {
		g.afterCommands = f
	}
	return len(g.commands) > 0
}

// watchCommand has c.ended closed at the end of the command's process, and its
// output read until then.
func (h *Host) watchCommand(c *command) error {
	c.ended = make(chan struct{})
	if c.pipe >= 0 {
		// Its token is needed at the end of the output, which may be here at once.
		c.mu.Lock()
		token, err := h.watcher.add(c.pipe, unix.EPOLLIN, func() { h.drain(c, 1) })
		c.pipeTok = token
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
	// Its token is needed in the callback, which the watcher may call at once.
	var once sync.Once
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	c.token, err = h.watcher.add(c.pidfd, unix.EPOLLIN, func() {
		once.Do(func() { close(c.ended) })
		c.mu.Lock()
		defer c.mu.Unlock()
		h.watcher.remove(c.pidfd, c.token)
	})
	return err
}

// drain reads what the command has written, at most so often: who prints without
// end must not have the watcher for himself.
func (h *Host) drain(c *command, times int) {
	var buf [32 << 10]byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; times > 0 && c.pipe >= 0; times-- {
		n, err := unix.Read(c.pipe, buf[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case n <= 0: // nobody can write any more
			h.closePipe(c)
		default:
			c.out.write(buf[:n])
		}
	}
}

// closePipe stops reading. The caller holds c.mu.
func (h *Host) closePipe(c *command) {
	if c.pipe >= 0 {
		h.watcher.remove(c.pipe, c.pipeTok)
		_ = unix.Close(c.pipe)
		c.pipe = -1
	}
}

// closeAll closes what a command holds that was not started.
func (c *command) closeAll() {
	for _, fd := range []*int{&c.pidfd, &c.report, &c.pipe} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}

// verdict says how a command has come to its end.
type verdict uint8

const (
	endedItself verdict = iota
	endedByUs           // somebody wanted it to end, or its time was over
)

// awaitCommand waits until the command, which was launched, has ended, or is told to,
// and ends what is left of it. Who calls it calls unregister afterwards.
func (h *Host) awaitCommand(c *command) (reconciler.Exit, verdict) {
	how := endedItself
	if err := h.watchCommand(c); err != nil {
		how = endedByUs
		h.mu.Lock()
		c.end(err.Error())
		h.mu.Unlock()
	} else {
		select {
		case <-c.ended:
		case <-c.over:
			how = endedByUs
		}
	}
	return h.clear(c), how
}
