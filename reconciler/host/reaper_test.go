package host_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/host"
)

// TestOrphansAreReapedAndNobodyElse runs in a process of its own, since orphans
// come to all of a process.
func TestOrphansAreReapedAndNobodyElse(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), "HOST_TEST_ACT=orphans")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func inheritOrphans() int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	f := &family{ours: map[int32]bool{}}
	stop := host.WatchOrphans(&f.forks, f.tell)
	defer stop()
	for _, act := range []func() error{f.hiddenOrphan, f.manyOrphans, f.youngChild, f.bothLists} {
		if err := act(); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	return 0
}

// family are the children that a process has and waits for.
type family struct {
	forks sync.RWMutex
	mu    sync.Mutex
	ours  map[int32]bool
	looks int // how often the reaper has asked
}

func (f *family) children() map[int32]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.ours)
}

// tell is what the reaper asks.
func (f *family) tell() map[int32]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	return maps.Clone(f.ours)
}

// looked waits until the reaper has looked at all that is there now.
func (f *family) looked() {
	asked := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.looks
	}
	for begin := asked(); asked() < begin+2; {
		runtime.Gosched()
	}
}

// fork starts a shell and calls meanwhile before it is registered.
func (f *family) fork(script string, meanwhile func(pid int32) error) (int32, error) {
	f.forks.RLock()
	defer f.forks.RUnlock()
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	if err != nil {
		return 0, err
	}
	if meanwhile != nil {
		err = meanwhile(int32(pid))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ours[int32(pid)] = true
	return int32(pid), err
}

// wait takes the exit status of one of ours.
func (f *family) wait(pid int32, want int) error {
	var status unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil || status.ExitStatus() != want {
		return fmt.Errorf("child %d ended with %d, %v; want %d", pid, status.ExitStatus(), err, want)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ours, pid)
	return nil
}

// ended waits until the child has ended and leaves it unreaped.
func ended(pid int32) error {
	return unix.Waitid(unix.P_PID, int(pid), nil, unix.WEXITED|unix.WNOWAIT, nil)
}

// orphans makes some, and waits until none of them is left. A reaper that never
// comes hangs the test.
func (f *family) orphans(n int) error {
	pid, err := f.fork(fmt.Sprintf("for i in $(seq %d); do sh -c 'exit 7' & done; exit 3", n), nil)
	if err != nil {
		return err
	}
	return errors.Join(f.wait(pid, 3), f.alone())
}

// alone waits until this process has no children but ours.
func (f *family) alone() error {
	for {
		listed, _ := host.Children()
		ours := f.children()
		strangers := slices.DeleteFunc(listed, func(pid int32) bool { return ours[pid] })
		if len(strangers) == 0 {
			return nil
		}
		runtime.Gosched()
	}
}

// hiddenOrphan: one of ours has ended and stays as it is, as the leader of a
// session does without cgroups.
func (f *family) hiddenOrphan() error {
	leader, err := f.fork("exit 5", nil)
	if err != nil {
		return err
	}
	return errors.Join(ended(leader), f.orphans(1), f.orphans(1), f.wait(leader, 5))
}

func (f *family) manyOrphans() error { return f.orphans(200) }

// youngChild: a child ends before it is registered, while an orphan ends too.
func (f *family) youngChild() error {
	var others sync.WaitGroup
	var failed error
	young, err := f.fork("exit 6", func(pid int32) error {
		others.Go(func() { failed = f.orphans(1) })
		err := ended(pid)
		f.looked()
		return err
	})
	if err != nil {
		return err
	}
	others.Wait()
	return errors.Join(failed, f.wait(young, 6))
}

func (f *family) bothLists() error {
	child, err := f.fork("exec sleep 1000", nil)
	if err != nil {
		return err
	}
	listed, byParent := host.Children()
	if !slices.Equal(listed, []int32{child}) || !slices.Equal(byParent, listed) {
		return fmt.Errorf("children: %v and %v, want %d", listed, byParent, child)
	}
	return errors.Join(unix.Kill(int(child), unix.SIGKILL), f.waitKilled(child))
}

func (f *family) waitKilled(pid int32) error {
	var status unix.WaitStatus
	_, err := unix.Wait4(int(pid), &status, 0, nil)
	if err == nil && status.Signal() != unix.SIGKILL {
		err = fmt.Errorf("child %d ended with %v", pid, status)
	}
	return err
}
