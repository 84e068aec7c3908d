package hosttest

import (
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// besides are the tests of what runs beside a main process, before it, after it,
// and lives longer.
var besides = map[string]func(c *client){
	"each hook that succeeds is told so":                      hooksSucceed,
	"a hook that fails says so":                               hookFails,
	"a hook that cannot run says why":                         hookCannotRun,
	"a hook leaves the main process alone":                    hookSparesMain,
	"what a hook leaves is ended with it":                     hookLeavesNothing,
	"a hook that takes too long is ended":                     hookTooLong,
	"the next hook ends the one before, unanswered":           hookSuperseded,
	"many hooks in a row end each other":                      hooksInARow,
	"the end of the main process ends a hook":                 hookEndsWithMain,
	"a kill ends a hook":                                      killEndsHook,
	"a hook fails when nothing lives":                         hookOfNothing,
	"postStop runs when nothing lives":                        postStopAlone,
	"postStop runs after a failed start":                      postStopAfterFailure,
	"postStop does not run beside what lives":                 postStopBesideLife,
	"nothing starts and nothing is forgotten beside postStop": startBesidePostStop,
	"many replicas have hooks at once":                        manyHooks,
	"an init command runs as the main process":                initRuns,
	"an init command that is missing fails start and check":   initMissing,
	"what is released lives on and hinders no start":          released,
	"what a main process that lives has is not released":      releaseBesideMain,
	"a release of nothing releases nothing":                   releaseNothing,
	"a signal to the main process reaches who carries on":     signalCarriesOn,
	"otherwise it reaches nothing that was left":              signalSparesTheRest,
}

// withHook declares a program that runs, with a hook.
func (c *client) withHook(h reconciler.Hook, p Program) *spec.Service {
	c.t.Helper()
	do := &spec.ExecAction{Command: c.target.Programs(c.t, p)}
	return c.service(Runs, func(s *spec.Spec) {
		switch h {
		case reconciler.HookPostStart:
			s.Lifecycle.PostStart = &spec.Handler{Exec: do}
		case reconciler.HookPreStop:
			s.Lifecycle.PreStop = &spec.Handler{Exec: do}
		case reconciler.HookPostStop:
			s.Lifecycle.PostStop = &spec.Handler{Exec: do}
		case reconciler.HookReloadCheck:
			s.Reload = &spec.Reload{Check: do}
		case reconciler.HookReload:
			s.Reload = &spec.Reload{Exec: do}
		case reconciler.HookNone:
		}
	})
}

// hook has a hook begin.
func (c *client) hook(id reconciler.ReplicaID, h reconciler.Hook, p Program) uint64 {
	c.t.Helper()
	return c.offerWork(reconciler.Work{Verb: reconciler.VerbHook, Replica: id, Service: c.withHook(h, p), Hook: h})
}

// hookEnded waits for the end of a hook.
func (c *client) hookEnded(id reconciler.ReplicaID, run uint64, want reconciler.Reason) {
	c.t.Helper()
	e := c.await(id, run, reconciler.EventHookEnded)
	var got reconciler.Reason
	if e.Failure != nil {
		got = e.Failure.Reason
	}
	if got != want {
		c.t.Errorf("the hook %v of %v ended with %q (%+v), want %q", e.Hook, id, got, e.Failure, want)
	}
}

// Why hooks end without success.
const (
	failed    = reconciler.ReasonHookFailed
	mainEnded = reconciler.ReasonMainEnded
)

func hooksSucceed(c *client) {
	run, _ := c.start(web0, c.service(Runs))
	for _, h := range []reconciler.Hook{reconciler.HookPostStart, reconciler.HookReloadCheck, reconciler.HookReload, reconciler.HookPreStop} {
		c.hookEnded(web0, c.hook(web0, h, Exits(0)), "")
	}
	c.kill(web0)
	c.exited(web0, run)
	c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), "")
}

func hookFails(c *client) {
	c.start(web0, c.service(Runs))
	for _, p := range []Program{Exits(1), Exits(255), Dies(syscall.SIGKILL), Dies(syscall.SIGTERM)} {
		c.hookEnded(web0, c.hook(web0, reconciler.HookReloadCheck, p), failed)
		c.hookEnded(web0, c.hook(web0, reconciler.HookReload, p), failed)
	}
}

func hookCannotRun(c *client) {
	_, started := c.start(web0, c.service(Runs))
	for p, reason := range map[Program]reconciler.Reason{
		Missing: reconciler.ReasonCommandNotFound, MissingInPath: reconciler.ReasonCommandNotFound, NotExecutable: reconciler.ReasonCommandNotRunnable,
	} {
		c.hookEnded(web0, c.hook(web0, reconciler.HookPreStop, p), reason)
	}
	c.livesAs(web0, started.Pid)
}

func hookSparesMain(c *client) {
	_, started := c.ready(web0, Runs)
	for range 10 {
		c.hookEnded(web0, c.hook(web0, reconciler.HookReload, Exits(0)), "")
	}
	c.livesAs(web0, started.Pid)
}

func hookLeavesNothing(c *client) {
	_, started := c.ready(web0, Runs)
	for _, p := range []Program{LeavesChild, LeavesStubborn, LeavesMany} {
		c.hookEnded(web0, c.hook(web0, reconciler.HookReload, p), failed)
		c.livesAs(web0, started.Pid)
	}
	if !c.target.Degraded {
		c.hookEnded(web0, c.hook(web0, reconciler.HookReload, Daemonizes), "")
		c.livesAs(web0, started.Pid)
	}
}

func hookTooLong(c *client) {
	_, started := c.ready(web0, Runs)
	run := c.offerWork(reconciler.Work{
		Verb: reconciler.VerbHook, Replica: web0, Service: c.withHook(reconciler.HookPreStop, IgnoresTerm), Hook: reconciler.HookPreStop,
		Timeout: 50 * time.Millisecond,
	})
	c.hookEnded(web0, run, failed)
	c.livesAs(web0, started.Pid)
}

// superseded takes a hook for one that is not answered.
func (c *client) superseded(id reconciler.ReplicaID, run uint64) {
	delete(c.works, question{id, run})
}

func hookSuperseded(c *client) {
	_, started := c.ready(web0, Runs)
	first := c.hook(web0, reconciler.HookPreStop, IgnoresTerm)
	second := c.hook(web0, reconciler.HookReload, Exits(0))
	c.superseded(web0, first)
	c.hookEnded(web0, second, "")
	c.livesAs(web0, started.Pid)
}

func hooksInARow(c *client) {
	_, started := c.ready(web0, Runs)
	var last uint64
	for range 20 {
		if last != 0 {
			c.superseded(web0, last)
		}
		last = c.hook(web0, reconciler.HookPreStop, IgnoresTerm)
	}
	c.superseded(web0, last)
	c.hookEnded(web0, c.hook(web0, reconciler.HookReloadCheck, Exits(7)), failed)
	c.livesAs(web0, started.Pid)
}

func hookEndsWithMain(c *client) {
	for range 5 {
		run, _ := c.start(web0, c.service(Runs))
		hook := c.hook(web0, reconciler.HookPreStop, IgnoresTerm)
		c.signal(web0, syscall.SIGKILL, reconciler.ScopeMain)
		c.hookEnded(web0, hook, mainEnded)
		if e := c.await(web0, run, reconciler.EventExited); len(e.Processes) > 0 {
			c.t.Errorf("exited with %+v left, which ran for a hook", e.Processes)
		}
	}
	c.start(web0, c.service(Runs))
}

func killEndsHook(c *client) {
	run, _ := c.start(web0, c.service(Runs))
	hook := c.hook(web0, reconciler.HookPreStop, IgnoresTerm)
	c.kill(web0)
	// Whether it was ended itself, or with the main process, is the host's affair.
	if f := c.await(web0, hook, reconciler.EventHookEnded).Failure; f == nil || f.Reason != failed && f.Reason != mainEnded {
		c.t.Errorf("the hook ended with %+v", f)
	}
	c.exited(web0, run)
}

func hookOfNothing(c *client) {
	c.hookEnded(web0, c.hook(web0, reconciler.HookReload, Exits(0)), mainEnded)
	run, _ := c.start(web0, c.service(Exits(0)))
	c.exited(web0, run)
	c.hookEnded(web0, c.hook(web0, reconciler.HookPreStop, Exits(0)), mainEnded)
}

func postStopAlone(c *client) {
	c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), "")
	for range 5 {
		run, _ := c.start(web0, c.service(Runs))
		c.kill(web0)
		c.exited(web0, run)
		c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, LeavesStubborn), failed)
		c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), "")
	}
	if left := c.inspect(web0); len(left) > 0 {
		c.t.Errorf("postStop has left %+v", left)
	}
}

func postStopAfterFailure(c *client) {
	run := c.offer(reconciler.VerbStart, web0, c.service(Missing))
	c.await(web0, run, reconciler.EventStartFailed)
	c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), "")
	c.start(web0, c.service(Runs))
}

func postStopBesideLife(c *client) {
	run, _ := c.start(web0, c.service(LeavesStubborn))
	c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), failed)
	if e := c.await(web0, run, reconciler.EventExited); len(e.Processes) != 1 {
		c.t.Fatalf("survivors are told as %+v, want one", e.Processes)
	}
	c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), failed)
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
	c.hookEnded(web0, c.hook(web0, reconciler.HookPostStop, Exits(0)), "")
}

func startBesidePostStop(c *client) {
	run, _ := c.start(web0, c.service(Exits(0)))
	c.exited(web0, run)
	hook := c.hook(web0, reconciler.HookPostStop, IgnoresTerm)
	c.refused(web0)
	if f := c.await(web0, c.offer(reconciler.VerbForget, web0, nil), reconciler.EventForgotten).Failure; f == nil {
		c.t.Error("a replica was forgotten while its postStop runs")
	}
	c.kill(web0)
	c.hookEnded(web0, hook, failed)
	c.start(web0, c.service(Runs))
}

func manyHooks(c *client) {
	const n = 30
	var runs, hooks [n]uint64
	for i := range n {
		runs[i], _ = c.start(replica(i), c.service(Runs))
	}
	for i := range n {
		p := Exits(0)
		if i%3 == 0 {
			p = IgnoresTerm
		}
		hooks[i] = c.hook(replica(i), reconciler.HookPreStop, p)
	}
	for i := range n {
		if i%3 != 0 {
			c.hookEnded(replica(i), hooks[i], "")
		}
		c.kill(replica(i))
		if i%3 == 0 {
			c.hookEnded(replica(i), hooks[i], failed)
		}
		c.exited(replica(i), runs[i])
	}
}

// withInit declares a program with commands that run before it.
func (c *client) withInit(p Program, first ...Program) *spec.Service {
	c.t.Helper()
	return c.service(p, func(s *spec.Spec) {
		for n, p := range first {
			command := c.target.Programs(c.t, p)
			s.Init = append(s.Init, spec.Init{Name: "step" + string(rune('a'+n)), Command: command[:1], Args: command[1:]})
		}
	})
}

func initRuns(c *client) {
	s := c.withInit(Exits(1), Exits(4), Exits(5))
	for n, code := range []int32{1, 4, 5} {
		run := c.offerWork(reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Service: s, Init: int32(n)})
		c.await(web0, run, reconciler.EventStarted)
		if e := c.exited(web0, run); e.Exit.Code != code {
			c.t.Errorf("init %d ended as %+v, want code %d", n, e.Exit, code)
		}
	}
}

func initMissing(c *client) {
	s := c.withInit(Runs, Exits(0), Missing)
	run := c.offerWork(reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Service: s, Init: 2})
	if f := c.await(web0, run, reconciler.EventStartFailed).Failure; f.Reason != reconciler.ReasonCommandNotFound {
		c.t.Errorf("the start failed for %+v", *f)
	}
	if f := c.check(web0, s); f == nil || f.Reason != reconciler.ReasonCommandNotFound {
		c.t.Errorf("the check says %+v", f)
	}
	if f := c.check(web0, c.withInit(Runs, Exits(0))); f != nil {
		c.t.Errorf("the check of what can start says %+v", *f)
	}
}
