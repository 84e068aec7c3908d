package host

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// stage is an exec stage that has not reported yet. No worker waits for it: it
// may hang as long as its file server is dead. The watcher's goroutine owns it.
type stage struct {
	work   reconciler.Work
	group  *group // nil for a check
	pid    int32
	pidfd  int
	pipe   int
	report []byte
	eof    bool
	// Tokens of the watcher.
	pipeToken, pidToken uint64
}

func (s *stage) close() {
	for _, fd := range []*int{&s.pipe, &s.pidfd} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}

// runStage starts an exec stage with the plan. register is called with it before
// anybody looks for children that are not ours.
func (h *Host) runStage(mode string, p *plan, out outputs, dir int, register func(*stage)) (*stage, error) {
	memory, err := unix.MemfdCreate("plan", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(memory) }()
	for data := p.encode(); len(data) > 0; {
		n, err := unix.Write(memory, data)
		if err != nil {
			return nil, err
		}
		data = data[n:]
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(pipe[1]) }()
	s := &stage{pidfd: -1, pipe: pipe[0]}
	files := []uintptr{uintptr(h.null), uintptr(out.stdout), uintptr(out.stderr), uintptr(memory), uintptr(pipe[1])}
	for _, fd := range p.passed {
		files = append(files, uintptr(fd))
	}
	h.at(StepSpawnAsked)
	h.forks.RLock()
	defer h.forks.RUnlock()
	pid, err := h.signals.forkExec(h.executable, []string{stageName, mode}, &syscall.ProcAttr{
		Env:   h.stageEnv(),
		Files: files,
		Sys:   h.attr(dir, &s.pidfd),
	})
	if err != nil {
		s.close()
		return nil, err
	}
	s.pid = int32(pid)
	h.mu.Lock()
	register(s)
	h.mu.Unlock()
	return s, nil
}

// spawnStage starts the main process through the exec stage. The answer comes
// from the watcher's goroutine.
func (h *Host) spawnStage(g *group, w reconciler.Work, p *plan, out outputs, dir int) (answer, *reconciler.Failure) {
	s, err := h.runStage(stageStart, p, out, dir, func(s *stage) {
		s.work, s.group = w, g
		g.stage, g.pid, g.pidfd = s, s.pid, s.pidfd
	})
	if err != nil {
		return answer{}, explainStage(w.Replica, err)
	}
	return answer{then: func() { h.watchStage(s) }}, nil
}

func explainStage(id reconciler.ReplicaID, err error) *reconciler.Failure {
	if f := explainResources("start "+id.String(), err); f != nil {
		return f
	}
	if err == unix.EOPNOTSUPP || err == unix.EBUSY {
		return failure(reconciler.ReasonCgroupRefused, "cannot start %s in its cgroup: %v", id, err)
	}
	return failure(reconciler.ReasonStartFailed, "cannot start the exec stage for %s: %v", id, err)
}

// check looks whether the service could be started. As another user, or where a
// server may be dead, the exec stage looks.
func (h *Host) check(w reconciler.Work) answer {
	e := reconciler.Event{Kind: reconciler.EventChecked, Replica: w.Replica, Run: w.Run}
	p, f := makePlan(&h.accounts, w.Service, w.Replica.Ordinal, readEnvFiles)
	if f != nil {
		e.Failure = f
		return answer{event: e}
	}
	if comes(p.dir, w.Service.Spec.RuntimeDirectories) && unix.Access(p.dir, unix.F_OK) == unix.ENOENT {
		p.dir = "/"
	}
	for n := range w.Service.Spec.Init {
		p.first = append(p.first, p.initCommand(&w.Service.Spec.Init[n])[0])
	}
	if !p.who.change && len(p.rlimits) == 0 {
		if h.allLocal(p) {
			e.Failure = p.checkPaths().HiddenIf(programsOf(w.Service)...)
			return answer{event: e}
		}
	}
	s, err := h.runStage(stageCheck, p, outputs{h.null, h.null}, -1, func(s *stage) {
		s.work = w
		h.checks[s] = struct{}{}
	})
	if err != nil {
		e.Failure = explainStage(w.Replica, err)
		return answer{event: e}
	}
	return answer{then: func() { h.watchStage(s) }}
}

func (h *Host) watchStage(s *stage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err, err2 error
	s.pipeToken, err = h.watcher.add(s.pipe, unix.EPOLLIN, func() { h.stageChanged(s) })
	s.pidToken, err2 = h.watcher.add(s.pidfd, unix.EPOLLIN, func() { h.stageChanged(s) })
	if err != nil || err2 != nil {
		h.log.Error(fmt.Errorf("%w; %w", err, err2), "Cannot watch an exec stage", "service", s.work.Replica.Service, "replica", s.work.Replica.Ordinal)
	}
}

// stageChanged reads what the stage reports, and acts when all is known: at the
// end of the report when the program runs, at the end of the process otherwise.
func (h *Host) stageChanged(s *stage) {
	var buf [4096]byte
	for !s.eof {
		n, err := unix.Read(s.pipe, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			break // EAGAIN
		}
		s.report = append(s.report, buf[:n]...)
		s.eof = n == 0
	}
	dead := readable(s.pidfd)
	if s.eof {
		h.mu.Lock()
		h.watcher.remove(s.pipe, s.pipeToken)
		h.mu.Unlock()
	}
	switch {
	case !s.eof:
		// A dead stage's pipe ends with it: nobody else holds it.
	case s.group == nil:
		if dead {
			h.checkEnded(s)
		}
	case s.executed():
		h.stageBecame(s)
	case dead:
		h.stageFailed(s)
	}
}

// executed says whether the stage, whose pipe is closed, is the program by now.
// A stage that is killed closes its pipe, too, before its pidfd tells the end.
func (s *stage) executed() bool {
	if !bytes.Equal(s.report, []byte(stageReady)) {
		return false
	}
	st, ok := readStat(s.pid)
	return ok && (!st.exiting() || st.comm != stageName)
}

// stageBecame tells that the stage is the program now.
func (h *Host) stageBecame(s *stage) {
	h.mu.Lock()
	h.watcher.remove(s.pidfd, s.pidToken)
	s.group.stage = nil
	h.mu.Unlock()
	pidfd := s.pidfd
	s.pidfd = -1 // the group's
	s.close()
	a := h.started(s.group, s.work, s.pid, pidfd)
	h.send(a.event)
	a.then()
}

// stageFailed tells that the stage ended as such.
func (h *Host) stageFailed(s *stage) {
	exit, ended, _ := waitExit(s.pidfd, unix.WEXITED|unix.WNOHANG)
	if !ended {
		return
	}
	h.mu.Lock()
	h.watcher.remove(s.pidfd, s.pidToken)
	s.close()
	g := s.group
	g.stage, g.pid, g.pidfd = nil, 0, -1
	h.notStarted(g)
	h.mu.Unlock()
	h.send(startFailed(s.work, s.failure(exit)))
}

func (h *Host) checkEnded(s *stage) {
	exit, ended, _ := waitExit(s.pidfd, unix.WEXITED|unix.WNOHANG)
	if !ended {
		return
	}
	h.mu.Lock()
	h.watcher.remove(s.pidfd, s.pidToken)
	s.close()
	delete(h.checks, s)
	h.mu.Unlock()
	e := reconciler.Event{Kind: reconciler.EventChecked, Replica: s.work.Replica, Run: s.work.Run}
	if exit.Status() != 0 {
		e.Failure = s.failure(exit).HiddenIf(programsOf(s.work.Service)...)
	}
	h.send(e)
}

// failure is what the stage reported, or what can be said without a report.
func (s *stage) failure(exit reconciler.Exit) *reconciler.Failure {
	report := strings.TrimPrefix(string(s.report), stageReady)
	if reason, message, ok := strings.Cut(report, "\x00"); ok {
		return &reconciler.Failure{Reason: reconciler.Reason(reason), Message: message}
	}
	if exit.Signal != 0 {
		return failure(reconciler.ReasonStartFailed, "cannot start %s: ended by signal %d before its program ran", s.work.Replica, exit.Signal)
	}
	return failure(reconciler.ReasonStartFailed, "cannot start %s: the exec stage ended with status %d; see its log", s.work.Replica, exit.Status())
}
