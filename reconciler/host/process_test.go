package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/reconciler/logs"
	"svc.d/spec"
)

// perform is what the test's own executable does as a service or as a helper of
// a test: HOST_TEST_ACT says what.
func perform(act string) int {
	switch act {
	case "describe":
		return describeMyself()
	case "lease":
		return holdLease(os.Getenv("HOST_TEST_PATH"))
	case "starve":
		return starve()
	case "starve-survivors", "starve-survivors-no-cgroups":
		return starveSurvivors(act == "starve-survivors-no-cgroups")
	case "trace":
		return trace()
	case "inherit":
		return inherit()
	case "lead":
		return leaveThreads()
	case "keep":
		return keepDescriptors()
	case "say-later":
		return sayLater(os.Getenv("HOST_TEST_PATH"))
	case "flood":
		return flood()
	case "serve-file":
		return serveFile(os.Getenv("HOST_TEST_PATH"))
	case "send-hanging":
		return sendHanging(os.Getenv("HOST_TEST_PATH"))
	case "say-often":
		return sayOften()
	case "starve-store":
		return starveStore()
	case "guard":
		return guard()
	case "say":
		return sayAndEnd()
	case "enter":
		return enter()
	case "orphans":
		return inheritOrphans()
	}
	fmt.Println("unknown act", act)
	return 2
}

// describeMyself prints what a process inherits, without what the Go runtime
// opens.
func describeMyself() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, fd := range fds {
		target, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") && !strings.Contains(target, "/cgroup/") {
			fmt.Printf("fd %s %s\n", fd.Name(), filepath.Base(target))
		}
	}
	return 0
}

// self is a service that is the test's own executable.
func self(t *testing.T, act string, env ...spec.EnvVar) *spec.Service {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := web(exe)
	s.Spec.Env = append([]spec.EnvVar{{Name: "HOST_TEST_ACT", Value: act}}, env...)
	return s
}

// through lists ways for a process to come into being: directly and through
// the exec stage. Both must give the same.
var through = map[string]host.Options{
	"directly":               {NoCgroups: os.Getuid() != 0},
	"through the exec stage": {NoCgroups: os.Getuid() != 0, RemotePaths: []string{"/"}},
}

func (m *machine) runToEnd(s *spec.Service) string {
	m.t.Helper()
	m.start(s)
	if e := m.want(reconciler.EventExited); e.Exit.Status() != 0 {
		m.t.Fatalf("ended with %+v: %s", e.Exit, m.output())
	}
	return m.output()
}

func TestAProcessInheritsThreeDescriptors(t *testing.T) {
	for name, o := range through {
		t.Run(name, func(t *testing.T) {
			stray, err := unix.Dup(0) // as one that our own starter forgot
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Close(stray) }()
			m := open(t, o)
			got := m.runToEnd(self(t, "describe"))
			if diff := cmp.Diff("fd 0 null\nfd 1 web-0.stdout\nfd 2 web-0.stderr\n", got); diff != "" {
				t.Errorf("descriptors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProcessHasExactlyTheEnvironmentDeclared(t *testing.T) {
	t.Setenv("GODEBUG", "fips140=off") // of the daemon, and nobody else's
	for name, o := range through {
		t.Run(name, func(t *testing.T) {
			m := open(t, o)
			s := web("/usr/bin/env", "-0")
			s.Spec.Env = []spec.EnvVar{{Name: "GOGC", Value: "$(SVC_NAME)"}, {Name: "TEXT", Value: "two\nlines"}}
			m.runToEnd(s)
			m.logs.Release(logs.Replica(web0)) // ends the last line
			got := strings.Split(strings.TrimSuffix(m.output(), "\x00\n"), "\x00")
			got = slices.DeleteFunc(got, func(e string) bool { // the user's own
				return strings.HasPrefix(e, "HOME=/") || strings.HasPrefix(e, "USER=") || strings.HasPrefix(e, "LOGNAME=") || strings.HasPrefix(e, "SHELL=/")
			})
			slices.Sort(got)
			want := []string{"GOGC=web", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SVC_NAME=web", "SVC_REPLICA=0", "TEXT=two\nlines"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProcessHasDefaultSignalsAndItsOwnNameAndDirectory(t *testing.T) {
	for name, o := range through {
		t.Run(name, func(t *testing.T) {
			m := open(t, o)
			s := web("cat", "/proc/self/status", "/proc/self/cmdline", "/proc/self/oom_score_adj")
			s.Spec.WorkingDir = "/usr"
			got := m.runToEnd(s)
			for _, want := range []string{
				"Name:\tcat\n", "Umask:\t0022\n", "SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n", "SigCgt:\t0000000000000000\n",
				"Threads:\t1\n", "cat\x00/proc/self/status\x00",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

func TestUmaskAndRlimitsAreSet(t *testing.T) {
	m := open(t, through["directly"])
	s := shell("umask; ulimit -Sn; ulimit -Hn; ulimit -c")
	s.Spec.SecurityContext.Umask = 0o027
	s.Spec.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 77, Hard: 99}, "core": {}}
	if diff := cmp.Diff("0027\n77\n99\n0\n", m.runToEnd(s)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestWithoutRlimitsTheDaemonsOriginalOnesHold(t *testing.T) {
	for name, o := range through {
		t.Run(name, func(t *testing.T) {
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			m := open(t, o)
			got := m.runToEnd(shell("ulimit -Sn; ulimit -Hn"))
			// go test's own limits were raised by Go; a child of ours has what
			// a child of the shell has.
			soft, err := limitOfParent()
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%s\n%d\n", soft, limit.Max); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// limitOfParent is the soft limit of open files that os/exec gives a child.
func limitOfParent() (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "ulimit -Sn"}, &os.ProcAttr{Files: []*os.File{nil, w, nil}})
	if err != nil {
		return "", err
	}
	_ = w.Close()
	var buf [64]byte
	n, _ := r.Read(buf[:])
	_, err = p.Wait()
	return strings.TrimSpace(string(buf[:n])), err
}

func TestAServiceRunsAsItsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	tests := map[string]struct {
		context spec.SecurityContext
		want    string
	}{
		"a user by name has its own group and home": {spec.SecurityContext{RunAsUser: "nobody"}, "65534 65534 65534 nobody /nonexistent\n"},
		"a user by number is the same":              {spec.SecurityContext{RunAsUser: "65534"}, "65534 65534 65534 nobody /nonexistent\n"},
		"a number nobody knows needs a group":       {spec.SecurityContext{RunAsUser: "54321", RunAsGroup: "1234"}, "54321 1234 1234  /\n"},
		"groups are added": {spec.SecurityContext{RunAsUser: "nobody", RunAsGroup: "daemon", SupplementalGroups: []spec.ID{"2", "games"}},
			"65534 1 1 2 60 nobody /nonexistent\n"},
		"an empty list of groups is none": {spec.SecurityContext{RunAsUser: "nobody", SupplementalGroups: []spec.ID{}}, "65534 65534 65534 nobody /nonexistent\n"},
	}
	for how, o := range through {
		for name, tt := range tests {
			t.Run(how+": "+name, func(t *testing.T) {
				m := open(t, o)
				s := shell(`echo $(id -u) $(id -g) $(id -G) "$USER" $HOME`)
				s.Spec.SecurityContext = tt.context
				s.Spec.SecurityContext.Umask = 0o022
				if diff := cmp.Diff(tt.want, m.runToEnd(s)); diff != "" {
					t.Errorf("identity (-want +got):\n%s", diff)
				}
				stdout, _ := m.logs.Pipes(logs.Replica(web0))
				info, err := os.Stat(stdout)
				if err != nil {
					t.Fatal(err)
				}
				st, ok := info.Sys().(*syscall.Stat_t)
				if !ok || info.Mode().Perm() != 0o622 || st.Uid == 0 {
					t.Errorf("pipe: %v, owner %d", info.Mode(), st.Uid)
				}
			})
		}
	}
}

func TestAUserWhoMayNotIsToldWhy(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	m := open(t, host.Options{})
	closed := filepath.Join(m.dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(closed+"/program", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := web(closed + "/program")
	s.Spec.SecurityContext.RunAsUser = "nobody"
	for verb, kind := range map[reconciler.Verb]reconciler.EventKind{
		reconciler.VerbStart: reconciler.EventStartFailed, reconciler.VerbCheck: reconciler.EventChecked,
	} {
		m.offer(verb, s)
		f := m.want(kind).Failure
		if f == nil || f.Reason != reconciler.ReasonCommandNotRunnable || !strings.Contains(f.Message, "no permission to enter") {
			t.Errorf("verb %d: %+v", verb, f)
		}
	}
}
