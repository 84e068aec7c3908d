package host_test

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

func TestAHookHasTheServicesEnvironmentAndMore(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		s := hooked(reconciler.HookReload, `echo $(COLOUR) $COLOUR $(MAINPID) $MAINPID $EXTRA $SHAPE`)
		s.Spec.Env = []spec.EnvVar{{Name: "COLOUR", Value: "red"}, {Name: "SHAPE", Value: "round"}}
		started := m.start(s)
		m.hook(s, reconciler.HookReload, func(w *reconciler.Work) {
			w.Env = []spec.EnvVar{{Name: "EXTRA", Value: "more"}, {Name: "SHAPE", Value: "square"}}
		})
		m.hookSucceeds()
		want := fmt.Sprintf("red red %d %d more square\n", started.Pid, started.Pid)
		m.waitOutput(want)
		m.kill()
		m.run = started.Run
		m.want(reconciler.EventExited)
		m.run += 100
		setHook(s, reconciler.HookPostStop, `echo after: $SERVICE_RESULT "${MAINPID-none}"`)
		m.hook(s, reconciler.HookPostStop, func(w *reconciler.Work) {
			w.Env = []spec.EnvVar{{Name: "SERVICE_RESULT", Value: "signal"}}
		})
		m.hookSucceeds()
		m.waitOutput("after: signal none\n")
	})
}

func TestAHookThatFailsSaysHow(t *testing.T) {
	tests := map[string]struct {
		hook   reconciler.Hook
		script string
		says   string
		limit  time.Duration
	}{
		"by its code":       {reconciler.HookPreStop, "echo lost; exit 3", "cannot run lifecycle.preStop: it exited with code 3", 0},
		"by its signal":     {reconciler.HookReload, "kill -USR1 $$$$", "cannot run reload.exec: it was killed by SIGUSR1", 0},
		"by what it wrote":  {reconciler.HookReloadCheck, "echo line 7:; echo no such thing >&2; exit 1", "cannot run reload.check: it exited with code 1: line 7: no such thing", 0},
		"with little of it": {reconciler.HookReloadCheck, "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; exit 1", " 4998 4999", 0},
		"when it is late":   {reconciler.HookPostStart, "trap '' TERM; sleep 1000000 & sleep 1000000", "it took longer than 20ms", 20 * time.Millisecond},
		"without end":       {reconciler.HookReloadCheck, "yes", "it took longer than 20ms", 20 * time.Millisecond},
	}
	forBoth(t, func(t *testing.T, m *machine) {
		started := m.start(web("/bin/sleep", "1000000"))
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, run: m.run + 100}
				m.hook(hooked(tt.hook, tt.script), tt.hook, within(tt.limit))
				e := m.want(reconciler.EventHookEnded)
				f := e.Failure
				if f == nil || e.Hook != tt.hook || !strings.Contains(f.Message, tt.says) || len(f.Message) > 1200 {
					t.Fatalf("it ended with %+v, want %q", f, tt.says)
				}
				if shown, _, _ := strings.Cut(f.Message, " code 1: "); f.Hidden != strings.TrimPrefix(f.Message[len(shown):], " code 1: ") {
					t.Errorf("of %q is hidden %q", f.Message, f.Hidden)
				}
			})
		}
		m.kill()
		m.run = started.Run
		m.want(reconciler.EventExited)
	})
}

func TestAHookRunsAsTheUserOfTheService(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	forBoth(t, func(t *testing.T, m *machine) {
		s := hooked(reconciler.HookReloadCheck, "id -u; echo again > /dev/stdout; exit 1")
		s.Spec.SecurityContext.RunAsUser = "nobody"
		started := m.start(s)
		m.hook(s, reconciler.HookReloadCheck)
		m.hookFails(": " + nobody.Uid + " again")
		m.kill()
		m.run = started.Run
		m.want(reconciler.EventExited)
	})
}

func TestTheNextHookEndsTheOneBeforeWhateverThatDoes(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		started := m.start(web("/bin/sleep", "1000000"))
		for i := range 10 {
			says := fmt.Sprintf("hook %d runs", i)
			m.hook(hooked(reconciler.HookPreStop, "trap '' TERM; sleep 1000000 & echo "+says+"; wait; sleep 1000000"), reconciler.HookPreStop)
			m.waitOutput(says)
		}
		m.hook(hooked(reconciler.HookReload, "exit 0"), reconciler.HookReload)
		m.hookSucceeds()
		m.offer(reconciler.VerbInspect, nil)
		if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 1 || ps[0].Pid != started.Pid {
			t.Errorf("what lives is %+v", ps)
		}
		m.kill()
		m.run = started.Run
		m.want(reconciler.EventExited)
	})
}

func TestAHostThatIsClosedLeavesNoHooks(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		file := filepath.Join(m.dir, "pid")
		m.start(web("/bin/sleep", "1000000"))
		m.hook(hooked(reconciler.HookPreStop, "trap '' TERM; sleep 1000000 & echo $$! > "+file+"; wait"), reconciler.HookPreStop)
		pid := awaitPid(file)
		if err := m.host.Close(); err != nil {
			t.Fatal(err)
		}
		if alive(pid) {
			t.Error("what a hook has forked lives")
		}
		next, err := host.Open(host.Options{StateDir: m.dir + "/state", Output: m.logs, NoCgroups: m.host.CgroupRoot() == ""})
		if err != nil {
			t.Fatal(err)
		}
		m.host = next
		m.kill()
		m.run = 0
		m.want(reconciler.EventEmptied)
	})
}

// awaitPid is the number that a script writes to a file.
func awaitPid(file string) (pid int) {
	until(func() bool {
		data, _ := os.ReadFile(file)
		n, _ := fmt.Sscanf(string(data), "%d\n", &pid)
		return n == 1
	})
	return pid
}

// The one before lives on here, as it does until exec(2): it is only not asked any
// more.
func TestHooksOfAnEarlierDaemonAreEnded(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		file := filepath.Join(m.dir, "pid")
		s := hooked(reconciler.HookPreStop, "trap '' TERM; setsid sleep 1000000 & echo $$! > "+file+"; wait")
		started := m.start(s)
		m.hook(s, reconciler.HookPreStop)
		pid := awaitPid(file)
		now := time.Now()
		kept := &host.Kept{Records: []reconciler.Record{{At: now, Instance: reconciler.Instance{
			ID: web0, Run: started.Run, Spec: s, StartTakenAt: now, StartedAt: now, Pid: started.Pid, StartTicks: started.StartTicks,
		}}}}
		if tree := m.host.Carry().Tree; tree != 0 {
			var err error
			if kept.Tree, err = unix.FcntlInt(uintptr(tree), unix.F_DUPFD_CLOEXEC, 0); err != nil {
				t.Fatal(err)
			}
		}
		before := m.host
		<-before.Pause()
		next, err := host.Open(host.Options{StateDir: m.dir + "/state", Output: m.logs, Kept: kept, NoCgroups: before.CgroupRoot() == ""})
		if err != nil {
			t.Fatal(err)
		}
		m.host = next
		t.Cleanup(func() { _ = before.Close() })
		if alive(pid) {
			t.Error("what a hook has forked lives")
		}
		m.run = started.Run
		m.offer(reconciler.VerbInspect, nil)
		if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 1 || ps[0].Pid != started.Pid {
			t.Errorf("what lives is %+v", ps)
		}
		m.kill()
		m.run = started.Run
		if e := m.want(reconciler.EventExited); len(e.Processes) > 0 {
			t.Errorf("exited with %+v left", e.Processes)
		}
	})
}

func TestAHookIsNotAnsweredWhileTheHostStandsStill(t *testing.T) {
	m := open(t, host.Options{NoCgroups: os.Getuid() != 0})
	s := hooked(reconciler.HookReload, "echo done")
	started := m.start(s)
	<-m.host.Pause()
	m.hook(s, reconciler.HookReload)
	m.waitOutput("done")
	select {
	case e := <-m.host.Events():
		t.Errorf("%+v came in a pause", e)
	default:
	}
	m.host.Resume()
	m.hookSucceeds()
	m.kill()
	m.run = started.Run
	m.want(reconciler.EventExited)
}

// TestAnAnswerIsToldBeforeTheEndOfTheRun, also when that was noticed first.
func TestAnAnswerIsToldBeforeTheEndOfTheRun(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		start := func(id reconciler.ReplicaID) int32 {
			m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: id, Run: 1, Service: shell("sleep 1000")}
			return m.next().Pid
		}
		end := func(id reconciler.ReplicaID, pid int32) {
			if err := m.host.Signal(id, unix.SIGKILL, reconciler.ScopeMain); err != nil {
				t.Error(err)
			}
			until(func() bool { return !alive(int(pid)) })
		}
		one, two := reconciler.ReplicaID{Service: "one"}, reconciler.ReplicaID{Service: "two"}
		first, second := start(one), start(two)
		file := filepath.Join(m.dir, "pid")
		s := hooked(reconciler.HookReload, "echo $$$$ >"+file+"; exec sleep 1000")
		started := m.start(s)
		m.hook(s, reconciler.HookReload)
		awaitPid(file)
		// The first end that is told, and not heard, holds up the host, so that it
		// notices the other two together, and tells one of them before it looks at the
		// other.
		end(one, first)
		end(two, second)
		end(web0, started.Pid)
		if e := m.next(); e.Replica != one || e.Kind != reconciler.EventExited {
			t.Fatalf("got %+v", e)
		}
		m.kill()
		until(func() bool { return !m.host.HookRuns(web0) })
		if e := m.next(); e.Replica != two || e.Kind != reconciler.EventExited {
			t.Fatalf("got %+v", e)
		}
		m.hookFails("its replica was killed")
		m.run = started.Run
		m.want(reconciler.EventExited)
	})
}

func TestCommandsRunBesideWhatCarriesOn(t *testing.T) {
	m := open(t, host.Options{})
	s := shell("setsid sleep 1000000 & exit 0")
	s.Spec.Lifetime = spec.LifetimeGroup
	setHook(s, reconciler.HookPreStop, "trap '' TERM; echo hook runs; sleep 1000000")
	started := m.start(s)
	if e := m.want(reconciler.EventExited); len(e.Processes) != 1 {
		t.Fatalf("exited with %+v", e.Processes)
	}
	for range 5 {
		if out, exit, f := m.exec(t.Context(), s, "echo up"); f != nil || exit.Status() != 0 || out != "up\n" {
			t.Errorf("output %q, exit %+v, failure %+v", out, exit, f)
		}
	}
	m.hook(s, reconciler.HookPreStop)
	m.waitOutput("hook runs")
	m.signal(syscall.SIGTERM, reconciler.ScopeMain)
	m.hookFails("nothing of the run lives")
	m.run = started.Run
	m.want(reconciler.EventEmptied)
	m.offer(reconciler.VerbForget, nil)
	if f := m.want(reconciler.EventForgotten).Failure; f != nil {
		t.Errorf("it cannot be forgotten: %+v", *f)
	}
}

func TestNothingIsRunInAFrozenGroup(t *testing.T) {
	m := open(t, host.Options{})
	s := web("/bin/sleep", "1000000")
	started := m.start(s)
	group := groupOf(t, started.Pid)
	write(t, group+"/cgroup.freeze", "1")
	until(func() bool {
		data, _ := os.ReadFile(group + "/cgroup.events")
		return strings.Contains(string(data), "frozen 1")
	})
	if _, _, f := m.exec(t.Context(), s, "echo"); f == nil || !strings.Contains(f.Message, "frozen") {
		t.Errorf("in a frozen group: %+v", f)
	}
	write(t, group+"/cgroup.freeze", "0")
	if _, _, f := m.exec(t.Context(), s, "echo"); f != nil {
		t.Errorf("afterwards: %+v", *f)
	}
	m.kill()
	m.want(reconciler.EventExited)
}

// Groups of ours that a daemon left are no reason to make the replica's anew.
func TestALeftOverGroupOfAHookHindersNoStart(t *testing.T) {
	m := open(t, host.Options{})
	group := groupOf(t, m.start(web("/bin/sleep", "1000000")).Pid)
	if err := os.Mkdir(group+"/_exec.999", 0o755); err != nil {
		t.Fatal(err)
	}
	m.signal(syscall.SIGTERM, reconciler.ScopeMain)
	m.want(reconciler.EventExited)
	var before, after unix.Stat_t
	if err := unix.Stat(group, &before); err != nil {
		t.Fatal(err)
	}
	m.start(web("/bin/sleep", "1000000"))
	if err := unix.Stat(group, &after); err != nil || after.Ino != before.Ino {
		t.Errorf("the group was made anew: %v", err)
	}
	m.kill()
	m.want(reconciler.EventExited)
}

// A debugger holds the end of the hook's process back, as a dead file server holds
// it.
// TestACloseDoesNotLeaveWhoLooksAfterAHookThatDoesNotGo, nor a descriptor of it.
func TestACloseDoesNotLeaveWhoLooksAfterAHookThatDoesNotGo(t *testing.T) {
	for name, no := range map[string]bool{"with cgroups": false, "without cgroups": true} {
		t.Run(name, func(t *testing.T) {
			m := open(t, host.Options{NoCgroups: no})
			m.reopen(host.Options{}) // so that nothing is made for the first time later
			fds, _ := census(t)
			file := filepath.Join(m.dir, "pid")
			s := hooked(reconciler.HookPreStop, "echo $$$$ > "+file+"; exec sleep 1000000")
			m.start(s)
			m.hook(s, reconciler.HookPreStop)
			let, err := holdTraced(awaitPid(file))
			if err != nil {
				m.kill()
				t.Skip(err)
			}
			defer let()
			m.hookFails("it ended, it is not known how")
			m.kill()
			m.run--
			m.want(reconciler.EventExited)
			m.reopen(host.Options{})
			all := make([]byte, 1<<20)
			if all = all[:runtime.Stack(all, true)]; bytes.Contains(all, []byte("(*Host).stuck")) {
				t.Errorf("somebody looks after it:\n%s", all)
			}
			// Two pipes and a process are the tracer's.
			until(func() bool { now, _ := census(t); return now <= fds+3 })
		})
	}
}

func TestAHookThatDoesNotGoIsNamedAndHindersTheNextStart(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		file := filepath.Join(m.dir, "pid")
		s := hooked(reconciler.HookPreStop, "echo $$$$ > "+file+"; exec sleep 1000000")
		started := m.start(s)
		m.hook(s, reconciler.HookPreStop)
		pid := awaitPid(file)
		let, err := holdTraced(pid)
		if err != nil {
			m.kill()
			t.Skip(err)
		}
		m.hookFails("it ended, it is not known how")
		m.signal(syscall.SIGKILL, reconciler.ScopeMain)
		m.run = started.Run
		if e := m.want(reconciler.EventExited); len(e.Processes) != 1 || int(e.Processes[0].Pid) != pid {
			t.Errorf("exited with %+v left, want pid %d", e.Processes, pid)
		}
		m.run += 100
		m.offer(reconciler.VerbStart, s)
		if f := m.want(reconciler.EventStartFailed).Failure; f.Reason != reconciler.ReasonGroupOccupied {
			t.Errorf("refused for %+v", *f)
		}
		let()
		m.run = started.Run
		m.want(reconciler.EventEmptied)
		m.run += 200
		m.start(s)
		m.kill()
		m.want(reconciler.EventExited)
	})
}
