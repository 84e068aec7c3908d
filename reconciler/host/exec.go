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
// it could not be run, or was ended, by the end of ctx for example; it is unmade when
// its files, or the way to its program, could not be looked at until then. Exec returns
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
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.end(context.Cause(ctx).Error())
	})
	defer stop()
	r := h.prepare(c, func() (*plan, *reconciler.Failure) { return h.planCommand(g, w.Service, command, nil) })
	switch {
	case r.hung != "" && ctx.Err() != nil: // what hangs says nothing of the service
		return nil, exit, &reconciler.Failure{Reason: r.hung, Message: r.failure.Message}
	case r.failure != nil:
		return nil, exit, r.failure
	}
	out, closeChilds, err := c.capture(limit, &r.plan.who)
	if err != nil {
		return nil, exit, explainPipe(c, err)
	}
	failure = h.startCommand(c, r, out, out)
	closeChilds()
	if failure != nil {
		return nil, exit, failure
	}
	defer h.unregister(c)
	exit, how := h.awaitCommand(c)
	if failure = c.refusal(); failure == nil && how != endedItself {
		failure = h.stopped(c)
	}
	return c.out.bytes(), exit, failure
}

// Environment is the environment that a replica was started with, as NAME=value
// lines. It fails at the end of ctx: files may have to be read. Safe for concurrent
// use.
func (h *Host) Environment(ctx context.Context, w reconciler.ProbeWork) ([]string, *reconciler.Failure) {
	h.mu.Lock()
	g := h.groups[w.Replica]
	h.mu.Unlock()
	if g == nil {
		return nil, failure(reconciler.ReasonMainEnded, "cannot tell the environment of %s: it does not run", w.Replica)
	}
	var p *plan
	var f *reconciler.Failure
	if !g.apart(ctx.Done(), func() { p, f = makePlan(&h.accounts, w.Service, w.Replica.Ordinal, h.filesOf(g)) }) {
		return nil, failure(reconciler.ReasonEnvFileInvalid, "cannot read the environment files of %s: %v", w.Replica, context.Cause(ctx))
	}
	if f != nil {
		return nil, f
	}
	return p.env, nil
}
