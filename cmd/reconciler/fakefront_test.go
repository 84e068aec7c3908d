package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"svc.d/reconciler/api"
	"svc.d/spec"
	"svc.d/status"
)

// front stands before the API of a bench: it answers lists and watches by what a
// test says, and leaves the rest to the server behind it.
type front struct {
	mu     sync.Mutex
	bench  *bench
	behind http.Handler
	events []status.Event
	// watches are the answers to the watches of a run, one after the other. When
	// there are no more, the run is interrupted.
	watches []string
	over    context.CancelFunc
	silent  bool // instead of the interruption
	asked   []string
}

// serve answers on the bench's socket until the test ends.
func (f *front) serve(t *testing.T, state, inner string) {
	t.Helper()
	listener, err := api.Listen(state)
	if err != nil {
		t.Fatal(err)
	}
	f.behind = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "behind"}) },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(inner, api.SocketName))
		}},
	}
	server := httptest.NewUnstartedServer(f)
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	f.bench.gone = sync.OnceFunc(func() { server.CloseClientConnections(); server.Close() })
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	collection, ok := strings.CutPrefix(r.URL.Path, "/apis/svc.d/v1/")
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && strings.HasSuffix(collection, "/exec"):
		replica := strings.TrimSuffix(strings.TrimPrefix(collection, "replicas/"), "/exec")
		answerJSON(w, status.ExecPlan{APIVersion: spec.APIVersion, Kind: "ExecPlan", Replica: replica})
		return
	case r.Method != http.MethodGet || !ok:
	case query.Get("watch") != "":
		f.watch(w, r, collection)
		return
	case collection == "events":
		f.mu.Lock()
		defer f.mu.Unlock()
		answerJSON(w, status.EventList{APIVersion: spec.APIVersion, Kind: "EventList", Metadata: status.ListMeta{ResourceVersion: "100"}, Items: f.events})
		return
	case collection == "replicas":
		f.replicas(w, query)
		return
	case collection == "services":
		f.services(w, query)
		return
	}
	f.behind.ServeHTTP(w, r)
}

func (f *front) watch(w http.ResponseWriter, r *http.Request, collection string) {
	query := r.URL.Query()
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%s after %s, labels %q, fields %q", collection, query.Get("resourceVersion"), query.Get("labelSelector"), query.Get("fieldSelector")))
	if len(f.watches) == 0 {
		f.mu.Unlock()
		if !f.silent {
			f.over()
		}
		<-r.Context().Done()
		return
	}
	text := f.watches[0]
	f.watches = f.watches[1:]
	f.mu.Unlock()
	fmt.Fprint(w, text)
}

// services is the list as the server would have it, with revisions and selectors.
func (f *front) services(w http.ResponseWriter, query url.Values) {
	snapshot, err := f.bench.engine.Snapshot(context.Background())
	if err != nil {
		panic(err)
	}
	list := status.ServiceList{APIVersion: spec.APIVersion, Kind: "ServiceList", Metadata: status.ListMeta{ResourceVersion: "100"}, Items: []status.Service{}}
	for _, s := range snapshot.Services {
		if selected(query, s.Metadata, s.Status.Phase) {
			list.Items = append(list.Items, s)
		}
	}
	answerJSON(w, list)
}

func (f *front) replicas(w http.ResponseWriter, query url.Values) {
	snapshot, err := f.bench.engine.Snapshot(context.Background())
	if err != nil {
		panic(err)
	}
	list := status.ReplicaObjectList{APIVersion: spec.APIVersion, Kind: "ReplicaList", Metadata: status.ListMeta{ResourceVersion: "100"}, Items: []status.ReplicaObject{}}
	for i := range snapshot.Services {
		for _, r := range replicasOf(&snapshot.Services[i]) {
			if selected(query, r.Metadata, r.Status.Phase) {
				list.Items = append(list.Items, r)
			}
		}
	}
	answerJSON(w, list)
}

func replicasOf(s *status.Service) []status.ReplicaObject {
	var all []status.ReplicaObject
	for _, r := range s.Status.ReplicaStatuses {
		labels := map[string]string{status.LabelService: s.Metadata.Name, status.LabelOrdinal: strconv.Itoa(int(r.Ordinal))}
		for k, v := range s.Metadata.Labels {
			labels[k] = v
		}
		all = append(all, status.ReplicaObject{
			APIVersion: spec.APIVersion, Kind: "Replica",
			Metadata: status.Metadata{Name: r.Name, Labels: labels, CreationTimestamp: r.Started},
			Spec:     status.ReplicaSpec{Service: s.Metadata.Name, Ordinal: r.Ordinal},
			Status:   r,
		})
	}
	return all
}

func selected(query url.Values, m status.Metadata, phase status.Phase) bool {
	if text := query.Get("labelSelector"); text != "" {
		s, err := api.ParseLabels(text)
		if err != nil || !s.Match(m.Labels) {
			return false
		}
	}
	if text := query.Get("fieldSelector"); text != "" {
		return slices.Contains([]string{"metadata.name=" + m.Name, "status.phase=" + string(phase)}, text)
	}
	return true
}

func answerJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		panic(err)
	}
}

// change is a line of a watch.
func change(what status.WatchType, object any) string {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	line, err := json.Marshal(status.WatchEvent{Type: what, Object: text})
	if err != nil {
		panic(err)
	}
	return string(line) + "\n"
}
