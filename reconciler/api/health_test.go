package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

func TestHealthIsToldAsKubernetesTellsIt(t *testing.T) {
	well := &reconciler.Snapshot{Set: &spec.Set{}}
	tests := map[string]struct {
		path     string
		snapshot *reconciler.Snapshot // nil: the loop does not answer
		code     int
		want     string
	}{
		"alive":                     {"/livez", nil, 200, "ok\n"},
		"alive, in full":            {"/livez?verbose", nil, 200, "[+]ping ok\nlivez check passed\n"},
		"a loop that answers":       {"/healthz", &reconciler.Snapshot{}, 200, "ok\n"},
		"a loop that does not":      {"/healthz", nil, 503, "[+]ping ok\n[-]engine failed: " + reconciler.ErrStopped.Error() + "\nhealthz check failed\n"},
		"ready":                     {"/readyz", well, 200, "ok\n"},
		"ready, in full":            {"/readyz?verbose=true", well, 200, "[+]ping ok\n[+]engine ok\n[+]directory ok\n[+]shutdown ok\nreadyz check passed\n"},
		"not ready: no loop":        {"/readyz", nil, 503, "[+]ping ok\n[-]engine failed: " + reconciler.ErrStopped.Error() + "\nreadyz check failed\n"},
		"not ready: nothing read":   {"/readyz", &reconciler.Snapshot{}, 503, "[+]ping ok\n[+]engine ok\n[-]directory failed: the directory has not been read yet\n[+]shutdown ok\nreadyz check failed\n"},
		"not ready: it is shutting": {"/readyz?verbose", &reconciler.Snapshot{Set: &spec.Set{}, Stopping: time.Now()}, 503, "[+]ping ok\n[+]engine ok\n[+]directory ok\n[-]shutdown failed: the daemon is shutting down\nreadyz check failed\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			asked := false
			w := ask(t, NewServer(Config{Engine: engine{snapshot: func(context.Context, ...string) (*reconciler.Snapshot, error) {
				asked = true
				if test.snapshot == nil {
					return nil, reconciler.ErrStopped
				}
				return test.snapshot, nil
			}}}), test.path)
			if w.Code != test.code || w.Body.String() != test.want || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, test.code, test.want)
			}
			if asked && strings.HasPrefix(test.path, "/livez") {
				t.Error("the loop is asked whether the process lives")
			}
		})
	}
}
