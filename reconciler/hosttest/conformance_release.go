package hosttest

import (
	"slices"
	"syscall"

	"svc.d/reconciler"
	"svc.d/spec"
)

// release has what a main process left live on.
func (c *client) release(id reconciler.ReplicaID) reconciler.Event {
	c.t.Helper()
	return c.await(id, c.offer(reconciler.VerbRelease, id, nil), reconciler.EventReleased)
}

// releasing starts a program that leaves a child, and releases that. It answers
// its pid, or skips the test where nothing can be released.
func (c *client) releasing() int32 {
	c.t.Helper()
	if c.target.Degraded || c.target.LeftBehind == nil {
		c.t.Skip("needs cgroups: without them nothing can be released")
	}
	run, _ := c.start(web0, c.service(LeavesStubborn))
	left := c.await(web0, run, reconciler.EventExited).Processes
	e := c.release(web0)
	if e.Failure != nil || len(left) != 1 || len(e.Processes) != 1 || e.Processes[0].Pid != left[0].Pid {
		c.t.Fatalf("released is %+v (failure %+v), want %+v", e.Processes, e.Failure, left)
	}
	c.await(web0, run, reconciler.EventEmptied)
	return left[0].Pid
}

// leftBehind checks who lives outside of the groups, and ends them.
func (c *client) leftBehind(pids ...int32) {
	c.t.Helper()
	var got []int32
	for _, p := range c.target.LeftBehind()[web0.Service] {
		got = append(got, p.Pid)
	}
	slices.Sort(got)
	slices.Sort(pids)
	if !slices.Equal(got, pids) {
		c.t.Errorf("left behind is %v, want %v", got, pids)
	}
	for _, pid := range pids {
		c.target.KillReleased(pid)
	}
	for range readyLooks {
		if len(c.target.LeftBehind()) == 0 {
			return
		}
	}
	c.t.Errorf("left behind is still %+v", c.target.LeftBehind())
}

func released(c *client) {
	first := c.releasing()
	_, started := c.ready(web0, Runs)
	c.livesAs(web0, started.Pid)
	c.kill(web0)
	c.exited(web0, started.Run)
	second := c.releasing()
	c.forget(web0)
	c.leftBehind(first, second)
}

func releaseBesideMain(c *client) {
	_, started := c.ready(web0, RunsWithChild)
	if f := c.release(web0).Failure; f == nil || f.Reason != reconciler.ReasonReleaseFailed {
		c.t.Errorf("the release beside a main process says %+v", f)
	}
	if alive := c.inspect(web0); len(alive) != 2 {
		c.t.Errorf("%+v live, want pid %d and its child", alive, started.Pid)
	}
}

func releaseNothing(c *client) {
	if c.target.Degraded {
		c.t.Skip("needs cgroups: without them nothing can be released")
	}
	run, _ := c.start(web0, c.service(Exits(0)))
	c.exited(web0, run)
	if e := c.release(web0); e.Failure != nil || len(e.Processes) > 0 {
		c.t.Errorf("released is %+v (failure %+v), want nothing", e.Processes, e.Failure)
	}
}

func signalCarriesOn(c *client) {
	group := func(s *spec.Spec) { s.Lifetime = spec.LifetimeGroup }
	run, started := c.start(web0, c.service(LeavesMany, group))
	c.await(web0, run, reconciler.EventExited)
	if c.target.Reopen != nil {
		c.reopen([]reconciler.Record{over(c.recorded(web0, c.service(LeavesMany, group), started), false)}, nil, nil, nil)
	}
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	c.await(web0, run, reconciler.EventEmptied)
}

func signalSparesTheRest(c *client) {
	run, _ := c.start(web0, c.service(LeavesChild))
	e := c.await(web0, run, reconciler.EventExited)
	if len(e.Processes) != 1 {
		c.t.Fatalf("survivors are told as %+v, want one", e.Processes)
	}
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	if alive := c.inspect(web0); len(alive) != 1 || alive[0].Pid != e.Processes[0].Pid {
		c.t.Errorf("%+v live, want %+v", alive, e.Processes)
	}
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
}

func hookOfADaemonThatDied(c *client) {
	_, started := c.ready(web0, Runs)
	c.superseded(web0, c.hook(web0, reconciler.HookPreStop, IgnoresTerm)) // not answered
	c.reopen([]reconciler.Record{c.recorded(web0, c.service(Runs), started)}, nil, nil, nil)
	c.livesAs(web0, started.Pid)
	c.hookEnded(web0, c.hook(web0, reconciler.HookPreStop, Exits(0)), "")
}

func releasedBefore(c *client) {
	first := c.releasing()
	_, started := c.ready(web0, Runs)
	c.reopen([]reconciler.Record{c.recorded(web0, c.service(Runs), started)}, nil, nil, nil)
	c.livesAs(web0, started.Pid)
	c.leftBehind(first)
}
