package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// Pause implements reconciler.Pauser. Main processes that end from then on stay
// unreaped until Resume, or until whoever takes over reaps them. The host does not
// stand still as long as something is being closed that a service has sent and that may
// hang: an execve(2) would, too.
func (h *Host) Pause() <-chan struct{} {
	stands, resumed := h.watcher.pause()
	still := make(chan struct{})
	go func() {
		select {
		case <-stands:
		case <-resumed:
			return
		}
		select {
		case <-h.notifier.closer.idle():
			close(still)
		case <-resumed:
		}
	}()
	return still
}

// Resume implements reconciler.Pauser.
func (h *Host) Resume() { h.watcher.resume() }

// Carried are the descriptors that a process image hands to its successor, for
// Kept. They stay the host's, in case that there is no successor after all.
type Carried struct {
	Pidfds map[reconciler.ReplicaID]int
	Tree   int // 0 is none
	Notify int // the socket on which services tell of themselves; 0 is none
	Stored map[reconciler.ReplicaID][]StoredFD
	Early  map[reconciler.ReplicaID][][]byte // messages of sd_notify(3) that were read and not told
	// Environment is what runs have read from the files of envFrom. It may be secret.
	Environment map[reconciler.ReplicaID][][]byte
}

// Carry lists what the successor needs. The host must be paused, and no start
// under way. Checks are ended. They are left unreaped, so that their answers still
// come if nothing comes of this; the successor reaps children that nobody knows.
// Nobody waits for them: one that hangs in a dead file system cannot even be killed.
func (h *Host) Carry() Carried {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.checks {
		_ = unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
	}
	c := Carried{Pidfds: map[reconciler.ReplicaID]int{}}
	for id, g := range h.groups {
		if g.pidfd >= 0 && (g.phase == phaseRunning || g.phase == phaseEnded) {
			c.Pidfds[id] = g.pidfd
		}
	}
	if t, ok := h.grouping.(*cgroupTree); ok {
		c.Tree = t.rootFD
	}
	c.Notify, c.Stored, c.Early = max(h.notifier.fd, 0), h.allStored(), h.allEarly()
	c.Environment = h.allRead()
	return c
}

// Become replaces this process by the program at path, as execve(2) does: same
// pid, same children. The descriptors keep, and no others but 0 to 2, stay open
// in it. It returns only when that failed, and then everything is as it was.
//
// Signals are blocked in all threads before. last is called when they are; when it
// returns an error, there is no exec and the error is returned.
//
// Go unblocks them again when it starts, before a program can ask for them. So
// SIGHUP and SIGINT are ignored from execve until the successor asks; it must look
// once more whether it is current. A SIGTERM in these two milliseconds ends the
// process, which is better than being lost: services run on, and who has sent it
// knows. What waits already ends the attempt.
func Become(path string, argv, env []string, keep []int, last func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore := blockSignals()
	defer restore()
	// No child may be forked while descriptors would stay open in it.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	if err := last(); err != nil {
		return err
	}
	for _, fd := range keep {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			closeOnExec(keep)
			return fmt.Errorf("cannot keep a descriptor open: %w", err)
		}
	}
	err := waiting()
	if err == nil {
		attend := ignore(unix.SIGHUP, unix.SIGINT)
		err = syscall.Exec(path, argv, env)
		attend()
	}
	closeOnExec(keep)
	return fmt.Errorf("cannot execute %s: %w", path, err)
}

// ignore has the kernel ignore signals, behind the runtime's back: exec(2) lets
// the successor have it so.
func ignore(signals ...syscall.Signal) (attend func()) {
	type action struct { // struct sigaction of the system call, on every 64-bit machine
		handler, flags, restorer, mask uintptr
	}
	const ignored = 1 // SIG_IGN
	set := func(sig syscall.Signal, now, before *action) {
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(now)), uintptr(unsafe.Pointer(before)), 8, 0, 0)
	}
	before := make([]action, len(signals))
	for n, sig := range signals {
		set(sig, &action{handler: ignored}, &before[n])
	}
	return func() {
		for n, sig := range signals {
			set(sig, &before[n], nil)
		}
	}
}

// waiting is an error when a signal to end is blocked and waits.
func waiting() error {
	var set uint64
	_, _, _ = unix.RawSyscall(unix.SYS_RT_SIGPENDING, uintptr(unsafe.Pointer(&set)), 8, 0)
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT} {
		if set&(1<<(uint(sig)-1)) != 0 {
			return fmt.Errorf("%s waits", unix.SignalName(sig))
		}
	}
	return nil
}

// Hold sends ourselves a signal that is blocked (see Become's last): it is
// delivered to the successor.
func Hold(sig os.Signal) {
	if number, ok := sig.(syscall.Signal); ok {
		_ = unix.Kill(unix.Getpid(), number)
	}
}

func closeOnExec(fds []int) {
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
}

// blockSignals blocks what people and the system send to a daemon, and no more:
// what Go does not unblock would stay blocked in the successor. It does so in
// every thread, unless cgo is linked in (as by the race detector): then in this
// one, which is the one that lives on in the successor.
func blockSignals() (restore func()) {
	var set, old uint64
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		set |= 1 << (uint(sig) - 1)
	}
	const block, unblock = 0, 1 // SIG_BLOCK, SIG_UNBLOCK
	setMask(nil, &old)
	set &^= old
	all := func(how uintptr) error {
		_, _, e := syscall.AllThreadsSyscall6(unix.SYS_RT_SIGPROCMASK, how, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
		if e != 0 {
			return e
		}
		return nil
	}
	if all(block) == nil {
		return func() { _ = all(unblock) }
	}
	blocked := old | set
	setMask(&blocked, nil)
	return func() { setMask(&old, nil) }
}

// maxReport bounds what a trial may print.
const maxReport = 1 << 20

// Try runs a program to its end and returns what it has written to standard
// output and error together, and its exit status. It is killed when ctx ends.
// It inherits the environment. It is no service: nothing keeps it running.
//
// An exec stage executes it: an execve that hangs in the fork of ours would hold
// up the whole daemon, not this call alone.
func (h *Host) Try(ctx context.Context, path string, argv []string) (output []byte, exit reconciler.Exit, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, exit, fmt.Errorf("cannot make a pipe: %w", err)
	}
	defer r.Close()
	p := &plan{argv: append([]string{path}, argv[1:]...), env: os.Environ(), dir: ".", umask: defaultUmask}
	s, err := h.runStage(stageStart, p, outputs{int(w.Fd()), int(w.Fd())}, -1, func(s *stage) { h.trials[s.pid] = struct{}{} })
	w.Close()
	if err != nil {
		return nil, exit, fmt.Errorf("cannot start an exec stage: %w", err)
	}
	defer func() {
		s.close()
		h.mu.Lock()
		delete(h.trials, s.pid)
		h.mu.Unlock()
	}()
	stop := context.AfterFunc(ctx, func() { r.Close() }) // what left the group may hold the pipe
	defer stop()
	var buf bytes.Buffer
	_, _ = io.Copy(&buf, io.LimitReader(r, maxReport))
	ended := s.ends(ctx)
	// All of its group: while it is unreaped the number is nobody else's.
	_ = unix.Kill(-int(s.pid), unix.SIGKILL)
	if !ended && !s.ends(ctx) {
		h.reapOne(int(s.pid)) // whenever that may be
		return buf.Bytes(), exit, context.Cause(ctx)
	}
	exit, _, err = waitExit(s.pidfd, unix.WEXITED)
	if !ended {
		return buf.Bytes(), exit, context.Cause(ctx)
	}
	if f := s.refusal(); f != nil {
		return nil, exit, errors.New(f.Message)
	}
	return buf.Bytes(), exit, err
}

// ends waits until the stage's process has ended. It says whether it has when ctx
// ends, or a little later when that was before.
func (s *stage) ends(ctx context.Context) bool {
	const pause, patience = 10 * time.Millisecond, time.Second
	fd := []unix.PollFd{{Fd: int32(s.pidfd), Events: unix.POLLIN}}
	over := ctx.Err() != nil
	for waited := time.Duration(0); ; waited += pause {
		if n, _ := unix.Poll(fd, int(pause/time.Millisecond)); n > 0 {
			return true
		}
		if !over && ctx.Err() != nil || over && waited >= patience {
			return false
		}
	}
}

// refusal is what the stage, which has ended, has reported; nil when it became the
// program.
func (s *stage) refusal() *reconciler.Failure {
	var report [4096]byte
	n, _ := unix.Read(s.pipe, report[:])
	reason, message, ok := strings.Cut(strings.TrimPrefix(string(report[:max(n, 0)]), stageReady), "\x00")
	if !ok {
		return nil
	}
	return &reconciler.Failure{Reason: reconciler.Reason(reason), Message: message}
}

// Executable is the path of the running program, without what the kernel adds
// when the file was replaced.
func Executable() (string, error) {
	path, err := os.Executable()
	return strings.TrimSuffix(path, " (deleted)"), err
}
