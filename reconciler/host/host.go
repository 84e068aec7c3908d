package host

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/logs"
)

// Options say how to open a Host.
type Options struct {
	// StateDir is the daemon's state directory. The name of our cgroup comes
	// from its absolute path, and the file "cgroups" in it names the cgroups
	// that daemons of this boot have used. The socket "notify" in it is for
	// services; when one of another user needs it, the directory is made searchable
	// for all.
	StateDir string
	// CgroupRoot is the cgroup below which ours is made; empty is the one that
	// we run in.
	CgroupRoot string
	// Kept is what was known before; nil is nothing.
	Kept *Kept
	// Step is told of each step of which a crash must do no harm; nil is nobody.
	Step func(reconciler.Step)
	// Output takes what services write. It is the caller's, and must be open as
	// long as the host is.
	Output *logs.Capture
	// NoCgroups does without cgroups: sessions and process groups hold the
	// processes together as well as they can. So it is, too, when cgroups cannot
	// be used; Conditions tells.
	NoCgroups bool
	// Workers is how many starts may be under way at a time; 0 stands for 2.
	Workers int
	// Executable is the program that calls RunExecStage; empty is the running
	// one.
	Executable string
	// RemotePaths are treated as lying on a remote file system, with all that
	// is below them, although statfs(2) does not say so: a loop device whose
	// image is on NFS, say.
	RemotePaths []string
	// Log gets what no event tells. The zero Logger discards.
	Log logr.Logger
}

// Condition is something about the machine that people should know.
type Condition struct{ Type, Reason, Message string }

// ConditionDegraded says that the machine cannot keep all promises.
const ConditionDegraded = "Degraded"

// Host is the Linux machine. It implements reconciler.Host.
type Host struct {
	log        logr.Logger
	output     *logs.Capture
	uid, gid   uint32 // our own
	executable string
	grouping   grouping // of new runs
	sessions   *sessions
	instance   string        // names this state directory in the mark of a process
	trees      []*cgroupTree // the first one is grouping, if that is one
	conditions []Condition
	step       func(reconciler.Step)
	remote     *remotePaths
	accounts   accounts
	programs   programs
	null       int
	signals    *signalDefaults
	spawners   *spawners

	work    chan reconciler.Work
	events  chan reconciler.Event
	done    chan struct{}
	workers *workers
	watcher *watcher
	reaper  *reaper // nil when no orphans come to this process

	notifier notifier

	// forks is held for reading from a fork until its child is registered: who
	// looks for children that are not ours waits for that.
	forks sync.RWMutex

	mu     sync.Mutex
	groups map[reconciler.ReplicaID]*group
	checks map[*stage]struct{}
	trials map[int32]struct{} // pids of Try, and of commands
	closed bool               // no command may be started

	commands    sync.WaitGroup
	lastCommand atomic.Uint64
	leftBehind  leftBehind
	former      map[int]*group // pidfds of processes that are main ones no more
	stored      map[reconciler.ReplicaID]*fdStore
	// storedFDs is how many descriptors are in all stores, storedLast the number of
	// the latest.
	storedFDs  int
	storedLast uint64

	found, unclear []reconciler.ReplicaID
	restored       []reconciler.Record
	adopted        int
}

var _ reconciler.Host = (*Host)(nil)

// Open takes the machine into service, and takes over what an earlier daemon
// started. Nothing of it is killed. One process opens one Host at a time.
func Open(o Options) (*Host, error) {
	if IsExecStage() {
		return nil, errors.New("cannot open the host: main did not call RunExecStage")
	}
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Executable == "" {
		o.Executable = "/proc/self/exe"
	}
	h := &Host{
		log: o.Log, output: o.Output, uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid()), executable: o.Executable,
		remote: newRemotePaths(o.RemotePaths),
		work:   make(chan reconciler.Work), events: make(chan reconciler.Event), done: make(chan struct{}),
		groups: map[reconciler.ReplicaID]*group{}, checks: map[*stage]struct{}{}, trials: map[int32]struct{}{}, former: map[int]*group{}, stored: map[reconciler.ReplicaID]*fdStore{},
		null: -1, step: o.Step, notifier: notifier{fd: -1},
	}
	if err := h.open(o); err != nil {
		h.release()
		return nil, err
	}
	h.workers = startWorkers(h, o.Workers)
	h.watcher.start()
	h.reaper = startReaper(h.log, &h.forks, h.ownChildren)
	return h, nil
}

// ownChildren are the processes that the host waits for.
func (h *Host) ownChildren() map[int32]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	ours := make(map[int32]bool, len(h.groups))
	for _, g := range h.groups {
		ours[g.pid] = true // that of an exec stage, too
	}
	for s := range h.checks {
		ours[s.pid] = true
	}
	for pid := range h.trials {
		ours[pid] = true
	}
	return ours
}

func (h *Host) open(o Options) error {
	var err error
	if h.null, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("cannot open /dev/null: %w", err)
	}
	unix.Umask(defaultUmask)
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot keep our descriptors from the services: %w", err)
	}
	if h.signals, err = openSignalDefaults(); err != nil {
		return err
	}
	if h.watcher, err = openWatcher(h.log); err != nil {
		return err
	}
	h.spawners = newSpawners(h.log, h.signals, h.null, o.Workers, h.watcher)
	h.sessions = &sessions{}
	h.instance = instanceOf(o.StateDir)
	if err := h.openGroupings(o); err != nil {
		return err
	}
	h.openNotifier(o.StateDir, o.Kept.notify())
	return h.adopt(o.Kept)
}

// Conditions are what people should know about the machine. They do not change
// while the host is open.
func (h *Host) Conditions() []Condition { return h.conditions }

// Work implements reconciler.Host.
func (h *Host) Work() chan<- reconciler.Work { return h.work }

// Events implements reconciler.Host.
func (h *Host) Events() <-chan reconciler.Event { return h.events }

// Close stops everything of the host's except the services. Nothing is
// delivered after it. Our cgroup is removed if nothing lives in it. A worker
// that hangs in a system call is left behind. The loop must not use the host
// any more.
func (h *Host) Close() error {
	close(h.done)
	h.workers.wait()
	h.closeCommands()
	h.reaper.close()
	h.watcher.close()
	h.mu.Lock()
	for s := range h.checks {
		_ = unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
		s.close()
	}
	for _, g := range h.groups {
		h.dropEarly(g)
		g.closeAll()
	}
	for n := range h.notifier.limbo {
		h.notifier.closer.close(h.notifier.limbo[n].fds)
	}
	for id := range h.stored {
		h.dropStored(id)
	}
	for fd := range h.former {
		_ = unix.Close(fd)
	}
	h.mu.Unlock()
	var err error
	for _, t := range h.trees {
		err = errors.Join(err, t.close())
	}
	h.release()
	return err
}

func (h *Host) release() {
	if h.spawners != nil {
		h.spawners.close()
	}
	if h.watcher != nil {
		h.watcher.close()
	}
	if h.signals != nil {
		h.signals.close()
	}
	h.remote.close()
	h.notifier.close()
	if h.null >= 0 {
		_ = unix.Close(h.null)
		h.null = -1
	}
}

// send delivers e unless the host is closed.
func (h *Host) send(e reconciler.Event) {
	select {
	case h.events <- e:
	case <-h.done:
	}
}

// Signal implements reconciler.Host.
func (h *Host) Signal(id reconciler.ReplicaID, sig syscall.Signal, scope reconciler.Scope) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[id]
	if g == nil {
		return nil
	}
	switch scope {
	case reconciler.ScopeMain:
		if g.phase == phaseEnded && g.carriesOn {
			return g.signalRest(sig)
		}
		if g.phase != phaseRunning || g.pidfd < 0 && g.pid == 0 {
			return nil // it has ended, told or not
		}
		if g.pidfd < 0 {
			return fmt.Errorf("cannot signal %s: its process is not identified yet", id)
		}
		return ignoreGone(unix.PidfdSendSignal(g.pidfd, sig, nil, 0), "signal", id)
	case reconciler.ScopeGroup:
		return g.in.signal(g, sig)
	}
	panic("unreachable scope")
}

// Kill implements reconciler.Host.
func (h *Host) Kill(id reconciler.ReplicaID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[id]
	if g == nil {
		return nil
	}
	const why = "its replica was killed"
	h.endCommands(g, why, g.afterCommands)
	if g.hook != nil {
		g.hook.end(why) // it may not have begun
	}
	err := g.in.kill(g)
	if g.pidfd >= 0 {
		// The main process may have moved itself to another cgroup.
		err = errors.Join(err, ignoreGone(unix.PidfdSendSignal(g.pidfd, unix.SIGKILL, nil, 0), "kill", id))
	}
	return err
}

func ignoreGone(err error, verb string, id reconciler.ReplicaID) error {
	if err == nil || err == unix.ESRCH {
		return nil
	}
	return fmt.Errorf("cannot %s %s: %w", verb, id, err)
}

// probe starts ourselves once in a cgroup: access bits do not tell whether the
// kernel lets us.
func (h *Host) probe(tree *cgroupTree) error {
	if _, err := tree.make(probeName); err != nil {
		return err
	}
	fd, err := openGroup(filepath.Join(tree.root, probeName))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	pidfd := -1
	_, err = syscall.ForkExec(h.executable, []string{stageName, stageProbe}, &syscall.ProcAttr{
		Files: []uintptr{uintptr(h.null), uintptr(h.null), uintptr(h.null)},
		Sys:   &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: fd, PidFD: &pidfd},
	})
	if err != nil {
		return fmt.Errorf("cannot start a process in %s: %w", filepath.Join(tree.root, probeName), err)
	}
	if pidfd < 0 {
		return errors.New("the kernel gives no pidfd (Linux 5.14 or newer is needed)")
	}
	defer func() { _ = unix.Close(pidfd) }()
	exit, _, err := waitExit(pidfd, unix.WEXITED)
	if err != nil {
		return fmt.Errorf("cannot wait for the probe: %w", err)
	}
	if exit.Status() != 0 {
		return fmt.Errorf("the probe ended with status %d", exit.Status())
	}
	if _, err := os.Stat(filepath.Join(tree.root, probeName, "cgroup.kill")); err != nil {
		return fmt.Errorf("there is no cgroup.kill (Linux 5.14 or newer is needed): %w", err)
	}
	return tree.remove(probeName)
}
