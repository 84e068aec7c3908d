package host_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

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
	h, err := host.Open(host.Options{StateDir: dir, LogDir: dir, NoCgroups: true})
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
