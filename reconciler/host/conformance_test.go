package host_test

import (
	"testing"

	"svc.d/reconciler/host"
	"svc.d/reconciler/hosttest"
)

func TestTheMachineConforms(t *testing.T) {
	for name, degraded := range map[string]bool{"with cgroups": false, "without cgroups": true} {
		t.Run(name, func(t *testing.T) {
			hosttest.Conformance(t, func(t *testing.T, test func(t *testing.T, target hosttest.Target)) {
				m := open(t, host.Options{NoCgroups: degraded})
				test(t, hosttest.Target{Host: m.host, Programs: hosttest.Shell, Degraded: degraded})
			})
		})
	}
}
