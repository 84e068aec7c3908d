package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// hooked is a service that runs for ever and has this shell script as a hook.
func hooked(hook reconciler.Hook, script string) *spec.Service {
	s := web("/bin/sleep", "1000000")
	setHook(s, hook, script)
	return s
}

func setHook(s *spec.Service, hook reconciler.Hook, script string) {
	do := &spec.ExecAction{Command: []string{"/bin/sh", "-c", script}}
	switch hook {
	case reconciler.HookPostStart:
		s.Spec.Lifecycle.PostStart = &spec.Handler{Exec: do}
	case reconciler.HookPreStop:
		s.Spec.Lifecycle.PreStop = &spec.Handler{Exec: do}
	case reconciler.HookPostStop:
		s.Spec.Lifecycle.PostStop = &spec.Handler{Exec: do}
	case reconciler.HookReloadCheck:
		s.Spec.Reload = &spec.Reload{Check: do}
	case reconciler.HookReload:
		s.Spec.Reload = &spec.Reload{Exec: do}
	case reconciler.HookNone:
	}
}

// hook gives a hook to the host.
func (m *machine) hook(s *spec.Service, hook reconciler.Hook, edits ...func(*reconciler.Work)) {
	m.t.Helper()
	m.run++
	w := reconciler.Work{Verb: reconciler.VerbHook, Replica: web0, Run: m.run, Service: s, Hook: hook}
	for _, edit := range edits {
		edit(&w)
	}
	m.host.Work() <- w
}

// hookFails checks that the next event is the failure of a hook, which says so.
func (m *machine) hookFails(says string) { m.t.Helper(); m.hookEnds(reconciler.ReasonHookFailed, says) }

func (m *machine) hookEnds(reason reconciler.Reason, says string) {
	m.t.Helper()
	f := m.want(reconciler.EventHookEnded).Failure
	if f == nil || f.Reason != reason || !strings.HasPrefix(f.Message, "cannot run ") || !strings.Contains(f.Message, says) {
		m.t.Errorf("the hook ended with %+v, want %q", f, says)
	}
}

func (m *machine) hookSucceeds() {
	m.t.Helper()
	if f := m.want(reconciler.EventHookEnded).Failure; f != nil {
		m.t.Errorf("the hook failed: %+v", *f)
	}
}

func within(d time.Duration) func(*reconciler.Work) {
	return func(w *reconciler.Work) { w.Timeout = d }
}

// exec runs a shell script in the replica.
func (m *machine) exec(ctx context.Context, s *spec.Service, script string) (string, reconciler.Exit, *reconciler.Failure) {
	out, exit, f := m.host.Exec(ctx, reconciler.ProbeWork{Replica: web0, Run: 1, Service: s}, []string{"/bin/sh", "-c", script}, 1024)
	return string(out), exit, f
}

func TestACommandRunsAsTheServiceDoes(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		for name, edit := range map[string]func(*spec.Spec){
			"directly":              func(*spec.Spec) {},
			"by way of the stage":   func(s *spec.Spec) { s.SecurityContext.Umask = 0o027 },
			"with a limit of files": func(s *spec.Spec) { s.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 64, Hard: 64}} },
		} {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, dir: m.dir, logs: m.logs, run: m.run + 1000}
				s := web("/bin/sleep", "1000000")
				s.Spec.WorkingDir = "/usr"
				s.Spec.Env = []spec.EnvVar{{Name: "COLOUR", Value: "red"}}
				edit(&s.Spec)
				m.start(s)
				out, exit, f := m.exec(t.Context(), s, `echo $(COLOUR) $COLOUR $SVC_REPLICA; pwd; umask; ulimit -n; readlink /proc/self/fd/0; exit 5`)
				umask, files := "0022", ""
				if s.Spec.SecurityContext.Umask == 0o027 {
					umask = "0027"
				}
				if s.Spec.Rlimits != nil {
					files = "\n64\n"
				}
				if f != nil || exit.Code != 5 || !strings.HasPrefix(out, "red red 0\n/usr\n"+umask+"\n") || !strings.Contains(out, files) || !strings.HasSuffix(out, "/dev/null\n") {
					t.Errorf("exit %+v, failure %+v, output %q", exit, f, out)
				}
				m.kill()
				m.want(reconciler.EventExited)
			})
		}
	})
}

func TestWhatACommandLeavesIsEnded(t *testing.T) {
	for name, script := range map[string]string{
		"a child":                             "sleep 1000000 & echo $$! $$$$",
		"a child that ignores SIGTERM":        "trap '' TERM; sleep 1000000 & echo $$! $$$$",
		"a child in a session of its own":     "setsid sleep 1000000 & echo $$! $$$$",
		"a child whose parent has gone":       "(setsid sleep 1000000 & echo $$!) ; echo $$$$",
		"a child that holds what nobody read": "yes & echo $$! $$$$",
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, host.Options{})
			s := web("/bin/sleep", "1000000")
			started := m.start(s)
			out, exit, f := m.exec(t.Context(), s, script)
			if f != nil || exit.Status() != 0 {
				t.Fatalf("exit %+v, failure %+v", exit, f)
			}
			for _, word := range strings.Fields(out) {
				if pid, err := strconv.Atoi(word); err == nil && alive(pid) {
					t.Errorf("process %d lives on", pid)
				}
			}
			m.offer(reconciler.VerbInspect, nil)
			if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 1 || ps[0].Pid != started.Pid {
				t.Errorf("what lives is %+v", ps)
			}
			if entries, err := filepath.Glob(groupOf(t, started.Pid) + "/_exec.*"); err != nil || len(entries) > 0 {
				t.Errorf("groups are left: %v %v", entries, err)
			}
			m.kill()
			m.run = started.Run
			m.want(reconciler.EventExited)
		})
	}
}

// alive says whether a process lives; a zombie does not.
func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(data), ") Z ")
}

func TestACommandIsEndedWithItsContext(t *testing.T) {
	for name, script := range map[string]string{
		"it ignores SIGTERM":   "trap '' TERM INT HUP; echo ready > $FILE; while :; do sleep 1000; done",
		"it prints all day":    "echo ready > $FILE; exec yes",
		"it forks all the day": "echo ready > $FILE; while :; do setsid sleep 1000 & sleep 0.01; done",
	} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, m *machine) {
				if m.host.CgroupRoot() == "" {
					script = strings.ReplaceAll(script, "setsid ", "") // who has a session of his own escapes
				}
				s := web("/bin/sleep", "1000000")
				file := filepath.Join(m.dir, "ready")
				s.Spec.Env = []spec.EnvVar{{Name: "FILE", Value: file}}
				run := m.start(s).Run
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					until(func() bool { _, err := os.Stat(file); return err == nil })
					cancel(context.DeadlineExceeded)
				}()
				out, _, f := m.exec(ctx, s, script)
				if f == nil || !strings.Contains(f.Message, "deadline") {
					t.Errorf("failure is %+v, want the deadline's", f)
				}
				if len(out) > 1100 {
					t.Errorf("%d bytes were kept", len(out))
				}
				m.kill()
				m.run = run
				m.want(reconciler.EventExited)
			})
		})
	}
}

func TestACommandNeedsSomethingToRunBeside(t *testing.T) {
	m := open(t, host.Options{NoCgroups: os.Getuid() != 0})
	s := shell("exit 0")
	if _, _, f := m.exec(t.Context(), s, "echo"); f == nil || !strings.Contains(f.Message, "does not run") {
		t.Errorf("before the start: %+v", f)
	}
	m.start(s)
	m.want(reconciler.EventExited)
	if _, _, f := m.exec(t.Context(), s, "echo"); f == nil || !strings.Contains(f.Message, "does not run") {
		t.Errorf("after the end: %+v", f)
	}
	m.hook(hooked(reconciler.HookPreStop, "true"), reconciler.HookPreStop)
	m.hookEnds(reconciler.ReasonMainEnded, "does not run")
}

func TestTheEndOfTheMainProcessEndsWhatRunsBesideIt(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		for i := range 20 {
			says := fmt.Sprintf("hook %d runs", i)
			s := hooked(reconciler.HookPreStop, "trap '' TERM; sleep 1000000 & echo "+says+"; wait; sleep 1000")
			started := m.start(s)
			m.hook(s, reconciler.HookPreStop)
			m.waitOutput(says)
			probed := make(chan *reconciler.Failure)
			go func() {
				_, _, f := m.exec(t.Context(), s, "sleep 1000000")
				probed <- f
			}()
			m.signal(syscall.SIGKILL, reconciler.ScopeMain)
			m.hookEnds(reconciler.ReasonMainEnded, "the main process has ended")
			m.run = started.Run
			if e := m.want(reconciler.EventExited); len(e.Processes) > 0 {
				t.Errorf("exited with %+v left", e.Processes)
			}
			if f := <-probed; f == nil {
				t.Error("the probe ended with success")
			}
			m.run += 100
		}
	})
}

func TestCommandsLeaveNothingBehind(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		s := hooked(reconciler.HookReloadCheck, "sleep 1000 & echo looks good")
		staged := hooked(reconciler.HookReload, "exit 0")
		staged.Spec.SecurityContext.Umask = 0o077
		missing := web("/bin/sleep", "1000000")
		missing.Spec.Reload = &spec.Reload{Exec: &spec.ExecAction{Command: []string{"/no/such/program"}}}
		started := m.start(s)
		once := func(i int) {
			switch i % 4 {
			case 0:
				m.hook(s, reconciler.HookReloadCheck)
				m.hookSucceeds()
			case 1:
				m.hook(staged, reconciler.HookReload)
				m.hookSucceeds()
			case 2:
				m.hook(missing, reconciler.HookReload)
				if f := m.want(reconciler.EventHookEnded).Failure; f == nil || f.Reason != reconciler.ReasonCommandNotFound {
					t.Errorf("a missing program: %+v", f)
				}
			default:
				if _, _, f := m.exec(t.Context(), s, "setsid true & exit 3"); f != nil {
					t.Error(*f)
				}
			}
		}
		for i := range 8 {
			once(i)
		}
		fds, zombies := census(t)
		for i := range 200 {
			once(i)
		}
		if fdsNow, zombiesNow := census(t); fdsNow != fds || zombiesNow > zombies {
			t.Errorf("descriptors %d, then %d; children %d, then %d", fds, fdsNow, zombies, zombiesNow)
		}
		m.kill()
		m.run = started.Run
		m.want(reconciler.EventExited)
	})
}
