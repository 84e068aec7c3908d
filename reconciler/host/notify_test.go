package host_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// notifies is a service that tells of itself.
func notifies(s *spec.Service) *spec.Service {
	s.Spec.Notify = spec.NotifySystemd
	return s
}

func needSystemdNotify(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		t.Skip("needs systemd-notify: ", err)
	}
}

// notified is the notice that comes next.
func (m *machine) notified() reconciler.Notice {
	m.t.Helper()
	return *m.want(reconciler.EventNotified).Notice
}

// wantNotices checks what comes next.
func (m *machine) wantNotices(want ...reconciler.Notice) {
	m.t.Helper()
	var got []reconciler.Notice
	for range want {
		got = append(got, m.notified())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		m.t.Errorf("notices (-want +got):\n%s", diff)
	}
}

// end kills what runs and waits for its end.
func (m *machine) end() {
	m.t.Helper()
	m.kill()
	if e := m.want(reconciler.EventExited); e.Processes != nil {
		m.want(reconciler.EventEmptied)
	}
}

// forAll runs the test with and without cgroups, and directly and through the exec
// stage.
func forAll(t *testing.T, test func(t *testing.T, m *machine)) {
	t.Helper()
	for name, o := range map[string]host.Options{
		"with cgroups": {}, "without cgroups": {NoCgroups: true}, "through the exec stage": {NoCgroups: os.Getuid() != 0, RemotePaths: []string{"/"}},
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, o)) })
	}
}

func TestWhatAServiceTellsOfItselfIsTold(t *testing.T) {
	needSystemdNotify(t)
	forAll(t, func(t *testing.T, m *machine) {
		// Without --no-block it returns only when its barrier is closed.
		m.start(notifies(shell("systemd-notify --ready --status='up and well' && systemd-notify WATCHDOG=1 EXTEND_TIMEOUT_USEC=5000000 && " +
			"systemd-notify RELOADING=1 && systemd-notify WATCHDOG=trigger && systemd-notify STOPPING=1 X=1 && systemd-notify X=1 && exit 7")))
		m.wantNotices(
			reconciler.Notice{Ready: true, Status: "up and well", HasStatus: true},
			reconciler.Notice{Watchdog: true, Extend: 5 * time.Second},
			reconciler.Notice{Reloading: true},
			reconciler.Notice{WatchdogTrigger: true},
			reconciler.Notice{Stopping: true},
		)
		if e := m.want(reconciler.EventExited); e.Exit.Code != 7 {
			t.Errorf("it ended with %+v: %s", e.Exit, m.output())
		}
	})
}

// sayAndEnd is a service that sends one message and ends at once.
func sayAndEnd() int {
	if sent, err := systemd.SdNotify(false, os.Getenv("HOST_TEST_SAY")); !sent || err != nil {
		fmt.Println(sent, err)
		return 1
	}
	unix.Exit(0) // at once, whatever the race detector has hooked in
	return 0
}

// sayLater is a service that is ready when somebody has written to a FIFO.
func sayLater(fifo string) int {
	if _, err := os.ReadFile(fifo); err != nil {
		fmt.Println(err)
	}
	say("READY=1")
	for {
		_ = unix.Pause()
	}
}

// guard is a service with a watchdog.
func guard() int {
	every, err := systemd.SdWatchdogEnabled(false)
	fmt.Println(every, err)
	if sent, err := systemd.SdNotify(false, systemd.SdNotifyWatchdog); !sent || err != nil {
		fmt.Println(sent, err)
	}
	unix.Exit(0)
	return 0
}

func TestAWatchdogIsFed(t *testing.T) {
	forAll(t, func(t *testing.T, m *machine) {
		s := notifies(self(t, "guard"))
		s.Spec.WatchdogSeconds = 30
		m.start(s)
		m.wantNotices(reconciler.Notice{Watchdog: true})
		m.want(reconciler.EventExited)
		if got, want := m.output(), "30s <nil>\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestWhatWasAdoptedTellsOfItself: the daemon that started it was killed, and its
// socket with it.
func TestWhatWasAdoptedTellsOfItself(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		if err := unix.Mkfifo(m.dir+"/go", 0o600); err != nil {
			t.Fatal(err)
		}
		s := notifies(self(t, "say-later", spec.EnvVar{Name: "HOST_TEST_PATH", Value: m.dir + "/go"}))
		e := m.start(s)
		m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{recordOf(s, e)}}})
		if err := os.WriteFile(m.dir+"/go", []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
		m.wantNotices(reconciler.Notice{Ready: true})
		m.end()
	})
}

// TestAWatchdogThatWasFedOverAnotherSocket counts as never fed, as long as there is
// no other news of it.
func TestAWatchdogThatWasFedOverAnotherSocket(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		s := notifies(shell("sleep 1000"))
		record := recordOf(s, m.start(s))
		record.Instance.Life = &reconciler.Life{ReadyToldAt: time.Now(), HeardAt: time.Now()}
		fed := func() bool { return !m.host.Restored()[0].Instance.Life.HeardAt.IsZero() }
		for n, step := range []struct {
			carried bool // through exec(2)
			want    bool
		}{{true, true}, {false, false}, {true, false}, {true, false}} {
			kept := &host.Kept{Records: []reconciler.Record{record}}
			if step.carried {
				kept.Notify = again(t, m.host.Carry().Notify)
			}
			m.reopen(host.Options{Kept: kept})
			if got := fed(); got != step.want {
				t.Errorf("daemon %d: it counts as fed: %v, want %v", n, got, step.want)
			}
		}
		record.Instance.Life.HeardAt = time.Now()
		m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{record}, Notify: again(t, m.host.Carry().Notify)}})
		if !fed() {
			t.Error("it was fed over this socket")
		}
		m.end()
	})
}

// TestWhoWasReapedIsNotHeard: his number may be another's by now.
func TestWhoWasReapedIsNotHeard(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		pid := m.start(notifies(shell("exec sleep 1000"))).Pid
		ended := exec.Command("true")
		if err := ended.Start(); err != nil {
			t.Fatal(err)
		}
		gone, err := unix.PidfdOpen(ended.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(gone) }()
		_ = ended.Wait()
		for name, tt := range map[string]struct {
			pidfd int
			want  bool
		}{
			"the kernel tells nothing":         {-1, true},
			"it was reaped":                    {-int(unix.ESRCH), false},
			"it was reaped, before Linux 6.16": {-int(unix.EINVAL), false},
			"it was reaped since":              {gone, false},
		} {
			if got := m.host.Hears(pid, uint32(os.Getuid()), tt.pidfd); got != tt.want {
				t.Errorf("%s: heard %v, want %v", name, got, tt.want)
			}
		}
		m.end()
	})
}

// TestASubGroupBelongs to the replica.
func TestASubGroupBelongs(t *testing.T) {
	needSystemdNotify(t)
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	m := open(t, host.Options{})
	s := notifies(shell("read -r x <" + m.dir + "/go; mkdir $x && echo 0 >$x/cgroup.procs && systemd-notify --ready && exit 7"))
	if err := unix.Mkfifo(m.dir+"/go", 0o600); err != nil {
		t.Fatal(err)
	}
	group := groupOf(t, m.start(s).Pid)
	if err := os.WriteFile(m.dir+"/go", []byte(group+"/below\n"), 0); err != nil {
		t.Fatal(err)
	}
	m.wantNotices(reconciler.Notice{Ready: true})
	if e := m.want(reconciler.EventExited); e.Exit.Code != 7 {
		t.Errorf("it ended with %+v: %s", e.Exit, m.output())
	}
}

func TestTheLastWordsOfAMainProcessAreTold(t *testing.T) {
	forAll(t, func(t *testing.T, m *machine) {
		for range 20 {
			m.start(notifies(self(t, "say", spec.EnvVar{Name: "HOST_TEST_SAY", Value: "READY=1\nSTATUS=over"})))
			m.wantNotices(reconciler.Notice{Ready: true, Status: "over", HasStatus: true})
			if e := m.want(reconciler.EventExited); e.Exit.Status() != 0 {
				t.Errorf("it ended with %+v: %s", e.Exit, m.output())
			}
		}
	})
}

func TestNothingIsToldBeforeTheStart(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		m.offer(reconciler.VerbStart, notifies(shell("systemd-notify --ready && systemd-notify --status=x; exit 7")))
		until(func() bool { return len(m.host.Carry().Early[web0]) > 0 }) // it was read
		m.want(reconciler.EventStarted)
		m.wantNotices(reconciler.Notice{Ready: true}, reconciler.Notice{Status: "x", HasStatus: true})
		if e := m.want(reconciler.EventExited); e.Exit.Code != 7 {
			t.Errorf("it ended with %+v", e.Exit)
		}
	})
}

func TestTheEnvironmentOfWhatTellsOfItself(t *testing.T) {
	watched := notifies(shell("env"))
	watched.Spec.WatchdogSeconds = 30
	own := notifies(shell("env"))
	own.Spec.Env = []spec.EnvVar{{Name: "NOTIFY_SOCKET", Value: "/own"}}
	tests := map[string]struct {
		service *spec.Service
		want    []string
	}{
		"what does not gets neither":        {func() *spec.Service { s := shell("env"); s.Spec.WatchdogSeconds = 30; return s }(), nil},
		"what does gets the socket":         {notifies(shell("env")), []string{"NOTIFY_SOCKET=STATE/notify"}},
		"the watchdog's time is in it":      {watched, []string{"NOTIFY_SOCKET=STATE/notify", "WATCHDOG_USEC=30000000"}},
		"it is no other, whatever env says": {own, []string{"NOTIFY_SOCKET=STATE/notify"}},
	}
	t.Setenv("NOTIFY_SOCKET", "/of/the/daemon")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := open(t, through["directly"])
			var got []string
			for line := range strings.Lines(m.runToEnd(tt.service)) {
				if strings.Contains(line, "NOTIFY") || strings.Contains(line, "WATCHDOG") {
					got = append(got, strings.ReplaceAll(strings.TrimSpace(line), m.dir+"/state", "STATE"))
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestOnlyAServiceItselfTellsOfIt: neither a service that is to tell nothing, nor a
// process that is no service's.
func TestOnlyAServiceItselfTellsOfIt(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		socket := m.dir + "/state/notify"
		m.start(shell("export NOTIFY_SOCKET=" + socket + "; systemd-notify --ready; exit 0"))
		m.want(reconciler.EventExited)

		m.start(notifies(shell("read line </dev/null; sleep 1000")))
		conn, err := net.Dial("unixgram", socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("READY=1")); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		// What is sent afterwards is told afterwards.
		m.end()
		m.start(notifies(shell("systemd-notify --status=mine")))
		m.wantNotices(reconciler.Notice{Status: "mine", HasStatus: true})
		m.want(reconciler.EventExited)
	})
}

func TestAnotherServiceIsNotSpokenFor(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		other := reconciler.ReplicaID{Service: "other"}
		s := notifies(shell("while :; do read -r line <" + m.dir + "/go; systemd-notify MAINPID=$line READY=1; done"))
		if err := exec.Command("mkfifo", m.dir+"/go").Run(); err != nil {
			t.Fatal(err)
		}
		s.Metadata.Name = "other"
		m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: other, Run: 77, Service: s}
		if e := m.next(); e.Kind != reconciler.EventStarted || e.Replica != other {
			t.Fatalf("got %+v", e)
		}
		pid := m.start(notifies(shell("sleep 1000"))).Pid
		if err := os.WriteFile(m.dir+"/go", []byte(strconv.Itoa(int(pid))+"\n"), 0); err != nil {
			t.Fatal(err)
		}
		if e := m.next(); e.Kind != reconciler.EventNotified || e.Replica != other || e.Run != 77 || e.Pid != 0 || !e.Notice.Ready {
			t.Errorf("got %+v, want that the other one is ready and has the main process it had", e)
		}
		m.end()
		if err := m.host.Kill(other); err != nil {
			t.Error(err)
		}
		for e := m.next(); ; e = m.next() {
			if e.Replica != other {
				t.Errorf("got %+v", e)
			}
			if e.Kind == reconciler.EventEmptied || e.Processes == nil {
				break
			}
		}
	})
}

func TestAServiceOfAnotherUserTellsOfItself(t *testing.T) {
	needSystemdNotify(t)
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	forBoth(t, func(t *testing.T, m *machine) {
		m.letThrough()
		if err := os.Chmod(m.dir+"/state", 0o700); err != nil {
			t.Fatal(err)
		}
		s := notifies(shell("systemd-notify --ready && exit 7"))
		s.Spec.SecurityContext.RunAsUser = "nobody"
		m.start(s)
		m.wantNotices(reconciler.Notice{Ready: true})
		if e := m.want(reconciler.EventExited); e.Exit.Code != 7 {
			t.Errorf("it ended with %+v: %s", e.Exit, m.output())
		}
	})
}

// reopen puts another host in the place of this one, with what it is to know.
func (m *machine) reopen(o host.Options) {
	m.t.Helper()
	if err := m.host.Close(); err != nil {
		m.t.Fatal(err)
	}
	o.StateDir, o.Output, o.NoCgroups = m.dir+"/state", m.logs, m.host.CgroupRoot() == ""
	var err error
	if m.host, err = host.Open(o); err != nil {
		m.t.Fatal(err)
	}
}

// recordOf tells of what runs.
func recordOf(s *spec.Service, e reconciler.Event) reconciler.Record {
	now := time.Now()
	return reconciler.Record{At: now, Want: s, Instance: reconciler.Instance{
		ID: web0, Run: e.Run, Spec: s, StartTakenAt: now, StartedAt: now, Pid: e.Pid, StartTicks: e.StartTicks,
	}}
}

// letThrough lets other users reach the state directory.
func (m *machine) letThrough() {
	m.t.Helper()
	for dir := m.dir; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
}

func TestAProcessOfAnotherUserThanTheServicesIsNotHeard(t *testing.T) {
	needSystemdNotify(t)
	if _, err := exec.LookPath("setpriv"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root and setpriv: ", err)
	}
	forBoth(t, func(t *testing.T, m *machine) {
		m.letThrough()
		if err := os.Chmod(m.dir+"/state", 0o755); err != nil {
			t.Fatal(err)
		}
		m.start(notifies(shell("setpriv --reuid=nobody --clear-groups systemd-notify --ready && systemd-notify --status=mine && exit 7")))
		m.wantNotices(reconciler.Notice{Status: "mine", HasStatus: true})
		if e := m.want(reconciler.EventExited); e.Exit.Code != 7 {
			t.Errorf("it ended with %+v: %s", e.Exit, m.output())
		}
	})
}
