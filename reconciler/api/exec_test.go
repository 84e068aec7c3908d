package api

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

func TestAnExecPlanIsOfTheReplicaThatIsNamed(t *testing.T) {
	user := status.ExecUser{UID: 33, GID: 33, Groups: []uint32{4}}
	tests := map[string]struct {
		name, method string
		err          error
		code         int
		asked        reconciler.ReplicaID
	}{
		"a replica":               {"web-1", "POST", nil, 200, reconciler.ReplicaID{Service: "web", Ordinal: 1}},
		"one with a number in it": {"web-1-0", "POST", nil, 200, reconciler.ReplicaID{Service: "web-1"}},
		"a service":               {"web", "POST", nil, 404, reconciler.ReplicaID{}},
		"no number":               {"web-01", "POST", nil, 404, reconciler.ReplicaID{}},
		"one that is not there":   {"web-7", "POST", &reconciler.Refusal{Reason: reconciler.RefusedNotFound, Message: "no"}, 404, reconciler.ReplicaID{Service: "web", Ordinal: 7}},
		"one that does not run":   {"web-0", "POST", &reconciler.Refusal{Reason: reconciler.RefusedConflict, Message: "no"}, 409, reconciler.ReplicaID{Service: "web"}},
		"a daemon that is ending": {"web-0", "POST", reconciler.ErrStopped, 503, reconciler.ReplicaID{Service: "web"}},
		"somebody who only looks": {"web-0", "GET", nil, 405, reconciler.ReplicaID{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var asked reconciler.ReplicaID
			s := NewServer(Config{ExecPlan: func(_ context.Context, id reconciler.ReplicaID) (*status.ExecPlan, error) {
				asked = id
				return &status.ExecPlan{Env: []string{"A=1"}, User: user}, test.err
			}})
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest(test.method, "/apis/svc.d/v1/replicas/"+test.name+"/exec", nil)))
			if w.Code != test.code || asked != test.asked {
				t.Errorf("code %d, want %d; asked for %v, want %v: %s", w.Code, test.code, asked, test.asked, w.Body)
			}
			if test.code != 200 {
				checkFailure(t, w.Body.Bytes(), test.code)
				return
			}
			var got status.ExecPlan
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			want := status.ExecPlan{APIVersion: spec.APIVersion, Kind: "ExecPlan", Replica: test.name, Env: []string{"A=1"}, User: user}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
