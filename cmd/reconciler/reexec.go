package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
	"svc.d/status"
)

const (
	// settleFor is how long nobody must have asked again before the daemon
	// executes itself anew, settleMost the longest that this may take: a storm of
	// edits or signals becomes one or two.
	settleFor, settleMost = 200 * time.Millisecond, time.Second
	// imageLasts is how long an image lives at least.
	imageLasts = time.Second
	// tryPatience bounds the successor's trial.
	tryPatience = 10 * time.Second
	// handoverPatience bounds the wait for starts that are under way, while no
	// other start is made and no question answered.
	handoverPatience = 3 * time.Second
	// lastWords bounds the wait for a reader of our log before the exec.
	lastWords = 100 * time.Millisecond
	// againFirst and againMost space new attempts after what may mend itself.
	againFirst, againMost = 2 * time.Second, time.Minute

	conditionReexec = "ReexecBlocked"
)

// Why a re-exec is wanted.
const (
	whySignal  = "SIGHUP" // needs no other reason
	whyEdit    = "configuration"
	whyProgram = "program changed" // while the re-exec was on its way
	whyPanic   = "panic"
)

// Why there was no re-exec: the reasons of the condition.
const (
	blockedByProgram  = "ProgramUnusable" // missing, broken, for another machine, or it hangs
	blockedByTrial    = "WouldRestart"    // the successor would restart services
	blockedBySettings = "SettingsRefused" // what cannot change while services run
	blockedByHandover = "HandoverFailed"  // records, a hanging start, or exec(2) itself
	blockedByCheck    = "CheckFailed"     // the successor's check found what it cannot read
)

// blocked is why there was no re-exec.
type blocked struct {
	reason string
	err    error
	// passes says that it may be otherwise in a while.
	passes bool
}

func (b *blocked) Error() string { return b.err.Error() }
func (b *blocked) Unwrap() error { return b.err }

// next is what is to be done about it.
func (b *blocked) next() string {
	switch {
	case b.passes:
		return "; this image stays in charge, and it is tried again"
	case b.reason == blockedBySettings:
		return "" // the error says it
	default:
		return "; this image stays in charge: send SIGHUP when that is mended"
	}
}

// successor has the daemon execute itself anew when somebody asks: same pid, same
// children, nothing restarts. Until the exec itself everything can fail, and then
// this image stays in charge, with a condition that says why.
type successor struct {
	d        *daemon
	requests chan struct{} // one that waits stands for all

	mu        sync.Mutex
	why       string // somebody asks; "" is nobody
	condition *status.Condition
}

func newSuccessor(d *daemon) *successor { return &successor{d: d, requests: make(chan struct{}, 1)} }

// ask wants a re-exec. It does not block.
func (s *successor) ask(why string) {
	s.wants(why)
	select {
	case s.requests <- struct{}{}:
	default:
	}
}

// wants notes why somebody asks.
func (s *successor) wants(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != whySignal {
		s.why = why
	}
}

// asked is why somebody asks; from then on nobody does.
func (s *successor) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := s.why
	s.why = ""
	return why
}

// conditions is why the last attempt came to nothing, if it did.
func (s *successor) conditions() []status.Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.condition == nil {
		return nil
	}
	return []status.Condition{*s.condition}
}

// block notes why there was none; nil that all is well.
func (s *successor) block(b *blocked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b == nil {
		s.condition = nil
		return
	}
	c := status.Condition{Type: conditionReexec, Status: "True", Reason: b.reason, Message: b.Error() + b.next(), LastTransitionTime: s.d.app.now()}
	if s.condition != nil && s.condition.Reason == c.Reason {
		c.LastTransitionTime = s.condition.LastTransitionTime
	}
	s.condition = &c
}

// run waits for requests until ctx ends.
func (s *successor) run(ctx context.Context) {
	var again <-chan time.Time
	pause := againFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.requests:
			pause = againFirst
		case <-again:
		}
		if !s.settle(ctx) {
			return
		}
		again = nil
		why := s.asked()
		b := s.attempt(ctx, why)
		if b == nil {
			s.block(nil)
			continue
		}
		if errors.Is(b, reconciler.ErrStopping) || errors.Is(b, reconciler.ErrStopped) || ctx.Err() != nil {
			return
		}
		s.block(b)
		s.d.log.Info("Did not execute itself anew; this image stays in charge", "why", why, "reason", b.reason, "message", b.Error())
		s.d.notify.status("Did not execute itself anew: " + b.Error())
		if b.passes {
			s.wants(why) // unless there is a better reason by then
			again = time.After(pause)
			pause = min(2*pause, againMost)
		}
	}
}

// settle waits until nobody has asked for a while, and this image is old enough.
// It returns false when ctx has ended.
func (s *successor) settle(ctx context.Context) bool {
	most := time.After(settleMost)
	young := time.After(time.Until(s.d.begun.Add(imageLasts)))
	for old := false; ; {
		quiet := time.After(settleFor)
		if !old {
			quiet = nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.requests:
		case <-young:
			old = true
		case <-most:
			if old {
				return true
			}
			<-young
			return true
		case <-quiet:
			return true
		}
	}
}

// attempt executes the program anew. It returns only when that came to nothing.
func (s *successor) attempt(ctx context.Context, why string) *blocked {
	configuration, err := s.d.next(ctx)
	if err != nil {
		return &blocked{blockedBySettings, err, false}
	}
	if s.pointless(why, configuration) {
		return nil
	}
	program, err := identify(s.d.program)
	if err != nil {
		return &blocked{blockedByProgram, fmt.Errorf("cannot find the program to execute: %w", err), false}
	}
	_, err = s.d.records.Trouble()
	if err == nil {
		err = s.d.keepDaemon() // it may be gone, or there was no room for it
	}
	if err != nil {
		return &blocked{blockedByHandover, err, true} // its trial would read what is out of date
	}
	if b := s.try(ctx, program.Path); b != nil {
		return b
	}
	s.d.step(stepTried)
	s.d.notify.reloading()
	s.d.log.Info("Executing itself anew", "why", why, "program", program.Path)
	s.d.api.pause()
	defer s.d.api.resume()
	waiting, cancel := context.WithTimeoutCause(ctx, handoverPatience, errors.New("cannot wait for a start that hangs"))
	defer cancel()
	err = s.d.loop.Handover(waiting, func(began time.Time) error {
		if now, err := identify(program.Path); err != nil || now != program {
			return fmt.Errorf("cannot use %s: it was exchanged since its check", program.Path)
		}
		return s.d.become(why, program, configuration, began)
	})
	s.d.notify.ready(s.d.services())
	return &blocked{blockedByHandover, err, true}
}

// pointless says that what was to be changed is as it was: an edit was taken
// back.
func (s *successor) pointless(why string, configuration *spec.Configuration) bool {
	if why == whySignal || !spec.SameConfiguration(configuration, s.d.document) {
		return false
	}
	now, err := identify(s.d.program)
	return err == nil && now == s.d.running
}

// trial is what the successor's check prints.
type trial struct {
	Restarts []planned `json:"restarts"`
}

// try has the program that is to be executed check whether it would restart or
// stop anything that we would not.
func (s *successor) try(ctx context.Context, program string) *blocked {
	bounded, cancel := context.WithTimeoutCause(ctx, tryPatience, fmt.Errorf("it did not answer within %s", tryPatience))
	defer cancel()
	argv := []string{os.Args[0], "check", "--handover", strconv.Itoa(handoverVersion), "--output", "json", "--state-dir", s.d.config.stateDir, "--"}
	argv = append(argv, os.Args[1:]...)
	output, exit, err := s.d.machine.Try(bounded, program, argv)
	if err != nil {
		return &blocked{blockedByProgram, fmt.Errorf("cannot use %s: %w", program, err), false}
	}
	var t trial
	if code := exit.Status(); code > 1 || answer(output, &t) != nil {
		return &blocked{blockedByCheck, fmt.Errorf("cannot use %s: its check ended with status %d: %s", program, code, lastLine(output)), false}
	}
	t.Restarts = slices.DeleteFunc(t.Restarts, s.expected(ctx))
	if len(t.Restarts) == 0 {
		return nil
	}
	var names []string
	for _, p := range t.Restarts {
		names = append(names, p.String())
	}
	return &blocked{blockedByTrial, fmt.Errorf("%s would restart or stop what is well: %s", program, strings.Join(names, "; ")), true}
}

// expected tells what this image is about to do itself.
func (s *successor) expected(ctx context.Context) func(planned) bool {
	well := map[string]bool{}
	if snapshot, err := s.d.loop.Snapshot(ctx); err == nil {
		for _, service := range snapshot.Services {
			for _, r := range service.Status.ReplicaStatuses {
				well[r.Name] = r.Updated
			}
		}
	}
	return func(p planned) bool { return !well[p.Replica] }
}

// answer reads what a check has printed, which may have complained before.
func answer(output []byte, t *trial) error {
	return json.Unmarshal(output[max(0, bytes.IndexByte(output, '{')):], t)
}

// lastLine is the end of what a program printed, which says what went wrong.
func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	line := strings.TrimPrefix(lines[len(lines)-1], "error: ")
	if line == "" {
		return "it printed nothing"
	}
	return line[:min(len(line), 500)]
}

// become hands over and executes. It runs in the loop's goroutine.
func (d *daemon) become(why string, program fileIdentity, configuration *spec.Configuration, began time.Time) error {
	defer d.output.Resume()
	h, err := d.handover(why, program)
	if err != nil {
		return err
	}
	h.Began = monotonicAt(began)
	if err := h.setConfiguration(configuration); err != nil {
		return err
	}
	if why == whyPanic {
		// What the host knows may be newer than the records, or older. The records
		// decide, and the processes can be found by them.
		clear(h.Pidfds)
	}
	fd, err := h.write()
	if err != nil {
		return err
	}
	defer closeFD(fd)
	d.log.queue.flush(lastWords)
	d.step(stepHandedOver)
	env := append(os.Environ(), handoverEnv+"="+strconv.Itoa(fd))
	return host.Become(program.Path, os.Args, env, append(h.keep(), fd), func() error {
		d.step(stepSignalsHeld)
		err := d.signals.pending()
		var ending *endingError
		if why != whyPanic || !errors.As(err, &ending) {
			return err
		}
		// Nobody is left here to heed it. It will come again, to the successor.
		host.Hold(ending.signal)
		return nil
	})
}

// handover gathers what the successor needs.
func (d *daemon) handover(why string, program fileIdentity) (*handover, error) {
	socket, err := d.api.socket.Fd()
	if err != nil {
		return nil, err
	}
	select {
	case <-d.output.Pause():
	case <-time.After(outputPatience):
		if why != whyPanic { // an exec would wait for it, and nobody would supervise
			return nil, fmt.Errorf("cannot hand over: a write to %s does not come back", d.config.logDir)
		}
	}
	carried := d.machine.Carry()
	h := &handover{
		Version: handoverVersion, Lock: d.lock.Fd(), Socket: socket, Tree: carried.Tree,
		Pidfds: byName(carried.Pidfds), Why: why, Program: program,
		Outputs: d.output.Descriptors(), Shelved: d.shelf.kept(), Nohup: d.signals.nohup,
		Notify: carried.Notify, Stored: byName(carried.Stored), Early: byName(carried.Early),
		Environment: byName(carried.Environment), Events: d.events.Keep(),
	}
	if d.inherited != nil {
		h.Panics = d.inherited.Panics
	}
	return h, nil
}
