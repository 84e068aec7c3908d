package host

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// A main process that an earlier daemon started is not our child, so waitid does
// not tell how it ended. Linux 6.15 tells it through the pidfd, once its parent
// has reaped it (PIDFD_GET_INFO, PIDFD_INFO_EXIT); until then /proc does.

const (
	// reapPatience is how long the parent, mostly pid 1, has to reap it.
	reapPatience = 500 * time.Millisecond
	reapFirst    = time.Millisecond
)

// strangersExit tells how a process ended that is not our child. known is false
// when it may be told a little later.
func strangersExit(pidfd int, pid int32, ticks uint64) (exit reconciler.Exit, known bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := unix.IoctlPidfdInfo(pidfd, &info)
	switch {
	case err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0:
		return exitOf(unix.WaitStatus(uint32(info.Exit_code))), true
	case err != nil && err != unix.ESRCH && err != unix.EREMOTE:
		// An older kernel: what is reaped is past asking.
		status, zombie := zombieStatus(pid, ticks)
		if !zombie {
			return reconciler.Exit{Unknown: true}, true
		}
		return exitOf(status), true
	}
	if status, zombie := zombieStatus(pid, ticks); zombie {
		return exitOf(status), true
	}
	return reconciler.Exit{}, false
}

func exitOf(s unix.WaitStatus) reconciler.Exit {
	if s.Signaled() {
		return reconciler.Exit{Signal: syscall.Signal(s.Signal()), CoreDumped: s.CoreDump()}
	}
	return reconciler.Exit{Code: int32(s.ExitStatus())}
}

// zombieStatus reads the last field of /proc/PID/stat, which is 0 for who may not
// trace the process (proc_pid_stat(5)): only root, and its own user, may be sure.
func zombieStatus(pid int32, ticks uint64) (unix.WaitStatus, bool) {
	path := "/proc/" + strconv.Itoa(int(pid))
	data, err := os.ReadFile(path + "/stat")
	if err != nil {
		return 0, false
	}
	s, ok := parseStat(data)
	if !ok || s.startTicks != ticks || !s.ended() {
		return 0, false
	}
	var st unix.Stat_t
	if os.Geteuid() != 0 && (unix.Stat(path, &st) != nil || int(st.Uid) != os.Geteuid()) {
		return 0, false
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const exitCode = 52 - 3 // field 52; the first after the name is field 3
	if len(fields) <= exitCode {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[exitCode]), 10, 32)
	return unix.WaitStatus(n), err == nil
}

// strangerEnded is mainEnded for a process that is not our child. It looks again
// until its parent has reaped it, or is taking its time.
func (h *Host) strangerEnded(g *group) {
	exit, known := strangersExit(g.pidfd, g.pid, g.ticks)
	if !known && g.waited < reapPatience {
		h.mu.Lock()
		h.watcher.remove(g.pidfd, g.pidfdToken)
		h.mu.Unlock()
		pause := max(g.waited, reapFirst)
		g.waited += pause
		h.watcher.after(pause, func() { h.strangerEnded(g) })
		return
	}
	if !known {
		exit = reconciler.Exit{Unknown: true}
	}
	h.tellEnded(g, exit)
}
