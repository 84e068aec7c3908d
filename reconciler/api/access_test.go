package api

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/events"
	"svc.d/spec"
	"svc.d/status"
)

const nobody = 65534

// TestWhoMayDoWhat: everybody looks, and some do more.
func TestWhoMayDoWhat(t *testing.T) {
	own := uint32(os.Geteuid())
	people := map[string]struct {
		peer  peer
		group spec.ID
		may   bool
	}{
		"root":                                     {peer{uid: 0}, "", true},
		"the daemon's own user":                    {peer{uid: own}, "", true},
		"somebody":                                 {peer{uid: nobody, groups: []uint32{nobody}}, "", false},
		"somebody, with another's group":           {peer{uid: nobody, groups: []uint32{nobody}}, "7", false},
		"a member by a further group":              {peer{uid: nobody, groups: []uint32{nobody, 7}}, "7", true},
		"a member by the group's name":             {peer{uid: nobody, groups: []uint32{0}}, "root", true},
		"somebody, with a group that is not there": {peer{uid: nobody, groups: []uint32{0}}, "no-such-group", false},
	}
	requests := map[string]bool{ // by whether everybody may make them
		"GET /apis/svc.d/v1/services":             true,
		"GET /apis/svc.d/v1/services/web":         true,
		"GET /apis/svc.d/v1/replicas":             true,
		"GET /apis/svc.d/v1/events":               true,
		"GET /apis/svc.d/v1/daemon":               true,
		"GET /healthz":                            true,
		"GET /version":                            true,
		"GET /apis/svc.d/v1/services/web/log":     false,
		"GET /apis/svc.d/v1/replicas/web-0/log":   false,
		"GET /debug/pprof/heap":                   false,
		"POST /apis/svc.d/v1/services/web/stop":   false,
		"POST /apis/svc.d/v1/replicas/web-0/exec": false,
		"POST /apis/svc.d/v1/prune":               false,
	}
	for who, person := range people {
		for line, all := range requests {
			t.Run(who+": "+line, func(t *testing.T) {
				s := NewServer(Config{
					Engine: engine{snapshot: one, do: func(context.Context, reconciler.Command) error { return nil }}, Events: events.NewRing(&revisions{}, nil),
					AccessGroup:  func() spec.ID { return person.group },
					ConfirmPrune: func(context.Context) ([]string, error) { return nil, nil },
				})
				method, path, _ := strings.Cut(line, " ")
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, as(person.peer, httptest.NewRequest(method, path, nil)))
				if forbidden := w.Code == http.StatusForbidden; forbidden == (person.may || all) {
					t.Errorf("code %d: %s", w.Code, w.Body)
				}
			})
		}
	}
}

// TestAGroupThatLetsNobodyInIsTold to everybody who asks what the daemon says of itself.
func TestAGroupThatLetsNobodyInIsTold(t *testing.T) {
	for group, want := range map[spec.ID]string{"": "", "root": "", "4711": "", "no-such-group": "AccessGroupUseless", "65534": "AccessGroupUseless"} {
		s := NewServer(Config{Engine: engine{snapshot: func(context.Context, ...string) (*reconciler.Snapshot, error) {
			return &reconciler.Snapshot{Set: &spec.Set{}}, nil
		}}, AccessGroup: func() spec.ID { return group }})
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, as(peer{uid: nobody}, httptest.NewRequest("GET", "/apis/svc.d/v1/daemon", nil)))
		var d status.Daemon
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, c := range d.Conditions {
			got += c.Type
		}
		if got != want {
			t.Errorf("with %q it has %q, want %q", group, got, want)
		}
	}
}

// TestSecretsAreNotShownToOthers in any answer that shows a spec, or quotes one, or what
// a program has printed.
func TestSecretsAreNotShownToOthers(t *testing.T) {
	t.Parallel()
	e := newTown()
	e.set("web", func(s *status.Service) {
		running(1)(s)
		s.Metadata.Annotations = map[string]string{"note": "seen", lastApplied: `{"spec":{"env":[{"value":"hunter2"}]}}`}
		s.Spec = json.RawMessage(`{"env":[{"name":"A","value":"hunter2"}],"livenessProbe":{"httpGet":{"httpHeaders":[{"name":"X","value":"hunter2"}]}},"command":["x"]}`)
		secret := []string{"hunter", "hunter2"} // one is a part of the other
		exit := status.Exit{Message: "its liveness probe failed: exited with code 1: hunter2"}
		s.Status.Message, s.Status.Hidden = "is seen, and hunter2 is not", secret
		s.Status.Conditions = []status.Condition{{Type: "ReloadFailed", Message: "is seen, and hunter2 is not"}}
		r := &s.Status.ReplicaStatuses[0]
		r.Message, r.Hidden, r.LastExit, r.Exits = "is seen, and hunter2 is not", secret, &exit, []status.Exit{exit}
	})
	ring := events.NewRing(&revisions{}, nil)
	ring.Add(reconciler.Occurrence{At: time.Unix(1, 0), Service: "web", Reason: "Unhealthy", Message: "is seen, and hunter2 is not", Public: "is seen"})
	all, _ := ring.List()
	s := NewServer(Config{Engine: e, Events: ring})
	defer s.feed.close()
	for _, path := range []string{
		"services", "services/web", "services?watch=true&timeoutSeconds=1", "replicas", "replicas/web-0", "replicas?watch=true&timeoutSeconds=1",
		"events", "events/" + all[0].Metadata.Name, "events?watch=true&timeoutSeconds=1",
	} {
		for _, p := range []peer{{uid: nobody}, {uid: 0}} {
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, as(p, httptest.NewRequest("GET", "/apis/svc.d/v1/"+path, nil)))
			if w.Code != 200 || !strings.Contains(w.Body.String(), "is seen") {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			if shown := strings.Contains(w.Body.String(), "hunter2"); shown != (p.uid == 0) {
				t.Errorf("%s to uid %d: %s", path, p.uid, w.Body)
			}
			if strings.Contains(w.Body.String(), "Hidden") || strings.Contains(w.Body.String(), `redacted\u003e2`) {
				t.Errorf("%s to uid %d: %s", path, p.uid, w.Body)
			}
		}
	}
}

// TestFewDescriptorsAreForServices, and not for connections.
func TestFewDescriptorsAreForServices(t *testing.T) {
	for descriptors, want := range map[uint64][2]int{0: {8, 2}, 40: {10, 2}, 256: {64, 16}, 1024: {256, 32}, 1 << 20: {maxConnections, maxOthers}, math.MaxUint64: {maxConnections, maxOthers}} {
		if most, others := share(descriptors); most != want[0] || others != want[1] {
			t.Errorf("of %d there are %d, %d for others; want %v", descriptors, most, others, want)
		}
	}
}

// TestOthersDoNotKeepAnybodyOut: they have a share of the connections.
func TestOthersDoNotKeepAnybodyOut(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var last atomic.Bool // which is root
	l := limit(listener, 4, 2, 1, func(net.Conn) bool { return last.Load() })
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 3 { // one of which is told to come again, and takes nobody's place
		dial()
		<-accepted
	}
	for range 100 { // each is closed at once
		c := dial()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("one beyond the share is served")
		}
	}
	last.Store(true)
	dial()
	<-accepted
}
