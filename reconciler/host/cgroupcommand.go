package host

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// commandPrefix begins the name of the group of a hook or a probe, below that of
// its replica. Each has one of its own, which is used once: what was killed kills
// whoever is cloned into it (see cgroupTree.prepare). No controllers are enabled
// between the two, so the kernel lets processes into both.
const commandPrefix = "_exec."

// enteredPrefix begins the name of the group of what a person runs beside a replica.
// It is no child of ours, so it outlives a daemon, and the next one goes on with it.
const enteredPrefix = "_enter."

// goPatience is how long what was killed may take to go before it counts as stuck.
const goPatience = 2 * time.Second

// makeCommand makes the group of a command of the replica. next gives numbers that
// were not used by this process.
func (t *cgroupTree) makeCommand(id reconciler.ReplicaID, prefix string, next func() uint64) (name string, err error) {
	replica := id.String()
	if _, err := t.make(replica); err != nil { // a hook may run before all starts
		return "", err
	}
	if _, frozen, err := t.state(replica); err != nil || frozen {
		// A child that is frozen at birth never calls execve, and Go's fork waits
		// for that.
		return "", errors.Join(err, errFrozen)
	}
	for {
		name = replica + "/" + prefix + strconv.FormatUint(next(), 10)
		if made, err := t.make(name); made || err != nil {
			return name, err
		}
	}
}

var errFrozen = errors.New("the cgroup is frozen (cgroup.freeze)")

// killGroup kills everything in a group. One that is not there is none.
func (t *cgroupTree) killGroup(name string) error {
	fd, err := unix.Openat(t.rootFD, name+"/cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte("1"))
		_ = unix.Close(fd)
	}
	if err == unix.ENOENT || err == unix.ENODEV {
		return nil
	}
	return err
}

// end kills what lives in a group and removes it. It says whether it is gone; who
// gets false asks again.
func (t *cgroupTree) end(name string) bool {
	if err := unix.Unlinkat(t.rootFD, name, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
		return true
	}
	_ = t.killGroup(name)
	return t.removeEmpty(name)
}

// removeEmpty removes a group in which nothing lives, with those below it, and kills
// nobody. It says whether it is gone.
func (t *cgroupTree) removeEmpty(name string) bool {
	gone := true
	var dirs []string
	t.walk(name, func(path string) { dirs = append(dirs, path) })
	for i := len(dirs) - 1; i >= 0; i-- {
		err := unix.Rmdir(dirs[i])
		gone = gone && (err == nil || err == unix.ENOENT)
	}
	return gone
}

// besides says whether a group below that of a replica is of what runs beside its
// processes, by its name.
func besides(name string) bool {
	return strings.HasPrefix(name, commandPrefix) || strings.HasPrefix(name, enteredPrefix)
}

// entered says whether a group is of what a person runs beside a replica.
func entered(id reconciler.ReplicaID, name string) bool {
	return strings.HasPrefix(name, id.String()+"/"+enteredPrefix)
}

// commands lists the groups of what runs beside the processes of a replica, and
// whether there are others below its group.
func (t *cgroupTree) commands(replica string) (names []string, others bool) {
	var st unix.Stat_t
	if unix.Fstatat(t.rootFD, replica, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Nlink <= 2 {
		return nil, false
	}
	entries, err := os.ReadDir(t.root + "/" + replica)
	if err != nil {
		return nil, true
	}
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case besides(e.Name()):
			names = append(names, replica+"/"+e.Name())
		default:
			others = true
		}
	}
	return names, others
}

// hasGroups says whether there are groups below that of a replica other than
// empty ones of ours, which it removes.
func (t *cgroupTree) hasGroups(replica string) bool {
	names, others := t.commands(replica)
	for _, name := range names {
		if err := unix.Unlinkat(t.rootFD, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
			others = true
		}
	}
	return others
}

// commandLives says whether anything lives that runs beside the processes of a replica.
func (t *cgroupTree) commandLives(replica string) bool {
	names, _ := t.commands(replica)
	for _, name := range names {
		if populated, err := t.populated(name); err == nil && populated {
			return true
		}
	}
	return false
}

// own is members without what runs beside them.
func (t *cgroupTree) own(replica string, dead int32) (pids []int32, unseen bool) {
	ours := t.root + "/" + replica + "/"
	return t.list(replica, dead, func(path string) bool {
		name, below := strings.CutPrefix(path, ours)
		return below && besides(name)
	})
}

// endCommands ends what ran beside processes under an earlier daemon, but for what
// people run beside a replica that goes on. It does not wait for long: what does not go
// keeps its replica from being started.
func (t *cgroupTree) endCommands(ids []reconciler.ReplicaID, goesOn func(reconciler.ReplicaID) bool) {
	var left []string
	for _, id := range ids {
		names, _ := t.commands(id.String())
		for _, name := range names {
			if entered(id, name) && goesOn(id) {
				continue
			}
			_ = t.killGroup(name)
			left = append(left, name)
		}
	}
	for waited, delay := time.Duration(0), time.Millisecond; ; delay = min(2*delay, 50*time.Millisecond) {
		var still []string
		for _, name := range left {
			if !t.end(name) {
				still = append(still, name)
			}
		}
		if left = still; len(left) == 0 || waited > goPatience {
			return
		}
		time.Sleep(delay)
		waited += delay
	}
}
