package host

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/logs"
	"svc.d/spec"
)

// defaultUmask is the umask of a service that sets none.
const defaultUmask = 0o022

// answer is what a worker has to tell, if anything yet, and what it does
// afterwards.
type answer struct {
	event reconciler.Event
	then  func()
}

// do does one work in a worker.
func (h *Host) do(w reconciler.Work) answer {
	e := reconciler.Event{Replica: w.Replica, Run: w.Run}
	switch w.Verb {
	case reconciler.VerbStart:
		return h.start(w)
	case reconciler.VerbCheck:
		return h.check(w)
	case reconciler.VerbInspect:
		e.Kind = reconciler.EventInspected
		e.Processes = h.inspect(w.Replica)
	case reconciler.VerbForget:
		e.Kind = reconciler.EventForgotten
		e.Failure = h.forget(w.Replica)
	case reconciler.VerbHook:
		return h.startHook(w)
	case reconciler.VerbRelease:
		return h.startRelease(w)
	default:
		panic(fmt.Sprintf("unknown verb %d", w.Verb))
	}
	return answer{event: e}
}

func (h *Host) start(w reconciler.Work) answer {
	g, f := h.claim(w)
	if f != nil {
		return answer{event: startFailed(w, f)}
	}
	a, f := h.launch(g, w)
	if f != nil {
		h.mu.Lock()
		h.notStarted(g)
		h.mu.Unlock()
		return answer{event: startFailed(w, f)}
	}
	return a
}

// notStarted is for a group whose start has failed: nobody will tell what was said by
// then. The caller holds mu.
func (h *Host) notStarted(g *group) {
	g.phase = phaseIdle
	h.dropEarly(g)
	h.dropAside()
}

func startFailed(w reconciler.Work, f *reconciler.Failure) reconciler.Event {
	return reconciler.Event{Kind: reconciler.EventStartFailed, Replica: w.Replica, Run: w.Run, Failure: f.HiddenIf(programsOf(w.Service)...)}
}

// programsOf are those that a start of the service looks for, as the manifest has them.
func programsOf(s *spec.Service) (all []string) {
	if s == nil {
		return nil
	}
	all = append(all, s.Spec.Command[0])
	for n := range s.Spec.Init {
		all = append(all, s.Spec.Init[n].Command[0])
	}
	return all
}

// claim takes the replica's group for a start.
func (h *Host) claim(w reconciler.Work) (*group, *reconciler.Failure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groupOf(w.Replica)
	if g.phase != phaseIdle || g.busy() {
		return nil, occupied(w.Replica)
	}
	g.phase, g.run, g.in = phaseStarting, w.Run, h.grouping
	g.waited, g.looks, g.ticks, g.closed = 0, 0, 0, false
	g.speaks, g.untold, g.refusedMain, g.refusedRisky, g.pidfdToken = nil, true, false, false, 0
	g.lineSeen = false
	g.status, g.statusDue = nil, time.Time{}
	h.dropEarly(g)
	return g, nil
}

func occupied(id reconciler.ReplicaID) *reconciler.Failure {
	return failure(reconciler.ReasonGroupOccupied, "cannot start %s: something of an earlier run still lives", id)
}

// launch starts the main process in a group that was claimed.
func (h *Host) launch(g *group, w reconciler.Work) (answer, *reconciler.Failure) {
	p, f := h.planStart(w)
	if f != nil {
		return answer{}, f
	}
	if f := h.prepareNotify(g, w, p); f != nil {
		return answer{}, f
	}
	defer p.closePassed()
	path, direct, f := h.route(p)
	if f != nil {
		return answer{}, f
	}
	stdout, stderr, f := h.openOutput(w.Replica, &p.who)
	if f != nil {
		return answer{}, f
	}
	h.awaitLine(g, w.Service, time.Time{})
	h.mu.Lock()
	killed := g.killed
	g.killed, g.read, g.carriesOn = false, p.read, w.Service.Spec.Lifetime == spec.LifetimeGroup
	h.mu.Unlock()
	cgroup, busy, err := h.grouping.prepare(w.Replica, killed)
	if killed && (err != nil || busy) {
		h.mu.Lock()
		g.killed = true
		h.mu.Unlock()
	}
	switch {
	case err != nil:
		return answer{}, explainCgroup(w.Replica, err)
	case busy:
		return answer{}, occupied(w.Replica)
	}
	if direct {
		a, err := h.spawn(g, w, p.child(path, cgroup, stdout, stderr))
		if err == nil {
			return a, nil
		}
		if f := explainResources("start "+path, err); f != nil && !errors.Is(err, unix.EAGAIN) {
			return answer{}, f
		}
		// The stage tries again, and can tell which step failed.
	}
	dir := -1
	if cgroup != "" {
		if dir, err = openGroup(cgroup); err != nil {
			return answer{}, explainCgroup(w.Replica, err)
		}
		defer func() { _ = unix.Close(dir) }()
	}
	out, f := openOutputs(w.Replica, stdout, stderr)
	if f != nil {
		return answer{}, f
	}
	defer out.close()
	return h.spawnStage(g, w, p, out, dir)
}

func explainCgroup(id reconciler.ReplicaID, err error) *reconciler.Failure {
	if f := explainResources("make the cgroup of "+id.String(), err); f != nil {
		return f
	}
	return failure(reconciler.ReasonCgroupRefused, "cannot make the cgroup of %s: %v", id, err)
}

// envFiles answers what files of envFrom contain, as readEnvFiles does.
type envFiles func(list []spec.EnvFrom) (vars []spec.EnvVar, meant map[string]string, f *reconciler.Failure)

// makePlan works out what the process is to be.
func makePlan(a *accounts, s *spec.Service, ordinal int32, read envFiles) (*plan, *reconciler.Failure) {
	who, f := a.resolve(s.Spec.SecurityContext)
	if f != nil {
		return nil, f
	}
	limits, f := planRlimits(s.Spec.Rlimits)
	if f != nil {
		return nil, f
	}
	files, meant, f := read(s.Spec.EnvFrom)
	if f != nil {
		return nil, f
	}
	inv := s.Process(ordinal, who.environment(), files)
	p := &plan{argv: inv.Argv, env: inv.Env, dir: s.Spec.WorkingDir, umask: int(s.Spec.SecurityContext.Umask), rlimits: limits, who: who}
	if len(s.Spec.EnvFrom) > 0 {
		p.read = &readFiles{vars: files, digest: s.Spec.EnvFilesDigest(func(path string) string { return meant[path] })}
	}
	if p.dir == "" {
		p.dir = "/"
	}
	return p, nil
}

// route decides whether the program can be executed directly, and where it is.
func (h *Host) route(p *plan) (path string, direct bool, f *reconciler.Failure) {
	if p.umask != defaultUmask || len(p.rlimits) > 0 || p.listen > 0 {
		return "", false, nil
	}
	return h.local(p)
}

// local finds the program if it, its interpreter and the working directory are
// on local file systems.
func (h *Host) local(p *plan) (path string, local bool, f *reconciler.Failure) {
	if h.remote.is(p.dir) {
		return "", false, nil
	}
	search := valueOf(p.env, "PATH")
	if !strings.Contains(p.argv[0], "/") {
		for dir := range splitPath(search) {
			if h.remote.lexical(at(p.dir, dir)) {
				return "", false, nil
			}
		}
	}
	path, f = lookUp(p.argv[0], search, p.dir)
	if f != nil {
		return "", false, f
	}
	full := at(p.dir, path)
	if h.remote.is(full) {
		return "", false, nil
	}
	if i := h.programs.interpreter(full); i != "" && h.remote.is(at(p.dir, i)) {
		return "", false, nil
	}
	return path, true, nil
}

// attr are the attributes that clone sets, for a group whose cgroup is dir.
func (h *Host) attr(dir int, pidfd *int) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{Setsid: true, PidFD: pidfd}
	if dir >= 0 {
		sys.UseCgroupFD, sys.CgroupFD = true, dir
	}
	return sys
}

// child is the process that executes the program at path directly.
func (p *plan) child(path, cgroup string, stdout, stderr output) *child {
	return &child{path: path, argv: p.argv, env: p.env, dir: p.dir, who: &p.who, group: cgroup, stdout: stdout, stderr: stderr}
}

// spawn executes the program directly.
func (h *Host) spawn(g *group, w reconciler.Work, c *child) (answer, error) {
	h.at(StepSpawnAsked)
	free, err := h.reserve()
	if err != nil {
		return answer{}, err
	}
	h.forks.RLock()
	defer h.forks.RUnlock()
	pid, err := h.spawners.fork(c)
	free()
	if err != nil {
		return answer{}, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		endUnwatched(pid)
		return answer{}, err
	}
	return h.started(g, w, int32(pid), pidfd), nil
}

// reserve takes the descriptors that the process needs to watch a child and to
// look at it when it ends: the child itself needs none of them, and must not run
// when there are none.
func (h *Host) reserve() (free func(), err error) {
	var fds [3]int // its pidfd; /proc and a file in it
	for n := range fds {
		if fds[n], err = unix.FcntlInt(uintptr(h.null), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			closeAll(fds[:n])
			return nil, err
		}
	}
	return func() { closeAll(fds[:]) }, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// endUnwatched ends a child for which there is no pidfd after all. It leads a
// process group, whose number is nobody else's while it is unreaped.
func endUnwatched(pid int) {
	_ = unix.Kill(-pid, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}

// started publishes the main process. It is watched only after Started was
// told, so that Exited cannot come first.
func (h *Host) started(g *group, w reconciler.Work, pid int32, pidfd int) answer {
	h.at(StepExeced)
	e := reconciler.Event{Kind: reconciler.EventStarted, Replica: w.Replica, Run: w.Run, Pid: pid}
	if s, ok := readStat(pid); ok {
		e.StartTicks = s.startTicks
	}
	h.mu.Lock()
	if g.read != nil {
		e.EnvFiles = g.read.digest
	}
	g.pid, g.pidfd, g.phase, g.startedAt, g.ticks = pid, pidfd, phaseRunning, time.Now(), e.StartTicks
	h.mu.Unlock()
	return answer{event: e, then: func() {
		h.tellEarly(g)
		h.tellLine(g)
		h.watchMain(g)
	}}
}

func (h *Host) watchMain(g *group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	token, err := h.watcher.add(g.pidfd, unix.EPOLLIN, func() { h.mainEnded(g) })
	if err != nil {
		h.log.Error(err, "Cannot watch a process", "service", g.id.Service, "replica", g.id.Ordinal, "pid", g.pid)
		h.watcher.after(retryAfter, func() { h.watchMain(g) })
	}
	g.pidfdToken = token
}

// inspect describes what lives in the group.
func (h *Host) inspect(id reconciler.ReplicaID) []reconciler.Process {
	h.mu.Lock()
	g := newGroup(id, h.grouping)
	if known := h.groups[id]; known != nil {
		g.in = known.in
		if g.in.reapAfter() {
			g.pid, g.ticks = known.pid, known.ticks
		}
	}
	h.mu.Unlock()
	pids, alive := g.in.survivors(g)
	if t, ok := g.in.(*cgroupTree); ok && t.commandLives(id.String()) {
		pids, alive = t.members(id.String(), 0)
		alive = alive || len(pids) > 0
	}
	if !alive {
		return nil
	}
	return describe(pids)
}

// forget drops what is kept for a replica.
func (h *Host) forget(id reconciler.ReplicaID) *reconciler.Failure {
	h.mu.Lock()
	g := h.groups[id]
	if g != nil && (g.phase != phaseIdle || g.busy()) {
		h.mu.Unlock()
		return failure(reconciler.ReasonGroupOccupied, "cannot forget %s: something of it still lives", id)
	}
	delete(h.groups, id)
	h.dropStored(id)
	in := h.grouping
	if g != nil {
		h.dropEarly(g)
		in = g.in
	}
	h.mu.Unlock()
	if err := in.forget(id); err != nil {
		return failure(reconciler.ReasonCgroupRefused, "cannot forget %s: %v", id, err)
	}
	h.output.Release(logs.Replica(id))
	return nil
}
