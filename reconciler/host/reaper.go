package host

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// orphanPause is when the end of an orphan is looked at again that could not be
// told from a start under way: a start takes about a millisecond.
const orphanPause = 20 * time.Millisecond

// reaper reaps the children of this process that it did not start: processes
// whose parent has ended are given to process 1, or to the nearest ancestor that
// asked for them (PR_SET_CHILD_SUBREAPER). Nobody else waits for them.
//
// Each is reaped by its own number, and never one of ours, whose exit status
// somebody wants. So waitid(P_ALL) is of no use: with WNOWAIT it shows one of
// ours again and again, and the orphans behind it never.
type reaper struct {
	log logr.Logger
	// forks is held for reading from a fork until its child is among ours.
	forks *sync.RWMutex
	// ours are the children that somebody else waits for.
	ours func() map[int32]bool

	signals     chan os.Signal
	done, ended chan struct{}
}

// startReaper begins to reap. It returns nil when no orphans come to this
// process. What an earlier image of it has started must be among ours by now.
func startReaper(log logr.Logger, forks *sync.RWMutex, ours func() map[int32]bool) *reaper {
	if !getsOrphans() {
		return nil
	}
	r := &reaper{
		log: log, forks: forks, ours: ours,
		signals: make(chan os.Signal, 1), done: make(chan struct{}), ended: make(chan struct{}),
	}
	signal.Notify(r.signals, unix.SIGCHLD)
	go r.run()
	return r
}

func getsOrphans() bool {
	var subreaper int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0)
	return os.Getpid() == 1 || err == nil && subreaper != 0
}

// close stops it and waits for its goroutine.
func (r *reaper) close() {
	if r == nil {
		return
	}
	signal.Stop(r.signals)
	close(r.done)
	<-r.ended
}

func (r *reaper) run() {
	defer close(r.ended)
	for {
		var again <-chan time.Time
		if !r.reap() { // the first time for those that have ended before
			again = time.After(orphanPause)
		}
		select {
		case <-r.signals:
		case <-again:
		case <-r.done:
			return
		}
	}
}

// reap reaps what has ended and is not ours. It returns false when there may be
// something that it could not tell.
func (r *reaper) reap() bool {
	dead := deadStrangers(r.ours())
	if len(dead) == 0 {
		return true
	}
	// One of them may have been forked a moment ago and not be among ours yet.
	// Nobody waits for this lock: a fork that hangs would hold up all others.
	if !r.forks.TryLock() {
		return false
	}
	defer r.forks.Unlock()
	ours := r.ours()
	for _, pid := range dead {
		if ours[pid] {
			continue
		}
		var status unix.WaitStatus
		if got, err := wait(int(pid), &status); err == nil && got == int(pid) {
			r.log.V(1).Info("Reaped an orphan", "pid", pid, "exitCode", status.ExitStatus())
		}
	}
	return true
}

func wait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, unix.WNOHANG, nil)
		if err != unix.EINTR {
			return got, err
		}
	}
}

// deadStrangers are the children of this process that have ended and are not
// ours. Only of strangers, who are few, is the state read.
func deadStrangers(ours map[int32]bool) (dead []int32) {
	for _, pid := range children() {
		if ours[pid] {
			continue
		}
		if s, ok := readStat(pid); ok && s.ended() {
			dead = append(dead, pid)
		}
	}
	return dead
}

// children lists the children of this process. The kernel keeps them by the
// thread that made them; orphans are the first thread's. Where it does not tell
// (CONFIG_PROC_CHILDREN), all processes are looked at.
func children() (pids []int32) {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	if len(lists) == 0 {
		return childrenByParent()
	}
	for _, list := range lists {
		data, _ := os.ReadFile(list) // the thread may have ended
		for field := range bytes.FieldsSeq(data) {
			if pid, err := strconv.ParseInt(string(field), 10, 32); err == nil {
				pids = append(pids, int32(pid))
			}
		}
	}
	return pids
}

func childrenByParent() (pids []int32) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		data, _ := os.ReadFile(process + "/stat") // it may have ended
		// The name may hold anything; the state and the parent follow it.
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(os.Getpid()) {
			continue
		}
		if pid, err := strconv.ParseInt(filepath.Base(process), 10, 32); err == nil {
			pids = append(pids, int32(pid))
		}
	}
	return pids
}
