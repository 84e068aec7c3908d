package hosttest

import (
	"runtime"
	"slices"
	"syscall"

	"svc.d/reconciler"
	"svc.d/spec"
)

func checks(c *client) {
	if f := c.check(web0, c.service(Runs)); f != nil {
		c.t.Errorf("a good service fails its check: %+v", *f)
	}
	for reason, services := range c.failing() {
		for _, s := range services {
			if !checkSees(s) {
				continue
			}
			if f := c.check(web0, s); f == nil || f.Reason != reason {
				c.t.Errorf("check of %q in %q: %+v, want %q", s.Spec.Command, s.Spec.WorkingDir, f, reason)
			}
		}
	}
	if left := c.inspect(web0); len(left) > 0 {
		c.t.Errorf("a check started %+v", left)
	}
}

// checkSees tells whether a check must see why a service cannot start. Only
// execve itself can tell what a file with execute permission holds.
func checkSees(s *spec.Service) bool {
	base := s.Spec.Command[0]
	if base == "scripted" {
		return true
	}
	for _, name := range []string{"/script", "/junk"} {
		if len(base) > len(name) && base[len(base)-len(name):] == name {
			return false
		}
	}
	return true
}

func checkBesideRun(c *client) {
	_, started := c.ready(web0, Runs)
	if f := c.check(web0, c.service(Exits(0))); f != nil {
		c.t.Errorf("a good service fails its check: %+v", *f)
	}
	if f := c.check(web0, c.service(Missing)); f == nil {
		c.t.Error("a missing program passes its check")
	}
	if alive := c.inspect(web0); len(alive) != 1 || alive[0].Pid != started.Pid {
		c.t.Errorf("after the checks %+v live, want pid %d", alive, started.Pid)
	}
}

func inspections(c *client) {
	_, started := c.ready(web0, RunsWithChild)
	alive := c.inspect(web0)
	if len(alive) != 2 {
		c.t.Fatalf("%+v live, want two", alive)
	}
	if !slices.ContainsFunc(alive, func(p reconciler.Process) bool { return p.Pid == started.Pid }) {
		c.t.Errorf("%+v live, pid %d not among them", alive, started.Pid)
	}
	for _, p := range alive {
		if p.Pid <= 0 || p.Name != "sleep" || len(p.State) != 1 {
			c.t.Errorf("a process is told as %+v", p)
		}
	}
}

func unknownReplica(c *client) {
	if alive := c.inspect(web1); len(alive) > 0 {
		c.t.Errorf("%+v live where nothing was started", alive)
	}
	c.forget(web1)
	c.forget(web1)
}

func startAfterForget(c *client) {
	for range 3 {
		run, _ := c.start(web0, c.service(Exits(0)))
		c.exited(web0, run)
		c.forget(web0)
	}
}

func withdrawnWork(c *client) {
	for i := range 200 {
		c.nextID++
		w := reconciler.Work{Verb: reconciler.VerbInspect, Replica: web0, Run: c.nextID}
		select {
		case c.target.Host.Work() <- w:
			c.works[question{web0, w.Run}] = true
		case e := <-c.target.Host.Events():
			c.observe(e)
		default:
			if i%3 == 0 {
				runtime.Gosched()
			}
		}
	}
	c.inspect(web0) // an answer to what was withdrawn would come before this one's end
}

func replica(i int) reconciler.ReplicaID {
	return reconciler.ReplicaID{Service: "many", Ordinal: int32(i)}
}

func manyReplicas(c *client) {
	const n = 60
	runs := make([]uint64, n)
	for i := range runs {
		runs[i] = c.offer(reconciler.VerbStart, replica(i), c.service(Exits(i)))
	}
	for i, run := range runs {
		if e := c.exited(replica(i), run); e.Exit.Code != int32(i) {
			c.t.Errorf("replica %d ended as %+v", i, e.Exit)
		}
	}
}

func flood(c *client) {
	const n = 60
	runs := make([]uint64, n)
	for i := range runs {
		runs[i], _ = c.start(replica(i), c.service(Runs))
	}
	for i := range runs {
		c.kill(replica(i)) // nobody reads events here, and no kill may block
	}
	for i, run := range runs {
		if e := c.exited(replica(i), run); e.Exit.Signal != syscall.SIGKILL {
			c.t.Errorf("replica %d ended as %+v", i, e.Exit)
		}
	}
}

func workWhileEnding(c *client) {
	const n = 30
	for i := range n {
		c.start(replica(i), c.service(Runs))
	}
	for i := range n {
		id := replica(i)
		c.kill(id)
		c.offer(reconciler.VerbInspect, id, nil)
		run := c.runs[id].run
		c.exited(id, run)
		c.start(id, c.service(Runs))
	}
}

func churn(c *client) {
	for range 30 {
		run, _ := c.start(web0, c.service(LeavesChild))
		if e := c.await(web0, run, reconciler.EventExited); len(e.Processes) != 1 {
			c.t.Fatalf("run %d exited with survivors %+v, want one", run, e.Processes)
		}
		c.kill(web0)
		c.await(web0, run, reconciler.EventEmptied)
	}
}
