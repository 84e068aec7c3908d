package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

func TestRuntimeDirectoriesAreMadeBeforeEachStart(t *testing.T) {
	m := open(t, host.Options{NoCgroups: os.Getuid() != 0})
	dir := filepath.Join(t.TempDir(), "a", "b", "run")
	s := shell("stat -c '%a %U' " + dir)
	want := "1770"
	s.Spec.RuntimeDirectories = []spec.RuntimeDirectory{{Path: dir, Mode: 0o1770}}
	s.Spec.WorkingDir = dir
	m.offer(reconciler.VerbCheck, s)
	if f := m.want(reconciler.EventChecked).Failure; f != nil {
		t.Errorf("the check misses what will be made: %+v", f)
	}
	if os.Getuid() == 0 {
		s.Spec.SecurityContext.RunAsUser = "nobody"
		want = "1770 nobody"
		m.passable(dir)
	}
	for range 2 {
		if got := m.runToEnd(s); !strings.Contains(got, want) {
			t.Errorf("the directory is %q, want %q", got, want)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(filepath.Dir(dir)); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("its parent is %v %v", st, err)
	}
}

// passable lets other users reach a path below the test's own directory, which
// may not exist yet.
func (m *machine) passable(path string) {
	m.t.Helper()
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil && !os.IsNotExist(err) {
			m.t.Fatal(err)
		}
	}
}

func TestARuntimeDirectoryIsRefused(t *testing.T) {
	m := open(t, host.Options{NoCgroups: os.Getuid() != 0})
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	for _, err := range []error{
		os.Mkdir(elsewhere, 0o700),
		os.Symlink(elsewhere, filepath.Join(dir, "link")),
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600),
		os.Symlink(elsewhere, filepath.Join(dir, "theirs")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct{ path, says string }{
		"a symbolic link":          {"link", "it is a symbolic link"},
		"a file":                   {"file", "something else is there"},
		"below a file":             {"file/a", "cannot enter"},
		"below a link of somebody": {"theirs/a", "it is a symbolic link of user 65534"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.path == "theirs/a" {
				if os.Getuid() != 0 {
					t.Skip("needs root, to give a link away")
				}
				if err := os.Lchown(filepath.Join(dir, "theirs"), 65534, -1); err != nil {
					t.Fatal(err)
				}
			}
			s := shell("true")
			s.Spec.RuntimeDirectories = []spec.RuntimeDirectory{{Path: filepath.Join(dir, tt.path), Mode: 0o755}}
			m := &machine{t: t, host: m.host, run: m.run + 100}
			m.offer(reconciler.VerbStart, s)
			f := m.want(reconciler.EventStartFailed).Failure
			if f.Reason != reconciler.ReasonDirectoryRefused || !strings.Contains(f.Message, tt.says) || !strings.HasPrefix(f.Message, "cannot make the runtime directory "+dir) {
				t.Errorf("got %+v", *f)
			}
		})
	}
	if st, err := os.Stat(elsewhere); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("where the link leads to was changed: %v %v", st, err)
	}
	// A link that we made ourselves may be on the way.
	s := shell("true")
	s.Spec.RuntimeDirectories = []spec.RuntimeDirectory{{Path: filepath.Join(dir, "link", "sub"), Mode: 0o755}}
	m.start(s)
	m.want(reconciler.EventExited)
	if _, err := os.Stat(filepath.Join(elsewhere, "sub")); err != nil {
		t.Error(err)
	}
}

func TestStartedTellsWhatTheEnvironmentFilesMeant(t *testing.T) {
	m := open(t, host.Options{NoCgroups: os.Getuid() != 0})
	file, listed := filepath.Join(m.dir, "env"), filepath.Join(m.dir, "listed")
	s := shell("exit 0")
	s.Spec.EnvFrom = []spec.EnvFrom{{File: file, Prefix: "A_"}, {File: file + ".none", Optional: true}, {File: listed}}
	s.Spec.Reload = &spec.Reload{Files: []string{listed}}
	digest := func(env, other string) string {
		t.Helper()
		for path, text := range map[string]string{file: env, listed: other} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e := m.start(s)
		m.want(reconciler.EventExited)
		vars, err := spec.ParseEnvFile(file, []byte(env))
		if err != nil {
			t.Fatal(err)
		}
		if want := s.Spec.EnvFilesDigest(func(path string) string {
			return map[string]string{file: spec.DigestEnv(vars)}[path]
		}); e.EnvFiles != want {
			t.Errorf("the digest is %q, want %q", e.EnvFiles, want)
		}
		return e.EnvFiles
	}
	first := digest("A=1\n", "B=1\n")
	if digest("# as before\nA=1\n", "B=2\n") != first {
		t.Error("a comment or a file of reload.files counts")
	}
	if digest("A=2\n", "B=2\n") == first {
		t.Error("another value does not count")
	}
	if e := m.start(shell("exit 0")); e.EnvFiles != "" {
		t.Errorf("without files the digest is %q", e.EnvFiles)
	}
	m.want(reconciler.EventExited)
}

func TestWhatIsReleasedLivesOn(t *testing.T) {
	m := open(t, host.Options{})
	// It forks all the time.
	script := `while :; do setsid sleep 0.05 & setsid sleep 0.05 & sleep 0.01; done & setsid sleep 1000000 & exit 0`
	m.start(shell(script))
	e := m.want(reconciler.EventExited)
	m.run++
	m.host.Work() <- reconciler.Work{Verb: reconciler.VerbRelease, Replica: web0, Run: m.run}
	released := m.want(reconciler.EventReleased)
	if released.Failure != nil || len(released.Processes) < 2 {
		t.Fatalf("released %+v, failure %+v", released.Processes, released.Failure)
	}
	m.run = e.Run
	m.want(reconciler.EventEmptied)
	left := m.host.LeftBehind()["web"]
	if len(left) < 2 {
		t.Errorf("left behind is %+v", left)
	}
	m.run += 100
	m.start(shell("exit 0"))
	m.want(reconciler.EventExited)
	group := groupOf(t, left[0].Pid)
	if !strings.HasPrefix(filepath.Base(group), "_left.web-0.") {
		t.Errorf("it lives in %s", group)
	}
	write(t, group+"/cgroup.kill", "1")
	until(func() bool { return m.host.LeftBehind() == nil || len(m.host.LeftBehind()) == 0 })
	if err := unix.Access(group, unix.F_OK); err != unix.ENOENT {
		t.Errorf("its group is left: %v", err)
	}
}
