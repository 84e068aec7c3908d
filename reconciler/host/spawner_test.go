package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/reconciler/logs"
)

// tables are the descriptors of the threads that have a table of their own.
func tables(t *testing.T) (all []map[int]string) {
	t.Helper()
	marker, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 700) // in the table of all others
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(marker) }()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		table := descriptors("/proc/self/task/" + task.Name() + "/fd")
		if len(table) == 0 || table[marker] != "" {
			continue
		}
		if task.Name() == strconv.Itoa(os.Getpid()) {
			t.Error("the first thread has a table of its own")
		}
		all = append(all, table)
	}
	return all
}

func descriptors(dir string) map[int]string {
	table := map[int]string{}
	entries, _ := os.ReadDir(dir) // the thread may have ended
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		table[fd], _ = os.Readlink(dir + "/" + e.Name())
	}
	return table
}

// ways are all ways in which a process comes into being.
func ways(t *testing.T, test func(t *testing.T, m *machine)) {
	for name, o := range through {
		t.Run(name, func(t *testing.T) { test(t, open(t, o)) })
	}
	t.Run("by a worker", func(t *testing.T) {
		m := open(t, through["directly"])
		m.host.ForkFromWorkers()
		test(t, m)
	})
}

func TestAProcessHasThreeDescriptorsHoweverManyTheDaemonHas(t *testing.T) {
	ways(t, func(t *testing.T, m *machine) {
		for _, more := range []int{0, 500} {
			for range more {
				fd, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = unix.Close(fd) })
			}
			ready := fmt.Sprintf("ready beside %d", more)
			pid := m.start(shell("echo " + ready + "; kill -STOP $$$$")).Pid
			m.waitOutput(ready)
			stdout, stderr := m.logs.Pipes(logs.Replica(web0))
			got := descriptors(fmt.Sprintf("/proc/%d/fd", pid))
			if diff := cmp.Diff(map[int]string{0: "/dev/null", 1: stdout, 2: stderr}, got); diff != "" {
				t.Errorf("descriptors (-want +got):\n%s", diff)
			}
			for _, fd := range []int{1, 2} {
				info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
				_, flags, _ := strings.Cut(string(info), "flags:")
				how, _ := strconv.ParseInt(strings.Fields(flags)[0], 8, 64)
				if how&(unix.O_ACCMODE|unix.O_APPEND|unix.O_NONBLOCK) != unix.O_RDWR {
					t.Errorf("descriptor %d is open with %#o", fd, how)
				}
			}
			m.kill()
			m.want(reconciler.EventExited)
		}
	})
}

func TestThreadsThatForkHoldNothingOfTheProcess(t *testing.T) {
	m := open(t, through["directly"])
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pipe[0]) }()
	path := filepath.Join(t.TempDir(), "lock")
	lock := func() (int, error) {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return fd, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	held, err := lock()
	if err != nil {
		t.Fatal(err)
	}

	defer m.host.OccupySpawners(3)()
	m.start(web("/bin/true"))
	m.want(reconciler.EventExited)
	own := tables(t)
	if len(own) == 0 {
		t.Fatal("no thread has a table of its own")
	}
	for _, table := range own {
		for fd, what := range table {
			if fd > 2 && what != "/dev/null" && what != "anon_inode:[eventpoll]" && what != "anon_inode:[eventfd]" {
				t.Errorf("descriptor %d is %s", fd, what)
			}
		}
		if len(table) > 10 {
			t.Errorf("%d descriptors: %v", len(table), table)
		}
	}

	_, _ = unix.Close(pipe[1]), unix.Close(held)
	var buf [1]byte
	if n, err := unix.Read(pipe[0], buf[:]); n != 0 || err != nil {
		t.Errorf("the reader of a pipe that was closed got %d, %v", n, err)
	}
	again, err := lock()
	if err != nil {
		t.Errorf("a lock that was given up: %v", err)
	}
	_ = unix.Close(again)
}

func TestThreadsThatForkEndWithTheHost(t *testing.T) {
	dir := t.TempDir()
	h, err := host.Open(host.Options{StateDir: filepath.Join(dir, "state"), Output: capture(dir), NoCgroups: true})
	if err != nil {
		t.Fatal(err)
	}
	release := h.OccupySpawners(5)
	if n := len(tables(t)); n < 5 {
		t.Errorf("%d threads, want at least 5", n)
	}
	hung := h.OccupySpawners(1)
	release()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	until(func() bool { return len(tables(t)) == 1 })
	hung()
	until(func() bool { return len(tables(t)) == 0 })
}

func TestAForkThatHangsHoldsNoOtherUp(t *testing.T) {
	m := open(t, host.Options{Workers: 1, NoCgroups: os.Getuid() != 0})
	release := m.host.OccupySpawners(4)
	defer release()
	for range 5 {
		m.start(shell("exit 4"))
		m.want(reconciler.EventExited)
	}
}
