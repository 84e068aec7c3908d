package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"svc.d/reconciler"
	"svc.d/status"
)

// hooked calls after a question was answered.
type hooked struct {
	*town
	afterChanges func(c reconciler.Changes)
}

func (h *hooked) Changes(since uint64) (reconciler.Changes, bool) {
	c, ok := h.town.Changes(since)
	if h.afterChanges != nil {
		h.afterChanges(c)
	}
	return c, ok
}

// A service that has changed vanishes before the feed looks; somebody lists between.
func TestARemovalSeenWithAnEarlierChangeIsTold(t *testing.T) {
	e := newTown()
	e.set("web", phase("Running"))
	r := &run{engine: e, begun: make(chan struct{}), more: make(chan struct{})}
	s, _ := e.Snapshot(t.Context())
	r.begin(s)
	e.set("web", phase("Failed"))
	c, _ := e.Changes(r.revision)
	e.set("db", phase("Running")) // the counter goes on
	listed := e.revision          // the client lists here, and sees web
	e.remove("web")
	s, _ = e.Snapshot(t.Context(), c.Names...)
	r.add(s, &c)
	server := &Server{config: Config{Engine: e}}
	server.feed.engine = e
	tl, err := server.watchServices(r, services, listed)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for range 3 {
		n, err := tl.next()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range n.changes {
			if c.now == nil {
				told[c.before.meta().Name] = true
			}
		}
		c2, _ := e.Changes(r.revision)
		s, _ = e.Snapshot(t.Context(), c2.Names...)
		r.add(s, &c2)
	}
	if !told["web"] {
		t.Error("nobody told that web is gone")
	}
}

// While somebody asks what has changed since, the feed publishes another change.
func TestWhatIsPublishedDuringCatchUpIsTold(t *testing.T) {
	e := newTown()
	e.set("web", phase("Running"))
	since := e.revision
	e.set("web", phase("Failed"))
	h := &hooked{town: e}
	r := &run{engine: e, begun: make(chan struct{}), more: make(chan struct{})}
	s, _ := e.Snapshot(t.Context())
	r.begin(s) // first > since
	once := false
	h.afterChanges = func(reconciler.Changes) {
		if once {
			return
		}
		once = true
		e.set("db", phase("Running"))
		c, _ := e.Changes(r.revision)
		s, _ := e.Snapshot(t.Context(), c.Names...)
		r.add(s, &c)
	}
	server := &Server{config: Config{Engine: h}}
	tl, err := server.watchServices(r, services, since)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	n, _ := tl.next()
	for _, c := range n.changes {
		told[c.now.meta().Name] = true
	}
	if !told["web"] || !told["db"] {
		t.Errorf("told only of %v", told)
	}
}

// BenchmarkAChange is what a change of one of a thousand services costs until all
// watchers have it.
func BenchmarkAChange(b *testing.B) {
	for _, watchers := range []int{1, 200} {
		b.Run(fmt.Sprint(watchers), func(b *testing.B) {
			e := newTown()
			raw := json.RawMessage(`{"replicas":1,"command":["sleep","1000"],"workingDir":"/","env":[{"name":"A","value":"` + strings.Repeat("x", 1500) + `"}]}`)
			for n := range 1000 {
				e.set("service-"+strconv.Itoa(n), func(s *status.Service) { s.Spec = raw })
			}
			s := NewServer(Config{Engine: e})
			h := s.Handler()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, as(peer{uid: 0}, r)) }))
			defer server.Close()
			defer s.feed.close()
			defer server.CloseClientConnections()
			var seen sync.WaitGroup
			for range watchers {
				response, err := server.Client().Get(server.URL + "/apis/svc.d/v1/services?watch=true&resourceVersion=" + strconv.FormatUint(e.revision, 10))
				if err != nil {
					b.Fatal(err)
				}
				defer response.Body.Close()
				lines := bufio.NewReaderSize(response.Body, 64<<10)
				go func() {
					for {
						if _, err := lines.ReadSlice('\n'); err != nil {
							return
						}
						seen.Done()
					}
				}()
			}
			n := 0
			for b.Loop() {
				n++
				seen.Add(watchers)
				e.set("service-7", func(s *status.Service) { s.Status.Line = n })
				seen.Wait()
			}
		})
	}
}
