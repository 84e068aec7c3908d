package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
)

// gate is a writer that blocks until it is opened.
type gate struct {
	mu      sync.Mutex
	text    bytes.Buffer
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1000), open: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	g.entered <- struct{}{}
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(p)
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func lost(n int) []byte { return fmt.Appendf(nil, "lost %d\n", n) }

func TestALogThatNobodyReadsDropsAndCounts(t *testing.T) {
	g := newGate()
	q := newLogQueue(g, lost)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	q.Write(line)
	<-g.entered // the first line hangs in the writer
	fits := logQueueBytes / len(line)
	for range fits + 7 {
		if n, err := q.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	close(g.open)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat(string(line), 1+fits) + "lost 7\n"
	if got := g.String(); got != want {
		t.Errorf("got %d bytes ending in %q, want %d", len(got), got[max(0, len(got)-20):], len(want))
	}
}

func TestTheCountStandsWhereLinesAreMissing(t *testing.T) {
	g := newGate()
	q := newLogQueue(g, lost)
	q.Write([]byte("first\n"))
	<-g.entered
	q.Write(make([]byte, logQueueBytes+1))
	q.Write([]byte("second\n"))
	close(g.open)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("first\nlost 1\nsecond\n", g.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestALogWithoutAReaderDoesNotKeepTheDaemonFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := newLogQueue(g, lost)
		q.Write([]byte("first\n"))
		begun := time.Now()
		if err := q.Close(); err == nil {
			t.Error("Close tells nothing of the lines that nobody read")
		}
		if waited := time.Since(begun); waited != logFlushPatience {
			t.Errorf("Close waited %s, want %s", waited, logFlushPatience)
		}
		close(g.open)
	})
}

func TestALogThatFailsIsNoTrouble(t *testing.T) {
	reader, writer := io.Pipe()
	reader.CloseWithError(errors.New("gone"))
	q := newLogQueue(writer, lost)
	q.Write([]byte("x\n"))
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheConsoleShowsOneReadableLine(t *testing.T) {
	tests := map[string]struct {
		log  func(l *daemonLog)
		want string
	}{
		"a start": {
			func(l *daemonLog) {
				l.WithValues("service", "web", "replica", "web-0").Info("Started process", "pid", 12)
			},
			"TIME Started process  replica=web-0 pid=12\n",
		},
		"words are quoted": {
			func(l *daemonLog) { l.Info("Person asked", "by", `root "0"`, "service", "") },
			`TIME Person asked     by="root \"0\""` + "\n",
		},
		"sentences stand at the end, as they are": {
			func(l *daemonLog) {
				l.Info("Manifest has an error", "problem", `a.yaml:1:2: did you mean "command"?`, "meanwhile", "web keeps running", "service", "web")
			},
			`TIME Manifest has an error service=web: a.yaml:1:2: did you mean "command"?; web keeps running` + "\n",
		},
		"a sentence moves no cursor": {
			func(l *daemonLog) { l.Info("Probe failed", "message", "a\n\x1b[2J", "failures", 3) },
			`TIME Probe failed     failures=3: "a\n\x1b[2J"` + "\n",
		},
		"a failure": {
			func(l *daemonLog) { l.Error(errors.New("no such thing"), "Could not signal process", "pid", 0) },
			"TIME ERROR Could not signal process: no such thing\n",
		},
		"lists, times and processes": {
			func(l *daemonLog) {
				l.Info("Process ended", "fields", []string{"a", "b"}, "ran", 1500*time.Millisecond,
					"left", []reconciler.Process{{Pid: 1, Name: "sh"}, {Pid: 2, Name: "sleep"}})
			},
			"TIME Process ended    fields=a,b ran=1.5s left=sh(1),sleep(2)\n",
		},
		"debugging is off": {func(l *daemonLog) { l.V(1).Info("Detail") }, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l, err := openLog(&out, "console", "info")
			if err != nil {
				t.Fatal(err)
			}
			test.log(l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d\d\d`).ReplaceAllString(out.String(), "TIME")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTheLogIsJSONWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	l, err := openLog(&out, "", "debug")
	if err != nil {
		t.Fatal(err)
	}
	l.V(1).Info("Detail", "pid", 7, "ran", time.Second)
	l.Close()
	got := regexp.MustCompile(`"ts":"[^"]+"`).ReplaceAllString(out.String(), `"ts":"TIME"`)
	if want := `{"level":"debug","ts":"TIME","msg":"Detail","pid":7,"ran":"1s"}` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if l.forPeople {
		t.Error("JSON is not for people")
	}
}
