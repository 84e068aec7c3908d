package hosttest

import (
	"syscall"

	"svc.d/reconciler"
)

func signalMain(c *client) {
	run, _ := c.ready(web0, RunsWithChild)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	e := c.await(web0, run, reconciler.EventExited)
	if e.Exit.Signal != syscall.SIGTERM || len(e.Processes) != 1 {
		c.t.Fatalf("exited as %+v with survivors %+v, want SIGTERM and one", e.Exit, e.Processes)
	}
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.await(web0, run, reconciler.EventEmptied)
}

func signalGroup(c *client) {
	run, _ := c.ready(web0, RunsWithChild)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	if e := c.exited(web0, run); e.Exit.Signal != syscall.SIGTERM {
		c.t.Errorf("exited as %+v, want SIGTERM", e.Exit)
	}
}

func signalOthers(c *client) {
	run, _ := c.ready(web0, Runs)
	_, other := c.ready(web1, Runs)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.exited(web0, run)
	if alive := c.inspect(web1); len(alive) != 1 || alive[0].Pid != other.Pid {
		c.t.Errorf("the other replica is %+v, want pid %d", alive, other.Pid)
	}
}

func signalAnswered(c *client) {
	run, _ := c.ready(web0, AnswersTerm)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	want := reconciler.Exit{Code: 3}
	if e := c.exited(web0, run); e.Exit != want {
		c.t.Errorf("exited as %+v, want code 3", e.Exit)
	}
}

func killStubborn(c *client) {
	run, started := c.ready(web0, IgnoresTerm)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	if alive := c.inspect(web0); len(alive) != 1 || alive[0].Pid != started.Pid {
		c.t.Fatalf("after SIGTERM %+v live, want pid %d", alive, started.Pid)
	}
	c.kill(web0)
	if e := c.exited(web0, run); e.Exit.Signal != syscall.SIGKILL {
		c.t.Errorf("exited as %+v, want SIGKILL", e.Exit)
	}
}

func killTree(c *client) {
	run, _ := c.ready(web0, RunsWithChild)
	c.kill(web0)
	if e := c.exited(web0, run); e.Exit.Signal != syscall.SIGKILL {
		c.t.Errorf("exited as %+v, want SIGKILL", e.Exit)
	}
	if left := c.inspect(web0); len(left) > 0 {
		c.t.Errorf("%+v live after the end was told", left)
	}
}

func killOthers(c *client) {
	run, _ := c.ready(web0, Runs)
	_, other := c.ready(web1, Runs)
	c.kill(web0)
	c.exited(web0, run)
	if alive := c.inspect(web1); len(alive) != 1 || alive[0].Pid != other.Pid {
		c.t.Errorf("the other replica is %+v, want pid %d", alive, other.Pid)
	}
}

func signalNobody(c *client) {
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain) // never heard of
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.kill(web0)
	run, _ := c.start(web0, c.service(Exits(0)))
	c.exited(web0, run)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain) // ended
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.kill(web0)
	c.forget(web0)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain) // forgotten
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.kill(web0)
}
