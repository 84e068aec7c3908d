package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// census counts what the process holds.
func census(t *testing.T) (fds, zombies int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadFile("/proc/self/task/" + fmt.Sprint(os.Getpid()) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	return len(list), len(strings.Fields(string(tasks)))
}

func TestThousandsOfStartsLeaveNothingBehind(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		starts := 1000
		if raceEnabled {
			starts = 100
		}
		once := func(i int) {
			switch i % 5 {
			case 0:
				m.offer(reconciler.VerbStart, web("/no/such/program"))
				m.want(reconciler.EventStartFailed)
			case 1:
				m.start(shell("sleep 1000 & exit 0"))
				m.want(reconciler.EventExited)
				m.kill()
				m.want(reconciler.EventEmptied)
			case 2:
				m.offer(reconciler.VerbForget, nil)
				m.want(reconciler.EventForgotten)
			default:
				m.start(web("/bin/true"))
				m.want(reconciler.EventExited)
			}
		}
		for i := range 20 {
			once(i)
		}
		fds, zombies := census(t)
		for i := range starts {
			once(i)
		}
		fdsNow, zombiesNow := census(t)
		if fdsNow != fds || zombiesNow > zombies {
			t.Errorf("descriptors %d, then %d; children %d, then %d", fds, fdsNow, zombies, zombiesNow)
		}
	})
}

// starve opens a host, takes all descriptors away, and starts something.
func starve() int {
	dir, err := os.MkdirTemp("", "starve")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	h, err := host.Open(host.Options{StateDir: dir, Output: capture(dir), NoCgroups: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var taken []int
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	for n := 0; n < 12; n++ { // with n descriptors to spare
		h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Run: uint64(n), Service: shell("exit 0")}
		e := <-h.Events()
		switch e.Kind {
		case reconciler.EventStartFailed:
			fmt.Println(e.Failure.Reason)
		case reconciler.EventStarted:
			fmt.Println("started")
			if e = <-h.Events(); e.Kind != reconciler.EventExited {
				fmt.Println("then", e.Kind)
			}
		default:
			fmt.Println(e.Kind)
		}
		_ = unix.Close(taken[n])
	}
	if err := h.Close(); err != nil {
		fmt.Println(err)
	}
	return 0
}

// starveSurvivors has a main process end and leave a child behind while there
// is no descriptor to look with.
func starveSurvivors(noCgroups bool) int {
	dir, err := os.MkdirTemp("", "starve")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	h, err := host.Open(host.Options{StateDir: dir, Output: capture(dir), NoCgroups: noCgroups})
	if err != nil {
		fmt.Println("cannot open", err)
		return 0
	}
	h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Run: 1, Service: shell("sleep 300 & exec sleep 300")}
	fmt.Println("start told", (<-h.Events()).Kind == reconciler.EventStarted)
	var taken []int
	for fd, err := unix.Dup(0); err == nil; fd, err = unix.Dup(0) {
		taken = append(taken, fd)
	}
	if err := h.Signal(web0, unix.SIGKILL, reconciler.ScopeMain); err != nil {
		fmt.Println(err)
	}
	e := <-h.Events()
	fmt.Println("exit told", e.Kind == reconciler.EventExited, "survivors told", len(e.Processes) > 0)
	h.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Run: 2, Service: shell("exit 0")}
	fmt.Println("second refused", (<-h.Events()).Kind == reconciler.EventStartFailed)
	for _, fd := range taken {
		_ = unix.Close(fd)
	}
	if err := h.Kill(web0); err != nil {
		fmt.Println(err)
	}
	e = <-h.Events()
	fmt.Println("end told", e.Kind == reconciler.EventEmptied, e.Run == 1)
	if err := h.Close(); err != nil {
		fmt.Println(err)
	}
	return 0
}

func TestWithoutDescriptorsWhatIsLeftIsNotForgotten(t *testing.T) {
	for _, act := range []string{"starve-survivors", "starve-survivors-no-cgroups"} {
		t.Run(act, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "ulimit -n 40; exec "+exe)
			cmd.Env = []string{"HOST_TEST_ACT=" + act, "TMPDIR=" + t.TempDir()}
			said, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			if strings.HasPrefix(string(said), "cannot open") {
				t.Skipf("needs cgroups: %s", said)
			}
			want := "start told true\nexit told true survivors told true\nsecond refused true\nend told true true\n"
			if diff := cmp.Diff(want, string(said)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWithoutDescriptorsAStartFailsAndLaterSucceeds(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "ulimit -n 40; exec " + exe}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, w, w}, Env: []string{"HOST_TEST_ACT=starve", "TMPDIR=" + t.TempDir()},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	done := time.AfterFunc(time.Minute, func() { _ = p.Kill() })
	defer done.Stop()
	var said strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(said.String())
	for i, line := range lines {
		want := string(reconciler.ReasonResourcesExhausted)
		if i > 0 && lines[i-1] == "started" {
			want = "started"
		}
		if line != want && line != "started" {
			t.Errorf("line %d is %q; all: %v", i, line, lines)
		}
	}
	if len(lines) != 12 || lines[0] == "started" || lines[11] != "started" {
		t.Errorf("got %v", lines)
	}
}
