package host

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// openCgroupTree makes or finds our group below the one that we run in.
func openCgroupTree(stateDir string) (*cgroupTree, error) {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the state directory: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cannot read our own cgroup: %w", err)
	}
	parent, err := ownCgroup(string(mounts), string(own))
	if err != nil {
		return nil, err
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(abs))
	root := filepath.Join(parent, fmt.Sprintf("reconciler-%016x", sum.Sum64()))
	if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cannot make our cgroup: %w", err)
	}
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open our cgroup %s: %w", root, err)
	}
	if err := lockTree(fd); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot lock our cgroup %s: %w", root, err)
	}
	events, err := unix.Openat(fd, "cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot read our cgroup %s: %w", root, err)
	}
	return &cgroupTree{root: root, rootFD: fd, events: events}, nil
}

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
			return errors.New("a daemon that lives uses it, though the lock in its state directory is gone")
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

// leftOver lists the replicas in whose group something lives, and removes the
// other groups.
func (t *cgroupTree) leftOver(log logr.Logger) ([]reconciler.ReplicaID, error) {
	entries, err := os.ReadDir(t.root)
	if err != nil {
		return nil, fmt.Errorf("cannot list our cgroup: %w", err)
	}
	var ids []reconciler.ReplicaID
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		populated, err := t.populated(e.Name())
		if err != nil {
			return nil, fmt.Errorf("cannot read the cgroup %s: %w", e.Name(), err)
		}
		id, known := parseReplicaID(e.Name())
		switch {
		case !populated:
			if err := t.remove(e.Name()); err != nil {
				log.Error(err, "Kept an empty cgroup")
			}
		case known:
			ids = append(ids, id)
		default:
			log.Info("Left a cgroup alone that is not ours", "cgroup", filepath.Join(t.root, e.Name()))
		}
	}
	return ids, nil
}

// parseReplicaID is the inverse of ReplicaID.String.
func parseReplicaID(name string) (reconciler.ReplicaID, bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return reconciler.ReplicaID{}, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	id := reconciler.ReplicaID{Service: name[:i], Ordinal: int32(n)}
	return id, err == nil && n >= 0 && id.String() == name
}
