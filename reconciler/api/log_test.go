package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/logs/cri"
	"svc.d/status"
)

var logBegin = time.Now().Add(-time.Hour).UTC()

// logEntry is an entry of minute n of the last hour.
func logEntry(n int, s cri.Stream, text string) string {
	return string(cri.AppendHeader(nil, logBegin.Add(time.Duration(n)*time.Minute), s, false)) + text + "\n"
}

// withLog is a configuration with a service "web" that has written something.
func withLog(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"0.log": logEntry(1, cri.Stdout, "one") + logEntry(3, cri.Stderr, "three"),
		"1.log": logEntry(2, cri.Stdout, "two") + logEntry(50, cri.Stdout, "fifty"),
	} {
		if err := errors.Join(os.MkdirAll(dir+"/web", 0o755), os.WriteFile(filepath.Join(dir, "web", name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(ctx context.Context, names ...string) (*reconciler.Snapshot, error) {
		s, err := one(ctx, names...)
		s.Services[0].Status.ReplicaStatuses = []status.Replica{
			{Ordinal: 0, Started: logBegin.Add(150 * time.Second), LastExit: &status.Exit{Started: logBegin, At: logBegin.Add(2 * time.Minute)}},
			{Ordinal: 1, Started: logBegin},
		}
		return s, err
	}
	return Config{Engine: engine{snapshot: ask}, Daemon: status.Daemon{LogDir: dir}}
}

func TestALogIsAskedForAsInKubernetes(t *testing.T) {
	stamp := func(n int) string { return logBegin.Add(time.Duration(n) * time.Minute).Format(cri.Stamp) }
	tests := map[string]struct {
		query, want string
		code        int
	}{
		"all of it":                   {"", "one\ntwo\nthree\nfifty\n", 200},
		"the last lines":              {"tailLines=2", "three\nfifty\n", 200},
		"no lines":                    {"tailLines=0", "", 200},
		"one replica":                 {"ordinal=1", "two\nfifty\n", 200},
		"a replica without a log":     {"ordinal=7", "", 200},
		"since some seconds":          {"sinceSeconds=900", "fifty\n", 200},
		"since a time":                {"sinceTime=" + stamp(3), "three\nfifty\n", 200},
		"with timestamps":             {"timestamps=true&ordinal=0", stamp(1) + " one\n" + stamp(3) + " three\n", 200},
		"with the replicas' names":    {"prefix=1&tailLines=1", "web-1 | fifty\n", 200},
		"a switch without a value":    {"prefix&tailLines=1", "web-1 | fifty\n", 200},
		"a switch that is off":        {"follow=false&previous=0&tailLines=1", "fifty\n", 200},
		"a stream":                    {"stream=Stderr", "three\n", 200},
		"both streams":                {"stream=All&tailLines=1", "fifty\n", 200},
		"lines that match":            {"grep=^t", "two\nthree\n", 200},
		"so many bytes":               {"limitBytes=6", "one\ntw", 200},
		"the run before":              {"previous=true", "one\n", 200},
		"the run before of one":       {"previous=true&ordinal=1", "no run of web has ended yet", 400},
		"a parameter that is not":     {"tail=1", `there is no parameter \"tail\"; there are follow, grep, limitBytes`, 400},
		"no number":                   {"tailLines=many", `parameter \"tailLines\" must be a number from 0 to`, 400},
		"less than none":              {"tailLines=-1", `parameter \"tailLines\" must be a number from 0 to`, 400},
		"no bytes":                    {"limitBytes=0", `parameter \"limitBytes\" must be a number from 1 to`, 400},
		"a stream that is not":        {"stream=stderr", `parameter \"stream\" must be one of All, Stdout and Stderr, not \"stderr\"`, 400},
		"a time that is none":         {"sinceTime=now", `parameter \"sinceTime\" must be a time as in`, 400},
		"no switch":                   {"follow=perhaps", `parameter \"follow\" must be true or false`, 400},
		"no expression":               {"grep=(", `parameter \"grep\" must be a regular expression`, 400},
		"a negative ordinal":          {"ordinal=-1", `parameter \"ordinal\" must be`, 400},
		"twice":                       {"ordinal=0&ordinal=1", `parameter \"ordinal\" is given more than once`, 400},
		"two beginnings":              {"sinceSeconds=1&sinceTime=" + stamp(1), "exclude each other", 400},
		"a run that is over followed": {"previous=true&follow=true", "exclude each other", 400},
		"what cannot be read":         {"grep=%zz", "cannot read the parameters", 400},
	}
	server := NewServer(withLog(t))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			request := as(peer{uid: 0}, httptest.NewRequest("GET", "/apis/svc.d/v1/services/web/log", nil))
			request.URL.RawQuery = test.query
			server.Handler().ServeHTTP(w, request)
			if w.Code != test.code {
				t.Errorf("code %d, want %d: %s", w.Code, test.code, w.Body)
			}
			if test.code != 200 {
				checkFailure(t, w.Body.Bytes(), test.code)
				if !strings.Contains(w.Body.String(), test.want) {
					t.Errorf("got %s, want %s", w.Body, test.want)
				}
				return
			}
			if diff := cmp.Diff(test.want, w.Body.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("the type is %s", got)
			}
		})
	}
}

func TestALogIsForThoseWhoMayAsk(t *testing.T) {
	server := NewServer(withLog(t))
	for path, code := range map[string]int{"web": 403, "none": 404} {
		r := httptest.NewRequest("GET", "/apis/svc.d/v1/services/"+path+"/log", nil)
		if code == 404 {
			r = as(peer{uid: 0}, r)
		}
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%s: code %d, want %d", path, w.Code, code)
		}
		checkFailure(t, w.Body.Bytes(), code)
	}
}

// logServer serves on a socket until stop, which waits for the end.
func logServer(t *testing.T, config Config) (dir string, stop func()) {
	t.Helper()
	dir = t.TempDir()
	listener, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- NewServer(config).Serve(ctx, listener) }()
	stopped := false
	stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return dir, stop
}

// askLog sends a request and returns the answer, whose body may go on.
func askLog(t *testing.T, dir, query string) (*http.Response, net.Conn) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /apis/svc.d/v1/services/web/log?%s HTTP/1.1\r\nHost: x\r\n\r\n", query)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return response, conn
}

func TestAFollowLastsUntilTheServerCloses(t *testing.T) {
	config := withLog(t)
	dir, stop := logServer(t, config)
	response, _ := askLog(t, dir, "follow=true&tailLines=1")
	body := bufio.NewReader(response.Body)
	next := func(want string) {
		t.Helper()
		if got, err := body.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	next("fifty\n")
	f, err := os.OpenFile(config.Daemon.LogDir+"/web/0.log", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(logEntry(60, cri.Stdout, "sixty")); err != nil {
		t.Fatal(err)
	}
	next("sixty\n")
	stop()
	if rest, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || len(rest) > 0 {
		t.Errorf("the end is %q, %v; it should be seen that it was cut off", rest, err)
	}
}

// A follower that does not read holds up neither the others nor the end.
func TestAFollowerThatDoesNotReadIsCutOffAtTheEnd(t *testing.T) {
	config := withLog(t)
	large := strings.Repeat(logEntry(4, cri.Stdout, strings.Repeat("x", 10_000)), 500)
	if err := os.WriteFile(config.Daemon.LogDir+"/web/2.log", []byte(large), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, stop := logServer(t, config)
	askLog(t, dir, "follow=true")
	if _, err := NewClient(dir).Service(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	stop()
}

func TestFollowersLeaveConnectionsToOthers(t *testing.T) {
	dir, _ := logServer(t, withLog(t))
	var conns []net.Conn
	for range maxLogs {
		response, conn := askLog(t, dir, "follow=true&tailLines=0")
		if response.StatusCode != 200 {
			t.Fatal(response.Status)
		}
		conns = append(conns, conn)
	}
	response, _ := askLog(t, dir, "")
	var failure status.Failure
	if err := json.NewDecoder(response.Body).Decode(&failure); err != nil || response.StatusCode != 429 || failure.Reason != status.FailureTooManyRequests {
		t.Errorf("%s: %+v, %v", response.Status, failure, err)
	}
	if _, err := NewClient(dir).Service(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	conns[0].Close()
	for { // until the server has noticed
		response, conn := askLog(t, dir, "tailLines=0")
		conn.Close()
		if response.StatusCode == 200 {
			return
		}
	}
}
