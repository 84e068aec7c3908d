package host

import (
	"testing"

	"github.com/go-logr/logr"

	"svc.d/reconciler"
)

// looked is a grouping that counts who looks at it.
type looked struct {
	grouping
	times int
}

func (l *looked) survivors(*group) ([]int32, bool) { l.times++; return nil, true }

func (l *looked) openEvents(reconciler.ReplicaID) int { return -1 }

// TestAGroupIsLookedAtWhenNobodyIsAtItAnyMore: a worker that lets live what is left,
// and commands that are being ended.
func TestAGroupIsLookedAtWhenNobodyIsAtItAnyMore(t *testing.T) {
	w, err := openWatcher(logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	h := &Host{watcher: w}
	in := &looked{}
	g := newGroup(reconciler.ReplicaID{Service: "web"}, in)
	g.phase, g.settling = phaseEnded, 1 // a worker
	c := newCommand("a probe")
	g.commands = map[*command]struct{}{c: {}}
	if !h.awaitLast(g) {
		t.Error("it does not wait for the command")
	}
	h.settled(g) // the command has ended
	delete(g.commands, c)
	h.lookAgain(g)
	if in.times > 0 || !h.awaitLast(g) {
		t.Error("it is looked at while the worker is at it")
	}
	h.settled(g)
	if in.times != 1 {
		t.Errorf("it was looked at %d times", in.times)
	}
}
