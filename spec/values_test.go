package spec_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

// parseSpec parses a manifest whose spec is fragment besides a command.
func parseSpec(t *testing.T, fragment string) (spec.Spec, []spec.Problem) {
	t.Helper()
	file := spec.Parse("/d/x.yaml", []byte("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: a}\nspec:\n  command: [a]\n  "+fragment+"\n"))
	if len(file.Services) == 0 {
		return spec.Spec{}, file.Problems
	}
	return file.Services[0].Spec, file.Problems
}

func TestAManifestThatSaysNothingButACommandGetsTheDefaults(t *testing.T) {
	got, problems := parseSpec(t, "")
	want := spec.Defaults()
	want.Command = []string{"a"}
	if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
		t.Errorf("spec differs (-want +got):\n%s%v", diff, problems)
	}
}

func TestUmaskIsReadAsOctalHoweverItIsWritten(t *testing.T) {
	for text, want := range map[string]spec.Umask{
		`"0022"`: 0o022, `"022"`: 0o022, `"22"`: 0o022, `0022`: 0o022, `022`: 0o022, `22`: 0o022, `0o22`: 0o022, `"0o22"`: 0o022,
		`0`: 0, `"0"`: 0, `"0777"`: 0o777, `777`: 0o777, `077`: 0o077,
	} {
		got, problems := parseSpec(t, "securityContext: {umask: "+text+"}")
		if got.SecurityContext.Umask != want || len(problems) > 0 {
			t.Errorf("umask %s = %s, %v; want %s", text, got.SecurityContext.Umask, problems, want)
		}
	}
	for _, text := range []string{`18`, `0888`, `1000`, `"1777"`, `-1`, `""`, `u=rwx`, `0x12`, `1.0`, `0b10`, `"0o"`} {
		if _, problems := parseSpec(t, "securityContext: {umask: "+text+"}"); len(problems) != 1 {
			t.Errorf("umask %s: %v, want one problem", text, problems)
		}
	}
}

func TestNumbersAreWholeAndDecimal(t *testing.T) {
	for text, want := range map[string]int32{"0": 0, "1000": 1000, "+3": 3} {
		got, problems := parseSpec(t, "replicas: "+text)
		if got.Replicas != want || len(problems) > 0 {
			t.Errorf("replicas %s = %d, %v", text, got.Replicas, problems)
		}
	}
	for _, text := range []string{"010", "0x3", "0b1", "0o7", "1_0", "1.0", "1e1", `"1"`, "-1", "1001", "9223372036854775808", "true", "[1]"} {
		if _, problems := parseSpec(t, "replicas: "+text); len(problems) != 1 {
			t.Errorf("replicas %s: %v, want one problem", text, problems)
		}
	}
}

func TestUserIsANameOrANumber(t *testing.T) {
	for text, want := range map[string]spec.ID{
		`1000`: "1000", `"1000"`: "1000", `0`: "0", `4294967294`: "4294967294", `www-data`: "www-data",
		`DOMAIN\user`: `DOMAIN\user`, `user@example.com`: "user@example.com", `_apt`: "_apt", `ünal`: "ünal",
	} {
		got, problems := parseSpec(t, "securityContext: {runAsUser: "+text+"}")
		if got.SecurityContext.RunAsUser != want || len(problems) > 0 {
			t.Errorf("user %s = %q, %v", text, got.SecurityContext.RunAsUser, problems)
		}
	}
	for _, text := range []string{`-1`, `4294967295`, `1.5`, `true`, `""`, `"a b"`, `"a:b"`, `010`, `1_000`, `"-a"`, `[a]`} {
		if _, problems := parseSpec(t, "securityContext: {runAsUser: "+text+"}"); len(problems) != 1 {
			t.Errorf("user %s: %v, want one problem", text, problems)
		}
	}
	if number, ok := spec.ID("1000").Number(); number != 1000 || !ok {
		t.Errorf("Number = %d, %v", number, ok)
	}
	if _, ok := spec.ID("daemon").Number(); ok {
		t.Error("a name is taken for a number")
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]struct {
		name   spec.Signal
		number syscall.Signal
	}{
		"SIGTERM": {"SIGTERM", syscall.SIGTERM}, "TERM": {"SIGTERM", syscall.SIGTERM}, "15": {"SIGTERM", syscall.SIGTERM},
		`"9"`: {"SIGKILL", syscall.SIGKILL}, "HUP": {"SIGHUP", syscall.SIGHUP}, "SIGSYS": {"SIGSYS", syscall.SIGSYS},
		"SIGRTMIN": {"SIGRTMIN", 34}, "RTMIN+3": {"SIGRTMIN+3", 37}, "SIGRTMAX": {"SIGRTMIN+30", 64},
		"SIGRTMAX-1": {"SIGRTMIN+29", 63}, "35": {"SIGRTMIN+1", 35}, "SIGPOLL": {"SIGIO", syscall.SIGIO},
	} {
		got, problems := parseSpec(t, "lifecycle: {stopSignal: "+text+"}")
		if got.Lifecycle.StopSignal != want.name || len(problems) > 0 {
			t.Errorf("signal %s = %q, %v; want %s", text, got.Lifecycle.StopSignal, problems, want.name)
		}
		if number := got.Lifecycle.StopSignal.Number(); number != want.number {
			t.Errorf("signal %s has the number %d, want %d", text, number, want.number)
		}
	}
	for _, text := range []string{"sigterm", "0", "32", "65", "-1", "SIG", "SIGSIGTERM", "SIGRTMIN+31", "SIGRTMIN-1", "SIGRTMIN+", "RTMAX-31", `""`, "1.5", "256"} {
		if got, problems := parseSpec(t, "lifecycle: {stopSignal: "+text+"}"); len(problems) != 1 {
			t.Errorf("signal %s = %q, want one problem", text, got.Lifecycle.StopSignal)
		}
	}
	for number := syscall.Signal(1); number <= 64; number++ {
		if name := spec.SignalOf(number); (name == "") != (number == 32 || number == 33) || name != "" && name.Number() != number {
			t.Errorf("signal %d is %q, whose number is %d", number, name, name.Number())
		}
	}
}

func TestRlimits(t *testing.T) {
	const infinity = spec.RlimitInfinity
	for text, want := range map[string]spec.Rlimit{
		"0": {}, "65536": {65536, 65536}, "unlimited": {infinity, infinity}, "{soft: 1, hard: 2}": {1, 2},
		"{soft: 1, hard: unlimited}": {1, infinity}, "18446744073709551614": {infinity - 1, infinity - 1},
	} {
		got, problems := parseSpec(t, "rlimits: {nofile: "+text+"}")
		if got.Rlimits["nofile"] != want || len(problems) > 0 {
			t.Errorf("limit %s = %v, %v", text, got.Rlimits["nofile"], problems)
		}
	}
	for _, text := range []string{"-1", "1.5", `"1"`, "infinity", "18446744073709551615", "{soft: 2, hard: 1}", "{soft: 1}", "[1]", "010", "true"} {
		if got, problems := parseSpec(t, "rlimits: {nofile: "+text+"}"); len(problems) != 1 {
			t.Errorf("limit %s = %v, %v; want one problem", text, got.Rlimits, problems)
		}
	}
}

func TestDurationsAreShownShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"1m": time.Minute, "1h": time.Hour, "1m30s": 90 * time.Second, "1h30m": 90 * time.Minute, "10m": 10 * time.Minute,
		"20h": 20 * time.Hour, "10s": 10 * time.Second, "500ms": 500 * time.Millisecond, "0s": 0, "1h0m1s": time.Hour + time.Second,
	} {
		if got := spec.Duration(d).String(); got != want {
			t.Errorf("%v is shown as %q, want %q", d, got, want)
		}
	}
}

func TestRelativePathsStartAtTheManifest(t *testing.T) {
	tests := map[string]string{"data": "/d/data", "./data/": "/d/data", "../x": "/x", ".": "/d", "/a/../b": "/a/../b", "/": "/"}
	for path, want := range tests {
		got, problems := parseSpec(t, "workingDir: "+path+"\n  envFrom: [{file: "+path+"}]")
		if len(problems) > 0 || got.WorkingDir != want || got.EnvFrom[0].File != want {
			t.Errorf("%s becomes %q and %v, want %q; %v", path, got.WorkingDir, got.EnvFrom, want, problems)
		}
	}
}

func TestTextInWhateverFormIsTheSameManifest(t *testing.T) {
	want := parseOne(t, smallManifest)
	for name, text := range map[string]string{
		"CR LF":                  strings.ReplaceAll(smallManifest, "\n", "\r\n"),
		"a byte order mark":      "\ufeff" + smallManifest,
		"no newline at the end":  strings.TrimSuffix(smallManifest, "\n"),
		"quoted keys":            strings.ReplaceAll(smallManifest, "spec:", `"spec":`),
		"comments":               "# a\n" + strings.ReplaceAll(smallManifest, "\n", " # b\n"),
		"fields that are null":   smallManifest + "  args: null\n  backoff: ~\n  replicas:\n",
		"a document's end":       smallManifest + "...\n",
		"surrounded by nothing":  "---\n---\n" + smallManifest + "---\n",
		"a comment after a mark": "--- # here\n" + smallManifest,
	} {
		got := parseOne(t, text)
		got.Source = want.Source
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNothingIsNoProblem(t *testing.T) {
	for _, name := range []string{"/d/x.yaml", "/d/x.json", "/d/x.yml"} {
		for _, text := range []string{"", "\n\n", "  \n"} {
			if diff := cmp.Diff(spec.File{}, spec.Parse(name, []byte(text))); diff != "" {
				t.Errorf("%s with %q: %s", name, text, diff)
			}
		}
	}
	if diff := cmp.Diff(spec.File{}, spec.Parse("/d/x.yaml", []byte("# a\n---\n# b\n---\n~\n"))); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsAreShownInOneLine(t *testing.T) {
	for want, p := range map[string]spec.Problem{
		`web.yaml:7:3: spec.comand: unknown field, did you mean "command"?`: {
			Source: spec.Source{File: "web.yaml", Line: 7}, Column: 3, Field: "spec.comand", Message: `unknown field, did you mean "command"?`,
		},
		"web.yaml:7: broken": {Source: spec.Source{File: "web.yaml", Line: 7}, Message: "broken"},
		"web.yaml: broken":   {Source: spec.Source{File: "web.yaml"}, Message: "broken"},
	} {
		if p.String() != want {
			t.Errorf("shown as %q, want %q", p, want)
		}
	}
}
