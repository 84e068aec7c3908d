package host_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// enter is the client of a test: it becomes what HOST_TEST_ARGV says.
func enter() int {
	var e host.Entry
	var argv []string
	if err := json.Unmarshal([]byte(os.Getenv("HOST_TEST_ENTRY")), &e); err != nil {
		fmt.Println(err)
		return 2
	}
	if err := json.Unmarshal([]byte(os.Getenv("HOST_TEST_ARGV")), &argv); err != nil {
		fmt.Println(err)
		return 2
	}
	err := host.Enter(&e, argv)
	fmt.Println(err)
	var notRun *host.NotRunError
	if errors.As(err, &notRun) {
		return notRun.ExitCode()
	}
	return 1
}

// entering is a client that is to become argv beside the replica. Its output goes to
// the buffer.
func entering(t *testing.T, e *host.Entry, argv ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	entry, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	words, err := json.Marshal(argv)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := exec.Command(exe)
	c.Env = []string{"HOST_TEST_ACT=enter", "HOST_TEST_ENTRY=" + string(entry), "HOST_TEST_ARGV=" + string(words), "MINE=1"}
	c.Stdout, c.Stderr = &out, &out
	return c, &out
}

func (m *machine) entry(s *spec.Service) *host.Entry {
	m.t.Helper()
	e, f := m.host.ExecPlan(m.t.Context(), web0, m.run, s)
	if f != nil {
		m.t.Fatal(f.Message)
	}
	return e
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func TestWhatEntersAReplicaIsAsItsProcessesAre(t *testing.T) {
	needRoot(t)
	tests := map[string]func(*spec.Spec){
		"as declared by default": func(*spec.Spec) {},
		"as another user":        func(s *spec.Spec) { s.SecurityContext.RunAsUser = "nobody" },
		"as another group":       func(s *spec.Spec) { s.SecurityContext.RunAsGroup = "4" },
		"with groups":            func(s *spec.Spec) { s.SecurityContext.SupplementalGroups = []spec.ID{"4", "24"} },
		"with all of it": func(s *spec.Spec) {
			s.SecurityContext = spec.SecurityContext{RunAsUser: "65534", RunAsGroup: "65534", SupplementalGroups: []spec.ID{"4"}, Umask: 0o027}
			s.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 64, Hard: 65}, "core": {Soft: 0, Hard: 0}}
			s.WorkingDir = "/usr"
			s.Env = []spec.EnvVar{{Name: "COLOUR", Value: "red"}, {Name: "TWICE", Value: "$(COLOUR) $(FILED)"}}
		},
	}
	const look = `id -u; id -g; id -G; umask; ulimit -Sn; ulimit -Hn; ulimit -c; pwd; env | grep -v -e ^SVC_COMMAND= -e ^SVC_INSTANCE= -e ^_= | sort`
	forBoth(t, func(t *testing.T, m *machine) {
		for name, edit := range tests {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, dir: m.dir, logs: m.logs, run: m.run + 1000}
				file := filepath.Join(t.TempDir(), "env")
				if err := os.WriteFile(file, []byte("FILED=before\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				s := shell("true")
				s.Spec.EnvFrom = []spec.EnvFrom{{File: file}}
				edit(&s.Spec)
				// The main process tells how it is itself.
				if s.Spec.Rlimits == nil {
					s.Spec.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 100, Hard: 200}, "core": {}}
				}
				told := filepath.Join(m.dir, "told-"+strings.ReplaceAll(name, " ", "-"))
				if err := os.WriteFile(told, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(told, 0o666); err != nil {
					t.Fatal(err)
				}
				m.letThrough()
				s.Spec.Command = []string{"/bin/sh", "-c", "exec >" + told + "; " + look + "; echo done; exec sleep 1000000"}
				started := m.start(s)
				var want string
				until(func() bool {
					data, err := os.ReadFile(told)
					before, _, done := strings.Cut(string(data), "done\n")
					want = before
					return err != nil || done
				})
				if err := os.WriteFile(file, []byte("FILED=after\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				e := m.entry(s)
				c, out := entering(t, e, "sh", "-c", look+"; exit 7")
				if err := c.Run(); c.ProcessState.ExitCode() != 7 {
					t.Errorf("it ended with %v", err)
				}
				if diff := cmp.Diff(want, out.String()); diff != "" || !strings.Contains(want, "FILED=before") {
					t.Errorf("(-main process +entered)\n%s", diff)
				}
				if e.Cgroup != "" {
					if group := groupOf(t, started.Pid); filepath.Dir(e.Cgroup) != group {
						t.Errorf("its cgroup is %s, that of the replica %s", e.Cgroup, group)
					}
					until(func() bool { return gone(e.Cgroup) })
				}
				m.kill()
				m.want(reconciler.EventExited)
			})
		}
	})
}

func gone(path string) bool {
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}

// beside starts a service, and something that sleeps beside it.
func (m *machine) beside(s *spec.Service) (*host.Entry, *exec.Cmd, reconciler.Event) {
	m.t.Helper()
	started := m.start(s)
	e := m.entry(s)
	c, _ := entering(m.t, e, "sh", "-c", "trap '' TERM; setsid sleep 1000000 & sleep 1000000")
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Process.Kill() })
	until(func() bool {
		data, err := os.ReadFile(e.Cgroup + "/cgroup.procs")
		return err != nil || strings.Count(string(data), "\n") >= 3
	})
	return e, c, started
}

func TestWhatEnteredEndsWithTheRun(t *testing.T) {
	needRoot(t)
	lifetimes := map[string]spec.Lifetime{"of a process": spec.LifetimeMain, "of a group": spec.LifetimeGroup}
	for name, lifetime := range lifetimes {
		t.Run(name, func(t *testing.T) {
			m := open(t, host.Options{})
			s := web("/bin/sleep", "1000000")
			s.Spec.Lifetime = lifetime
			e, c, _ := m.beside(s)
			m.signal(9, reconciler.ScopeMain)
			if exited := m.want(reconciler.EventExited); len(exited.Processes) > 0 {
				t.Errorf("it has left %+v", exited.Processes)
			}
			if err := c.Wait(); err == nil || err.Error() != "signal: killed" {
				t.Errorf("what entered ended with %v", err)
			}
			if !gone(e.Cgroup) {
				t.Error("its group is left")
			}
			// And nothing is in the way of the next run.
			m.start(s)
			m.kill()
			m.want(reconciler.EventExited)
		})
	}
}

func TestWhatEnteredIsKilledWithItsReplica(t *testing.T) {
	needRoot(t)
	m := open(t, host.Options{})
	_, c, _ := m.beside(web("/bin/sleep", "1000000"))
	m.kill()
	m.want(reconciler.EventExited)
	_ = c.Wait()
}

func TestWhatEnteredOutlivesADaemon(t *testing.T) {
	needRoot(t)
	m := open(t, host.Options{})
	s := web("/bin/sleep", "1000000")
	e, c, started := m.beside(s)
	m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{recordOf(s, started)}}})
	if gone(e.Cgroup) {
		t.Fatal("its group is gone")
	}
	m.kill()
	m.want(reconciler.EventExited)
	if err := c.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("what entered ended with %v", err)
	}
	if !gone(e.Cgroup) {
		t.Error("its group is left")
	}
}

func TestWhoEntersTooLateIsTold(t *testing.T) {
	needRoot(t)
	forBoth(t, func(t *testing.T, m *machine) {
		s := web("/bin/sleep", "1000000")
		m.start(s)
		e := m.entry(s)
		m.kill()
		m.want(reconciler.EventExited)
		if _, f := m.host.ExecPlan(t.Context(), web0, m.run, s); f == nil || !strings.HasPrefix(f.Message, "cannot exec in web-0: ") {
			t.Errorf("the plan failed with %+v", f)
		}
		if e.Cgroup == "" {
			return
		}
		c, out := entering(t, e, "true")
		if err := c.Run(); err == nil || out.String() != "cannot exec in web-0: it has ended meanwhile\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestWhatCannotEnterSaysWhy(t *testing.T) {
	needRoot(t)
	m := open(t, host.Options{NoCgroups: true})
	s := web("/bin/sleep", "1000000")
	m.start(s)
	for name, test := range map[string]struct {
		edit func(*host.Entry)
		argv string
		code int
		says string
	}{
		"a command that is not there":    {func(*host.Entry) {}, "not-there", 127, "cannot start not-there: not found in PATH"},
		"a command without a name":       {func(*host.Entry) {}, "", 127, `cannot start "": not found in PATH`},
		"a path that is not there":       {func(*host.Entry) {}, "/not/there", 127, "cannot start /not/there: no such directory: /not"},
		"a command that is a directory":  {func(*host.Entry) {}, "/etc", 126, "cannot start /etc: it is a directory"},
		"a directory that has gone":      {func(e *host.Entry) { e.Dir = "/not-there" }, "true", 126, "cannot enter the working directory /not-there"},
		"a command that is no program":   {func(*host.Entry) {}, "/etc/passwd", 126, "/etc/passwd"},
		"a replica whose group has gone": {func(e *host.Entry) { e.Cgroup = "/not-there" }, "true", 1, "it has ended meanwhile"},
	} {
		t.Run(name, func(t *testing.T) {
			e := m.entry(s)
			test.edit(e)
			c, out := entering(t, e, test.argv)
			_ = c.Run()
			if code := c.ProcessState.ExitCode(); code != test.code {
				t.Errorf("its exit code is %d, want %d", code, test.code)
			}
			if !strings.HasPrefix(out.String(), "cannot exec in web-0: ") || !strings.Contains(out.String(), test.says) {
				t.Errorf("it says %s", out)
			}
		})
	}
	m.kill()
	m.want(reconciler.EventExited)
}

func TestOnlySoManyEnter(t *testing.T) {
	needRoot(t)
	m := open(t, host.Options{})
	s := web("/bin/sleep", "1000000")
	m.start(s)
	for range 8 {
		m.entry(s)
	}
	if _, f := m.host.ExecPlan(t.Context(), web0, m.run, s); f == nil || !strings.Contains(f.Message, "8 others") {
		t.Errorf("one more failed with %+v", f)
	}
	if _, exit, f := m.exec(t.Context(), s, "exit 3"); f != nil || exit.Code != 3 {
		t.Errorf("a probe ended with %+v, %+v", exit, f)
	}
	m.kill()
	m.want(reconciler.EventExited)
}
