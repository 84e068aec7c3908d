package host_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// TestADaemonThatMovesThereAndBackKnowsWhereItsProcessesAre: in the group where it
// was first, it has an empty one of the replica's.
func TestADaemonThatMovesThereAndBackKnowsWhereItsProcessesAre(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	there := ""
	t.Cleanup(func() { _ = os.Remove(there) }) // when the host is closed
	m := open(t, host.Options{})
	here := groupOf(t, m.start(web("/bin/sleep", "1000")).Pid) // of the replica, in our tree, in our group
	m.kill()
	m.want(reconciler.EventExited)
	tree := filepath.Base(filepath.Dir(here))
	there = filepath.Join(filepath.Dir(filepath.Dir(here)), "moved-"+tree)
	reopen := func(o host.Options) {
		if err := m.host.Close(); err != nil {
			t.Fatal(err)
		}
		o.StateDir, o.Output = m.dir+"/state", m.logs
		var err error
		if m.host, err = host.Open(o); err != nil {
			t.Fatal(err)
		}
	}
	reopen(host.Options{CgroupRoot: there})
	s := shell("sleep 1000 & echo on; wait")
	started := m.start(s)
	m.waitOutput("on")
	if err := os.MkdirAll(here, 0o755); err != nil { // as kill -9 leaves it
		t.Fatal(err)
	}
	now := time.Now()
	reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{{At: now, Want: s, Instance: reconciler.Instance{
		ID: web0, Run: started.Run, Spec: s, StartTakenAt: now, StartedAt: now, Pid: started.Pid, StartTicks: started.StartTicks,
	}}}}})
	m.offer(reconciler.VerbInspect, nil)
	if seen := m.want(reconciler.EventInspected).Processes; len(seen) != 2 {
		t.Errorf("it sees %+v, not the shell and its child", seen)
	}
	m.run = started.Run
	m.kill()
	if left := m.want(reconciler.EventExited).Processes; len(left) > 0 {
		m.want(reconciler.EventEmptied)
	}
	if _, err := os.Stat(filepath.Join(there, tree, "web-0")); !os.IsNotExist(err) {
		t.Errorf("the empty group where nothing is started any more is kept: %v", err)
	}
}
