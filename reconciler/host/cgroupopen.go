package host

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// cgroupPath is where our group is: below parent or, when that is empty, below
// the group that we run in. What systemd calls a delegated sub-group (the xattr
// user.delegate is on the group above it) holds us alone; ours is beside it then.
func cgroupPath(stateDir, parent string) (string, error) {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		return "", fmt.Errorf("cannot find the state directory: %w", err)
	}
	if parent == "" {
		if parent, err = runningIn(); err != nil {
			return "", err
		}
		if above := filepath.Dir(parent); delegated(above) {
			parent = above
		}
	} else if err := makeCgroup(parent); err != nil {
		return "", err
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(abs))
	return filepath.Join(parent, fmt.Sprintf("reconciler-%016x", sum.Sum64())), nil
}

// delegated says whether systemd has handed the group over (systemd.exec(5),
// DelegateSubgroup=).
func delegated(group string) bool {
	var buf [8]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(group, name, buf[:]); err == nil && string(buf[:n]) == "1" {
			return true
		}
	}
	return false
}

// makeCgroup makes the group that somebody has named, and those above it.
func makeCgroup(path string) error {
	var fs unix.Statfs_t
	for above := path; ; above = filepath.Dir(above) {
		if err := unix.Statfs(above, &fs); err == nil {
			break
		} else if err != unix.ENOENT || above == "/" {
			return fmt.Errorf("cannot use the cgroup %s: %w", path, err)
		}
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("cannot use the cgroup %s: it is not in a cgroup v2 tree", path)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot make the cgroup %s: %w", path, err)
	}
	return nil
}

// runningIn is the path of the group that we run in.
func runningIn() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("cannot read the mounts: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("cannot read our own cgroup: %w", err)
	}
	return ownCgroup(string(mounts), string(own))
}

// openCgroupTree opens our group and locks it. It makes it when that is asked
// for. carried, unless 0, is its descriptor that is locked already.
func openCgroupTree(root string, make bool, carried int) (*cgroupTree, error) {
	if make {
		if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("cannot make our cgroup: %w", err)
		}
	}
	if carried != 0 && sameFile(carried, root) {
		return openCgroupEvents(root, carried)
	}
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open our cgroup %s: %w", root, err)
	}
	if err := lockTree(fd); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot lock our cgroup %s: %w", root, err)
	}
	return openCgroupEvents(root, fd)
}

func sameFile(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Stat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

func openCgroupEvents(root string, fd int) (*cgroupTree, error) {
	events, err := unix.Openat(fd, "cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot read our cgroup %s: %w", root, err)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return &cgroupTree{root: root, name: cgroupName(string(mounts), root), rootFD: fd, events: events}, nil
}

// errTreeInUse is that another daemon lives there.
var errTreeInUse = errors.New("a daemon that lives uses it, though the lock in its state directory is gone")

// lockTree keeps two daemons from sharing one tree, where each would kill what
// the other runs: whoever removes the state directory removes its lock. A child
// of a daemon that has just died holds a copy of the descriptor until its exec.
func lockTree(fd int) error {
	const patience, pause = time.Second, 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err == unix.EWOULDBLOCK && waited >= patience:
			return errTreeInUse
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			return err
		}
		time.Sleep(pause)
	}
}

// ownCgroup is the path of the cgroup v2 group that we run in, from the
// contents of /proc/self/mountinfo and /proc/self/cgroup.
func ownCgroup(mountinfo, cgroup string) (string, error) {
	group := ""
	for line := range strings.Lines(cgroup) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			group = strings.TrimSuffix(path, "\n")
		}
	}
	if group == "" {
		return "", errors.New("the kernel has no cgroup v2 (no line 0:: in /proc/self/cgroup)")
	}
	if group == "/.." || strings.HasPrefix(group, "/../") {
		return "", fmt.Errorf("we run outside of our cgroup namespace (%s)", group)
	}
	mounted := false
	for _, m := range parseMounts(mountinfo) {
		if m.fsType != "cgroup2" {
			continue
		}
		mounted = true
		if inside, ok := below(m.root, group); ok {
			return filepath.Join(m.point, inside), nil
		}
	}
	if mounted {
		return "", fmt.Errorf("our own cgroup %s is not in any mounted cgroup v2 tree", group)
	}
	return "", errors.New("no cgroup v2 tree is mounted")
}

// below is the rest of path below dir, and whether it is below it at all.
func below(dir, path string) (string, bool) {
	if dir == "/" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// replicas lists the replicas that have a group. Groups of what lives on go to left.
func (t *cgroupTree) replicas(left *leftBehind, log logr.Logger) ([]reconciler.ReplicaID, error) {
	entries, err := os.ReadDir(t.root)
	if err != nil {
		return nil, fmt.Errorf("cannot list our cgroup: %w", err)
	}
	var ids []reconciler.ReplicaID
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if id, known := reconciler.ParseReplicaID(e.Name()); known {
			ids = append(ids, id)
			continue
		}
		populated, err := t.populated(e.Name())
		switch {
		case err != nil:
			return nil, fmt.Errorf("cannot read the cgroup %s: %w", e.Name(), err)
		case populated && left.add(t, e.Name()):
		case populated:
			log.Info("Left a cgroup alone that is not ours", "cgroup", filepath.Join(t.root, e.Name()))
		default:
			if err := t.remove(e.Name()); err != nil {
				log.Error(err, "Kept an empty cgroup")
			}
		}
	}
	return ids, nil
}
