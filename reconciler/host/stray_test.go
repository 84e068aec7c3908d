package host_test

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// TestOnlyWhatIsOursIsFoundWithoutCgroups: a record was lost, and others have to
// do with the output of the service, too.
func TestOnlyWhatIsOursIsFoundWithoutCgroups(t *testing.T) {
	tests := map[string]struct {
		environ []string
		script  string // $LOG is the pipe for the output of the service
		found   int    // of two processes
	}{
		"a process that is marked, with its session":          {[]string{"SVC_INSTANCE=ours/web-0"}, "exec >/dev/null 2>&1; sleep 1000 & wait", 2},
		"one that has lost its environment, with its session": {nil, "exec >>$LOG 2>&1; sleep 1000 & wait", 2},
		"one that writes to the pipe, without its session":    {nil, "(exec >>$LOG 2>&1; exec sleep 1000) & exec >/dev/null 2>&1; wait", 1},
		"one of another daemon that writes to the same pipe":  {[]string{"SVC_INSTANCE=0123456789abcdef/web-0"}, "exec >>$LOG 2>&1; sleep 1000 & wait", 0},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			m := open(t, host.Options{NoCgroups: true})
			m.start(web("/bin/true")) // which makes the pipe
			m.want(reconciler.EventExited)
			if err := m.host.Close(); err != nil {
				t.Fatal(err)
			}
			for n, line := range test.environ {
				if line == "SVC_INSTANCE=ours/web-0" {
					test.environ[n] = "SVC_INSTANCE=" + host.InstanceOf(m.dir+"/state") + "/web-0"
				}
			}
			session := stranger(t, test.script, append(test.environ, "LOG="+m.dir+"/state/output/web-0.stdout", "PATH=/bin:/usr/bin"))
			next, err := host.Open(host.Options{StateDir: m.dir + "/state", Output: m.logs, NoCgroups: true})
			if err != nil {
				t.Fatal(err)
			}
			m.host = next
			if test.found == 0 {
				if f := next.Found(); len(f) > 0 {
					t.Errorf("found %v", f)
				}
				return
			}
			if f := next.Found(); !slices.Equal(f, []reconciler.ReplicaID{web0}) {
				t.Fatalf("found %v", f)
			}
			var seen []reconciler.Process
			for range 200 { // the shell may not have forked yet
				m.offer(reconciler.VerbInspect, nil)
				if seen = m.want(reconciler.EventInspected).Processes; len(seen) == test.found {
					return
				}
			}
			t.Errorf("in the session %d it sees %+v, want %d", session, seen, test.found)
		})
	}
}

// stranger runs a shell in a session of its own, and returns when its script has
// redirected all output.
func stranger(t *testing.T, script string, environ []string) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	command := exec.Command("/bin/sh", "-c", script)
	command.Env, command.Stdout, command.Stderr = environ, w, w
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
	})
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return command.Process.Pid
}
