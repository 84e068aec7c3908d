package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// flood is a service that sends without end what nobody wants.
func flood() int {
	file, err := unix.MemfdCreate("unwanted", 0)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	many := make([]int, 253)
	for n := range many {
		many[n] = file
	}
	for {
		say("X=1")
		say("READY=2\nFDNAME=x", file)
		say("READY=1\n" + strings.Repeat("x", 5000))
		say("FDSTORE=1\n"+strings.Repeat("x", 5000), many...)
		say("", file)
		say("FDSTORE=0\nMAINPID=1\xff\x00", many...)
	}
}

// TestAFloodHoldsNobodyUp: neither those who tell of themselves, nor the ends of
// processes; and nothing is left of it.
func TestAFloodHoldsNobodyUp(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		m.runKeeper("a=one")
		fds, _ := census(t)
		var flooders []reconciler.ReplicaID
		for n, notify := range []spec.Notify{spec.NotifySystemd, spec.NotifyNone, spec.NotifySystemd} {
			id := reconciler.ReplicaID{Service: "flood", Ordinal: int32(n)}
			s := self(t, "flood", spec.EnvVar{Name: "NOTIFY_SOCKET", Value: m.dir + "/state/notify"})
			s.Spec.Notify = notify
			m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: id, Run: 1, Service: s}
			if e := m.next(); e.Kind != reconciler.EventStarted {
				t.Fatalf("got %+v", e)
			}
			flooders = append(flooders, id)
		}
		for range 10 {
			if got, want := m.runKeeper(""), "given a one 0 <nil>\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		for _, id := range flooders {
			if err := m.host.Kill(id); err != nil {
				t.Error(err)
			}
			if e := m.next(); e.Kind != reconciler.EventExited || e.Replica != id {
				t.Errorf("got %+v", e)
			}
			m.host.Work() <- reconciler.Work{Verb: reconciler.VerbForget, Replica: id, Run: 2}
			if e := m.next(); e.Kind != reconciler.EventForgotten || e.Failure != nil {
				t.Errorf("got %+v", e)
			}
		}
		until(func() bool { now, _ := census(t); return now <= fds+1 }) // the log may be open or not
	})
}

// TestWhatIsSaidOfAServiceByNobody leaves no descriptor behind, and the barrier of
// anybody is closed.
func TestWhatIsSaidOfAServiceByNobody(t *testing.T) {
	m := open(t, through["directly"])
	t.Setenv("NOTIFY_SOCKET", m.dir+"/state/notify")
	fds, _ := census(t)
	for range 300 {
		say("FDSTORE=1\nREADY=1", 0, 1, 2)
	}
	var barrier [2]int
	if err := unix.Pipe(barrier[:]); err != nil {
		t.Fatal(err)
	}
	say("BARRIER=1", barrier[1])
	_ = unix.Close(barrier[1])
	if n, err := unix.Read(barrier[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("barrier: %d, %v", n, err)
	}
	_ = unix.Close(barrier[0])
	until(func() bool { now, _ := census(t); return now <= fds })
}

// starveStore has a service store more descriptors than half of what the process
// may have.
func starveStore() int {
	dir, err := os.MkdirTemp("", "starve")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	exe, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	h, err := host.Open(host.Options{StateDir: dir, Output: capture(dir), NoCgroups: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for run, store := range []string{"70", "a=one", "70"} {
		id := reconciler.ReplicaID{Service: "web", Ordinal: int32(run)}
		s := notifies(web(exe))
		s.Spec.Env = []spec.EnvVar{{Name: "HOST_TEST_ACT", Value: "keep"}, {Name: "HOST_TEST_STORE", Value: store}}
		h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: id, Run: 1, Service: s}
		for e := range h.Events() {
			if e.Kind == reconciler.EventExited || e.Kind == reconciler.EventStartFailed {
				break
			}
		}
		fmt.Println(len(h.Carry().Stored[id]))
		if run == 1 {
			h.Work() <- reconciler.Work{Verb: reconciler.VerbForget, Replica: reconciler.ReplicaID{Service: "web"}, Run: 2}
			<-h.Events()
		}
	}
	if err := h.Close(); err != nil {
		fmt.Println(err)
	}
	return 0
}

func TestNotMoreThanHalfOfAllDescriptorsAreStored(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "ulimit -n 120; exec "+exe)
	cmd.Env = []string{"HOST_TEST_ACT=starve-store", "TMPDIR=" + t.TempDir()}
	said, err := cmd.CombinedOutput()
	if want := "60\n0\n60\n"; err != nil || string(said) != want {
		t.Errorf("got %q, %v, want %q", said, err, want)
	}
}

// TestAPathThatIsTooLongIsToldAtTheStart of what would need it, and of nothing else.
func TestAPathThatIsTooLongIsToldAtTheStart(t *testing.T) {
	dir := t.TempDir() + "/" + strings.Repeat("d", 120)
	output := capture(dir)
	t.Cleanup(func() { output.Close(false) })
	h, err := host.Open(host.Options{StateDir: dir + "/state", Output: output, NoCgroups: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, host: h, logs: output, dir: dir}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	m.offer(reconciler.VerbStart, notifies(shell("true")))
	if f := m.want(reconciler.EventStartFailed).Failure; !strings.Contains(f.Message, "longer than 107 bytes") {
		t.Errorf("got %+v", f)
	}
	m.start(shell("true"))
	m.want(reconciler.EventExited)
}

// TestWhatIsSaidDuringAStart by others is kept with a bounded number of descriptors,
// and not longer than the start takes, whatever comes of it.
func TestWhatIsSaidDuringAStart(t *testing.T) {
	for name, command := range map[string]string{"it succeeds": "#!/bin/sh\nexit 0\n", "it fails": "no program"} {
		t.Run(name, func(t *testing.T) {
			m := open(t, host.Options{NoCgroups: true})
			t.Setenv("NOTIFY_SOCKET", m.dir+"/state/notify")
			program := m.dir + "/program"
			if err := os.WriteFile(program, []byte(command), 0o755); err != nil {
				t.Fatal(err)
			}
			m.runToEnd(shell("exit 0"))
			fds, _ := census(t)
			release := m.host.HangDirectStarts()
			m.offer(reconciler.VerbStart, notifies(web(program)))
			many := make([]int, 250)
			kept := func() bool { now, _ := census(t); return now >= fds+len(many) }
			for !kept() {
				say("X=1", many...)
			}
			for range 10 {
				say("FDSTORE=1", many...)
			}
			until(func() bool { return !waits(t, m.host.Carry().Notify) })
			until(func() bool { now, _ := census(t); return now <= fds+2*len(many) })
			release()
			for e := m.next(); e.Kind != reconciler.EventExited && e.Kind != reconciler.EventStartFailed; e = m.next() {
			}
			until(func() bool { now, _ := census(t); return now <= fds })
		})
	}
}
