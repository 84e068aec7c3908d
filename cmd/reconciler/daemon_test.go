package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler/record"
	"svc.d/spec"
)

// daemonIn runs the program as a daemon that is expected to refuse.
func daemonIn(t *testing.T, env map[string]string, args ...string) (code int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, env: func(k string) string { return env[k] }}
	return a.run(t.Context(), args), errs.String()
}

func TestASecondDaemonRefusesBeforeItTouchesAnything(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := makeStateDir(state); err != nil {
		t.Fatal(err)
	}
	lock, err := record.TakeLock(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	socket := filepath.Join(state, "api.sock")
	if err := os.WriteFile(socket, []byte("of the first"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stderr := daemonIn(t, nil, "--dir", dir, "--state-dir", state, "--log-dir", filepath.Join(dir, "log"))
	want := fmt.Sprintf("error: cannot lock %s: a daemon with pid %d uses it\n", state, os.Getpid())
	if code != 1 || stderr != want {
		t.Errorf("exit code %d and %q, want 1 and %q", code, stderr, want)
	}
	if text, _ := os.ReadFile(socket); string(text) != "of the first" {
		t.Error("the socket of the first daemon was touched")
	}
	if _, err := os.Stat(filepath.Join(dir, "log")); !os.IsNotExist(err) {
		t.Errorf("the log directory was made: %v", err)
	}
}

func TestTheDaemonRefusesFlagsThatMakeNoSense(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a format":        {[]string{"--log-format", "xml"}, `cannot use --log-format: it must be "console" or "json", not "xml"`},
		"a level":         {[]string{"--log-level", "loud"}, `cannot use --log-level: it must be "debug", "info" or "error", not "loud"`},
		"an owner":        {[]string{"--trust-owner", "no such user"}, `cannot trust "no such user": user: unknown user no such user`},
		"nowhere to live": {[]string{"--state-dir", "/dev/null/x"}, "cannot make the state directory: mkdir /dev/null: not a directory"},
		"an argument":     {[]string{"other"}, "unknown command \"other\" for \"reconciler\"; `reconciler --help` lists them"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			args := append([]string{"--dir", dir, "--state-dir", filepath.Join(dir, "state"), "--log-dir", dir}, test.args...)
			code, stderr := daemonIn(t, nil, args...)
			if code != 1 || strings.TrimSpace(stderr) != "error: "+test.want {
				t.Errorf("exit code %d and %q, want 1 and %q", code, stderr, test.want)
			}
		})
	}
}

func TestTheStateDirectoryIsOurs(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string // of the error; empty for none
	}{
		"it is made with its parents": {func(*testing.T, string) {}, ""},
		"it is there":                 {func(t *testing.T, dir string) { must(t, os.MkdirAll(dir, 0o755)) }, ""},
		"others can write to it": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir, 0o755))
			must(t, os.Chmod(dir, 0o775))
		}, "others can write to it"},
		"it is a file": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, "it is no directory"},
		"it is somebody else's": {func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("needs root: only root can give a directory away")
			}
			must(t, os.MkdirAll(dir, 0o755))
			must(t, os.Chown(dir, 4711, 4711))
		}, "it belongs to another user"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "state")
			test.prepare(t, dir)
			err := makeStateDir(dir)
			if test.want == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheStateDirectoryIsFound(t *testing.T) {
	tests := map[string]struct {
		flag string
		env  map[string]string
		want string
	}{
		"the flag comes first": {"/flag", map[string]string{stateDirEnv: "/env"}, "/flag"},
		"then the environment": {"", map[string]string{stateDirEnv: "/env"}, "/env"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := &app{stateDir: test.flag, env: func(k string) string { return test.env[k] }}
			got, err := a.findStateDir()
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestSignalsStopInTwoSteps(t *testing.T) {
	const stop, kill, reexec, leave = "stop", "kill", "reexec", "leave"
	tests := map[string]struct {
		terminal bool
		signals  []os.Signal
		want     []string
	}{
		"SIGQUIT leaves":                              {true, []os.Signal{syscall.SIGQUIT}, []string{leave}},
		"SIGQUIT during a shutdown does nothing":      {true, []os.Signal{syscall.SIGTERM, syscall.SIGQUIT}, []string{stop}},
		"a hang-up during a shutdown does not reexec": {false, []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM}, []string{stop, kill}},
		"the first stops, the second kills":           {false, []os.Signal{syscall.SIGTERM, syscall.SIGINT}, []string{stop, kill}},
		"a hang-up without a terminal executes anew":  {false, []os.Signal{syscall.SIGHUP, syscall.SIGHUP}, []string{reexec, reexec}},
		"a hang-up during a shutdown does not kill":   {true, []os.Signal{syscall.SIGTERM, syscall.SIGHUP}, []string{stop}},
		"a closed terminal stops":                     {true, []os.Signal{syscall.SIGHUP, syscall.SIGHUP}, []string{stop}},
		"SIGPIPE does nothing":                        {true, []os.Signal{syscall.SIGPIPE}, nil},
		"they do not begin a shutdown":                {false, []os.Signal{syscall.SIGPIPE, syscall.SIGTERM}, []string{stop}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			s := signals{
				terminal: test.terminal, log: logr.Discard(),
				reexec: func() { got = append(got, reexec) }, leave: func() { got = append(got, leave) },
				shutdown: func(now bool) { got = append(got, map[bool]string{false: stop, true: kill}[now]) },
			}
			stopping := false
			for _, sig := range test.signals {
				stopping = s.handle(sig, stopping)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAPersonWithNothingGetsAManifest(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "it's new"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "it's new", "README"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(root, "used"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "used", "a.yml"), nil, 0o600))

	if got := welcome(filepath.Join(root, "used")); got != "" {
		t.Errorf("for a directory in use: %q", got)
	}
	if got := welcome(filepath.Join(root, "missing")); !strings.Contains(got, "mkdir -p "+root+"/missing\ncat > "+root+"/missing/hello.yaml <<'EOF'\n") {
		t.Errorf("for a missing directory: %q", got)
	}
	got := welcome(filepath.Join(root, "it's new"))
	if !strings.Contains(got, `cat > '`+root+`/it'\''s new/hello.yaml' <<'EOF'`) {
		t.Errorf("for a directory whose name needs quotes: %q", got)
	}
	for line := range strings.Lines(got) {
		if strings.Contains(line, "Paste this") && (strings.Contains(line, root) || len(line) > 80) {
			t.Errorf("may not fit into 80 columns: %q", line)
		}
	}
	_, manifest, _ := strings.Cut(got, "<<'EOF'\n")
	manifest, _, _ = strings.Cut(manifest, "EOF\n")
	parsed := spec.Parse("/x/hello.yaml", []byte(manifest))
	if len(parsed.Problems) > 0 || len(parsed.Services) != 1 {
		t.Errorf("the manifest is not valid: %v", parsed.Problems)
	}
}

func TestNamesNearEachOther(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want int
	}{
		"the same":        {"web", "web", 0},
		"swapped":         {"web", "wbe", 1},
		"one too many":    {"web", "webb", 1},
		"nothing":         {"", "web", 3},
		"quite different": {"cache", "web", 5},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := distance(test.a, test.b); got != test.want {
				t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
			}
		})
	}
}
