package host

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// sessions is the grouping without cgroups: the session of the main process.
// The number of a session belongs to nobody else while its leader is unreaped,
// so the leader stays a zombie until the group is empty. A process that makes a
// session of its own escapes.
type sessions struct{}

func newSessions() *sessions { return &sessions{} }

func (*sessions) prepare(reconciler.ReplicaID, bool) (int, bool, error) { return -1, false, nil }

func (*sessions) survivors(g *group) ([]int32, bool) {
	pids, all := sessionMembers(g.pid)
	return pids, len(pids) > 0 || !all
}

// sessionMembers scans /proc for living processes of the session, except its
// leader when that has ended. all is false when they could not be listed. Who
// cannot be looked at, for want of descriptors, counts as living.
func sessionMembers(session int32) (pids []int32, all bool) {
	if session == 0 {
		return nil, true
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, false
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	for _, name := range names {
		pid, notPid := strconv.ParseInt(name, 10, 32)
		if notPid != nil {
			continue
		}
		if sid, err := unix.Getsid(int(pid)); err != nil || sid != int(session) {
			continue // far cheaper than reading stat
		}
		s, ok := readStat(int32(pid))
		if ok && s.session == session && !s.ended() || !ok && unix.Kill(int(pid), 0) != unix.ESRCH {
			pids = append(pids, int32(pid))
		}
	}
	return pids, err == nil
}

func (*sessions) openEvents(reconciler.ReplicaID) int { return -1 }
func (*sessions) reapAfter() bool                     { return true }

func (*sessions) signal(g *group, sig syscall.Signal) error {
	_, err := signalSession(g, sig)
	return err
}

func signalSession(g *group, sig syscall.Signal) (int, error) {
	if g.pidfd < 0 {
		return 0, nil // reaped: the number may be somebody else's
	}
	pids, _ := sessionMembers(g.pid)
	n, err := signalAll(pids, sig, func() map[int32]bool {
		set := map[int32]bool{}
		pids, _ := sessionMembers(g.pid)
		for _, pid := range pids {
			set[pid] = true
		}
		return set
	})
	if err != nil {
		return n, fmt.Errorf("cannot signal all of %s: %w", g.id, err)
	}
	return n, nil
}

// kill kills the process group at once and then, a few times, whatever else is
// of the session: who forks while we look is seen the next time.
func (*sessions) kill(g *group) error {
	if g.pidfd < 0 {
		return nil
	}
	if err := unix.Kill(-int(g.pid), unix.SIGKILL); err != nil && err != unix.ESRCH && err != unix.EPERM {
		return fmt.Errorf("cannot kill the process group of %s: %w", g.id, err)
	}
	for range 5 {
		n, err := signalSession(g, unix.SIGKILL)
		if n == 0 || err != nil {
			return err
		}
	}
	return nil
}

func (*sessions) forget(reconciler.ReplicaID) error { return nil }

func (*sessions) conditions() []Condition {
	return []Condition{{
		Type:   ConditionDegraded,
		Reason: "NoCgroups",
		Message: "cgroups are switched off (--no-cgroups): a process that makes a session of its own (a daemon does) escapes its service: " +
			"it is neither stopped nor seen, nor is what a killed reconciler leaves behind",
	}}
}

func (*sessions) close() error { return nil }
