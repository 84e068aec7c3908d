package hosttest_test

import (
	"os"
	"os/exec"
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
	"nothing is seen by inspections": changing(func(e *reconciler.Event) {
		if e.Kind == reconciler.EventInspected {
			e.Processes = nil
		}
	}),
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

func (f faulty) pump(fault func(reconciler.Event) []reconciler.Event, done <-chan struct{}) {
	for {
		select {
		case e := <-f.Machine.Events():
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
	fault := faults["none"]
	if name := os.Getenv(faultVariable); name != "" {
		fault = faults[name]
	}
	hosttest.Conformance(t, func(t *testing.T, test func(*testing.T, hosttest.Target)) {
		synctest.Test(t, func(t *testing.T) {
			m := hosttest.NewMachine(hosttest.Config{
				Script: hosttest.ScriptedBehaviour, Fail: func(hosttest.Violation) {},
			})
			f := faulty{m, make(chan reconciler.Event)}
			done := make(chan struct{})
			go f.pump(fault, done)
			defer m.Close()
			defer close(done)
			test(t, hosttest.Target{Host: f, Programs: hosttest.Scripted})
		})
	})
}

func TestConformanceRejectsFaultyHosts(t *testing.T) {
	for name := range faults {
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
