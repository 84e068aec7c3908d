package host

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// NotRunError says why a command was not run though its surroundings were entered.
type NotRunError struct {
	Replica string
	Failure *reconciler.Failure
}

// Error names the replica.
func (e *NotRunError) Error() string { return "cannot exec in " + e.Replica + ": " + e.Failure.Message }

// ExitCode is what shells and env(1) exit with then: 127 when there is no such command,
// 126 when it cannot be run.
func (e *NotRunError) ExitCode() int {
	if e.Failure.Reason == reconciler.ReasonCommandNotFound {
		return 127
	}
	return 126
}

// Enter has this process, of which nothing else may be wanted any more, become the
// command beside a replica. Descriptors 0 to 2 and its terminal are kept. It returns only when that failed, and who it is then is not certain.
// The error is a *NotRunError when it was the command that failed.
func Enter(e *Entry, argv []string) error {
	// See RunExecStage. The thread stays locked: it may have other credentials.
	runtime.LockOSThread()
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot exec in "+e.Replica+": "+format, args...)
	}
	p, err := e.plan(argv)
	if err != nil {
		return fail("%w", err)
	}
	if p.who.change && os.Geteuid() != 0 {
		return fail("only root may run a command as user %d", e.UID)
	}
	if err := join(e.Cgroup); err != nil {
		return fail("%w", err)
	}
	// It may be of another user: what else is open here is not for it.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	path, f := p.settle()
	if f != nil {
		return &NotRunError{e.Replica, f}
	}
	return &NotRunError{e.Replica, explainExec(at(p.dir, path), syscall.Exec(path, p.argv, p.env))}
}

// plan is what the exec stage does with an entry.
func (e *Entry) plan(argv []string) (*plan, error) {
	limits, f := planRlimits(e.Rlimits)
	if f != nil {
		return nil, errors.New(f.Message)
	}
	p := &plan{argv: argv, env: e.Env, dir: e.Dir, umask: int(e.Umask), rlimits: limits}
	p.who.uid, p.who.gid, p.who.groups, p.who.setGroups = e.UID, e.GID, e.Groups, true
	// Who is root takes on the groups in any case: they may be others than the daemon's.
	p.who.change = os.Geteuid() == 0 || e.UID != uint32(os.Geteuid()) || e.GID != uint32(os.Getegid())
	if term := os.Getenv("TERM"); term != "" && valueOf(p.env, "TERM") == "" {
		if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
			p.env = append(p.env[:len(p.env):len(p.env)], "TERM="+term) // it is our terminal that it has
		}
	}
	return p, nil
}

// join moves this process into a cgroup; none is nothing to do.
func join(cgroup string) error {
	if cgroup == "" {
		return nil
	}
	procs, err := unix.Open(cgroup+"/cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = move(procs, int32(os.Getpid()))
		_ = unix.Close(procs)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV):
		return errors.New("it has ended meanwhile")
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return fmt.Errorf("only root may join its cgroup: %w", err)
	}
	return fmt.Errorf("cannot join its cgroup: %w", err)
}
