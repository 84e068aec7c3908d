package host

import (
	"context"

	"svc.d/reconciler"
)

// Exec runs a command of a service beside its main process, in the same
// environment, as the same user, and ends all that it has left behind. $(VAR)
// expands in command. It runs only while the main process lives, or what carries on
// for it; their end is its end.
//
// output is what it has written, limit bytes at most: the beginning and the end.
// failure is nil when it has ended by itself, as exit tells; otherwise it says why
// it could not be run, or was ended, by the end of ctx for example. Exec returns
// within some seconds of that. Safe for concurrent use.
func (h *Host) Exec(ctx context.Context, w reconciler.ProbeWork, command []string, limit int) (output []byte, exit reconciler.Exit, failure *reconciler.Failure) {
	c := newCommand("the command")
	h.mu.Lock()
	g := h.groups[w.Replica]
	if g != nil {
		c.group, c.run = g, g.run
	}
	h.mu.Unlock()
	if g == nil {
		return nil, exit, c.refused("%s does not run", w.Replica)
	}
	p, failure := h.planCommand(g, w.Service, command, nil)
	if failure != nil {
		return nil, exit, failure
	}
	out, closeChilds, err := c.capture(limit, &p.who)
	if err != nil {
		return nil, exit, explainPipe(c, err)
	}
	failure = h.startCommand(c, p, out, out)
	closeChilds()
	if failure != nil {
		return nil, exit, failure
	}
	defer h.unregister(c)
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.end(context.Cause(ctx).Error())
	})
	exit, how := h.awaitCommand(c, 0)
	stop()
	if failure = c.refusal(); failure == nil && how != endedItself {
		failure = h.stopped(c)
	}
	return c.out.bytes(), exit, failure
}

// Environment is the environment that a replica was started with, as NAME=value
// lines. Safe for concurrent use.
func (h *Host) Environment(w reconciler.ProbeWork) ([]string, *reconciler.Failure) {
	h.mu.Lock()
	g := h.groups[w.Replica]
	h.mu.Unlock()
	p, f := makePlan(&h.accounts, w.Service, w.Replica.Ordinal, h.filesOf(g))
	if f != nil {
		return nil, f
	}
	return p.env, nil
}
