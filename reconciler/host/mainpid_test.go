package host_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// TestAnotherMainProcess: a process that forks and ends, as daemons do, names the
// one that goes on.
func TestAnotherMainProcess(t *testing.T) {
	needSystemdNotify(t)
	forAll(t, func(t *testing.T, m *machine) {
		fds, _ := census(t)
		first := m.start(notifies(shell("sleep 1000 & systemd-notify --ready MAINPID=$!; exit 3")))
		e := m.want(reconciler.EventNotified)
		if e.Pid == 0 || e.Pid == first.Pid || !e.Notice.Ready {
			t.Fatalf("got %+v", e)
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(int(e.Pid)) + "/stat")
		if err != nil || !strings.Contains(string(stat), " "+strconv.FormatUint(e.StartTicks, 10)+" ") {
			t.Errorf("started at %d, stat %s, %v", e.StartTicks, stat, err)
		}
		// The end of the first one is not told, and it is reaped.
		until(func() bool { return unix.Kill(int(first.Pid), 0) == unix.ESRCH })
		// Commands beside it run as before, though the end may have been seen first.
		s := shell("sleep 1000")
		if _, exit, f := m.host.Exec(t.Context(), reconciler.ProbeWork{Replica: web0, Run: first.Run, Service: s}, []string{"/bin/true"}, 1024); f != nil || exit.Code != 0 {
			t.Errorf("a command beside the other one: %+v, %+v", exit, f)
		}
		m.signal(syscall.SIGTERM, reconciler.ScopeMain)
		x := m.want(reconciler.EventExited)
		if x.Exit.Signal != syscall.SIGTERM && !x.Exit.Unknown || x.Processes != nil {
			t.Errorf("it ended with %+v, survivors %+v", x.Exit, x.Processes)
		}
		m.start(shell("exit 4"))
		m.want(reconciler.EventExited)
		m.offer(reconciler.VerbForget, nil)
		m.want(reconciler.EventForgotten)
		until(func() bool { now, _ := census(t); return now <= fds })
	})
}

// TestAnotherMainProcessWhileTheEndOfTheFirstIsWaitedFor: a hook is being ended then. It
// is told in order, and commands run beside the other one.
func TestAnotherMainProcessWhileTheEndOfTheFirstIsWaitedFor(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		for _, name := range []string{"/end", "/name"} {
			if err := unix.Mkfifo(m.dir+name, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := m.dir + "/pid"
		s := notifies(shell("sh -c 'read x <" + m.dir + "/name; systemd-notify --ready MAINPID=$$$$; exec sleep 1000' & read x <" + m.dir + "/end; exit 3"))
		setHook(s, reconciler.HookReload, "echo $$$$ >"+file+"; exec sleep 1000")
		first := m.start(s)
		m.hook(s, reconciler.HookReload)
		let, err := holdTraced(awaitPid(file)) // killed, and not gone
		if err != nil {
			m.kill()
			t.Skip(err)
		}
		defer let()
		write := func(name string) {
			if err := os.WriteFile(m.dir+name, []byte("go\n"), 0); err != nil {
				t.Fatal(err)
			}
		}
		runs := func() bool {
			_, _, f := m.host.Exec(t.Context(), reconciler.ProbeWork{Replica: web0, Run: first.Run, Service: s}, []string{"/bin/true"}, 1024)
			return f == nil
		}
		write("/end")
		until(func() bool { return !runs() }) // its end was noticed
		write("/name")
		m.run = first.Run
		if e := m.want(reconciler.EventNotified); e.Pid == 0 || e.Pid == first.Pid {
			t.Errorf("got %+v", e)
		}
		let()
		m.run++
		m.want(reconciler.EventHookEnded)
		if !runs() {
			t.Error("no command runs beside the other one")
		}
		m.run = first.Run
		m.end()
	})
}

// TestMainProcessesThatTakeTurns hold a bounded number of descriptors.
func TestMainProcessesThatTakeTurns(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		fds, _ := census(t)
		m.start(notifies(shell("sleep 1000 & a=$!; sleep 1000 & b=$!; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do systemd-notify MAINPID=$a; systemd-notify MAINPID=$b; done; systemd-notify --ready; sleep 1000")))
		turns := 0
		for m.want(reconciler.EventNotified).Pid != 0 {
			turns++
		}
		if now, _ := census(t); turns != 16 || now > fds+25 {
			t.Errorf("%d turns, %d descriptors, %d before", turns, now, fds)
		}
		m.kill()
		m.want(reconciler.EventExited)
	})
}

// TestTheFormerMainProcessBelongs to the group as any other.
func TestTheFormerMainProcessBelongs(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		m.start(notifies(shell("sleep 1000 & systemd-notify MAINPID=$!; sleep 1000")))
		m.want(reconciler.EventNotified)
		m.signal(syscall.SIGTERM, reconciler.ScopeMain)
		if left := m.want(reconciler.EventExited).Processes; len(left) == 0 {
			t.Error("nothing is left")
		}
		m.kill()
		m.want(reconciler.EventEmptied)
	})
}

func TestWhatIsNoMainProcessIsRefused(t *testing.T) {
	needSystemdNotify(t)
	tests := map[string]string{
		"one of nobody's":      strconv.Itoa(os.Getpid()),
		"one that is not":      "4194304",
		"one that has ended":   "$(sh -c 'echo $$$$')",
		"the one that it is":   "$$$$",
		"no number of anybody": "0",
	}
	forBoth(t, func(t *testing.T, m *machine) {
		for name, pid := range tests {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, logs: m.logs, dir: m.dir, run: m.run + 100}
				m.start(notifies(shell("pid=" + strings.ReplaceAll(pid, "$(", "$$(") + "; systemd-notify STATUS=x MAINPID=$pid; exit 3")))
				if e := m.want(reconciler.EventNotified); e.Pid != 0 || e.Notice.Status != "x" {
					t.Errorf("got %+v", e)
				}
				if e := m.want(reconciler.EventExited); e.Exit.Code != 3 {
					t.Errorf("ended with %+v", e.Exit)
				}
			})
		}
	})
}

// TestAnotherMainProcessIsAdopted, though it leads no session.
func TestAnotherMainProcessIsAdopted(t *testing.T) {
	needSystemdNotify(t)
	forBoth(t, func(t *testing.T, m *machine) {
		s := notifies(shell("sleep 1000 & sleep 1000 & systemd-notify MAINPID=$!; exit 3"))
		first := m.start(s)
		e := m.want(reconciler.EventNotified)
		until(func() bool { return unix.Kill(int(first.Pid), 0) == unix.ESRCH })
		m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{recordOf(s, e)}}})
		m.run = e.Run
		m.signal(syscall.SIGTERM, reconciler.ScopeMain)
		x := m.want(reconciler.EventExited)
		if x.Exit.Signal != syscall.SIGTERM && !x.Exit.Unknown || len(x.Processes) != 1 {
			t.Errorf("it ended with %+v, survivors %+v", x.Exit, x.Processes)
		}
		m.kill()
		m.want(reconciler.EventEmptied)
	})
}
