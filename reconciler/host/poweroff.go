package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// initialPIDNamespace is what /proc/self/ns/pid names outside of every
	// container (PROC_PID_INIT_INO of the kernel's proc_ns.h).
	initialPIDNamespace = "pid:[4026531836]"
	// politeFor is how long what is no service has to end by itself when the
	// machine is switched off, and killedFor how long what was killed may take.
	politeFor, killedFor = 5 * time.Second, 2 * time.Second
)

// IsInit says that this process is the first of the machine. The first process
// of a container ends like any other.
func IsInit() bool {
	namespace, err := os.Readlink("/proc/self/ns/pid")
	return os.Getpid() == 1 && err == nil && namespace == initialPIDNamespace
}

// CatchCtrlAltDel has the kernel send us SIGINT for these keys, where it would
// restart the machine at once.
func CatchCtrlAltDel() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		return fmt.Errorf("cannot take over ctrl-alt-del: %w", err)
	}
	return nil
}

// EndMachine ends every other process, writes out what disks have to keep, and
// switches the machine off, or restarts it. It returns only when it cannot. Only
// the first process of the machine may call it, and nobody else may be at work in
// that any more.
func EndMachine(restart bool) error {
	if !IsInit() {
		return fmt.Errorf("cannot switch the machine off: process %d is not its first", os.Getpid())
	}
	// A process that is stopped takes its signal when it goes on.
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGCONT} {
		_ = unix.Kill(-1, sig) // it fails when there is nobody
	}
	if !awaitAlone(politeFor) {
		_ = unix.Kill(-1, unix.SIGKILL)
		awaitAlone(killedFor)
	}
	unix.Sync()
	how := unix.LINUX_REBOOT_CMD_POWER_OFF
	if restart {
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
	if err := unix.Reboot(how); err != nil {
		return fmt.Errorf("cannot switch the machine off: %w", err)
	}
	return nil
}

// awaitAlone waits until there are no other processes, and says whether that is
// so. What ends now tells nobody: so it looks.
func awaitAlone(patience time.Duration) bool {
	const pause = 10 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		for _, pid := range deadStrangers(nil) {
			var status unix.WaitStatus
			_, _ = wait(int(pid), &status)
		}
		if alone() {
			return true
		}
		if waited >= patience {
			return false
		}
		time.Sleep(pause)
	}
}

// alone says that all that runs besides us is of the kernel.
func alone() bool {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		pid, err := strconv.ParseInt(filepath.Base(process), 10, 32)
		if err != nil || int(pid) == os.Getpid() {
			continue
		}
		if s, ok := readStat(int32(pid)); ok && !s.ended() && !s.ofKernel() {
			return false
		}
	}
	return true
}

// ofKernel says that the process is a thread of the kernel.
func (s *procStat) ofKernel() bool {
	const pfKthread = 0x00200000 // PF_KTHREAD of the kernel's sched.h
	return s.flags&pfKthread != 0
}
