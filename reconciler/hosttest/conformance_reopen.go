package hosttest

import (
	"slices"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// reopening are the tests of a host that comes after another; each sentence
// begins with "after a crash of the daemon".
var reopening = map[string]func(c *client){
	"what runs goes on under its pid":                           runsOn,
	"what runs takes signals, and its end is told":              signalRestored,
	"what runs still does after a second one":                   runsOnTwice,
	"what ended meanwhile is told at once":                      endedMeanwhile,
	"what ended meanwhile and left others is told with them":    endedMeanwhileLeaving,
	"what was left is still of its run":                         leftBefore,
	"what was left and is gone is told at once":                 leftAndGone,
	"what runs without a record is found":                       foundWithoutRecord,
	"what runs beside the record of an earlier run is found":    foundBesideOver,
	"what runs beside a record without a start is found":        foundBesideUnanswered,
	"what runs with a record that cannot be read is unclear":    unclearRecord,
	"an unreadable record of what is gone means nothing":        unclearGone,
	"a later run than the recorded counts as left by that":      laterRun,
	"another process with the recorded pid is not taken for it": otherProcess,
	"a record of what is over means nothing":                    overAndGone,
	"each of many replicas is told apart":                       manyRestored,
	"what ran for a hook has ended":                             hookOfADaemonThatDied,
	"what was released lives on and is nobody's":                releasedBefore,
}

// recorded is the record of a run that was started and not told to have ended.
func (c *client) recorded(id reconciler.ReplicaID, s *spec.Service, started reconciler.Event) reconciler.Record {
	now := time.Now()
	return reconciler.Record{At: now, Want: s, DeclaredAt: now, EditedAt: now, Generation: 1, Instance: reconciler.Instance{
		ID: id, Run: started.Run, Spec: s, StartTakenAt: now.Add(-time.Second), StartedAt: now,
		Pid: started.Pid, StartTicks: started.StartTicks,
	}}
}

// over makes r the record of a run that ended; gone says that it left nothing.
func over(r reconciler.Record, gone bool) reconciler.Record {
	i := &r.Instance
	i.EndedAt = i.StartedAt.Add(time.Nanosecond)
	i.Exit = reconciler.Exit{Code: 7}
	i.Last = reconciler.Ended{StartedAt: i.StartedAt, EndedAt: i.EndedAt, Exit: i.Exit}
	if i.Left = []reconciler.Process{{Pid: 1, Name: "sleep"}}; gone {
		i.Left, i.GoneAt = nil, i.EndedAt
	}
	return r
}

// reopen crashes the daemon, which has answered everything, and checks whom the
// next one finds.
func (c *client) reopen(records []reconciler.Record, unreadable, found, unclear []reconciler.ReplicaID) {
	c.t.Helper()
	if len(c.works) > 0 {
		c.t.Fatalf("%d works are not answered at the crash", len(c.works))
	}
	next, f, u := c.target.Reopen(c.t, records, unreadable)
	c.target, c.events = next, nil
	c.runs = map[reconciler.ReplicaID]*seen{}
	for n := range records {
		i := &records[n].Instance
		c.runs[i.ID] = &seen{
			run: i.Run, live: !i.StartedAt.IsZero() && i.EndedAt.IsZero(),
			left: !i.EndedAt.IsZero() && i.GoneAt.IsZero(),
		}
	}
	for _, id := range slices.Concat(f, u) {
		c.runs[id] = &seen{left: true}
	}
	if !sameReplicas(f, found) || !sameReplicas(u, unclear) {
		c.t.Fatalf("found are %v and unclear %v, want %v and %v", f, u, found, unclear)
	}
}

func sameReplicas(a, b []reconciler.ReplicaID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id reconciler.ReplicaID) bool { return !slices.Contains(b, id) })
}

// livesAs checks that a main process and nothing else lives.
func (c *client) livesAs(id reconciler.ReplicaID, pid int32) {
	c.t.Helper()
	if alive := c.inspect(id); len(alive) != 1 || alive[0].Pid != pid {
		c.t.Errorf("of %v %+v live, want pid %d alone", id, alive, pid)
	}
}

// unknownOr checks an exit that the kernel may have been unable to tell.
func (c *client) unknownOr(want reconciler.Exit, e reconciler.Event) {
	c.t.Helper()
	if e.Exit != want && e.Exit != (reconciler.Exit{Unknown: true}) {
		c.t.Errorf("run %d ended as %+v, want %+v or unknown", e.Run, e.Exit, want)
	}
}

// refused checks that nothing is started beside what lives.
func (c *client) refused(id reconciler.ReplicaID) {
	c.t.Helper()
	e := c.await(id, c.offer(reconciler.VerbStart, id, c.service(Runs)), reconciler.EventStartFailed)
	if e.Failure.Reason != reconciler.ReasonGroupOccupied {
		c.t.Errorf("refused for %q, want %q", e.Failure.Reason, reconciler.ReasonGroupOccupied)
	}
}

var killedExit = reconciler.Exit{Signal: syscall.SIGKILL}

func runsOn(c *client) {
	_, started := c.ready(web0, Runs)
	c.reopen([]reconciler.Record{c.recorded(web0, c.service(Runs), started)}, nil, nil, nil)
	c.livesAs(web0, started.Pid)
	c.refused(web0)
	c.livesAs(web0, started.Pid)
}

func signalRestored(c *client) {
	run, started := c.ready(web0, AnswersTerm)
	c.reopen([]reconciler.Record{c.recorded(web0, c.service(AnswersTerm), started)}, nil, nil, nil)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	c.unknownOr(reconciler.Exit{Code: 3}, c.exited(web0, run))
	c.start(web0, c.service(Runs))
}

func runsOnTwice(c *client) {
	run, started := c.ready(web0, Runs)
	records := []reconciler.Record{c.recorded(web0, c.service(Runs), started)}
	c.reopen(records, nil, nil, nil)
	c.reopen(records, nil, nil, nil)
	c.livesAs(web0, started.Pid)
	c.kill(web0)
	c.unknownOr(killedExit, c.exited(web0, run))
}

func endedMeanwhile(c *client) {
	run, started := c.ready(web0, Runs)
	c.kill(web0) // the daemon ends before it is told
	c.reopen([]reconciler.Record{c.recorded(web0, c.service(Runs), started)}, nil, nil, nil)
	c.unknownOr(killedExit, c.exited(web0, run))
	c.start(web0, c.service(Runs))
}

func endedMeanwhileLeaving(c *client) {
	run, started := c.ready(web0, RunsWithChild)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeMain)
	c.reopen([]reconciler.Record{c.recorded(web0, c.service(RunsWithChild), started)}, nil, nil, nil)
	e := c.await(web0, run, reconciler.EventExited)
	c.unknownOr(reconciler.Exit{Signal: syscall.SIGTERM}, e)
	if len(e.Processes) != 1 || e.Processes[0].Pid == started.Pid {
		c.t.Errorf("survivors are told as %+v, want one other than pid %d", e.Processes, started.Pid)
	}
	c.refused(web0)
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
}

// leaving starts a program that leaves a child, and returns the record of it.
func (c *client) leaving() (uint64, reconciler.Record) {
	c.t.Helper()
	run, started := c.start(web0, c.service(LeavesChild))
	if e := c.await(web0, run, reconciler.EventExited); len(e.Processes) != 1 {
		c.t.Fatalf("survivors are told as %+v, want one", e.Processes)
	}
	return run, over(c.recorded(web0, c.service(LeavesChild), started), false)
}

func leftBefore(c *client) {
	run, record := c.leaving()
	c.reopen([]reconciler.Record{record}, nil, nil, nil)
	if alive := c.inspect(web0); len(alive) != 1 {
		c.t.Errorf("%+v live, want the survivor", alive)
	}
	c.refused(web0)
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
	c.start(web0, c.service(Runs))
}

func leftAndGone(c *client) {
	run, record := c.leaving()
	c.kill(web0)
	c.reopen([]reconciler.Record{record}, nil, nil, nil)
	c.await(web0, run, reconciler.EventEmptied)
	c.start(web0, c.service(Runs))
}

// foundAlive checks what lives unexplained: it is seen, kept apart, and its end
// told with no run.
func (c *client) foundAlive(pid int32) {
	c.t.Helper()
	c.livesAs(web0, pid)
	c.refused(web0)
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.await(web0, 0, reconciler.EventEmptied)
	c.start(web0, c.service(Runs))
}

func foundWithoutRecord(c *client) {
	_, started := c.ready(web0, Runs)
	c.reopen(nil, nil, []reconciler.ReplicaID{web0}, nil)
	c.foundAlive(started.Pid)
}

func foundBesideOver(c *client) {
	first, earlier := c.start(web0, c.service(Exits(7)))
	c.exited(web0, first)
	record := over(c.recorded(web0, c.service(Exits(7)), earlier), true)
	_, started := c.ready(web0, Runs)
	c.reopen([]reconciler.Record{record}, nil, []reconciler.ReplicaID{web0}, nil)
	c.foundAlive(started.Pid)
}

func foundBesideUnanswered(c *client) {
	_, started := c.ready(web0, Runs)
	record := c.recorded(web0, c.service(Runs), started)
	record.Instance.StartedAt, record.Instance.Pid, record.Instance.StartTicks = time.Time{}, 0, 0
	c.reopen([]reconciler.Record{record}, nil, []reconciler.ReplicaID{web0}, nil)
	c.foundAlive(started.Pid)
}

func unclearRecord(c *client) {
	_, started := c.ready(web0, Runs)
	only := []reconciler.ReplicaID{web0}
	c.reopen(nil, only, nil, only)
	c.foundAlive(started.Pid)
}

func unclearGone(c *client) {
	run, _ := c.start(web0, c.service(Exits(0)))
	c.exited(web0, run)
	c.reopen(nil, []reconciler.ReplicaID{web0, web1}, nil, nil)
	c.start(web0, c.service(Runs))
}

func laterRun(c *client) {
	first, earlier := c.ready(web0, Runs)
	record := c.recorded(web0, c.service(Runs), earlier)
	c.kill(web0)
	c.exited(web0, first)
	_, started := c.ready(web0, Runs)
	c.reopen([]reconciler.Record{record}, nil, nil, nil)
	e := c.await(web0, first, reconciler.EventExited)
	c.unknownOr(killedExit, e)
	if len(e.Processes) != 1 || e.Processes[0].Pid != started.Pid {
		c.t.Errorf("survivors are told as %+v, want pid %d", e.Processes, started.Pid)
	}
	c.refused(web0)
	c.kill(web0)
	c.await(web0, first, reconciler.EventEmptied)
}

func otherProcess(c *client) {
	run, started := c.ready(web0, Runs)
	record := c.recorded(web0, c.service(Runs), started)
	record.Instance.StartTicks-- // a number is given again later, never earlier
	c.reopen([]reconciler.Record{record}, nil, nil, nil)
	e := c.await(web0, run, reconciler.EventExited)
	if !e.Exit.Unknown || len(e.Processes) != 1 || e.Processes[0].Pid != started.Pid {
		c.t.Errorf("exited as %+v with survivors %+v, want unknown and pid %d", e.Exit, e.Processes, started.Pid)
	}
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
}

func overAndGone(c *client) {
	run, started := c.start(web0, c.service(Exits(7)))
	c.exited(web0, run)
	c.reopen([]reconciler.Record{over(c.recorded(web0, c.service(Exits(7)), started), true)}, nil, nil, nil)
	c.start(web0, c.service(Runs))
}

func manyRestored(c *client) {
	const n = 24
	var records []reconciler.Record
	var unreadable, found, unclear []reconciler.ReplicaID
	pids := map[reconciler.ReplicaID]int32{}
	for i := range n {
		id := replica(i)
		_, started := c.ready(id, Runs)
		pids[id] = started.Pid
		switch i % 3 {
		case 0:
			records = append(records, c.recorded(id, c.service(Runs), started))
		case 1:
			found = append(found, id)
		default:
			unreadable, unclear = append(unreadable, id), append(unclear, id)
		}
	}
	c.reopen(records, unreadable, found, unclear)
	for id, pid := range pids {
		c.livesAs(id, pid)
	}
	for i := range n / 3 {
		c.kill(replica(3 * i))
		c.unknownOr(killedExit, c.exited(replica(3*i), records[i].Instance.Run))
	}
	for _, id := range slices.Concat(found, unclear) {
		c.livesAs(id, pids[id])
		c.kill(id)
		c.await(id, 0, reconciler.EventEmptied)
	}
}
