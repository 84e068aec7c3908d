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

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

func TestWhatADaemonLeftIsFoundByTheNext(t *testing.T) {
	dir := t.TempDir()
	o := host.Options{StateDir: filepath.Join(dir, "state"), Output: capture(dir)}
	t.Cleanup(func() { o.Output.Close(false) })
	h, err := host.Open(o)
	if err != nil && os.Getuid() != 0 {
		t.Skip("needs cgroups: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, host: h, dir: dir}
	e := m.start(web("/bin/sleep", "1000"))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h, err = host.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m = &machine{t: t, host: h, dir: dir}
	if diff := cmp.Diff([]reconciler.ReplicaID{web0}, h.Found()); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	m.offer(reconciler.VerbStart, shell("true"))
	if f := m.want(reconciler.EventStartFailed).Failure; f.Reason != reconciler.ReasonGroupOccupied {
		t.Errorf("start beside what was left: %+v", f)
	}
	m.offer(reconciler.VerbForget, nil)
	if f := m.want(reconciler.EventForgotten).Failure; f == nil {
		t.Error("what lives was forgotten")
	}
	m.run = 0
	m.kill()
	m.want(reconciler.EventEmptied)
	if _, err := unix.Wait4(int(e.Pid), nil, 0, nil); err != nil {
		t.Error(err) // our own child still, as no daemon has died really
	}
	m.start(shell("exit 3"))
	m.want(reconciler.EventExited)
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	h, err = host.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Found()) > 0 {
		t.Errorf("found %v where nothing is", h.Found())
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestTwoHostsNeverShareATree(t *testing.T) {
	m := open(t, host.Options{})
	m.start(web("/bin/sleep", "1000"))
	o := host.Options{StateDir: filepath.Join(m.dir, "state"), Output: m.logs}
	if h, err := host.Open(o); err == nil {
		t.Errorf("a second host was opened and found %v", h.Found())
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	} else if !strings.Contains(err.Error(), "a daemon that lives uses it") {
		t.Error(err)
	}
	m.kill()
	m.want(reconciler.EventExited)
}

func TestGroupsMadeByTheServiceAreKilledAndRemoved(t *testing.T) {
	m := open(t, host.Options{})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	point := ""
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " - cgroup2 ") {
			point = strings.Fields(line)[4]
		}
	}
	m.start(shell("own=" + point + "`sed -n s/^0:://p /proc/self/cgroup`; mkdir -p $own/a/b; sleep 1000 & echo $! > $own/a/b/cgroup.procs; echo ready; exit 0"))
	e := m.want(reconciler.EventExited)
	if len(e.Processes) != 1 || !strings.Contains(m.output(), "ready") {
		t.Errorf("survivors %+v; %s", e.Processes, m.output())
	}
	m.kill()
	m.want(reconciler.EventEmptied)
	m.offer(reconciler.VerbForget, nil)
	if f := m.want(reconciler.EventForgotten).Failure; f != nil {
		t.Errorf("cannot be forgotten: %+v", f)
	}
}

func TestACoreIsTold(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		const script = "ulimit -c unlimited; kill -SEGV $$"
		ref := exec.Command("/bin/sh", "-c", script)
		ref.Dir = m.dir
		_ = ref.Run()
		status, ok := ref.ProcessState.Sys().(syscall.WaitStatus)
		if !ok {
			t.Fatal("no wait status")
		}
		s := shell(strings.ReplaceAll(script, "$", "$$"))
		s.Spec.WorkingDir = m.dir
		m.start(s)
		want := reconciler.Exit{Signal: syscall.SIGSEGV, CoreDumped: status.CoreDump()}
		if diff := cmp.Diff(want, m.want(reconciler.EventExited).Exit); diff != "" {
			t.Errorf("exit (-want +got):\n%s", diff)
		}
	})
}

// leaveThreads ends the first thread; the others live on.
func leaveThreads() int {
	for range 8 {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == unix.Getpid() {
				fmt.Println("the leader leaves")
				_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
			}
			select {}
		}()
	}
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		fmt.Println("the leader leaves")
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	}
	select {}
}

func TestAProcessWhoseFirstThreadEndedIsAlive(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		e := m.start(self(t, "lead"))
		for {
			stat, err := os.ReadFile("/proc/" + strconv.Itoa(int(e.Pid)) + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(stat), ") Z ") {
				break
			}
		}
		m.offer(reconciler.VerbInspect, nil)
		if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 1 || ps[0].Pid != e.Pid {
			t.Errorf("inspected %+v", ps)
		}
		m.run--
		m.signal(syscall.SIGKILL, reconciler.ScopeMain)
		if x := m.want(reconciler.EventExited); x.Exit.Signal != syscall.SIGKILL {
			t.Errorf("ended with %+v", x)
		}
	})
}

// inherit is a daemon that runs one service.
func inherit() int {
	dir, err := os.MkdirTemp("", "inherit")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c := capture(dir)
	h, err := host.Open(host.Options{StateDir: dir, Output: c, NoCgroups: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Run: 1, Service: web("/bin/cat", "/proc/self/status")}
	for range 2 {
		if e := <-h.Events(); e.Failure != nil {
			fmt.Println(e.Failure.Message)
		}
	}
	fmt.Println(written(c, dir))
	if err := h.Close(); err != nil {
		fmt.Println(err)
	}
	return 0
}

func TestIgnoredAndBlockedSignalsOfTheDaemonAreNotTheServices(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("env", "--ignore-signal=HUP", "--ignore-signal=INT", "--ignore-signal=PIPE", "--block-signal=USR1", exe)
	cmd.Env = []string{"HOST_TEST_ACT=inherit", "TMPDIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	for _, line := range []string{"SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n"} {
		if !strings.Contains(string(out), line) {
			t.Errorf("no %q in:\n%s", line, out)
		}
	}
}

func TestEnvironmentFilesAreReadAtEachStart(t *testing.T) {
	m := open(t, host.Options{NoCgroups: os.Getuid() != 0})
	file := filepath.Join(m.dir, "env")
	s := shell(`echo "$APP_COLOUR"`)
	s.Spec.EnvFrom = []spec.EnvFrom{{File: file, Prefix: "APP_"}, {File: file + ".local", Optional: true}}
	for _, colour := range []string{"red", "green"} {
		if err := os.WriteFile(file, []byte("COLOUR="+colour+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m.runToEnd(s)
	}
	if diff := cmp.Diff("red\ngreen\n", m.output()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if err := unix.Mkfifo(file+".local", 0o600); err != nil {
		t.Fatal(err)
	}
	m.offer(reconciler.VerbStart, s)
	if f := m.want(reconciler.EventStartFailed).Failure; f.Reason != reconciler.ReasonEnvFileInvalid || !strings.Contains(f.Message, "no regular file") {
		t.Errorf("got %+v", f)
	}
}

func TestWithoutCgroupsTheHostSaysWhatIsNotPromised(t *testing.T) {
	m := open(t, host.Options{NoCgroups: true})
	c := m.host.Conditions()
	if len(c) != 1 || c[0].Type != host.ConditionDegraded || c[0].Reason == "" || c[0].Message == "" {
		t.Errorf("got %+v", c)
	}
}
