package host

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// instanceVariable marks the processes of a service that has no cgroup: a daemon
// that comes later finds those of whose start nothing was written down.
const instanceVariable = "SVC_INSTANCE"

// instanceOf names a state directory.
func instanceOf(stateDir string) string {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		abs = stateDir
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(abs))
	return fmt.Sprintf("%016x", sum.Sum64())
}

// strays is the grouping of what an earlier daemon without cgroups left of a
// replica, when no main process that lives explains it. These processes are known
// by their mark: the variable in their environment, or, since setproctitle
// overwrites that, a pipe of ours as their output; and whoever is in a session
// that must be of our making. What neither tells is not found: it is best
// effort. The session of the last run that is known does not tell: its number may
// be a stranger's by now.
type strays struct {
	sessions
	h *Host
	// since, in clock ticks since the boot, is when the last run that a record
	// tells of began, if something of it may be left, or was over: what is older
	// is of no interest.
	since uint64

	mu sync.Mutex
	// known are those that were seen, with their start times: a process that is
	// ending loses its marks before it has ended.
	known map[int32]uint64
}

// strays finds, by one look at /proc, what a daemon without cgroups left behind
// that it had not written down.
func (a *adoption) strays() {
	if a.h.grouping != grouping(a.h.sessions) {
		return
	}
	all, _ := a.h.marked()
	for id, list := range all {
		if a.h.groups[id] != nil {
			continue // a record explains it
		}
		in := &strays{h: a.h}
		if r := a.records[id]; r != nil {
			in.since = ticksAt(r.Instance.GoneAt)
		}
		if len(in.of(list)) == 0 {
			continue
		}
		found := &a.h.found
		if slices.Contains(a.kept.Unreadable, id) {
			found = &a.h.unclear
		}
		a.found(id, in, found)
	}
}

// ticksAt is a moment in clock ticks since the boot, as /proc counts them.
func ticksAt(t time.Time) uint64 {
	const perSecond = 100 // USER_HZ, the same on every machine that Go runs on
	var now unix.Timespec
	if t.IsZero() || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return uint64(max(0, now.Nano()-int64(time.Since(t)))) / (uint64(time.Second) / perSecond)
}

// stray is a living process of a replica.
type stray struct {
	pid   int32
	ticks uint64
}

// marked lists the living processes of all replicas that are known by their
// mark. It fails when not all could be listed.
func (h *Host) marked() (map[reconciler.ReplicaID][]stray, error) {
	found := map[reconciler.ReplicaID][]stray{}
	pids, err := listProc()
	if err != nil {
		return found, err
	}
	self := int32(os.Getpid())
	sessions := map[int32]reconciler.ReplicaID{}
	others := map[stray]int32{} // their sessions
	for _, pid := range pids {
		s, seen := readStat(pid)
		if !seen || s.ended() || pid == self {
			continue
		}
		one := stray{pid, s.startTicks}
		id, by := h.markOf(pid)
		switch {
		case by != unmarked:
			found[id] = append(found[id], one)
			// Nobody can join a session, only be born into it. But a person may
			// write to a pipe, in the session of a login.
			if by == markedByBirth || pid == s.session {
				sessions[s.session] = id
			}
		case s.session != 0:
			others[one] = s.session
		}
	}
	for one, session := range others {
		if id, ok := sessions[session]; ok {
			found[id] = append(found[id], one)
		}
	}
	return found, nil
}

func listProc() ([]int32, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	var pids []int32
	for _, name := range names {
		if pid, e := strconv.ParseInt(name, 10, 32); e == nil {
			pids = append(pids, int32(pid))
		}
	}
	return pids, err
}

// marking is what tells that a process belongs to a replica.
type marking uint8

const (
	unmarked       marking = iota
	markedByBirth          // the variable in its environment
	markedByOutput         // its output is a pipe of ours
)

// markOf tells to which replica a process belongs, and by what. What another
// daemon has marked is not ours, whatever it writes to.
func (h *Host) markOf(pid int32) (reconciler.ReplicaID, marking) {
	path := "/proc/" + strconv.Itoa(int(pid))
	environ, _ := os.ReadFile(path + "/environ")
	id, output := h.outputOf(path)
	// In the midst of execve(2) a process has no environment.
	for try := 0; output && len(environ) == 0 && try < 10; try++ {
		time.Sleep(time.Millisecond)
		environ, _ = os.ReadFile(path + "/environ")
	}
	if h.isCommand(environ) {
		return reconciler.ReplicaID{}, unmarked // no part of what it runs beside
	}
	for line := range bytes.SplitSeq(environ, []byte{0}) {
		value, marked := bytes.CutPrefix(line, []byte(instanceVariable+"="))
		if !marked {
			continue
		}
		instance, name, _ := strings.Cut(string(value), "/")
		if id, ok := reconciler.ParseReplicaID(name); ok && instance == h.instance {
			return id, markedByBirth
		}
		return reconciler.ReplicaID{}, unmarked
	}
	if output {
		return id, markedByOutput
	}
	return reconciler.ReplicaID{}, unmarked
}

// outputOf tells to whose pipe a process writes, if to any.
func (h *Host) outputOf(path string) (reconciler.ReplicaID, bool) {
	for _, stream := range []string{"1", "2"} {
		target, err := os.Readlink(path + "/fd/" + stream)
		if err != nil {
			continue
		}
		if id, ok := h.output.ReplicaOf(strings.TrimSuffix(target, " (deleted)")); ok {
			return reconciler.ReplicaID(id), true
		}
	}
	return reconciler.ReplicaID{}, false
}

// doubt is how many ticks two clocks may disagree.
const doubt = 2

// of are the pids of those that are not too old, and of those that were before
// and have not ended. The first restart comes at once, within a tick of the clock.
func (s *strays) of(list []stray) []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[int32]uint64{}
	}
	for _, one := range list {
		if one.ticks+doubt >= s.since {
			s.known[one.pid] = one.ticks
		}
	}
	maps.DeleteFunc(s.known, func(pid int32, ticks uint64) bool {
		now, seen := readStat(pid)
		return !seen || now.startTicks != ticks || now.ended()
	})
	return slices.Collect(maps.Keys(s.known))
}

func (s *strays) survivors(g *group) ([]int32, bool) {
	all, err := s.h.marked()
	pids := s.of(all[g.id])
	return pids, len(pids) > 0 || err != nil
}

// reapAfter implements grouping: there is no leader to keep.
func (s *strays) reapAfter() bool { return false }

func (s *strays) signal(g *group, sig syscall.Signal) error {
	_, err := s.signalEach(g, sig)
	return err
}

func (s *strays) signalEach(g *group, sig syscall.Signal) (int, error) {
	pids, _ := s.survivors(g)
	n, err := signalAll(pids, sig, func() map[int32]bool {
		still := map[int32]bool{}
		for _, pid := range s.of(nil) {
			still[pid] = true
		}
		return still
	})
	if err != nil {
		return n, fmt.Errorf("cannot signal all of %s: %w", g.id, err)
	}
	return n, nil
}

// kill kills a few times: who forks while we look is seen the next time.
func (s *strays) kill(g *group) error {
	for range 5 {
		if n, err := s.signalEach(g, unix.SIGKILL); n == 0 || err != nil {
			return err
		}
	}
	return nil
}
