package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"svc.d/reconciler/logs/cri"
	"svc.d/status"
)

// logged is an entry that was written so long before the tests' now.
func logged(ago time.Duration, s cri.Stream, text string) string {
	return string(cri.AppendHeader(nil, now.Add(-ago), s, false)) + text + "\n"
}

// withLogs has services that have written something, one of which is gone.
func withLogs(b *bench) {
	b.write("log/web/0.log", logged(time.Hour, cri.Stdout, "before")+logged(time.Minute, cri.Stdout, "hello")+logged(10*time.Second, cri.Stderr, "ouch"))
	b.write("log/web/1.log", logged(30*time.Second, cri.Stdout, "hello too"))
	b.write("log/db/0.log", logged(20*time.Second, cri.Stdout, "ready"))
	b.write("log/gone/0.log", logged(48*time.Hour, cri.Stdout, "farewell"))
	web := &b.service("web").Status.ReplicaStatuses[0]
	web.Started = now.Add(-15 * time.Second)
	web.LastExit = &status.Exit{Code: 1, Started: now.Add(-2 * time.Minute), At: now.Add(-16 * time.Second)}
}

func TestLogsPrintWhatIsKept(t *testing.T) {
	dead := []string{"--state-dir", "$DIR/nothing", "--log-dir", "$DIR/log"}
	tests := map[string][]string{
		"logs of all replicas have prefixes":             {"logs", "web"},
		"logs of one replica have none":                  {"logs", "web-1"},
		"logs of one replica with a prefix":              {"logs", "service/web-1", "--prefix"},
		"logs have timestamps":                           {"logs", "web-1", "--timestamps"},
		"logs of two services":                           {"logs", "web-1", "db"},
		"logs of all services":                           {"logs", "--all", "--tail", "2"},
		"logs by labels":                                 {"logs", "-l", "app=web,!nothing", "--tail", "1"},
		"logs by labels that nothing has":                {"logs", "-l", "app=none"},
		"logs by labels that are none":                   {"logs", "-l", "app in a"},
		"logs by sets of labels":                         {"logs", "-l", "app in (web, db), !nothing, app notin (db)", "--tail", "1"},
		"logs since some time":                           {"logs", "web", "--since", "45s"},
		"logs since a time that is none":                 {"logs", "web", "--since", "yesterday"},
		"logs of stderr":                                 {"logs", "web", "--stream", "stderr"},
		"logs of a stream that is none":                  {"logs", "web", "--stream", "stdin"},
		"logs that match":                                {"logs", "web", "--grep", "^hello$"},
		"logs with an expression that is none":           {"logs", "web", "--grep", "("},
		"logs of the run before":                         {"logs", "web", "--previous"},
		"logs of the run before there was none":          {"logs", "db", "--previous"},
		"logs of what was removed":                       {"logs", "gone"},
		"logs of an unknown name suggest one":            {"logs", "webb"},
		"logs of an unknown name among others":           {"logs", "webb", "db"},
		"logs of a service that has written nothing":     {"logs", "job"},
		"logs of a name that leads out":                  {"logs", "../log"},
		"logs without a name":                            {"logs"},
		"logs of a name and all":                         {"logs", "web", "--all"},
		"logs of less than none":                         {"logs", "web", "--tail", "-2"},
		"logs without a daemon":                          append([]string{"logs", "web-1"}, dead...),
		"logs of all without a daemon":                   append([]string{"logs", "--all"}, dead...),
		"logs by labels without a daemon":                append([]string{"logs", "-l", "app=web"}, dead...),
		"logs of the run before without a daemon":        append([]string{"logs", "web", "--previous"}, dead...),
		"logs of an unknown name without a daemon":       append([]string{"logs", "webb"}, dead...),
		"logs without a daemon and without a log":        {"logs", "web", "--state-dir", "$DIR/nothing", "--log-dir", "$DIR/nowhere"},
		"logs that cannot be followed for they are over": {"logs", "web", "-p", "-f"},
		"help of logs":                                   {"logs", "--help"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			withLogs(b)
			got := strings.ReplaceAll(b.run(args...), (&app{env: func(string) string { return "/home/somebody" }}).shownLogDir(), "$LOG")
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", got)
		})
	}
}

func TestSinceIsADurationOrATime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                          {},
		"10m":                       now.Add(-10 * time.Minute),
		"2d":                        now.Add(-48 * time.Hour),
		"1d12h":                     now.Add(-36 * time.Hour),
		"2026-01-02T16:04:00+01:00": time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC),
		"2026-01-01 10:00:01":       time.Date(2026, 1, 1, 10, 0, 1, 0, time.UTC),
		"2026-01-01 10:00":          time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC),
		"2026-01-01":                time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"15:04":                     time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC),
		"15:05":                     time.Date(2026, 1, 1, 15, 5, 0, 0, time.UTC),
	} {
		if got, err := sinceTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"10", "-5m", "xd", "d", "25:00", "tomorrow"} {
		if got, err := sinceTime(text, now); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// closedPipe is what | head leaves.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}
}

func TestLogsEndQuietlyWhenNobodyReads(t *testing.T) {
	b := newBench(t, fleet)
	withLogs(b)
	var stderr bytes.Buffer
	a := &app{stdout: closedPipe{}, stderr: &stderr, env: func(string) string { return "" }, now: time.Now}
	if code := a.run(t.Context(), []string{"logs", "web", "--state-dir", b.state()}); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
}

// The daemon ends while a follow is under way, and a line is written after that.
func TestLogsFollowBeyondTheDaemon(t *testing.T) {
	b := newBench(t, fleet)
	withLogs(b)
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	a := &app{stdout: write, stderr: write, env: func(string) string { return "" }, now: time.Now}
	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx, []string{"logs", "web", "-f", "--tail", "1", "--state-dir", b.state()}) }()
	buf := make([]byte, 1000)
	next := func(want string) {
		t.Helper()
		n, err := read.Read(buf)
		if got := string(buf[:n]); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	next("web-0 | ouch\n")
	b.stop()
	f, err := os.OpenFile(filepath.Join(b.dir, "log/web/1.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(logged(0, cri.Stdout, "still here")); err != nil {
		t.Fatal(err)
	}
	next("web-1 | still here\n")
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
