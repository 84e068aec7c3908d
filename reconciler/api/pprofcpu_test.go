//go:build pprof

package api

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"
)

// patient is a recorder that takes deadlines.
type patient struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (p *patient) SetWriteDeadline(t time.Time) error {
	p.deadline = t
	return nil
}

func TestAProfileOfTheProcessorIsCutShortWhenTheServerCloses(t *testing.T) {
	s := NewServer(Config{Profiles: true})
	for range 2 { // the profiler is free again
		ending, end := context.WithCancel(t.Context())
		end()
		r := as(peer{uid: 0}, httptest.NewRequest("GET", "/debug/pprof/profile?seconds=200", nil))
		w := &patient{ResponseRecorder: httptest.NewRecorder()}
		s.Handler().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), endingKey{}, ending)))
		if w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("code %d, %d bytes", w.Code, w.Body.Len())
		}
		if left := time.Until(w.deadline); left < 200*time.Second {
			t.Errorf("the answer must be written within %v", left)
		}
	}
	for _, wrong := range []string{"0", "301", "x"} {
		w := &patient{ResponseRecorder: httptest.NewRecorder()}
		s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest("GET", "/debug/pprof/profile?seconds="+wrong, nil)))
		checkFailure(t, w.Body.Bytes(), 400)
	}
}
