package host

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// output is a file that a child gets as its standard output or error.
type output struct {
	path  string
	flags int
}

// child is a process that is to be made. Whoever forks opens everything by path:
// its numbers of descriptors are not those of who asks.
type child struct {
	path           string // of the program
	argv, env      []string
	dir            string
	who            *identity
	group          string // the path of its cgroup; empty is none
	stdout, stderr output
}

// fork makes the child, in a session of its own. null is /dev/null.
func (c *child) fork(signals *signalDefaults, null int) (pid int, err error) {
	out, err := c.stdout.open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(out) }()
	errs := out
	if c.stderr != c.stdout {
		if errs, err = c.stderr.open(); err != nil {
			return 0, err
		}
		defer func() { _ = unix.Close(errs) }()
	}
	sys := &syscall.SysProcAttr{Setsid: true}
	if c.group != "" {
		dir, err := openGroup(c.group)
		if err != nil {
			return 0, err
		}
		defer func() { _ = unix.Close(dir) }()
		sys.UseCgroupFD, sys.CgroupFD = true, dir
	}
	if c.who.change {
		sys.Credential = &syscall.Credential{Uid: c.who.uid, Gid: c.who.gid, Groups: c.who.groups, NoSetGroups: !c.who.setGroups}
	}
	return signals.forkExec(c.path, c.argv, &syscall.ProcAttr{
		Dir: c.dir, Env: c.env, Sys: sys,
		Files: []uintptr{uintptr(null), uintptr(out), uintptr(errs)},
	})
}

// open does not wait for anybody, but the child's descriptor does: its programs do
// not expect otherwise.
func (o output) open() (int, error) {
	fd, err := unix.Open(o.path, o.flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, o.flags&^unix.O_NONBLOCK); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// spawners are threads that fork. A fork copies the table of descriptors, and the
// exec closes what was copied: with three descriptors for each of a thousand
// replicas that costs more than the rest of both. These threads have tables of
// their own with next to nothing in them.
//
// A thread is started when all others are at it, so one that hangs holds nobody
// up. Where the kernel gives no table (a seccomp filter), who asks forks itself.
type spawners struct {
	log     logr.Logger
	signals *signalDefaults
	null    int // /dev/null in the table of the process
	want    int // threads that are kept when there is nothing to do
	// shared are the descriptors that the threads have as the process does.
	shared func() ([]int, error)

	mu     sync.Mutex
	free   []*spawner
	off    bool // no tables
	closed bool
}

// spawner is one thread. One caller at a time sends it one child and receives one
// answer.
type spawner struct {
	children chan *child
	answers  chan spawned
}

type spawned struct {
	pid int
	err error
}

func newSpawners(log logr.Logger, signals *signalDefaults, null, want int, w *watcher) *spawners {
	s := &spawners{log: log, signals: signals, null: null, want: want}
	// By the first thread: Open does not wait for it.
	s.shared = sync.OnceValues(func() ([]int, error) { return findPoller(w.epfd, w.alarm) })
	return s
}

// findPoller finds the descriptors of Go's poller, which must have been used by
// now. Any thread of the runtime may write to the one and look at the other by
// number (netpollBreak and netpoll in its netpoll_epoll.go) and ends the program
// when it cannot, so these numbers must mean the same in every table. The runtime
// does not tell them; all are found that are of their kinds, but not the two that
// are known to be others.
func findPoller(epoll, eventfd int) (fds []int, err error) {
	var like, st unix.Stat_t
	if err := unix.Fstat(eventfd, &like); err != nil {
		return nil, fmt.Errorf("cannot look at an eventfd: %w", err)
	}
	size, err := tableSize()
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for fd := 3; fd < size; fd++ {
		// Those of the kinds share an inode. To list /proc/self/fd and read the
		// links takes ten times longer.
		if unix.Fstat(fd, &st) != nil || st.Dev != like.Dev || st.Ino != like.Ino || fd == epoll || fd == eventfd {
			continue
		}
		if kind := pollerKind(fd); kind != "" {
			found[kind] = true
			fds = append(fds, fd)
		}
	}
	if len(found) < 2 {
		return nil, fmt.Errorf("cannot find the descriptors of Go's poller: there is %v", found)
	}
	return fds, nil
}

// tableSize is how many descriptors the table of the process has room for.
func tableSize() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("cannot read the size of our table of descriptors: %w", err)
	}
	_, size, _ := strings.Cut(string(status), "\nFDSize:")
	size, _, _ = strings.Cut(size, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(size))
	if err != nil {
		return 0, fmt.Errorf("cannot read the size of our table of descriptors: %w", err)
	}
	return n, nil
}

// pollerKind is which of the two kinds that Go's poller has a descriptor of the
// calling thread is of; empty is none.
func pollerKind(fd int) string {
	kind, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(fd))
	if err != nil || kind != "anon_inode:[eventpoll]" && kind != "anon_inode:[eventfd]" {
		return ""
	}
	return kind
}

// fork makes the child, from one of the threads.
func (s *spawners) fork(c *child) (pid int, err error) {
	t := s.take()
	if t == nil {
		return c.fork(s.signals, s.null)
	}
	t.children <- c
	a := <-t.answers
	s.put(t)
	return a.pid, a.err
}

// take answers a thread that is free; nil when there are none.
func (s *spawners) take() *spawner {
	s.mu.Lock()
	off := s.off || s.closed
	var t *spawner
	if last := len(s.free) - 1; last >= 0 && !off {
		t, s.free = s.free[last], s.free[:last]
	}
	s.mu.Unlock()
	if off || t != nil {
		return t
	}
	return s.start()
}

// begin starts a thread before it is needed.
func (s *spawners) begin() {
	if t := s.start(); t != nil {
		s.put(t)
	}
}

// start answers a new thread; nil when it can have no table.
func (s *spawners) start() *spawner {
	t := &spawner{children: make(chan *child), answers: make(chan spawned, 1)}
	began := make(chan error)
	go t.run(s, began)
	if err := <-began; err != nil {
		s.log.Error(err, "Cannot fork from threads with few descriptors; starts take longer the more services there are")
		s.mu.Lock()
		s.off = true
		s.mu.Unlock()
		return nil
	}
	return t
}

func (s *spawners) put(t *spawner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.free) >= s.want {
		close(t.children)
		return
	}
	s.free = append(s.free, t)
}

// close ends the threads; one that hangs when it does no longer.
func (s *spawners) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, t := range s.free {
		close(t.children)
	}
	s.free = nil
}

// run is the thread. It says by began whether it has a table of its own.
func (t *spawner) run(s *spawners, began chan<- error) {
	// It is never unlocked: the thread ends with the goroutine. Go starts no
	// thread from a locked one, so nobody inherits the table.
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// Not the first thread: it would not end, and its table is what
		// /proc/self/fd lists. While this goroutine has it, the next gets another.
		defer runtime.UnlockOSThread()
		next := make(chan error)
		go t.run(s, next)
		began <- <-next
		return
	}
	err := s.separate()
	null := -1
	if err == nil {
		null, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	began <- err
	if err != nil {
		return
	}
	for c := range t.children {
		pid, err := c.fork(s.signals, null)
		t.answers <- spawned{pid, err}
	}
}

// separate gives the calling thread a table of its own with 0 to 2 and the
// poller's descriptors. Anything else in it would stay open when the process
// closes it: a lock would be held, the reader of a pipe would wait.
func (s *spawners) separate() error {
	keep, err := s.shared()
	if err != nil {
		return err
	}
	next := 3
	if n := len(keep); n > 0 {
		next = keep[n-1] + 1
	}
	if err := unix.CloseRange(uint(next), math.MaxUint32, unix.CLOSE_RANGE_UNSHARE); err != nil {
		return fmt.Errorf("cannot have a table of descriptors: %w", err)
	}
	next = 3
	for _, fd := range keep {
		if next < fd {
			if err := unix.CloseRange(uint(next), uint(fd-1), 0); err != nil {
				return fmt.Errorf("cannot close the process's descriptors: %w", err)
			}
		}
		if pollerKind(fd) == "" { // it was not the poller's, and the number is another's by now
			_ = unix.Close(fd)
		}
		next = fd + 1
	}
	return nil
}
