package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/status"
)

// busy gives the fleet groups and processes that can be measured.
func busy(b *bench) {
	// stat is a line of /proc/PID/stat: pid, session, ticks, pages.
	stat := func(pid, session, ticks, pages int) string {
		return fmt.Sprintf("%d (a ) name) S 1 %d %d 0 -1 0 0 0 0 0 %d 0 0 0 20 0 1 0 1 1 %d 0\n", pid, pid, session, ticks, pages)
	}
	group := func(name string, files map[string]string) {
		for file, text := range files {
			b.write("cgroups/x/"+name+"/"+file, text)
		}
	}
	group("web-0", map[string]string{"cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "memory.current": "73400320\n"})
	group("web-1", map[string]string{"cpu.stat": "usage_usec 200\n", "cgroup.procs": "11\n12\n", "hook/cgroup.procs": "13\n"})
	for pid, text := range map[int]string{
		11: stat(11, 11, 1, 256), 12: stat(12, 11, 1, 256), 13: stat(13, 13, 1, 512),
		1000: stat(1000, 1000, 7, 1024), 1001: stat(1001, 1000, 9, 3), 2000: stat(2000, 2000, 1, 1),
	} {
		b.write(fmt.Sprintf("proc/%d/stat", pid), text)
	}
	b.write("proc/meminfo", "")
	web := b.service("web")
	web.Status.ReplicaStatuses[0].Cgroup = "/x/web-0"
	web.Status.ReplicaStatuses[1].Cgroup = filepath.Join(b.dir, "cgroups/x/web-1") // as the daemon sees it
	b.service("job").Status.ReplicaStatuses[0].Pid = 0
	b.service("db").Status.ReplicaStatuses[0].Restarts = 3
}

func TestTopPrintsWhatIsKept(t *testing.T) {
	tests := map[string]struct {
		prepare func(*bench)
		args    []string
	}{
		"top":                                {busy, []string{"top"}},
		"top by memory":                      {busy, []string{"top", "--once", "--sort-by=memory", "--no-headers"}},
		"top by size":                        {busy, []string{"top", "--sort-by=size"}},
		"top of names":                       {busy, []string{"top", "db", "replicas/web-1", "nobody"}},
		"top by labels":                      {busy, []string{"top", "-l", "tier=front"}},
		"top of nothing":                     {busy, []string{"top", "-l", "tier=none"}},
		"top without a daemon":               {nil, []string{"top", "--state-dir", "$DIR/nothing"}},
		"explain a kind":                     {nil, []string{"explain", "service"}},
		"explain a field":                    {nil, []string{"explain", "svc.spec.restartPolicy"}},
		"explain a list":                     {nil, []string{"explain", "service.spec.env"}},
		"explain within a list":              {nil, []string{"explain", "service.spec.dependsOn.condition"}},
		"explain recursively":                {nil, []string{"explain", "service.spec.readinessProbe", "--recursive"}},
		"explain the configuration":          {nil, []string{"explain", "reconcilerconfiguration.defaults.backoff"}},
		"explain a misspelt field":           {nil, []string{"explain", "service.spec.replcas"}},
		"explain a field of what has none":   {nil, []string{"explain", "service.spec.replicas.x"}},
		"explain an unknown field":           {nil, []string{"explain", "service.spec.reload.zzzzzz"}},
		"explain without a kind":             {nil, []string{"explain", "spec.replicas"}},
		"explain nothing":                    {nil, []string{"explain"}},
		"complete a name":                    {nil, []string{"__complete", "describe", ""}},
		"complete a name of why":             {nil, []string{"__complete", "why", ""}},
		"complete a name behind its kind":    {nil, []string{"__complete", "describe", "svc/w"}},
		"complete a replica behind its kind": {nil, []string{"__complete", "restart", "replicas/web-0", "replicas/"}},
		"complete behind what is no kind":    {nil, []string{"__complete", "get", "pods/"}},
		"complete a further name":            {nil, []string{"__complete", "stop", "web", ""}},
		"complete what get takes":            {nil, []string{"__complete", "get", ""}},
		"complete a replica of get":          {nil, []string{"__complete", "get", "replicas", ""}},
		"complete the value of a flag":       {nil, []string{"__complete", "get", "-o", ""}},
		"complete a field":                   {nil, []string{"__complete", "explain", "service.spec.log."}},
		"complete without a daemon":          {nil, []string{"__complete", "--state-dir", "$DIR/nothing", "logs", ""}},
		"completion of a shell that is none": {nil, []string{"completion", "tcsh"}},
		"completion without a shell":         {nil, []string{"completion"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			if test.prepare != nil {
				test.prepare(b)
			}
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", b.run(test.args...))
		})
	}
}

func TestShellsUnderstandTheirCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "__start_reconciler", "zsh": "compdef _reconciler reconciler", "fish": "complete -c reconciler"} {
		if got := newBench(t, fleet).run("completion", shell); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", shell, want, got)
		}
	}
}

func TestCoresAreTimePerTime(t *testing.T) {
	at := func(cpu, second time.Duration) usage {
		return usage{cpu: cpu, at: now.Add(second * time.Second), known: true}
	}
	tests := map[string]struct {
		before, after usage
		want          int64
	}{
		"one and a half cores":             {at(time.Second, 0), at(4*time.Second, 2), 1500},
		"a little":                         {at(0, 0), at(25*time.Millisecond, 2), 12},
		"nothing known before":             {usage{}, at(time.Second, 1), -1},
		"ended meanwhile":                  {at(0, 0), usage{}, -1},
		"a process that took its time off": {at(2*time.Second, 0), at(time.Second, 1), 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := cores(test.before, test.after); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestAPictureFitsTheTerminal(t *testing.T) {
	var out bytes.Buffer
	s := &screen{bufio.NewWriter(&out)}
	if err := s.draw("first line\nsecond\nthird\nfourth\n", 6, 4); err != nil {
		t.Fatal(err)
	}
	want := topLeft + "first " + restOfLine + "\r\n" + "second" + restOfLine + "\r\n" + "third" + restOfLine + "\r\n" + restBelow
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTheMeterReadsThisMachine(t *testing.T) {
	m := newMeter()
	p, ok := m.process("self")
	if !ok || p.memory <= 0 {
		t.Fatalf("got %+v, %t of our own process", p, ok)
	}
	used := m.measure([]status.ReplicaObject{{Status: status.Replica{Pid: int32(os.Getpid())}}})
	if !used[0].known || used[0].memory < p.memory/2 {
		t.Errorf("got %+v of our own session", used[0])
	}
}

func TestATerminalWithoutASizeHasTheUsualOne(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, tt := range []struct{ set, want unix.Winsize }{
		{unix.Winsize{}, unix.Winsize{Col: 80, Row: 24}},
		{unix.Winsize{Col: 120, Row: 40}, unix.Winsize{Col: 120, Row: 40}},
	} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &tt.set); err != nil {
			t.Fatal(err)
		}
		if width, height := sizeOf(terminal); width != int(tt.want.Col) || height != int(tt.want.Row) {
			t.Errorf("got %d x %d of %+v", width, height, tt.set)
		}
	}
}

func TestOnlyATerminalThatIsKnownIsDrawnOn(t *testing.T) {
	for kind, want := range map[string]bool{"": false, "dumb": false, "linux": true, "xterm-256color": true} {
		if got := obeys(func(string) string { return kind }); got != want {
			t.Errorf("TERM=%s: got %v", kind, got)
		}
	}
}
