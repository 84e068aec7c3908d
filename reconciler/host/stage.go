package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
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

// plan is all that the exec stage has to know.
type plan struct {
	argv, env []string
	dir       string
	umask     int
	rlimits   []rlimit
	who       identity
}

// rlimit is one resource limit of setrlimit(2).
type rlimit struct {
	name       string
	resource   int
	soft, hard uint64
}

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
	report := func(f *reconciler.Failure) {
		_, _ = unix.Write(stageReportFD, []byte(string(f.Reason)+"\x00"+f.Message))
		unix.Exit(1)
	}
	p, err := readPlan(stagePlanFD)
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
	// The name tells the daemon whether execve has happened, and people what
	// hangs there.
	_ = os.WriteFile("/proc/self/comm", []byte(stageName), 0)
	report(p.run())
}

// run becomes the program. It returns what went wrong.
func (p *plan) run() *reconciler.Failure {
	unix.Umask(p.umask)
	if f := p.setRlimits(); f != nil {
		return f
	}
	if f := p.setIdentity(); f != nil {
		return f
	}
	if err := unix.Chdir(p.dir); err != nil {
		if f := examineDir(p.dir); f != nil {
			return f
		}
		return failure(reconciler.ReasonWorkingDirInvalid, "cannot enter the working directory %s: %v", p.dir, err)
	}
	path, f := lookUp(p.argv[0], valueOf(p.env, "PATH"), p.dir)
	if f != nil {
		return f
	}
	if _, err := unix.Write(stageReportFD, []byte(stageReady)); err != nil {
		return failure(reconciler.ReasonStartFailed, "cannot report: %v", err)
	}
	return explainExec(at(p.dir, path), syscall.Exec(path, p.argv, p.env))
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

// checkPaths looks whether those who run this could start the program.
func (p *plan) checkPaths() *reconciler.Failure {
	if f := examineDir(p.dir); f != nil {
		return f
	}
	path, f := lookUp(p.argv[0], valueOf(p.env, "PATH"), p.dir)
	if f != nil {
		return f
	}
	return examine(at(p.dir, path))
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

// encode writes the plan as a row of strings with their lengths: the stage must
// start quickly, and JSON would cost it reflection.
func (p *plan) encode() []byte {
	var b []byte
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	text := func(s string) { number(uint64(len(s))); b = append(b, s...) }
	flag := func(f bool) {
		if f {
			number(1)
		} else {
			number(0)
		}
	}
	for _, list := range [][]string{p.argv, p.env} {
		number(uint64(len(list)))
		for _, s := range list {
			text(s)
		}
	}
	text(p.dir)
	number(uint64(p.umask))
	number(uint64(len(p.rlimits)))
	for _, l := range p.rlimits {
		text(l.name)
		number(uint64(l.resource))
		number(l.soft)
		number(l.hard)
	}
	text(p.who.name)
	number(uint64(p.who.uid))
	number(uint64(p.who.gid))
	flag(p.who.change)
	flag(p.who.setGroups)
	number(uint64(len(p.who.groups)))
	for _, g := range p.who.groups {
		number(uint64(g))
	}
	return b
}

// decodePlan is the inverse of encode. ok is false for damaged data.
func decodePlan(b []byte) (p plan, ok bool) {
	ok = true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	count := func() int {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return 0
		}
		return int(n)
	}
	for _, list := range []*[]string{&p.argv, &p.env} {
		for range count() {
			*list = append(*list, text())
		}
	}
	p.dir = text()
	p.umask = int(number())
	for range count() {
		p.rlimits = append(p.rlimits, rlimit{name: text(), resource: int(number()), soft: number(), hard: number()})
	}
	p.who.name = text()
	p.who.uid, p.who.gid = uint32(number()), uint32(number())
	p.who.change, p.who.setGroups = number() == 1, number() == 1
	for range count() {
		p.who.groups = append(p.who.groups, uint32(number()))
	}
	return p, ok && len(p.argv) > 0
}

func readPlan(fd int) (plan, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return plan{}, err
	}
	data := make([]byte, st.Size)
	for n := 0; n < len(data); {
		m, err := unix.Pread(fd, data[n:], int64(n))
		if err != nil {
			return plan{}, err
		}
		if m == 0 {
			return plan{}, errors.New("it is cut short")
		}
		n += m
	}
	p, ok := decodePlan(data)
	if !ok {
		return plan{}, errors.New("it is damaged")
	}
	return p, nil
}

// rlimitNumbers are the names of rlimits in a manifest.
var rlimitNumbers = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE,
	"nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS,
	"rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// planRlimits brings the limits into an order: those that could hurt the stage
// itself come last.
func planRlimits(limits map[string]spec.Rlimit) ([]rlimit, *reconciler.Failure) {
	list := make([]rlimit, 0, len(limits))
	for name, l := range limits {
		number, ok := rlimitNumbers[name]
		if !ok {
			return nil, failure(reconciler.ReasonStartFailed, "cannot set the rlimit %q: no such limit", name)
		}
		list = append(list, rlimit{name: name, resource: number, soft: l.Soft, hard: l.Hard})
	}
	slices.SortFunc(list, func(a, b rlimit) int { return strings.Compare(b.name, a.name) })
	return list, nil
}
