package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// holdLease takes a write lease on a file: who opens or executes it waits until
// the lease is given up. It stands for a file server that does not answer.
func holdLease(path string) int {
	f, err := os.Open(path) // not for writing: that would make it "busy"
	if err != nil {
		fmt.Println(err)
		return 1
	}
	// The kernel asks for the lease back with SIGIO, which must not end us.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("held")
	var none [1]byte
	_, _ = os.Stdin.Read(none[:]) // until the test ends
	return 0
}

func lease(t *testing.T, path string) (release func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	said, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{
		Files: []*os.File{in, out, os.Stderr},
		Env:   []string{"HOST_TEST_ACT=lease", "HOST_TEST_PATH=" + path},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = in.Close(), out.Close()
	var buf [64]byte
	if n, _ := said.Read(buf[:]); string(buf[:n]) != "held\n" {
		t.Fatalf("no lease: %s", buf[:n])
	}
	_ = said.Close()
	return func() {
		_ = hold.Close()
		_, _ = p.Wait()
	}
}

func TestAnExecutableOnADeadServerHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 5\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	forEach := map[string]bool{"with cgroups": false, "without cgroups": true}
	for name, no := range forEach {
		t.Run(name, func(t *testing.T) {
			m := open(t, host.Options{RemotePaths: []string{dir}, NoCgroups: no})
			release := lease(t, program)
			defer release()
			// Five replicas hang, more than there are workers.
			for i := range int32(5) {
				id := reconciler.ReplicaID{Service: "hung", Ordinal: i}
				m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: id, Run: 1, Service: web(program)}
			}
			for range 20 {
				m.start(shell("exit 4"))
				m.want(reconciler.EventExited)
			}
			stuck := reconciler.ReplicaID{Service: "hung", Ordinal: 4}
			if err := m.host.Kill(stuck); err != nil {
				t.Error(err)
			}
			if e := m.next(); e.Kind != reconciler.EventStartFailed || e.Replica != stuck {
				t.Errorf("after the kill of a hung start: %+v", e)
			}
			release()
			codes := map[int32]bool{}
			for range 8 {
				e := m.next()
				switch e.Kind {
				case reconciler.EventStarted:
				case reconciler.EventExited:
					codes[e.Exit.Status()] = true
				default:
					t.Fatalf("got %+v (failure %+v)", e, e.Failure)
				}
			}
			if diff := cmp.Diff(map[int32]bool{5: true}, codes); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWorkerThatHangsIsReplaced(t *testing.T) {
	m := open(t, host.Options{Workers: 1})
	release := m.host.HangDirectStarts()
	hung := reconciler.ReplicaID{Service: "hung"}
	m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: hung, Run: 1, Service: shell("true")}
	other := shell("exit 4")
	other.Spec.SecurityContext.Umask = 0o027 // through the exec stage
	for range 5 {
		m.start(other)
		m.want(reconciler.EventExited)
	}
	release()
	if e := m.next(); e.Kind != reconciler.EventStarted || e.Replica != hung {
		t.Errorf("got %+v", e)
	}
	if e := m.next(); e.Kind != reconciler.EventExited || e.Replica != hung {
		t.Errorf("got %+v", e)
	}
}

// TestAFileThatHangsIsInTheTimeOfACommand: neither a hook nor a probe takes longer than
// it may, what comes after them is done, and those that hang are not more and more.
func TestAFileThatHangsIsInTheTimeOfACommand(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		file := m.dir + "/env"
		release := hangingFile(t, file, "open")
		defer release()
		started := m.start(shell("exec sleep 1000"))
		reads := hooked(reconciler.HookPostStart, "true")
		reads.Spec.EnvFrom = []spec.EnvFrom{{File: file}}
		before := runtime.NumGoroutine()
		for range 5 {
			m.hook(reads, reconciler.HookPostStart, within(100*time.Millisecond))
			m.hookFails("it took longer than 100ms")
			m.offer(reconciler.VerbInspect, nil)
			if ps := m.want(reconciler.EventInspected).Processes; len(ps) != 1 {
				t.Errorf("what lives is %+v", ps)
			}
			w := reconciler.ProbeWork{Replica: web0, Run: started.Run, Service: reads}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if _, _, f := m.host.Exec(ctx, w, []string{"/bin/true"}, 1024); f == nil || !f.Unmade() {
				t.Errorf("a command: %+v", f)
			}
			if _, f := m.host.Environment(ctx, w); f == nil || !f.Unmade() {
				t.Errorf("an environment: %+v", f)
			}
			cancel()
		}
		until(func() bool { return runtime.NumGoroutine() <= before+2 })
		m.hook(reads, reconciler.HookPostStart)
		m.kill() // which ends it, too
		ended := map[reconciler.EventKind]bool{}
		for range 2 {
			ended[m.next().Kind] = true
		}
		if !ended[reconciler.EventHookEnded] || !ended[reconciler.EventExited] {
			t.Errorf("ended: %v", ended)
		}
	})
}
