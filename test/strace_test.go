package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The system calls by which the daemon changes the world. A kill at the entry of
// one is before it; after it is before the next one of the same thread, whichever
// that is, which the list of all others stands for.
var worldChanging = []string{
	"clone,clone3,vfork", "pidfd_send_signal", "kill", "mkdir,mkdirat", "rmdir,unlink,unlinkat",
	"write,pwrite64", "rename,renameat,renameat2", "setxattr", "openat", "flock", "waitid", "ftruncate", "memfd_create",
	"close", "fcntl", "epoll_ctl", "read,pread64", "newfstatat,fstat", "pidfd_open", "futex", "sched_yield,nanosleep",
}

// TestADaemonThatIsKilledAtASystemCallDoublesNothingAndLosesNothing does not
// choose the moments by our own names for them: strace kills the daemon when a
// thread of it enters a system call for the Nth time.
func TestADaemonThatIsKilledAtASystemCallDoublesNothingAndLosesNothing(t *testing.T) {
	need(t, false, "strace")
	t.Parallel()
	var all []trial
	killed := make(chan string, 10_000)
	for _, calls := range worldChanging {
		// The first ones are of the start, later ones of what it does.
		for _, nth := range []int{1, 2, 3, 4, 6, 9, 13, 20, 40} {
			all = append(all, tortured(fmt.Sprintf("%s, time %d,", calls, nth), built.release, func(w *torture) { w.traced(calls, nth, killed) })...)
		}
	}
	// Each run has others.
	random := rand.New(rand.NewPCG(seed(t), 2))
	random.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	trials := all[:min(rounds(30), len(all))]
	atOnce(t, trials)
	count := map[string]int{}
	for range len(killed) {
		count[<-killed]++
	}
	t.Logf("%d daemons, killed at %v", len(trials), count)
}

// traced is crash with strace as the murderer.
func (w *torture) traced(calls string, nth int, killed chan<- string) {
	first := w.prepared()
	if died := w.straced(calls, nth); died {
		killed <- calls
	}
	w.start()
	w.inOrder(first)
}

// straced runs a daemon that strace kills, and asks it for everything. It may
// live: then it is killed at the end.
func (w *torture) straced(calls string, nth int) (died bool) {
	known := slices.DeleteFunc(strings.Split(calls, ","), func(call string) bool { return !knownCalls()[call] })
	if len(known) == 0 {
		w.t.Skip("this machine has no " + calls)
	}
	list := strings.Join(known, ",")
	d := newDaemon(w.binary, w.folders, w.flags...)
	arguments := slices.Compact(d.command.Args)
	// -b has it let go of what the daemon executes; the rest of the output is of no
	// interest.
	command := exec.Command("strace", append([]string{
		"-f", "-b", "execve", "-qqq", "-o", "/dev/null", "-e", "trace=" + list,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", list, nth), "--",
	}, arguments...)...)
	command.Env = append(os.Environ(), "RECONCILER_VERIFY=1")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.command = command
	w.daemon = d
	if err := d.launch(); err != nil && d.refused() == nil {
		w.t.Error(err)
	}
	w.during()
	if d.refused() == nil {
		// Its pid is not strace's.
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = d.wait()
		w.daemon = nil
		return false
	}
	w.daemon = nil
	return true
}

// knownCalls are the system calls that strace knows here.
var knownCalls = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for _, calls := range worldChanging {
		for call := range strings.SplitSeq(calls, ",") {
			if exec.Command("strace", "-qqq", "-o", "/dev/null", "-e", "trace="+call, "true").Run() == nil {
				known[call] = true
			}
		}
	}
	return known
})
