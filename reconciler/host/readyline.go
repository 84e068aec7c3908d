package host

import (
	"regexp"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/logs"
	"svc.d/spec"
)

// awaitLine has LineSeen told when a line of the run's output matches readyLogLine.
// since is zero for a run that is about to start, whose pipes are open; for one that
// an earlier daemon had started, what it has written since then is searched as well.
func (h *Host) awaitLine(g *group, s *spec.Service, since time.Time) {
	id, run := g.id, g.run
	h.mu.Lock()
	before := g.awaitsLine
	g.awaitsLine = s.Spec.ReadyLogLine != ""
	h.mu.Unlock()
	if s.Spec.ReadyLogLine == "" {
		if before {
			h.output.CancelAwait(logs.Replica(id))
		}
		return
	}
	line, err := regexp.Compile(s.Spec.ReadyLogLine)
	if err != nil {
		h.log.Error(err, "Cannot look for readyLogLine", "service", id.Service, "replica", id.Ordinal)
		return
	}
	h.output.Await(logs.Replica(id), line, since, func() {
		h.watcher.soon(func() {
			h.mu.Lock()
			g.lineSeen = g.run == run
			h.mu.Unlock()
			h.tellLine(g)
		})
	})
}

// tellLine tells that a line of the run was seen, after Started and not after its end.
func (h *Host) tellLine(g *group) {
	h.mu.Lock()
	e := reconciler.Event{Kind: reconciler.EventLineSeen, Replica: g.id, Run: g.run}
	tell := g.lineSeen && !g.untold && g.phase == phaseRunning
	g.lineSeen = g.lineSeen && !tell
	h.mu.Unlock()
	if tell {
		h.send(e)
	}
}
