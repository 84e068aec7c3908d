package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/reconciler/logs"
	"svc.d/reconciler/logs/cri"
	"svc.d/spec"
)

func TestMain(m *testing.M) {
	if host.IsExecStage() {
		host.RunExecStage()
	}
	if act := os.Getenv("HOST_TEST_ACT"); act != "" {
		os.Exit(perform(act))
	}
	os.Exit(m.Run())
}

// machine is a host under test with somebody who receives its events.
type machine struct {
	t    *testing.T
	host *host.Host
	// logs is that of all hosts of the test: there is one for a state directory
	// at a time.
	logs *logs.Capture
	dir  string
	run  uint64
}

// capture takes output, with its state and its files below dir.
func capture(dir string) *logs.Capture {
	c, err := logs.Open(logs.Options{StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log")})
	if err != nil {
		panic(err)
	}
	return c
}

// forBoth runs the test with and without cgroups.
func forBoth(t *testing.T, test func(t *testing.T, m *machine)) {
	t.Helper()
	for name, no := range map[string]bool{"with cgroups": false, "without cgroups": true} {
		t.Run(name, func(t *testing.T) { test(t, open(t, host.Options{NoCgroups: no})) })
	}
}

// open opens a host of its own for the test, and closes it at the end.
func open(t *testing.T, o host.Options) *machine {
	t.Helper()
	dir := t.TempDir()
	o.StateDir, o.Output = filepath.Join(dir, "state"), capture(dir)
	t.Cleanup(func() { o.Output.Close(false) })
	h, err := host.Open(o)
	if err != nil && !o.NoCgroups && os.Getuid() != 0 {
		t.Skip("needs cgroups: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, host: h, logs: o.Output, dir: dir}
	t.Cleanup(func() {
		if err := m.host.Close(); err != nil {
			t.Error(err)
		}
	})
	if !o.NoCgroups && h.CgroupRoot() == "" && os.Getuid() != 0 {
		t.Skip("needs cgroups: ", h.Conditions())
	}
	return m
}

func web(command ...string) *spec.Service {
	return &spec.Service{
		Metadata: spec.Metadata{Name: "web"},
		Spec:     spec.Spec{Command: command, WorkingDir: "/", SecurityContext: spec.SecurityContext{Umask: 0o022}},
	}
}

func shell(script string) *spec.Service { return web("/bin/sh", "-c", script) }

var web0 = reconciler.ReplicaID{Service: "web"}

// offer gives the work to the host and answers its run.
func (m *machine) offer(verb reconciler.Verb, s *spec.Service) uint64 {
	m.t.Helper()
	m.run++
	m.host.Work() <- reconciler.Work{Verb: verb, Replica: web0, Run: m.run, Service: s}
	return m.run
}

// next is the next event. A host that never tells hangs the test, which the
// test's own time limit ends.
func (m *machine) next() reconciler.Event {
	m.t.Helper()
	e := <-m.host.Events()
	return e
}

// want checks the kind of the next event.
func (m *machine) want(kind reconciler.EventKind) reconciler.Event {
	m.t.Helper()
	e := m.next()
	if e.Kind != kind {
		m.t.Fatalf("got event %+v (failure %+v), want kind %d", e, e.Failure, kind)
	}
	if e.Run != m.run {
		m.t.Errorf("event of run %d, want %d", e.Run, m.run)
	}
	return e
}

func (m *machine) start(s *spec.Service) reconciler.Event {
	m.t.Helper()
	m.offer(reconciler.VerbStart, s)
	return m.want(reconciler.EventStarted)
}

func (m *machine) output() string {
	m.t.Helper()
	return written(m.logs, m.dir)
}

// written is what the service has written, all that waits in its pipes included.
func written(c *logs.Capture, dir string) string {
	for _, fd := range c.Descriptors() {
		for waiting := 1; waiting > 0; {
			waiting, _ = unix.IoctlGetInt(fd, unix.TIOCINQ)
		}
	}
	<-c.Pause()
	defer c.Resume()
	var text strings.Builder
	data, _ := os.ReadFile(filepath.Join(dir, "log", "web", "0.log")) // before the first line there is none
	for entry := range bytes.Lines(data) {
		l, ok := cri.Parse(entry)
		text.Write(l.Text)
		if ok && !l.Partial {
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// waitOutput waits until the service has written a text.
func (m *machine) waitOutput(text string) {
	m.t.Helper()
	until(func() bool { return strings.Contains(m.output(), text) })
}

// meanwhile lets what must not happen happen.
func meanwhile() { time.Sleep(50 * time.Millisecond) }

// until waits for what no event tells.
func until(so func() bool) {
	for !so() {
		time.Sleep(time.Millisecond)
	}
}

func (m *machine) kill() {
	m.t.Helper()
	if err := m.host.Kill(web0); err != nil {
		m.t.Error(err)
	}
}

func (m *machine) signal(sig syscall.Signal, scope reconciler.Scope) {
	m.t.Helper()
	if err := m.host.Signal(web0, sig, scope); err != nil {
		m.t.Error(err)
	}
}

func TestTheExitOfAMainProcess(t *testing.T) {
	tests := map[string]struct {
		script string
		want   reconciler.Exit
	}{
		"code 0 is told":                       {"exit 0", reconciler.Exit{}},
		"code 255 is told":                     {"exit 255", reconciler.Exit{Code: 255}},
		"a signal is told":                     {"kill -KILL $$$$", reconciler.Exit{Signal: syscall.SIGKILL}},
		"a real-time signal is told":           {"kill -40 $$$$", reconciler.Exit{Signal: 40}},
		"SIGHUP ends what does not care":       {"kill -HUP $$$$; sleep 100", reconciler.Exit{Signal: syscall.SIGHUP}},
		"SIGPIPE is not ignored":               {"kill -PIPE $$$$; sleep 100", reconciler.Exit{Signal: syscall.SIGPIPE}},
		"a signal without a core is told so":   {"ulimit -c 0; kill -SEGV $$$$", reconciler.Exit{Signal: syscall.SIGSEGV}},
		"what ends at once is told once of it": {"", reconciler.Exit{}},
	}
	forBoth(t, func(t *testing.T, m *machine) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, dir: m.dir, run: m.run + 100}
				m.start(shell(tt.script))
				e := m.want(reconciler.EventExited)
				if diff := cmp.Diff(tt.want, e.Exit); diff != "" {
					t.Errorf("exit (-want +got):\n%s", diff)
				}
				if e.Processes != nil {
					t.Errorf("survivors %v, want none", e.Processes)
				}
			})
		}
	})
}

func TestStartedNamesTheProcess(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		e := m.start(web("/bin/sleep", "1000"))
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(int(e.Pid)) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat))
		if fields[1] != "(sleep)" || fields[21] != strconv.FormatUint(e.StartTicks, 10) || fields[5] != fields[0] {
			t.Errorf("pid %d, ticks %d, stat %s", e.Pid, e.StartTicks, stat)
		}
		m.signal(syscall.SIGTERM, reconciler.ScopeMain)
		if x := m.want(reconciler.EventExited).Exit; x.Signal != syscall.SIGTERM {
			t.Errorf("ended with %+v", x)
		}
	})
}

func TestSurvivorsAreNamedAndTheirEndIsTold(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		m.start(shell("sleep 1000 & sleep 1000 & exit 3"))
		e := m.want(reconciler.EventExited)
		if e.Exit.Code != 3 || len(e.Processes) != 2 || e.Processes[0].Name != "sleep" && e.Processes[0].Name != "sh" {
			t.Errorf("got %+v", e)
		}
		m.offer(reconciler.VerbStart, shell("true"))
		if f := m.want(reconciler.EventStartFailed).Failure; f.Reason != reconciler.ReasonGroupOccupied {
			t.Errorf("start beside survivors: %+v", f)
		}
		m.offer(reconciler.VerbInspect, nil)
		if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 2 {
			t.Errorf("inspected %+v", ps)
		}
		m.run = e.Run
		m.signal(syscall.SIGTERM, reconciler.ScopeGroup)
		m.want(reconciler.EventEmptied)
		m.start(shell("exit 4"))
		m.want(reconciler.EventExited)
	})
}

func TestWhatDaemonisesAwayIsKilled(t *testing.T) {
	m := open(t, host.Options{})
	m.start(shell("setsid setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo started; exit 0"))
	e := m.want(reconciler.EventExited)
	if len(e.Processes) == 0 {
		t.Errorf("no survivors: %+v", e)
	}
	m.kill()
	m.want(reconciler.EventEmptied)
}

func TestKillEndsAGroupOfManyThatIgnoreSIGTERM(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		m.start(shell("trap '' TERM; i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait"))
		m.waitOutput("ready")
		m.signal(syscall.SIGTERM, reconciler.ScopeGroup)
		m.offer(reconciler.VerbInspect, nil)
		if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 16 {
			t.Errorf("%d described, want 16", len(ps))
		}
		m.run--
		m.kill()
		if e := m.want(reconciler.EventExited); e.Exit.Signal != syscall.SIGKILL {
			t.Errorf("ended with %+v", e.Exit)
		} else if e.Processes != nil {
			m.want(reconciler.EventEmptied)
		}
		m.start(shell("exit 0"))
		m.want(reconciler.EventExited)
	})
}

func TestFailuresAreExplained(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "no program", 0o755)
	data := write("data", "#!/bin/sh\n", 0o644)
	lost := write("lost", "#!/no/such/python -u\n", 0o755)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/no/such/target", link); err != nil {
		t.Fatal(err)
	}
	in := func(s *spec.Service, change func(*spec.Spec)) *spec.Service { change(&s.Spec); return s }
	tests := map[string]struct {
		service *spec.Service
		reason  reconciler.Reason
		says    string
		// checkPasses says that only execve can tell.
		checkPasses bool
	}{
		"a missing program": {web(dir + "/none"), reconciler.ReasonCommandNotFound, "no such file or directory: " + dir + "/none", false},
		"a missing program whose name is a secret": {in(web("$(A)"), func(s *spec.Spec) { s.Env = []spec.EnvVar{{Name: "A", Value: dir + "/none"}} }),
			reconciler.ReasonCommandNotFound, "no such file or directory: " + dir + "/none", false},
		"a missing folder":           {web(dir + "/a/b/c"), reconciler.ReasonCommandNotFound, "no such directory: " + dir + "/a", false},
		"a program not in PATH":      {web("no-such-program"), reconciler.ReasonCommandNotFound, "not found in PATH (/usr/local/sbin:", false},
		"a link that leads nowhere":  {web(link), reconciler.ReasonCommandNotFound, "is a link to /no/such/target", false},
		"a folder":                   {web(dir), reconciler.ReasonCommandNotRunnable, "it is a directory", false},
		"a file that is no program":  {web(plain), reconciler.ReasonCommandNotRunnable, "neither a program", true},
		"a file without permission":  {web(data), reconciler.ReasonCommandNotRunnable, "no permission to execute it (mode 0644", false},
		"an interpreter that is not": {web(lost), reconciler.ReasonCommandNotRunnable, "its interpreter: no such directory: /no", false},
		"a working directory that is missing": {in(shell("true"), func(s *spec.Spec) { s.WorkingDir = "/no/such" }),
			reconciler.ReasonWorkingDirInvalid, "no such directory: /no", false},
		"a working directory that is a file": {in(shell("true"), func(s *spec.Spec) { s.WorkingDir = data }),
			reconciler.ReasonWorkingDirInvalid, "it is no directory", false},
		"an unknown user": {in(shell("true"), func(s *spec.Spec) { s.SecurityContext.RunAsUser = "nobody-knows" }),
			reconciler.ReasonUserNotFound, `the user "nobody-knows" in /etc/passwd`, false},
		"an unknown group": {in(shell("true"), func(s *spec.Spec) { s.SecurityContext.RunAsGroup = "nobody-knows" }),
			reconciler.ReasonUserNotFound, `the group "nobody-knows" in /etc/group`, false},
		"a missing environment file": {in(shell("true"), func(s *spec.Spec) { s.EnvFrom = []spec.EnvFrom{{File: "/no/such"}} }),
			reconciler.ReasonEnvFileInvalid, "/no/such: no such file", false},
	}
	forBoth(t, func(t *testing.T, m *machine) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, dir: m.dir, run: m.run + 100}
				m.offer(reconciler.VerbStart, tt.service)
				f := m.want(reconciler.EventStartFailed).Failure
				if f.Reason != tt.reason || !strings.Contains(f.Message, tt.says) || !strings.HasPrefix(f.Message, "cannot ") {
					t.Errorf("got %+v, want %s saying %q", *f, tt.reason, tt.says)
				}
				hidden := ""
				if tt.service.Spec.Command[0] == "$(A)" {
					hidden = f.Message
				}
				if f.Hidden != hidden {
					t.Errorf("of %q is hidden %q", f.Message, f.Hidden)
				}
				m.offer(reconciler.VerbCheck, tt.service)
				f = m.want(reconciler.EventChecked).Failure
				if tt.checkPasses != (f == nil) {
					t.Fatalf("check: %+v", f)
				}
				if f != nil && (f.Reason != tt.reason || !strings.Contains(f.Message, tt.says) || (f.Hidden != "") != (hidden != "")) {
					t.Errorf("check got %+v, want %s saying %q", *f, tt.reason, tt.says)
				}
			})
		}
	})
}
