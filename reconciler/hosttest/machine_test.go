package hosttest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

func TestSimulatedMachineConforms(t *testing.T) {
	takes := map[string]func(reconciler.Work) time.Duration{
		"at once":    nil,
		"in a while": func(w reconciler.Work) time.Duration { return time.Duration(w.Run%7) * time.Millisecond },
	}
	for name, takes := range takes {
		t.Run(name, func(t *testing.T) {
			hosttest.Conformance(t, func(t *testing.T, test func(*testing.T, hosttest.Target)) {
				synctest.Test(t, func(t *testing.T) {
					m := hosttest.NewMachine(hosttest.Config{
						Script: hosttest.ScriptedBehaviour,
						Takes:  takes,
						Fail:   func(hosttest.Violation) {}, // the suite does what an engine may not
					})
					defer m.Close()
					test(t, hosttest.Target{Host: m, Programs: hosttest.Scripted})
				})
			})
		})
	}
}
