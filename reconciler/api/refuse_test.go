package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/status"
)

// TestWhatHasNoRouteIsRefused in the shape of Kubernetes' Status, and nobody is sent to
// another path.
func TestWhatHasNoRouteIsRefused(t *testing.T) {
	const services, web = "/apis/svc.d/v1/services", "/apis/svc.d/v1/services/web"
	tests := map[string]struct {
		method, path string
		code         int
		allow        string
	}{
		"an object is deleted in the directory": {"DELETE", web, 405, "GET, HEAD"},
		"an object is edited in the directory":  {"PUT", web, 405, "GET, HEAD"},
		"no object is patched":                  {"PATCH", web, 405, "GET, HEAD"},
		"none is created":                       {"POST", services, 405, "GET, HEAD"},
		"a deed needs a POST":                   {"GET", web + "/stop", 405, "POST"},
		"a probe is no place to write to":       {"POST", "/healthz", 405, "GET, HEAD"},
		"what is not there takes nothing":       {"DELETE", "/apis/svc.d/v2", 404, ""},
		"a slash too many at the end":           {"GET", services + "/", 404, ""},
		"a slash too many within":               {"GET", "/apis//svc.d/v1/services", 404, ""},
		"a deed by an unclean path":             {"POST", "//apis/svc.d/v1/services/web/stop", 404, ""},
		"a step back":                           {"GET", services + "/../config", 404, ""},
		"an encoded step back":                  {"GET", services + "/%2e%2e/config", 404, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewServer(Config{Engine: engine{snapshot: one}}) // and Do would panic
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest(test.method, "http://x"+test.path, nil)))
			if w.Code != test.code || w.Header().Get("Allow") != test.allow || w.Header().Get("Location") != "" {
				t.Errorf("code %d, allow %q: %v", w.Code, w.Header().Get("Allow"), w.Header())
			}
			checkFailure(t, w.Body.Bytes(), test.code)
		})
	}
}

// TestAServiceMayBeCalledLog and then is no log, which only some may read.
func TestAServiceMayBeCalledLog(t *testing.T) {
	s := NewServer(Config{Engine: engine{snapshot: func(context.Context, ...string) (*reconciler.Snapshot, error) {
		return &reconciler.Snapshot{Services: []status.Service{{Metadata: status.Metadata{Name: "log"}}}}, nil
	}}})
	for path, code := range map[string]int{"log": 200, "log/log": 403, "log/lo%67": 403, "lo%67": 200} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, as(peer{uid: nobody}, httptest.NewRequest("GET", "/apis/svc.d/v1/services/"+path, nil)))
		if w.Code != code {
			t.Errorf("%s: code %d, want %d: %s", path, w.Code, code, w.Body)
		}
	}
}

// TestAFailureHasTheShapeOfKubernetes field by field.
func TestAFailureHasTheShapeOfKubernetes(t *testing.T) {
	tests := map[string]struct {
		failure *status.Failure
		want    string
		after   string
	}{
		"no such service": {notFound("services", "web"),
			`{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Failure","message":"services.svc.d \"web\" not found","reason":"NotFound","details":{"name":"web","group":"svc.d","kind":"services"},"code":404}`, ""},
		"too many": {status.NewFailure(status.FailureTooManyRequests, "too many"),
			`{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Failure","message":"too many","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429}`, "1"},
		"ending": {failureOf(reconciler.ErrStopped),
			`{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Failure","message":"` + reconciler.ErrStopped.Error() + `","reason":"ServiceUnavailable","details":{"retryAfterSeconds":1},"code":503}`, "1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			writeFailure(w, test.failure)
			if diff := cmp.Diff(test.want+"\n", w.Body.String()); diff != "" || w.Header().Get("Retry-After") != test.after {
				t.Errorf("retry after %q (-want +got)\n%s", w.Header().Get("Retry-After"), diff)
			}
		})
	}
}

// TestOneTooManyIsToldToComeAgain with a Status, and is let in when it does.
func TestOneTooManyIsToldToComeAgain(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(Config{Engine: engine{snapshot: one}})
	limited := limit(listener, 4, 1, 1, func(net.Conn) bool { return false })
	server := &http.Server{Handler: s.Handler(), ConnContext: withPeer, ReadHeaderTimeout: headerTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(limited) }()
	t.Cleanup(func() { server.Close(); <-served })
	ask := func() (net.Conn, *http.Response) {
		c, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET /version HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c, response
	}
	first, response := ask()
	if response.StatusCode != 200 {
		t.Fatalf("the first gets %s", response.Status)
	}
	for range 3 { // one after the other
		c, response := ask()
		var failure status.Failure
		if err := json.NewDecoder(response.Body).Decode(&failure); err != nil {
			t.Fatal(err)
		}
		if failure.Reason != status.FailureTooManyRequests || response.StatusCode != 429 || response.Header.Get("Retry-After") != "1" || !response.Close {
			t.Errorf("one too many gets %s %v %+v", response.Status, response.Header, failure)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("it is kept open")
		}
		c.Close()
	}
	first.Close()
	for { // until the server has noticed
		c, response := ask()
		c.Close()
		if response.StatusCode == 200 {
			break
		}
	}
}

// TestWhatInformersAskForIsUnderstood: the parameters of Kubernetes' list that have no
// meaning here are no mistake, unless something else is expected for them.
func TestWhatInformersAskForIsUnderstood(t *testing.T) {
	for query, code := range map[string]int{
		"limit=500&resourceVersion=0":                         200,
		"limit=500&continue=":                                 200,
		"resourceVersion=5&resourceVersionMatch=NotOlderThan": 200,
		"limit=many":     400,
		"limit=-1":       400,
		"continue=place": 410,
		"resourceVersion=5&resourceVersionMatch=Exact": 410,
		"resourceVersionMatch=Nearly":                  400,
		"sendInitialEvents=true":                       400, // so they list first
	} {
		t.Run(query, func(t *testing.T) {
			s := NewServer(Config{Engine: engine{snapshot: one}})
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest("GET", "/apis/svc.d/v1/services?"+query, nil)))
			if w.Code != code {
				t.Errorf("code %d, want %d: %s", w.Code, code, w.Body)
			}
			if code != 200 {
				checkFailure(t, w.Body.Bytes(), code)
			}
		})
	}
}
