package host_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// TestASecondCopyTellsWhatLives where the first copy of a record is missing, as it
// is when the daemon dies between writing the two.
func TestASecondCopyTellsWhatLives(t *testing.T) {
	now := time.Now()
	tests := map[string]struct {
		err            error
		started        bool
		found, unclear bool
	}{
		"a start without an answer: what lives came of it": {found: true},
		"a run that lives goes on":                         {started: true},
		"one that cannot be read: nobody can tell":         {err: errors.New("no record"), unclear: true},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			m := open(t, host.Options{})
			s := shell("echo on; exec sleep 1000")
			e := m.start(s)
			m.waitOutput("on")
			m.host.Mark(web0, []byte("copy"))
			r := recordOf(s, e)
			if !test.started {
				r.Instance = reconciler.Instance{ID: web0, Run: e.Run, Spec: s, StartTakenAt: now}
			}
			m.reopen(host.Options{Kept: &host.Kept{Decode: func([]byte) (reconciler.Record, error) { return r, test.err }}})
			ids := func(yes bool) []reconciler.ReplicaID {
				if yes {
					return []reconciler.ReplicaID{web0}
				}
				return nil
			}
			if f, u := m.host.Found(), m.host.Unclear(); !slices.Equal(f, ids(test.found)) || !slices.Equal(u, ids(test.unclear)) {
				t.Errorf("found %v, unclear %v", f, u)
			}
			if n := m.host.Adopted(); (n == 1) != test.started {
				t.Errorf("adopted %d", n)
			}
			m.run = 0
			if test.started {
				m.run = e.Run
			}
			m.kill()
			if test.started {
				m.want(reconciler.EventExited)
			} else {
				m.want(reconciler.EventEmptied)
			}
		})
	}
}
