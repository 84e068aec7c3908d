package host_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// groupOf is the path of a process's cgroup v2 group.
func groupOf(t *testing.T, pid int32) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(string(own), "0::")
	path, _, _ = strings.Cut(path, "\n")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " - cgroup2 ") {
			return filepath.Join(strings.Fields(line)[4], path)
		}
	}
	t.Fatal("no cgroup v2 tree is mounted")
	return ""
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// A successor that is killed at birth shows what was written; only one may be
// lost that way, and none when the first had only just begun.
func TestWhoWritesCgroupKillDoesNotKillTheSuccessors(t *testing.T) {
	m := open(t, host.Options{})
	write(t, groupOf(t, m.start(web("/bin/sleep", "1000")).Pid)+"/cgroup.kill", "1")
	if e := m.want(reconciler.EventExited).Exit; e.Signal != syscall.SIGKILL {
		t.Errorf("the first ended with %+v", e)
	}
	m.start(shell("exit 3"))
	e := m.want(reconciler.EventExited).Exit
	if e.Signal == syscall.SIGKILL {
		m.start(shell("exit 3"))
		e = m.want(reconciler.EventExited).Exit
	}
	if e.Code != 3 || e.Signal != 0 {
		t.Errorf("the successor ended with %+v, want code 3", e)
	}
}

func TestAStartIntoAFrozenGroup(t *testing.T) {
	m := open(t, host.Options{})
	e := m.start(web("/bin/sleep", "1000"))
	group := groupOf(t, e.Pid)
	write(t, group+"/cgroup.freeze", "1")
	if err := unix.Kill(int(e.Pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.want(reconciler.EventExited)
	m.start(shell("exit 3"))
	if e := m.want(reconciler.EventExited).Exit; e.Code != 3 {
		t.Errorf("the successor ended with %+v, want code 3", e)
	}

	// What somebody froze above is not ours to thaw.
	above := filepath.Dir(group) + "/cgroup.freeze"
	write(t, above, "1")
	m.offer(reconciler.VerbStart, shell("exit 3"))
	f := m.want(reconciler.EventStartFailed).Failure
	write(t, above, "0")
	if f.Reason != reconciler.ReasonCgroupRefused || !strings.Contains(f.Message, "frozen") {
		t.Errorf("start below a frozen group: %+v", f)
	}
	m.start(shell("exit 3"))
	m.want(reconciler.EventExited)
}

func TestALogFileThatIsAFIFOHoldsNobodyUp(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		if err := os.MkdirAll(m.dir+"/log/web", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(m.dir+"/log/web/0.log", 0o644); err != nil {
			t.Fatal(err)
		}
		m.start(shell("echo hello"))
		m.want(reconciler.EventExited)
		for len(m.logs.Losses()) == 0 { // until it was tried
			runtime.Gosched()
		}
	})
}

func TestAPipeThatIsNoneIsRefused(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		if err := os.WriteFile(m.dir+"/state/output/web-0.stdout", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		m.offer(reconciler.VerbStart, shell("true"))
		f := m.want(reconciler.EventStartFailed).Failure
		if f.Reason != reconciler.ReasonOutputRefused || !strings.Contains(f.Message, "it is no FIFO") {
			t.Errorf("got %+v", f)
		}
	})
}

// trace attaches to the process, kills it, and does not take its end until the
// standard input ends.
func trace() int {
	pid, err := strconv.Atoi(os.Getenv("HOST_TEST_PATH"))
	if err != nil {
		return 1
	}
	if err := unix.PtraceSeize(pid); err != nil {
		os.Stdout.WriteString("cannot trace: " + err.Error() + "\n")
		return 1
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return 1
	}
	os.Stdout.WriteString("killed\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return 0
}

// holdTraced kills a process and holds its end back from its parent, until let is
// called.
func holdTraced(pid int) (let func(), err error) {
	c := exec.Command("/proc/self/exe")
	c.Env = []string{"HOST_TEST_ACT=trace", "HOST_TEST_PATH=" + strconv.Itoa(pid)}
	hold, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	told, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	let = func() {
		hold.Close()
		_ = c.Wait()
	}
	var line [64]byte
	n, _ := told.Read(line[:])
	if string(line[:n]) != "killed\n" {
		let()
		return nil, fmt.Errorf("needs the right to trace: %s", line[:n])
	}
	return let, nil
}

func TestATracedProcessThatEndedIsNoHotLoop(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		e := m.start(web("/bin/sleep", "1000"))
		let, err := holdTraced(int(e.Pid))
		if err != nil {
			m.kill()
			m.want(reconciler.EventExited)
			t.Skip(err)
		}
		pidfd, err := unix.PidfdOpen(int(e.Pid), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1); err != nil {
			t.Fatal(err)
		}
		// The processor time of a second in which nothing happens.
		before := processorTime(t)
		if _, err := unix.Poll(nil, 1000); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if used := processorTime(t) - before; used > 3e8 {
			t.Errorf("used %d ms of processor time while waiting", used/1e6)
		}
		let()
		if e := m.want(reconciler.EventExited).Exit; e.Signal != syscall.SIGKILL {
			t.Errorf("ended with %+v", e)
		}
	})
}

func processorTime(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}
