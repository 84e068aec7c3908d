package host

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// hookOutput is how much of what a check has written is told: enough for the line
// that says what is wrong.
const hookOutput = 1 << 10

// hookPatience is how long a worker waits for what the files of a hook mean, and where
// its program is, before it leaves that to somebody else.
const hookPatience = 50 * time.Millisecond

// startHook takes a hook and starts it. Its time runs from now on. No worker waits for
// its end, nor for that of the one before, nor for a file system that hangs.
func (h *Host) startHook(w reconciler.Work) answer {
	c := newCommand(w.Hook.String())
	c.hook = w.Hook
	h.mu.Lock()
	g := h.groupOf(w.Replica)
	before := g.hook
	c.group, c.run, g.hook = g, g.run, c
	if before != nil {
		before.superseded = true
		before.end("another one was wanted")
	}
	if w.Timeout > 0 {
		c.timer = time.AfterFunc(w.Timeout, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			c.end(fmt.Sprintf("it took longer than %v", w.Timeout))
		})
	}
	h.mu.Unlock()
	if before != nil {
		go func() {
			select {
			case <-before.done:
				h.beginHook(c, w, h.prepareHook(c, w))
			case <-h.done:
			}
		}()
		return answer{}
	}
	ready := make(chan prepared, 1)
	go func() { ready <- h.prepareHook(c, w) }()
	select {
	case r := <-ready:
		h.beginHook(c, w, r)
	case <-time.After(hookPatience):
		go func() { h.beginHook(c, w, <-ready) }()
	}
	return answer{}
}

// groupOf is the host's record of a replica, made when there is none. The caller
// holds mu.
func (h *Host) groupOf(id reconciler.ReplicaID) *group {
	g := h.groups[id]
	if g == nil {
		g = newGroup(id, h.grouping)
		h.groups[id] = g
	}
	return g
}

// beginHook starts a hook that nobody precedes any more.
func (h *Host) beginHook(c *command, w reconciler.Work, r prepared) {
	if f := h.launchHook(c, w, r); f != nil {
		h.hookEnded(c, w, f)
		return
	}
	go func() {
		exit, how := h.awaitCommand(c)
		var f *reconciler.Failure
		if refused := c.refusal(); refused != nil {
			f = c.refused("%s", refused.Message)
			f.Reason = refused.Reason
		} else {
			f = h.judge(c, exit, how)
		}
		h.hookEnded(c, w, f)
	}()
}

// prepareHook works out what is to be run for a hook.
func (h *Host) prepareHook(c *command, w reconciler.Work) prepared {
	var argv []string
	if w.Service != nil {
		argv = w.Hook.Command(&w.Service.Spec)
	}
	if len(argv) == 0 {
		return prepared{failure: c.refused("the service has no such command")}
	}
	env := w.Env
	h.mu.Lock()
	if f := h.admits(c); f != nil {
		h.mu.Unlock()
		return prepared{failure: f}
	}
	if g := c.group; g.phase == phaseRunning && g.pid != 0 {
		env = append(env[:len(env):len(env)], spec.EnvVar{Name: "MAINPID", Value: strconv.Itoa(int(g.pid))})
	}
	h.mu.Unlock()
	return h.prepare(c, func() (*plan, *reconciler.Failure) { return h.planCommand(c.group, w.Service, argv, env) })
}

func (h *Host) launchHook(c *command, w reconciler.Work, r prepared) *reconciler.Failure {
	f := r.failure
	if f == nil {
		f = h.launchAs(c, w, r)
	}
	if f != nil && f.Reason != reconciler.ReasonHookFailed && f.Reason != reconciler.ReasonMainEnded {
		f = &reconciler.Failure{Reason: f.Reason, Message: c.refused("%s", f.Message).Message}
	}
	return f
}

func (h *Host) launchAs(c *command, w reconciler.Work, r prepared) *reconciler.Failure {
	if w.Hook == reconciler.HookReloadCheck {
		out, closeChilds, err := c.capture(hookOutput, &r.plan.who)
		if err != nil {
			return explainPipe(c, err)
		}
		defer closeChilds()
		return h.startCommand(c, r, out, out)
	}
	stdout, stderr, f := h.openOutput(w.Replica, &r.plan.who)
	if f != nil {
		return f
	}
	return h.startCommand(c, r, stdout, stderr)
}

func explainPipe(c *command, err error) *reconciler.Failure {
	if f := explainResources("run "+c.what, errors.Unwrap(err)); f != nil {
		return f
	}
	return c.refused("%v", err)
}

// judge says whether a hook has failed.
func (h *Host) judge(c *command, exit reconciler.Exit, how verdict) *reconciler.Failure {
	switch {
	case how == endedByUs:
		return h.stopped(c)
	case exit.Status() == 0:
		return nil
	}
	f := c.refused("it %s", exit.Words())
	if c.out != nil {
		if printed := c.out.line(); printed != "" {
			f.Message, f.Hidden = f.Message+": "+printed, printed
		}
	}
	return f
}

// programOf is the program of a hook as the manifest has it.
func programOf(w reconciler.Work) string {
	if w.Service == nil {
		return ""
	}
	if command := w.Hook.Command(&w.Service.Spec); len(command) > 0 {
		return command[0]
	}
	return ""
}

// hookEnded answers a hook, unless another one was taken for the replica since,
// and unregisters its command when it was started.
func (h *Host) hookEnded(c *command, w reconciler.Work, f *reconciler.Failure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.group.hook == c {
		c.group.hook = nil
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.done)
	if !c.superseded {
		// By the watcher's goroutine: not while the host stands still.
		g := c.group
		g.answers = append(g.answers, reconciler.Event{Kind: reconciler.EventHookEnded, Replica: w.Replica, Run: w.Run, Hook: w.Hook, Failure: f.HiddenIf(programOf(w))})
		h.watcher.soon(func() { h.tellAnswers(g) })
	}
	// In the same lock: who is told may start or forget the replica at once.
	if _, started := c.group.commands[c]; started {
		h.dropCommand(c)
	}
}

// tellAnswers tells how hooks of a group have ended. Only the watcher's goroutine, and
// Open before it runs, call it; also before the end of what they were for is told, which
// may have been noticed first.
func (h *Host) tellAnswers(g *group) {
	h.mu.Lock()
	answers := g.answers
	g.answers = nil
	h.mu.Unlock()
	for _, e := range answers {
		h.send(e)
	}
}
