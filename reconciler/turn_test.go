package reconciler

import (
	"runtime"
	"sync/atomic"
	"testing"

	"svc.d/spec"
)

// others counts goroutines that had their turn while f ran on the one processor.
func others(f func()) int32 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var had atomic.Int32
	for range 10 {
		go had.Add(1)
	}
	f()
	return had.Load()
}

// TestOthersHaveTheirTurnWhileWordsAreFound: the loop is one of them.
func TestOthersHaveTheirTurnWhileWordsAreFound(t *testing.T) {
	s := &Snapshot{known: make([]known, 100)}
	for n := range s.known {
		s.known[n] = known{want: &spec.Service{}, facts: Facts{Name: "web"}}
	}
	if had := others(s.render); had != 10 {
		t.Errorf("%d of 10 had it", had)
	}
}
