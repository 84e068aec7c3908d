package host_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/reconciler/hosttest"
)

func TestTheMachineConforms(t *testing.T) {
	for name, degraded := range map[string]bool{"with cgroups": false, "without cgroups": true} {
		t.Run(name, func(t *testing.T) {
			hosttest.Conformance(t, func(t *testing.T, test func(t *testing.T, target hosttest.Target)) {
				test(t, target(open(t, host.Options{NoCgroups: degraded}), degraded))
			})
		})
	}
}

// target is a host for the suite. It is opened again in the place of the one
// before, whose processes are ours then as they are after a re-exec.
func target(m *machine, degraded bool) hosttest.Target {
	return hosttest.Target{
		Host: m.host, Programs: hosttest.Shell, Degraded: degraded,
		LeftBehind:   func() map[string][]reconciler.Process { return m.host.LeftBehind() },
		KillReleased: func(pid int32) { _ = unix.Kill(int(pid), unix.SIGKILL) },
		Reopen: func(t *testing.T, records []reconciler.Record, unclear []reconciler.ReplicaID) (hosttest.Target, []reconciler.ReplicaID, []reconciler.ReplicaID) {
			t.Helper()
			if err := m.host.Close(); err != nil {
				t.Fatal(err)
			}
			next, err := host.Open(host.Options{
				StateDir: m.dir + "/state", Output: m.logs, NoCgroups: degraded,
				Kept: &host.Kept{Records: slices.Clone(records), Unreadable: unclear},
			})
			if err != nil {
				t.Fatal(err)
			}
			m.host = next
			return target(m, degraded), next.Found(), next.Unclear()
		},
	}
}

// TestAGroupThatWasKilledIsMadeAnewAfterATakeover: what is cloned into a cgroup
// that was ever killed dies at birth, and the next host does not know that it was.
func TestAGroupThatWasKilledIsMadeAnewAfterATakeover(t *testing.T) {
	m := open(t, host.Options{})
	started := m.start(web("sleep", "1000000"))
	if err := m.host.Kill(web0); err != nil {
		t.Fatal(err)
	}
	m.want(reconciler.EventExited)
	// As over exec(2): the one before does not tidy up.
	tree, err := unix.FcntlInt(uintptr(m.host.Carry().Tree), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := m.host
	t.Cleanup(func() { _ = before.Close() })
	now := time.Now()
	next, err := host.Open(host.Options{StateDir: m.dir + "/state", Output: m.logs, Kept: &host.Kept{
		Tree: tree,
		Records: []reconciler.Record{{At: now, Instance: reconciler.Instance{
			ID: web0, Run: m.run, Spec: shell(""), StartTakenAt: now, StartedAt: now, EndedAt: now, GoneAt: now,
			Pid: started.Pid, StartTicks: started.StartTicks,
		}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.host = next
	m.start(shell("exit 3"))
	if e := m.want(reconciler.EventExited); e.Exit.Code != 3 {
		t.Errorf("it ended as %+v", e.Exit)
	}
}
