package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// probeName cannot be a replica's: names of services are DNS labels.
const probeName = "_probe"

// cgroupTree is our part of the cgroup v2 tree: one flat directory for each
// replica. A directory is reused by all runs of its replica, because making one
// costs a quarter of a start.
type cgroupTree struct {
	root   string // absolute path of our own group
	name   string // what /proc/PID/cgroup calls it; empty is unknown
	rootFD int
	events int // cgroup.events of our own group
}

// make makes the group name, if it is missing. made says that it was missing, so
// that nothing can live in it.
func (t *cgroupTree) make(name string) (made bool, err error) {
	err = unix.Mkdirat(t.rootFD, name, 0o755)
	if err == unix.EEXIST {
		return false, nil
	}
	return err == nil, err
}

// openGroup opens a group for clone3.
func openGroup(path string) (int, error) {
	return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// prepare implements grouping. A group that was killed is made anew: since
// about Linux 6.14 clone3 compares the kills that the child's group has seen
// with those of the parent's (cgroup.kill_seq), so that whatever is cloned into
// a group that was ever killed is killed at birth.
func (t *cgroupTree) prepare(id reconciler.ReplicaID, killed bool) (string, bool, error) {
	name := id.String()
	path := t.root + "/" + name
	if killed {
		if populated, err := t.populated(name); err == nil && populated {
			if pids, alive := t.members(name, 0); len(pids) > 0 || alive {
				return "", true, nil
			}
		}
		if err := t.remove(name); err != nil {
			return "", false, err
		}
	}
	made, err := t.make(name)
	if err != nil {
		return "", false, err
	}
	if made && !t.allFrozen() {
		return path, false, nil
	}
	if !made && t.hasGroups(name) {
		// Made by the service, which may have given them controllers: then the
		// kernel lets no process into the group itself (EBUSY).
		return t.prepare(id, true)
	}
	populated, frozen, err := t.state(name)
	if err != nil || populated {
		if pids, alive := t.members(name, 0); err != nil || len(pids) > 0 || alive {
			return "", err == nil, err
		}
	}
	if !frozen {
		return path, false, nil
	}
	// A child that is frozen at birth never calls execve, and Go's fork waits
	// for that.
	if made {
		_ = t.remove(name)
		return "", false, errors.New("the cgroup above it is frozen (cgroup.freeze)")
	}
	return t.prepare(id, true)
}

// allFrozen reads whether our own group is frozen, and with it all below. It
// costs one system call: each first start asks.
func (t *cgroupTree) allFrozen() bool {
	var buf [256]byte
	n, _ := unix.Pread(t.events, buf[:], 0)
	return bytes.Contains(buf[:max(n, 0)], []byte("frozen 1"))
}

// populated reads whether any process is in the group or below it.
func (t *cgroupTree) populated(name string) (bool, error) {
	populated, _, err := t.state(name)
	return populated, err
}

// state reads whether any process is in the group or below it, and whether all
// of them, perhaps none, are frozen.
func (t *cgroupTree) state(name string) (populated, frozen bool, err error) {
	var buf [256]byte
	data, err := t.read(name+"/cgroup.events", buf[:])
	return bytes.Contains(data, []byte("populated 1")), bytes.Contains(data, []byte("frozen 1")), err
}

// read reads a short file below our group into buf.
func (t *cgroupTree) read(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Openat(t.rootFD, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	return buf[:max(n, 0)], err
}

// survivors implements grouping. What runs for hooks and probes is none. Some kernels (6.19) take a process out of its
// group only after it has ended, so a populated group whose members have all
// ended is looked at again for a moment.
func (t *cgroupTree) survivors(g *group) ([]int32, bool) {
	name := g.id.String()
	dead := g.pid
	for try := 0; ; try++ {
		populated, err := t.populated(name)
		switch {
		case err == nil && !populated, err == unix.ENOENT, err == unix.ENODEV:
			return nil, false
		case err != nil:
			return nil, true // out of descriptors: who cannot be seen may live
		}
		if pids, alive := t.own(name, dead); len(pids) > 0 || alive {
			return pids, true
		}
		if try == 20 || t.commandLives(name) {
			return nil, false
		}
		time.Sleep(time.Duration(try) * 50 * time.Microsecond)
	}
}

// members lists the processes of the group and of those below it, without
// dead. unseen is true when there are processes of another pid namespace, or it
// cannot be told.
func (t *cgroupTree) members(name string, dead int32) (pids []int32, unseen bool) {
	return t.list(name, dead, func(string) bool { return false })
}

// list is members without those of the groups that are to be skipped.
func (t *cgroupTree) list(name string, dead int32, skip func(path string) bool) (pids []int32, unseen bool) {
	t.walk(name, func(path string) {
		if skip(path) {
			return
		}
		data, err := os.ReadFile(path + "/cgroup.procs")
		if err != nil {
			unseen = unseen || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV)
			return
		}
		for line := range bytes.Lines(data) {
			pid, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 32)
			switch {
			case err != nil || int32(pid) == dead && dead != 0:
			case pid == 0:
				unseen = true
			default:
				pids = append(pids, int32(pid))
			}
		}
	})
	return pids, unseen
}

// walk calls visit with the paths of the group and of all below it, parents
// first.
func (t *cgroupTree) walk(name string, visit func(path string)) {
	dirs := []string{filepath.Join(t.root, name)}
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		visit(dir)
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil || st.Nlink <= 2 {
			continue // no directories in it
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				dirs = append(dirs, filepath.Join(dir, e.Name()))
			}
		}
	}
}

func (t *cgroupTree) openEvents(id reconciler.ReplicaID) int {
	fd, err := unix.Openat(t.rootFD, id.String()+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

func (t *cgroupTree) reapAfter() bool { return false }

func (t *cgroupTree) signal(g *group, sig syscall.Signal) error {
	name := g.id.String()
	pids, _ := t.members(name, 0)
	_, err := signalAll(pids, sig, func() map[int32]bool {
		now, _ := t.members(name, 0)
		set := make(map[int32]bool, len(now))
		for _, pid := range now {
			set[pid] = true
		}
		return set
	})
	if err != nil {
		return fmt.Errorf("cannot signal all of %s: %w", name, err)
	}
	return nil
}

func (t *cgroupTree) kill(g *group) error {
	if g.phase == phaseIdle {
		if populated, err := t.populated(g.id.String()); err != nil || !populated {
			return nil // and the group remains as good as new
		}
	}
	g.killed = true
	fd, err := unix.Openat(t.rootFD, g.id.String()+"/cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte("1"))
		_ = unix.Close(fd)
	}
	if err == nil || err == unix.ENOENT || err == unix.ENODEV {
		return nil
	}
	return fmt.Errorf("cannot kill the cgroup of %s: %w", g.id, err)
}

func (t *cgroupTree) forget(id reconciler.ReplicaID) error { return t.remove(id.String()) }

// remove removes the group and what services made below it. After a kill the
// kernel refuses (EBUSY) for some milliseconds.
func (t *cgroupTree) remove(name string) error {
	const patience = 2 * time.Second
	var waited time.Duration
	for delay := time.Millisecond; ; delay = min(2*delay, 100*time.Millisecond) {
		var dirs []string
		t.walk(name, func(path string) { dirs = append(dirs, path) })
		var err error
		for i := len(dirs) - 1; i >= 0; i-- {
			if e := unix.Rmdir(dirs[i]); e != nil && e != unix.ENOENT {
				err = fmt.Errorf("cannot remove the cgroup %s: %w", dirs[i], e)
			}
		}
		if err == nil || !errors.Is(err, unix.EBUSY) || waited > patience {
			return err
		}
		if populated, _ := t.populated(name); populated {
			if pids, alive := t.members(name, 0); alive || len(pids) > 0 {
				return err
			}
		}
		time.Sleep(delay)
		waited += delay
	}
}

// close removes our group if it is empty.
func (t *cgroupTree) close() error {
	entries, err := os.ReadDir(t.root)
	if err == nil {
		for _, e := range entries {
			if e.IsDir() {
				if populated, err := t.populated(e.Name()); err == nil && !populated {
					_ = t.remove(e.Name())
				}
			}
		}
	}
	_ = unix.Rmdir(t.root) // EBUSY: something lives, or somebody made a group
	_ = unix.Close(t.events)
	return unix.Close(t.rootFD)
}
