package reconciler_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"svc.d/reconciler"
	"svc.d/spec"
)

func TestARunIsOfWhatItWasStartedFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := named("web", three)
		w.declare(first)
		ask := func(ordinal int32, want *spec.Service, refused reconciler.RefusalReason) {
			t.Helper()
			run, got, err := w.loop.RunOf(t.Context(), reconciler.ReplicaID{Service: "web", Ordinal: ordinal})
			var refusal *reconciler.Refusal
			if refused != "" {
				if !errors.As(err, &refusal) || refusal.Reason != refused {
					t.Errorf("web-%d: %v, want %s", ordinal, err, refused)
				}
				return
			}
			if err != nil || run == 0 || !slices.Equal(got.Spec.Command, want.Spec.Command) || !slices.Equal(got.Spec.Args, want.Spec.Args) {
				t.Errorf("web-%d: run %d of %+v, %v", ordinal, run, got, err)
			}
		}
		ask(2, first, "")
		ask(3, nil, reconciler.RefusedNotFound)
		if _, _, err := w.loop.RunOf(t.Context(), reconciler.ReplicaID{Service: "db"}); err == nil {
			t.Error("a service that is not there has a run")
		}
		if err := w.do(reconciler.Command{Kind: reconciler.EventStop, Service: "web", Ordinal: -1}); err != nil {
			t.Fatal(err)
		}
		ask(0, nil, reconciler.RefusedConflict)
		w.end()
		if _, _, err := w.loop.RunOf(t.Context(), reconciler.ReplicaID{Service: "web"}); !errors.Is(err, reconciler.ErrStopped) {
			t.Errorf("a loop that has ended: %v", err)
		}
	})
}
