package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/events"
	"svc.d/spec"
	"svc.d/status"
)

// town is an engine whose services are what a test says.
type town struct {
	mu       sync.Mutex
	revision uint64
	oldest   uint64 // from which changes are known
	services map[string]status.Service
	changed  map[string]uint64
	more     chan struct{}
	asked    atomic.Int64 // snapshots
	told     atomic.Int64 // services in them
}

func newTown() *town {
	return &town{revision: 100, oldest: 100, services: map[string]status.Service{}, changed: map[string]uint64{}, more: make(chan struct{})}
}

// set changes or adds a service.
func (e *town) set(name string, edit func(*status.Service)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, known := e.services[name]
	if !known {
		s = status.Service{APIVersion: spec.APIVersion, Kind: spec.KindService, Metadata: status.Metadata{Name: name}}
	}
	edit(&s)
	e.tell(name)
	s.Metadata.ResourceVersion = strconv.FormatUint(e.revision, 10)
	e.services[name] = s
}

func (e *town) remove(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.services, name)
	e.tell(name)
}

// now is the latest revision.
func (e *town) now() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.revision
}

// forget lets go of what has changed so far.
func (e *town) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision += 10
	e.oldest = e.revision
}

// tell notes a change. The caller holds mu.
func (e *town) tell(name string) {
	e.revision++
	e.changed[name] = e.revision
	close(e.more)
	e.more = make(chan struct{})
}

func (e *town) Snapshot(_ context.Context, names ...string) (*reconciler.Snapshot, error) {
	e.asked.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &reconciler.Snapshot{Revision: e.revision}
	for name, one := range e.services {
		if len(names) == 0 || slices.Contains(names, name) {
			s.Services = append(s.Services, one)
		}
	}
	slices.SortFunc(s.Services, func(a, b status.Service) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
	e.told.Add(int64(len(s.Services)))
	return s, nil
}

// SnapshotSince knows the past as Changes does.
func (e *town) SnapshotSince(ctx context.Context, since uint64) (*reconciler.Snapshot, error) {
	c, ok := e.Changes(since)
	if !ok || since == 0 {
		return e.Snapshot(ctx)
	}
	s, err := e.Snapshot(ctx, append(c.Names, "none")...)
	s.Since, s.Gone = since, slices.Sorted(slices.Values(c.Names))
	return s, err
}

func (e *town) Do(context.Context, reconciler.Command) error { return nil }

func (e *town) Changes(since uint64) (reconciler.Changes, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if since < e.oldest || since > e.revision {
		return reconciler.Changes{}, false
	}
	c := reconciler.Changes{Revision: e.revision, More: e.more}
	for name, at := range e.changed {
		if at > since {
			c.Names = append(c.Names, name)
		}
	}
	return c, true
}

func phase(p status.Phase) func(*status.Service) {
	return func(s *status.Service) { s.Status.Phase = p }
}

func labelled(value string) func(*status.Service) {
	return func(s *status.Service) { s.Metadata.Labels = map[string]string{"tier": value} }
}

func running(pids ...int32) func(*status.Service) {
	return func(s *status.Service) {
		s.Status.ReplicaStatuses = nil
		for n, pid := range pids {
			s.Status.ReplicaStatuses = append(s.Status.ReplicaStatuses, status.Replica{
				Name: fmt.Sprintf("%s-%d", s.Metadata.Name, n), Ordinal: int32(n), Phase: status.PhaseRunning, Pid: pid,
			})
		}
	}
}

// testServer serves an engine over HTTP, with root as everybody.
func testServer(t *testing.T, c Config) *httptest.Server {
	t.Helper()
	s := NewServer(c)
	h := s.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, as(peer{uid: 0}, r)) }))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		s.feed.close()
	})
	return server
}

// watcher reads a watch line by line.
type watcher struct {
	t        *testing.T
	lines    *bufio.Scanner
	close    func()
	revision string
}

func watch(t *testing.T, server *httptest.Server, path string) *watcher {
	t.Helper()
	response, err := server.Client().Get(server.URL + "/apis/svc.d/v1/" + path)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 {
		t.Fatalf("%s: %s", path, response.Status)
	}
	t.Cleanup(func() { response.Body.Close() })
	return &watcher{t: t, lines: bufio.NewScanner(response.Body), close: func() { response.Body.Close() }}
}

// next is an event as "TYPE NAME PHASE", without the phase when there is none.
func (w *watcher) next() string {
	w.t.Helper()
	if !w.lines.Scan() {
		return "END"
	}
	var e status.WatchEvent
	if err := json.Unmarshal(w.lines.Bytes(), &e); err != nil {
		w.t.Fatalf("%v: %s", err, w.lines.Bytes())
	}
	var o struct {
		Metadata status.Metadata `json:"metadata"`
		Status   json.RawMessage `json:"status"`
		Reason   string          `json:"reason"`
		Count    int             `json:"count"`
	}
	if err := json.Unmarshal(e.Object, &o); err != nil {
		w.t.Fatal(err)
	}
	w.revision = o.Metadata.ResourceVersion
	var st struct {
		Phase string `json:"phase"`
	}
	_ = json.Unmarshal(o.Status, &st)
	words := []string{string(e.Type), o.Metadata.Name, st.Phase}
	if o.Reason != "" {
		words = []string{string(e.Type), o.Reason}
		if o.Count > 0 {
			words = append(words, strconv.Itoa(o.Count))
		}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

func (w *watcher) sees(want ...string) {
	w.t.Helper()
	var got []string
	for range want {
		got = append(got, w.next())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAWatchTellsWhatChanges(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e})
	e.set("web", phase(status.PhasePending))
	e.set("db", phase(status.PhaseRunning))
	w := watch(t, server, "services?watch=true")
	w.sees("ADDED web Pending", "ADDED db Running")
	e.set("web", phase(status.PhaseRunning))
	w.sees("MODIFIED web Running")
	seen := w.revision
	e.set("web", func(*status.Service) {}) // nothing that is shown
	e.remove("db")
	w.sees("DELETED db Running")
	e.set("new", phase(status.PhaseRunning))
	w.sees("ADDED new Running")

	again := watch(t, server, "services?watch=true&resourceVersion="+seen)
	again.sees("DELETED db Running", "ADDED new Running")
}

// TestWhatIsDeclaredAgainIsAnother, also when nobody has seen that it was gone.
func TestWhatIsDeclaredAgainIsAnother(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e})
	e.set("web", func(s *status.Service) { s.Metadata.UID = "1"; running(10)(s) })
	w := watch(t, server, "services?watch=true")
	r := watch(t, server, "replicas?watch=true")
	w.sees("ADDED web")
	r.sees("ADDED web-0 Running")
	e.set("web", func(s *status.Service) { s.Metadata.UID = "2"; running(11)(s) })
	w.sees("DELETED web", "ADDED web")
	r.sees("DELETED web-0 Running", "ADDED web-0 Running")
}

// TestAWatchGoesOnFromAList, also when nobody watched when it was made.
func TestAWatchGoesOnFromAList(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e})
	e.set("web", phase(status.PhasePending))
	e.set("old", phase(status.PhaseRunning))
	response, err := server.Client().Get(server.URL + "/apis/svc.d/v1/services")
	if err != nil {
		t.Fatal(err)
	}
	var list status.ServiceList
	err = json.NewDecoder(response.Body).Decode(&list)
	response.Body.Close()
	if err != nil || len(list.Items) != 2 {
		t.Fatalf("%v, %d services", err, len(list.Items))
	}
	e.set("web", phase(status.PhaseRunning))
	e.remove("old")
	w := watch(t, server, "services?watch=true&resourceVersion="+list.Metadata.ResourceVersion)
	w.sees("DELETED old", "MODIFIED web Running")
}

func TestASelectorSeesObjectsComeAndGo(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e})
	e.set("web", labelled("front"))
	e.set("db", labelled("back"))
	w := watch(t, server, "services?watch=true&labelSelector=tier%3Dfront")
	w.sees("ADDED web")
	e.set("db", labelled("front"))
	w.sees("ADDED db")
	e.set("web", labelled("back"))
	w.sees("DELETED web")
	e.set("db", phase(status.PhaseFailed))
	w.sees("MODIFIED db Failed")
}

func TestReplicasAreWatchedAsTheirServicesChange(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e})
	e.set("web", running(10, 11))
	w := watch(t, server, "replicas?watch=true")
	w.sees("ADDED web-0 Running", "ADDED web-1 Running")
	e.set("web", running(10, 12))
	w.sees("MODIFIED web-1 Running")
	e.set("web", running(10))
	w.sees("DELETED web-1 Running")
	e.remove("web")
	w.sees("DELETED web-0 Running")
}

func TestEventsAreWatched(t *testing.T) {
	e := newTown()
	ring := events.NewRing(&revisions{}, nil)
	server := testServer(t, Config{Engine: e, Events: ring})
	add := func(service, reason string) {
		ring.Add(reconciler.Occurrence{At: time.Unix(1, 0), Service: service, Reason: reconciler.OccurrenceReason(reason), Message: reason})
	}
	add("web", "Started")
	w := watch(t, server, "events?watch=true&fieldSelector=involvedObject.name%3Dweb-0")
	w.sees("ADDED Started 1")
	add("db", "Started")
	add("web", "Exited")
	w.sees("ADDED Exited 1")
	add("web", "Started")
	w.sees("MODIFIED Started 2")
}

type revisions struct{ atomic.Uint64 }

func (r *revisions) Next() uint64 { return r.Add(1) }
func (r *revisions) Now() uint64  { return r.Load() }

func TestWhoAsksForThePastBeginsAnew(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e, Events: events.NewRing(&revisions{}, nil)})
	for _, path := range []string{"services?watch=true&resourceVersion=7", "services?watch=true&resourceVersion=999999", "replicas?watch=true&resourceVersion=7", "events?watch=true&resourceVersion=999"} {
		response, err := server.Client().Get(server.URL + "/apis/svc.d/v1/" + path)
		if err != nil {
			t.Fatal(err)
		}
		var f status.Failure
		err = json.NewDecoder(response.Body).Decode(&f)
		response.Body.Close()
		if response.StatusCode != http.StatusGone || f.Reason != status.FailureExpired || err != nil {
			t.Errorf("%s: %d %+v, %v", path, response.StatusCode, f, err)
		}
	}
}

// TestWhoLagsTooFarBehindIsToldSo, and held nobody up.
func TestWhoLagsTooFarBehindIsToldSo(t *testing.T) {
	e := newTown()
	s := NewServer(Config{Engine: e})
	defer s.feed.close()
	slow, err := s.follow(t.Context(), services, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.close()
	if _, err := slow.next(); err != nil {
		t.Fatal(err)
	}
	r := s.feed.run
	for n := range maxEntries + 10 {
		r.mu.Lock()
		r.publish([]*entry{{revision: r.revision + uint64(n), service: &change{}}})
		r.mu.Unlock()
	}
	if _, err := slow.next(); err == nil || !strings.Contains(err.Error(), "too old resource version") {
		t.Errorf("it goes on with %v", err)
	}
}

// TestManyWatchersCostTheEngineNoMoreThanOne.
func TestManyWatchersCostTheEngineNoMoreThanOne(t *testing.T) {
	e := newTown()
	server := testServer(t, Config{Engine: e})
	const services, watchers = 1000, 200
	for n := range services {
		e.set(fmt.Sprintf("s%d", n), phase(status.PhasePending))
	}
	from := strconv.FormatUint(e.revision, 10)
	first := watch(t, server, "services?watch=true&resourceVersion="+from)
	all := []*watcher{first}
	for range watchers - 1 {
		all = append(all, watch(t, server, "services?watch=true&resourceVersion="+from))
	}
	before := e.asked.Load()
	e.set("s7", phase(status.PhaseRunning))
	for _, w := range all {
		w.sees("MODIFIED s7 Running")
	}
	if n := e.asked.Load() - before; n > 3 {
		t.Errorf("one change is asked for %d times with %d watchers", n, watchers)
	}
}

func TestListsAreSelected(t *testing.T) {
	e := newTown()
	ring := events.NewRing(&revisions{}, nil)
	ring.Add(reconciler.Occurrence{Service: "web", Ordinal: -1, Reason: "Held", Warning: true})
	ring.Add(reconciler.Occurrence{Service: "db", Reason: "Started"})
	server := testServer(t, Config{Engine: e, Events: ring})
	e.set("web", func(s *status.Service) { labelled("front")(s); running(1, 2)(s); phase(status.PhaseRunning)(s) })
	e.set("db", func(s *status.Service) { labelled("back")(s); running(3)(s); phase(status.PhaseFailed)(s) })
	tests := map[string][]string{
		"services?labelSelector=tier+in+(front,middle)": {"web"},
		"services?labelSelector=tier+notin+(front)":     {"db"},
		"services?labelSelector=!tier":                  nil,
		"services?fieldSelector=status.phase!%3DFailed": {"web"},
		"services?fieldSelector=metadata.name%3Ddb":     {"db"},
		"replicas": {"db-0", "web-0", "web-1"},
		"replicas?labelSelector=svc.d/service%3Dweb":       {"web-0", "web-1"},
		"replicas?labelSelector=svc.d/ordinal%3D1":         {"web-1"},
		"events?fieldSelector=type%3DWarning":              {"web.2"},
		"events?fieldSelector=involvedObject.kind=Replica": {"db-0.3"},
	}
	for path, want := range tests {
		response, err := server.Client().Get(server.URL + "/apis/svc.d/v1/" + path)
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Metadata status.ListMeta
			Items    []struct{ Metadata status.Metadata }
		}
		err = json.NewDecoder(response.Body).Decode(&list)
		response.Body.Close()
		var got []string
		for _, i := range list.Items {
			got = append(got, i.Metadata.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil || list.Metadata.ResourceVersion == "" {
			t.Errorf("%s: %v, revision %q (-want +got)\n%s", path, err, list.Metadata.ResourceVersion, diff)
		}
	}
}
