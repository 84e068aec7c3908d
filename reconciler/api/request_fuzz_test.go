package api

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/events"
	"svc.d/spec"
	"svc.d/status"
)

// FuzzRequests: whatever is asked is answered by something, or by a Status, and never
// by a mistake of ours.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/apis/svc.d/v1/services", "labelSelector=a%3Db,c+in+(d,e),!f", "")
	f.Add("GET", "/apis/svc.d/v1/replicas/web-0", "fieldSelector=status.phase!%3DRunning", "")
	f.Add("GET", "/apis/svc.d/v1/events", "watch=true&timeoutSeconds=1&resourceVersion=5", "")
	f.Add("POST", "/apis/svc.d/v1/services/web/stop", "", `{"for": "1m"}`)
	f.Add("POST", "/apis/svc.d/v1/replicas/web-1/kill", "", `{"signal": "HUP"}`)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		s := NewServer(Config{
			Engine: engine{
				snapshot: one, do: func(context.Context, reconciler.Command) error { return nil },
				changes: func(uint64) (reconciler.Changes, bool) { return reconciler.Changes{}, false },
			},
			Events:       events.NewRing(&revisions{}, nil),
			AccessGroup:  func() spec.ID { return "" },
			ConfirmPrune: func(context.Context) ([]string, error) { return nil, nil },
		})
		defer s.feed.close()
		request := httptest.NewRequest("GET", "/", strings.NewReader(body))
		request.Method, request.URL.Path, request.URL.RawQuery = method, path, query
		ctx, cancel := context.WithTimeout(request.Context(), 50*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, as(peer{uid: 0}, request.WithContext(ctx)))
		if w.Code < 400 {
			return
		}
		var failure status.Failure
		if err := json.Unmarshal(w.Body.Bytes(), &failure); err != nil && w.Code != 405 && w.Code != 404 {
			t.Errorf("code %d without a Status: %s", w.Code, w.Body)
		}
		if failure.Code == 500 {
			t.Errorf("a mistake: %s", failure.Message)
		}
	})
}

// FuzzLabelSelector: what is read selects the same when it is read again.
func FuzzLabelSelector(f *testing.F) {
	for _, text := range []string{"a", "!a", "a=b", "a!=b,c==d", "a in (b, c), d notin (e)", " a , b "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := parseLabels(text)
		if err == nil && len(parts) == 0 && strings.TrimSpace(text) != "" {
			t.Errorf("%q selects everything", text)
		}
		for _, p := range parts {
			if p.key == "" {
				t.Errorf("%q has a requirement of no label", text)
			}
		}
	})
}
