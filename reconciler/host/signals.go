package host

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalDefaults sees to it that children start with default dispositions and
// an empty mask, however we were started. A caught signal becomes default at
// execve; an ignored one stays ignored, so we catch those and drop them. The
// mask is that of the thread that forks.
type signalDefaults struct {
	dropped chan os.Signal
	blocked bool
}

func openSignalDefaults() (*signalDefaults, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return nil, fmt.Errorf("cannot read our signal dispositions: %w", err)
	}
	d := &signalDefaults{dropped: make(chan os.Signal, 1)}
	for _, n := range signalSet(string(status), "SigIgn:") {
		signal.Notify(d.dropped, syscall.Signal(n))
	}
	d.blocked = len(signalSet(string(status), "SigBlk:")) > 0
	return d, nil
}

// signalSet reads the numbers of the signals of one line of /proc/PID/status.
func signalSet(status, name string) []int {
	var set []int
	for line := range strings.Lines(status) {
		hex, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		bits, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		for n := 1; n <= 64; n++ {
			if bits&(1<<(n-1)) != 0 {
				set = append(set, n)
			}
		}
	}
	return set
}

// forkExec is syscall.ForkExec with an empty signal mask in the child.
func (d *signalDefaults) forkExec(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	if !d.blocked {
		return syscall.ForkExec(path, argv, attr)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, old uint64
	setMask(&none, &old)
	defer setMask(&old, nil)
	return syscall.ForkExec(path, argv, attr)
}

func setMask(set, old *uint64) {
	const setmask = 2 // SIG_SETMASK
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setmask, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

func (d *signalDefaults) close() { signal.Stop(d.dropped) }
