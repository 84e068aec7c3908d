package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// engine answers with functions; one that is nil is not to be called.
type engine struct {
	snapshot func(ctx context.Context, names ...string) (*reconciler.Snapshot, error)
	do       func(ctx context.Context, c reconciler.Command) error
	changes  func(since uint64) (reconciler.Changes, bool)
}

func (e engine) Changes(since uint64) (reconciler.Changes, bool) { return e.changes(since) }

// SnapshotSince knows no past.
func (e engine) SnapshotSince(ctx context.Context, _ uint64) (*reconciler.Snapshot, error) {
	return e.snapshot(ctx)
}

func (e engine) Snapshot(ctx context.Context, names ...string) (*reconciler.Snapshot, error) {
	return e.snapshot(ctx, names...)
}
func (e engine) Do(ctx context.Context, c reconciler.Command) error { return e.do(ctx, c) }

// one is a snapshot of a service "web".
func one(context.Context, ...string) (*reconciler.Snapshot, error) {
	return &reconciler.Snapshot{Services: []status.Service{{
		APIVersion: spec.APIVersion, Kind: spec.KindService, Metadata: status.Metadata{Name: "web"},
	}}}, nil
}

func as(p peer, r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), peerKey{}, p))
}

func TestRequestsBecomeCommands(t *testing.T) {
	second := int32(1)
	tests := map[string]struct {
		path, body string
		want       *reconciler.Command // nil: the engine is not asked
		code       int
	}{
		"restart of all":           {"web/restart", "", &reconciler.Command{Kind: reconciler.EventRestart, Ordinal: -1}, 200},
		"restart of one":           {"web/restart", `{"ordinal": 1}`, &reconciler.Command{Kind: reconciler.EventRestart, Ordinal: second}, 200},
		"restart of a negative":    {"web/restart", `{"ordinal": -1}`, nil, 400},
		"reload of all":            {"web/reload", "", &reconciler.Command{Kind: reconciler.EventReload, Ordinal: -1}, 200},
		"reload of one":            {"web/reload", `{"ordinal": 1}`, &reconciler.Command{Kind: reconciler.EventReload, Ordinal: second}, 200},
		"reload for some time":     {"web/reload", `{"for": "1m"}`, nil, 400},
		"signal to all":            {"web/kill", `{"signal": "hup"}`, &reconciler.Command{Signal: syscall.SIGHUP, Ordinal: -1}, 200},
		"signal to one":            {"web/kill", `{"signal": "12", "ordinal": 1}`, &reconciler.Command{Signal: syscall.SIGUSR2, Ordinal: second}, 200},
		"unknown signal":           {"web/kill", `{"signal": "SIGNOPE"}`, nil, 400},
		"no signal":                {"web/kill", "", nil, 400},
		"stop with a signal":       {"web/stop", `{"signal": "SIGHUP"}`, nil, 400},
		"restart for some time":    {"web/restart", `{"for": "1m"}`, nil, 400},
		"stop":                     {"web/stop", "{}", &reconciler.Command{Kind: reconciler.EventStop, Ordinal: -1}, 200},
		"stop until a date":        {"web/stop", `{"until": "2126-01-02T15:04:05Z"}`, &reconciler.Command{Kind: reconciler.EventStop, Ordinal: -1, Until: time.Date(2126, 1, 2, 15, 4, 5, 0, time.UTC)}, 200},
		"stop until the past":      {"web/stop", `{"until": "2016-01-02T15:04:05Z"}`, nil, 400},
		"stop with two ends":       {"web/stop", `{"for": "1m", "until": "2126-01-02T15:04:05Z"}`, nil, 400},
		"stop for no duration":     {"web/stop", `{"for": "10"}`, nil, 400},
		"stop for less than none":  {"web/stop", `{"for": "-10s"}`, nil, 400},
		"stop of one replica":      {"web/stop", `{"ordinal": 0}`, nil, 400},
		"start":                    {"web/start", "", &reconciler.Command{Kind: reconciler.EventStart, Ordinal: -1}, 200},
		"start with options":       {"web/start", `{"for": "1m"}`, nil, 400},
		"a field that is not ours": {"web/stop", `{"fro": "1m"}`, nil, 400},
		"no JSON":                  {"web/stop", `for=1m`, nil, 400},
		"two values":               {"web/stop", `{} {}`, nil, 400},
		"a body without end":       {"web/stop", `{"for": "` + strings.Repeat("1", maxBody) + `"}`, nil, 413},
		"an unknown service":       {"wbe/stop", "", nil, 404},
		"an unknown verb":          {"web/explode", "", nil, 404},
		"a name with a slash":      {"we%2Fb/stop", "", nil, 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got *reconciler.Command
			s := NewServer(Config{Engine: engine{snapshot: one, do: func(_ context.Context, c reconciler.Command) error {
				got = &c
				return nil
			}}})
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest("POST", "/apis/svc.d/v1/services/"+test.path, strings.NewReader(test.body))))
			if w.Code != test.code {
				t.Errorf("code %d, want %d: %s", w.Code, test.code, w.Body)
			}
			if test.want != nil {
				test.want.Service, test.want.By = "web", "root (uid 0)"
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if test.code != 200 {
				checkFailure(t, w.Body.Bytes(), test.code)
			}
		})
	}
}

func TestAStopForSomeTimeHasAnEnd(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	got, err := Options{For: "1h30m"}.end(now)
	if want := now.Add(90 * time.Minute); err != nil || !got.Equal(want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// checkFailure wants the shape of Kubernetes' Status.
func checkFailure(t *testing.T, body []byte, code int) {
	t.Helper()
	var f status.Failure
	if err := json.Unmarshal(body, &f); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if f.Kind != "Status" || f.APIVersion != "v1" || f.Status != "Failure" || f.Code != code || f.Message == "" || f.Reason == "" {
		t.Errorf("not a Status with code %d: %s", code, body)
	}
}

func TestErrorsOfTheEngineHaveCodes(t *testing.T) {
	tests := map[string]struct {
		err    error
		code   int
		reason status.FailureReason
	}{
		"a refusal":           {&reconciler.Refusal{Reason: reconciler.RefusedConflict, Message: "no"}, 409, status.FailureConflict},
		"a replica not there": {&reconciler.Refusal{Reason: reconciler.RefusedNotFound, Message: "no"}, 404, status.FailureNotFound},
		"a loop that ended":   {reconciler.ErrStopped, 503, status.FailureUnavailable},
		"no answer in time":   {context.DeadlineExceeded, 504, status.FailureTimeout},
		"a client that left":  {context.Canceled, 503, status.FailureUnavailable},
		"anything else":       {io.ErrUnexpectedEOF, 500, status.FailureInternal},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := failureOf(fmt.Errorf("wrapped: %w", test.err))
			if f.Code != test.code || f.Reason != test.reason {
				t.Errorf("got %d %s, want %d %s", f.Code, f.Reason, test.code, test.reason)
			}
		})
	}
}

func TestWhomTheKernelHidesDoesNotGetIn(t *testing.T) {
	own := uint32(os.Geteuid())
	tests := map[string]struct {
		p    peer
		code int
	}{
		"root":                          {peer{uid: 0}, 200},
		"our own user":                  {peer{uid: own}, 200},
		"another user":                  {peer{uid: own + 4711}, 200},
		"somebody the kernel hid":       {peer{err: io.EOF}, 403},
		"root, the kernel being silent": {peer{uid: 0, err: io.EOF}, 403},
	}
	s := NewServer(Config{Engine: engine{snapshot: one}, Configuration: func() *status.ConfigurationReport { return &status.ConfigurationReport{} }})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/apis/svc.d/v1/services", "/version", "/healthz", "/apis/svc.d/v1/daemon", "/apis/svc.d/v1/config"} {
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, as(test.p, httptest.NewRequest("GET", path, nil)))
				if w.Code != test.code {
					t.Errorf("%s: code %d, want %d", path, w.Code, test.code)
				}
			}
		})
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/version", nil))
	if w.Code != 403 {
		t.Errorf("a request without a peer got %d", w.Code)
	}
}

func TestTheConfigurationIsToldWhenThereIsOneToTell(t *testing.T) {
	report := &status.ConfigurationReport{Kind: "ConfigurationReport", File: "/d/main.yaml", Values: []status.ConfigurationValue{{Field: "prune", Value: "Hold", Origin: "default"}}}
	tests := map[string]struct {
		tell func() *status.ConfigurationReport
		want *status.ConfigurationReport
	}{
		"a report":    {func() *status.ConfigurationReport { return report }, report},
		"no report":   {func() *status.ConfigurationReport { return nil }, nil},
		"no function": {nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewServer(Config{Engine: engine{snapshot: one}, Configuration: test.tell})
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest("GET", "/apis/svc.d/v1/config", nil)))
			if test.want == nil {
				checkFailure(t, w.Body.Bytes(), 404)
				return
			}
			var got status.ConfigurationReport
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, &got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	s := NewServer(Config{Engine: engine{snapshot: func(context.Context, ...string) (*reconciler.Snapshot, error) { panic("ouch") }}, Log: logr.Discard()})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest("GET", "/healthz", nil)))
	checkFailure(t, w.Body.Bytes(), 500)
}

// serve runs a server on a socket in a new directory until the test ends.
func serve(t *testing.T, e Engine, dir string) {
	t.Helper()
	listener, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- NewServer(Config{Engine: e}).Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, SocketName)); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
}

func TestEverybodyCanConnect(t *testing.T) {
	dir := t.TempDir()
	serve(t, engine{snapshot: one}, dir)
	info, err := os.Lstat(filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o666 {
		t.Errorf("mode %v, want a socket with 0666", info.Mode())
	}
	list, err := NewClient(dir).Services(t.Context())
	if err != nil || len(list.Items) != 1 || list.Items[0].Metadata.Name != "web" {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	stale, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	if _, err := NewClient(dir).Version(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("a stale socket answered %v", err)
	}
	serve(t, engine{snapshot: one}, dir)
	if _, err := NewClient(dir).Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALongDirectoryIsReached(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20), strings.Repeat("er", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	serve(t, engine{snapshot: one}, dir)
	if _, err := NewClient(dir).Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnEmptyListIsNoNull(t *testing.T) {
	var out bytes.Buffer
	writeList(&out, &objectList{kind: services, revision: 7})
	if got, want := out.String(), `{"apiVersion":"svc.d/v1","kind":"ServiceList","metadata":{"resourceVersion":"7"},"items":[]}`+"\n"; got != want {
		t.Errorf("got %s", got)
	}
}

// A client that asks and reads no more than the first byte, and half as many as there
// may be of them, must not keep the engine waiting.
func TestClientsThatDoNotReadHoldNobodyUp(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("x", 1<<20)
	serve(t, engine{snapshot: func(_ context.Context, names ...string) (*reconciler.Snapshot, error) {
		if len(names) > 0 {
			return &reconciler.Snapshot{}, nil
		}
		return &reconciler.Snapshot{Services: []status.Service{{Status: status.ServiceStatus{Message: big}}}}, nil
	}}, dir)
	var mute []net.Conn
	for range maxConnections / 2 {
		conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /apis/svc.d/v1/services HTTP/1.1\r\nHost: x\r\n\r\n")
		mute = append(mute, conn)
	}
	for _, conn := range mute {
		_, _ = conn.Read(make([]byte, 1)) // it is answered, or turned out by a server that lacks time
	}
	if _, err := NewClient(dir).Daemon(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConnectionsBeyondTheLimitGetTheirTurn(t *testing.T) {
	dir := t.TempDir()
	serve(t, engine{snapshot: one}, dir)
	var idle []net.Conn
	for range maxConnections {
		conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	// Each has its slot once it was answered.
	for _, conn := range idle {
		fmt.Fprintf(conn, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan error, 1)
	go func() {
		_, err := NewClient(dir).Version(context.Background())
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a connection beyond the limit was answered: %v", err)
	default:
	}
	idle[0].Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestTheReportOfTheDaemonHasProblems(t *testing.T) {
	since := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	d := status.Daemon{Pid: 1}
	describe(&d, &reconciler.Snapshot{
		Stopping:   since,
		Conditions: []status.Condition{{Type: "Degraded"}},
		Set: &spec.Set{
			Configuration: &spec.Configuration{Source: spec.Source{File: "main.yaml"}},
			Problems:      []spec.Problem{{Source: spec.Source{File: "a.yaml", Document: 2, Line: 3}, Column: 4, Field: "f", Value: "v", Message: "m", Service: "s", Since: since}},
			Ignored:       []spec.Ignored{{Source: spec.Source{File: "b.yaml", Document: 1, Line: 1}, APIVersion: "apps/v1", Kind: "Deployment", Hint: "h"}},
		},
	})
	want := status.Daemon{
		Pid: 1, StoppingSince: since, Configuration: "main.yaml", Conditions: []status.Condition{{Type: "Degraded"}},
		Problems: []status.Problem{{File: "a.yaml", Document: 2, Line: 3, Column: 4, Field: "f", Value: "v", Message: "m", Service: "s", Since: since}},
		Ignored:  []status.Ignored{{File: "b.yaml", Document: 1, Line: 1, APIVersion: "apps/v1", Kind: "Deployment", Hint: "h"}},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
