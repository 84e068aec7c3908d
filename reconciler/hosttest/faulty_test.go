package hosttest_test

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

// faults are ways for a host to be wrong: each changes the events of a good one.
var faults = map[string]func(e reconciler.Event) []reconciler.Event{
	"none":                  func(e reconciler.Event) []reconciler.Event { return []reconciler.Event{e} },
	"an exit is lost":       dropping(reconciler.EventExited),
	"an emptying is lost":   dropping(reconciler.EventEmptied),
	"a check is unanswered": dropping(reconciler.EventChecked),
	"an exit comes twice":   twice(reconciler.EventExited),
	"a start comes twice":   twice(reconciler.EventStarted),
	"survivors are not told": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventExited {
			e.Processes = nil
		}
	}),
	"exit codes are lost": changing(func(e *reconciler.Event) { e.Exit.Code = 0 }),
	"runs are mixed up":   changing(func(e *reconciler.Event) { e.Run++ }),
	"failures have no reason": changing(func(e *reconciler.Event) {
		if e.Failure != nil {
			e.Failure = &reconciler.Failure{Message: e.Failure.Message}
		}
	}),
	"every check passes": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventChecked {
			e.Failure = nil
		}
	}),
	"a hook is unanswered": dropping(reconciler.EventHookEnded),
	"every hook succeeds": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventHookEnded {
			e.Failure = nil
		}
	}),
	"what runs for hooks counts as left": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventExited {
			e.Processes = append(e.Processes, reconciler.Process{Pid: 1})
		}
	}),
	"a release is unanswered": dropping(reconciler.EventReleased),
	"nothing was released": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventReleased {
			e.Processes = nil
		}
	}),
	"nothing is seen by inspections": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventInspected {
			e.Processes = nil
		}
	}),
}

// amnesias are ways for a host to be wrong when it is opened again.
var amnesias = map[string]amnesia{
	"what is found is not told": {after: func(_, unclear []reconciler.ReplicaID) (f, u []reconciler.ReplicaID) {
		return nil, unclear
	}},
	"what is unclear is taken for found": {after: func(found, unclear []reconciler.ReplicaID) (f, u []reconciler.ReplicaID) {
		return append(found, unclear...), nil
	}},
	"every record is lost": {before: func([]reconciler.Record) []reconciler.Record { return nil }},
	"what runs is believed to have ended": {before: func(records []reconciler.Record) []reconciler.Record {
		for n := range records {
			if i := &records[n].Instance; i.EndedAt.IsZero() {
				i.EndedAt = records[n].At
			}
		}
		return records
	}},
	"what was left is believed to be gone": {before: func(records []reconciler.Record) []reconciler.Record {
		for n := range records {
			records[n].Instance.GoneAt = records[n].Instance.EndedAt
		}
		return records
	}},
}

// amnesia changes what a good host is opened with, or what it finds.
type amnesia struct {
	before func(records []reconciler.Record) []reconciler.Record
	after  func(found, unclear []reconciler.ReplicaID) (f, u []reconciler.ReplicaID)
}

func dropping(kind reconciler.EventKind) func(reconciler.Event) []reconciler.Event {
	return func(e reconciler.Event) []reconciler.Event {
		if e.Kind == kind {
			return nil
		}
		return []reconciler.Event{e}
	}
}

func twice(kind reconciler.EventKind) func(reconciler.Event) []reconciler.Event {
	return func(e reconciler.Event) []reconciler.Event {
		if e.Kind == kind {
			return []reconciler.Event{e, e}
		}
		return []reconciler.Event{e}
	}
}

func changing(change func(*reconciler.Event)) func(reconciler.Event) []reconciler.Event {
	return func(e reconciler.Event) []reconciler.Event {
		change(&e)
		return []reconciler.Event{e}
	}
}

// faulty is a machine whose events pass through a fault.
type faulty struct {
	*hosttest.Machine
	events chan reconciler.Event
}

func (f faulty) Events() <-chan reconciler.Event { return f.events }

// target makes the machine one to be judged, until done.
func (f faulty) target(fault func(reconciler.Event) []reconciler.Event, a amnesia, done <-chan struct{}) hosttest.Target {
	f.events = make(chan reconciler.Event)
	go f.pump(f.Machine.Events(), fault, done)
	return hosttest.Target{
		Host: f, Programs: hosttest.Scripted, LeftBehind: f.LeftBehind, KillReleased: f.KillReleased,
		Reopen: func(_ *testing.T, records []reconciler.Record, unclear []reconciler.ReplicaID) (next hosttest.Target, found, unclearFound []reconciler.ReplicaID) {
			records = slices.Clone(records)
			if a.before != nil {
				records = a.before(records)
			}
			f.Machine.Crash()
			found, unclearFound = f.Machine.Reopen(records, unclear)
			if a.after != nil {
				found, unclearFound = a.after(found, unclearFound)
			}
			return f.target(fault, a, done), found, unclearFound
		},
	}
}

func (f faulty) pump(from <-chan reconciler.Event, fault func(reconciler.Event) []reconciler.Event, done <-chan struct{}) {
	for {
		select {
		case e := <-from:
			for _, e := range fault(e) {
				select {
				case f.events <- e:
				case <-done:
					return
				}
			}
		case <-done:
			return
		}
	}
}

// faultVariable names the fault for TestConformanceOfAFaultyHost.
const faultVariable = "HOSTTEST_FAULT"

// TestConformanceOfAFaultyHost is what TestConformanceRejectsFaultyHosts runs in
// a process of its own; by itself the host has no fault.
func TestConformanceOfAFaultyHost(t *testing.T) {
	name := os.Getenv(faultVariable)
	fault := faults[name]
	if fault == nil {
		fault = faults["none"]
	}
	hosttest.Conformance(t, func(t *testing.T, test func(*testing.T, hosttest.Target)) {
		synctest.Test(t, func(t *testing.T) {
			m := hosttest.NewMachine(hosttest.Config{
				Script: hosttest.ScriptedBehaviour, Fail: func(hosttest.Violation) {},
			})
			done := make(chan struct{})
			defer m.Close()
			defer close(done)
			test(t, faulty{Machine: m}.target(fault, amnesias[name], done))
		})
	})
}

func TestConformanceRejectsFaultyHosts(t *testing.T) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(faults)), maps.Keys(amnesias))
	for _, name := range names {
		if name == "none" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := exec.Command(os.Args[0], "-test.run", "^TestConformanceOfAFaultyHost$")
			c.Env = append(os.Environ(), faultVariable+"="+name)
			out, err := c.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestConformanceOfAFaultyHost/") {
				t.Errorf("the suite does not reject it: %v\n%.2000s", err, out)
			}
		})
	}
}
