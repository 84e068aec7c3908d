package reconciler

import (
	"runtime"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"svc.d/spec"
)

// TestObserveAndDecideDoNotAllocate holds the budget of zero allocations: a
// crash storm must not become a garbage collector's storm.
func TestObserveAndDecideDoNotAllocate(t *testing.T) {
	tests := map[string]func() *story{
		"a running service":            situations["03 it runs"],
		"a crashing service":           situations["05 it crashed three times in a row"],
		"a replacement under way":      situations["20 the successor must first run minReadySeconds"],
		"a stop whose grace is over":   situations["16 it ignores the stop signal and its grace is over"],
		"a replacement that is halted": situations["21 a successor ended soon: the replacement halts"],
	}
	for name, tell := range tests {
		t.Run(name, func(t *testing.T) {
			s := tell()
			actions := make([]Action, 0, 8)
			if n := testing.AllocsPerRun(100, func() { actions, _ = Decide(s.want, &s.facts, s.now, actions[:0]) }); n != 0 {
				t.Errorf("Decide allocates %v times", n)
			}
			i, runs := s.facts.Replicas[0], s.facts.Replicas[0].Run
			if n := testing.AllocsPerRun(100, func() {
				runs++
				i = Observe(i, Event{Kind: EventStartTaken, Run: runs, At: s.now, Service: s.want})
				i = Observe(i, Event{Kind: EventStarted, Run: runs, At: s.now})
				i = Observe(i, Event{Kind: EventExited, Run: runs, At: s.now})
			}); n != 0 {
				t.Errorf("Observe allocates %v times in a run's life", n)
			}
		})
	}
}

// maxHeapPerService is the engine's budget for one service of one replica, the
// manifest itself not counted.
const maxHeapPerService = 1024

func TestEngineHeapPerService(t *testing.T) {
	const n = 20_000
	wants := make([]*spec.Service, n)
	names := make([]string, n)
	for k := range wants {
		wants[k] = service()
		names[k] = "web"
	}
	l := NewLoop(Config{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for k, want := range wants {
		r := &record{want: want, facts: Facts{Name: names[k]}, place: -1}
		r.facts = ObserveService(r.facts, Event{Kind: EventDeclared, Service: want, At: epoch})
		r.due = epoch.Add(time.Duration(k))
		l.services[strconv.Itoa(k)] = r
		l.due.put(r)
		l.queue.add(r, &r.queued)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Logf("%d bytes a service; Facts %d, Instance %d, record %d, Service %d", per, unsafe.Sizeof(Facts{}),
		unsafe.Sizeof(Instance{}), unsafe.Sizeof(record{}), unsafe.Sizeof(spec.Service{}))
	if per > maxHeapPerService {
		t.Errorf("the engine needs %d bytes a service, more than %d", per, maxHeapPerService)
	}
	runtime.KeepAlive(wants)
	runtime.KeepAlive(names)
	runtime.KeepAlive(l)
}
