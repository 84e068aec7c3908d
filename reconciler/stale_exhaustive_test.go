package reconciler_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

// StaleIsIgnored: an event of another run changes nothing.
const StaleIsIgnored = "StaleIsIgnored"

// begun is when the facts of the enumerations begin.
var begun = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// stageFacts are the facts of a run at each point of its life.
func stageFacts() map[string]reconciler.Instance {
	s := declaration(1, "web")
	s.Spec.Backoff.Limit = nil
	at := func(n int) time.Time { return begun.Add(time.Duration(n) * time.Minute) }
	run := reconciler.Instance{ID: reconciler.ReplicaID{Service: "web"}, Run: 7, Spec: s, StartTakenAt: at(1)}
	starting := run
	run.StartedAt, run.Pid = at(2), 100
	live := run
	run.StoppingAt, run.Cause = at(3), reconciler.CauseEdited
	asked := run
	run.KilledAt = at(4)
	killed := run
	run.InspectTakenAt = at(5)
	looked := run
	run.EndedAt, run.Left = at(6), []reconciler.Process{{Pid: 101, Name: "web"}}
	left := run
	run.GoneAt = at(7)
	gone := run
	run.ForgetTakenAt = at(8)
	return map[string]reconciler.Instance{
		"never ran": {ID: run.ID}, "starting": starting, "live": live, "asked": asked, "killed": killed,
		"looked at": looked, "left over": left, "gone": gone, "being forgotten": run,
	}
}

// staleness returns what an engine makes of events of other runs.
func staleness(e engine) []hosttest.Violation {
	kinds := []reconciler.EventKind{
		reconciler.EventStarted, reconciler.EventStartFailed, reconciler.EventExited,
		reconciler.EventEmptied, reconciler.EventInspected, reconciler.EventForgotten,
	}
	var all []hosttest.Violation
	for stage, i := range stageFacts() {
		for _, kind := range kinds {
			for _, run := range []uint64{i.Run + 1, i.Run + 100, max(i.Run, 1) - 1} {
				late := reconciler.Event{
					Kind: kind, Replica: i.ID, Run: run, At: begun.Add(time.Hour), Pid: 5,
					Failure: &reconciler.Failure{Reason: reconciler.ReasonStartFailed, Message: "cannot start"},
				}
				if run == i.Run {
					continue
				}
				if got := e.observe(i, late); !reflect.DeepEqual(got, i) {
					all = append(all, hosttest.Violation{Promise: StaleIsIgnored, Story: fmt.Sprintf(
						"event %d of run %d changes run %d, which is %s", kind, run, i.Run, stage)})
				}
			}
		}
	}
	return all
}

func TestEventsOfAnotherRunChangeNothing(t *testing.T) {
	for _, v := range staleness(genuine) {
		t.Error(v)
	}
}
