package api

import (
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"svc.d/status"
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

// TestOthersHaveTheirTurnWhileAListIsWritten: the loop is one of them.
func TestOthersHaveTheirTurnWhileAListIsWritten(t *testing.T) {
	list := &objectList{kind: services}
	for range 100 {
		list.items = append(list.items, &change{now: serviceObject{&status.Service{}}})
	}
	if had := others(func() { writeList(io.Discard, list) }); had != 10 {
		t.Errorf("%d of 10 had it", had)
	}
}
