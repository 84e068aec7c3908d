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
//
// A leader that an earlier daemon started is reaped by somebody else. Its number
// is still nobody else's as long as anything of the session lives (a number is
// free when no process has it as its process, group or session), so then it is
// looked whether another process has it before anything is signalled.
type sessions struct{}

func (*sessions) prepare(reconciler.ReplicaID, bool) (string, bool, error) { return "", false, nil }

func (*sessions) survivors(g *group) ([]int32, bool) {
	if g.reused() {
		return nil, false
	}
	pids, all := sessionMembers(g.pid)
	return pids, len(pids) > 0 || !all
}

// reused says that the number of the session's leader is another process's, so
// that nothing of the session can be left.
func (g *group) reused() bool {
	if g.pidfd >= 0 || g.pid == 0 || g.ticks == 0 {
		return false
	}
	s, ok := readStat(g.pid)
	return ok && s.startTicks != g.ticks
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
	if g.pid == 0 || g.reused() {
		return 0, nil
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
	if g.pid == 0 {
		return nil
	}
	if err := killProcessGroup(g); err != nil && err != unix.ESRCH && err != unix.EPERM {
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

// killProcessGroup signals the leader's process group while the leader is our
// unreaped child; at any other time its number may be another group's.
func killProcessGroup(g *group) error {
	if g.pidfd < 0 {
		return nil
	}
	if _, _, err := waitExit(g.pidfd, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT); err == unix.ECHILD {
		return nil
	}
	return unix.Kill(-int(g.pid), unix.SIGKILL)
}
