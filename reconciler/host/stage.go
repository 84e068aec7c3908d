package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// stageName is argv[0] of the exec stage, and the name that ps shows for it.
const stageName = "reconciler-exec"

// What a stage is to do, argv[1].
const (
	stageStart = "start" // become the program
	stageCheck = "check" // look whether it could
	stageProbe = "probe" // end
)

// Descriptors of the stage besides 0 to 2.
const (
	stagePlanFD   = 3 // the plan, to read
	stageReportFD = 4 // a pipe for the report
)

// stageReady is what the stage writes before execve. What it writes otherwise
// is a failure: the reason, a NUL and the message. End of file after stageReady
// alone says that execve succeeded, or that the stage died in it.
const stageReady = "\x01"

// IsExecStage says whether this process is an exec stage of a daemon. main
// asks before anything else:
//
//	if host.IsExecStage() {
//		host.RunExecStage()
//	}
func IsExecStage() bool { return len(os.Args) == 2 && os.Args[0] == stageName }

// RunExecStage does what the daemon asks of an exec stage. It never returns.
func RunExecStage() {
	// unix.Exit: os.Exit runs what the race detector and others have hooked
	// into the end of the daemon.
	mode := os.Args[1]
	if mode == stageProbe {
		unix.Exit(0)
	}
	// Credentials are a thread's as far as the kernel goes: this thread alone
	// changes them, and it is the one that becomes the program.
	runtime.LockOSThread()
	unix.CloseOnExec(stagePlanFD)
	unix.CloseOnExec(stageReportFD)
	p, err := readPlan(stagePlanFD)
	p.reportFD = stageReportFD
	report := func(f *reconciler.Failure) {
		_, _ = unix.Write(p.reportFD, []byte(string(f.Reason)+"\x00"+f.Message))
		unix.Exit(1)
	}
	if err != nil {
		report(failure(reconciler.ReasonStartFailed, "cannot read what to start: %v", err))
	}
	if mode == stageCheck {
		if f := p.check(); f != nil {
			report(f)
		}
		_, _ = unix.Write(stageReportFD, []byte(stageReady))
		unix.Exit(0)
	}
	crashCloned()
	// The name tells the daemon whether execve has happened, and people what
	// hangs there.
	_ = os.WriteFile("/proc/self/comm", []byte(stageName), 0)
	if f := p.takePassed(); f != nil {
		report(f)
	}
	report(p.run())
}

// run becomes the program. It returns what went wrong.
func (p *plan) run() *reconciler.Failure {
	path, f := p.settle()
	if f != nil {
		return f
	}
	if _, err := unix.Write(p.reportFD, []byte(stageReady)); err != nil {
		return failure(reconciler.ReasonStartFailed, "cannot report: %v", err)
	}
	return explainExec(at(p.dir, path), syscall.Exec(path, p.argv, p.env))
}

// settle has this process, of which one thread takes on the credentials, be as the
// program is to be, and finds it.
func (p *plan) settle() (path string, f *reconciler.Failure) {
	unix.Umask(p.umask)
	if f := p.setRlimits(); f != nil {
		return "", f
	}
	if f := p.setIdentity(); f != nil {
		return "", f
	}
	if err := unix.Chdir(p.dir); err != nil {
		if f := examineDir(p.dir); f != nil {
			return "", f
		}
		return "", failure(reconciler.ReasonWorkingDirInvalid, "cannot enter the working directory %s: %v", p.dir, err)
	}
	return lookUp(p.argv[0], valueOf(p.env, "PATH"), p.dir)
}

// check looks whether run would succeed.
func (p *plan) check() *reconciler.Failure {
	if f := p.setRlimits(); f != nil {
		return f
	}
	if f := p.setIdentity(); f != nil {
		return f
	}
	return p.checkPaths()
}

// checkPaths looks whether those who run this could start the programs.
func (p *plan) checkPaths() *reconciler.Failure {
	if f := examineDir(p.dir); f != nil {
		return f
	}
	for _, program := range append(p.first[:len(p.first):len(p.first)], p.argv[0]) {
		path, f := lookUp(program, valueOf(p.env, "PATH"), p.dir)
		if f != nil {
			return f
		}
		if f := examine(at(p.dir, path)); f != nil {
			return f
		}
	}
	return nil
}

func (p *plan) setRlimits() *reconciler.Failure {
	for _, l := range p.rlimits {
		limit := syscall.Rlimit{Cur: l.soft, Max: l.hard}
		// Not a bare system call: Exec must not restore what Go believes to be
		// the original of RLIMIT_NOFILE.
		if err := syscall.Setrlimit(l.resource, &limit); err != nil {
			reason, hint := reconciler.ReasonStartFailed, ""
			if errors.Is(err, unix.EPERM) {
				reason, hint = reconciler.ReasonPermissionDenied, " (only root may raise a hard limit, and nofile not above fs.nr_open)"
			}
			return failure(reason, "cannot set the rlimit %s to %d:%d: %v%s", l.name, l.soft, l.hard, err, hint)
		}
	}
	return nil
}

// setIdentity changes the credentials of this thread.
func (p *plan) setIdentity() *reconciler.Failure {
	if !p.who.change {
		return nil
	}
	denied := func(what string, errno syscall.Errno) *reconciler.Failure {
		if errno == unix.EAGAIN {
			return explainResources("become "+what, errno)
		}
		return failure(reconciler.ReasonPermissionDenied, "cannot become %s: %v (the daemon runs as user %d)", what, errno, os.Getuid())
	}
	if p.who.setGroups {
		var list unsafe.Pointer
		if len(p.who.groups) > 0 {
			list = unsafe.Pointer(&p.who.groups[0])
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(p.who.groups)), uintptr(list), 0); e != 0 {
			return denied(fmt.Sprintf("a member of the groups %v", p.who.groups), e)
		}
	}
	gid, uid := uintptr(p.who.gid), uintptr(p.who.uid)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return denied(fmt.Sprintf("group %d", gid), e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return denied(strings.TrimSpace(fmt.Sprintf("user %d %s", uid, p.who.name)), e)
	}
	return nil
}
