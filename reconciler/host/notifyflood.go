package host

import (
	"time"

	"svc.d/reconciler"
)

const (
	// hearingShare is the part of the time that the watcher gives to messages when
	// they come without end: one in so many. A message takes some twenty
	// microseconds, so some thousand a second are heard as they come.
	hearingShare = 8
	// maxHearing is what it gives at once to those who come all together.
	maxHearing = 20 * time.Millisecond
	// maxDebt bounds how long nothing is read, whatever has held up the reader
	// meanwhile: for eight times as long.
	maxDebt = time.Millisecond
	// statusEvery is how often a status is told that is all that was said. People read
	// it, and only the newest.
	statusEvery = 250 * time.Millisecond
)

// ration bounds the time that is given to messages. A socket on which nobody listens
// for a moment makes its senders wait, each in turn, and loses nothing.
type ration struct {
	left time.Duration // below zero it is a debt
	at   time.Time     // that left is of
}

// spend takes the time from began to ended off the ration. It says how long to rest
// before more is spent.
func (r *ration) spend(began, ended time.Time) (rest time.Duration) {
	r.left = min(r.left+ended.Sub(r.at)/hearingShare, maxHearing) // the first time it is full
	r.at = ended
	r.left = max(r.left-ended.Sub(began), -maxDebt)
	return max(0, -r.left*hearingShare)
}

// listen reads what has come. The watcher's goroutine calls it.
func (h *Host) listen() {
	began := time.Now()
	h.hear(notifyBatch, maxToClose)
	if rest := h.notifier.ration.spend(began, time.Now()); rest > 0 {
		h.deafen(rest)
	}
}

// onlyStatus says that a status is all there is in a message.
func (m *notifyMessage) onlyStatus() bool {
	return m.mainPid == 0 && m.notice == reconciler.Notice{Status: m.notice.Status, HasStatus: true}
}

// holdStatus keeps a status back that comes too soon after another one of the run; the
// next that comes takes its place. The caller holds mu.
func (h *Host) holdStatus(g *group, m *heard) bool {
	if !m.notice.HasStatus {
		return false
	}
	now := time.Now()
	wait := g.statusDue.Sub(now)
	if !m.onlyStatus() || wait <= 0 {
		g.status, g.statusDue = nil, now.Add(statusEvery)
		return false
	}
	if g.status == nil {
		run := g.run
		h.watcher.after(wait, func() { h.tellStatus(g, run) })
	}
	g.status = &m.notice.Status
	return true
}

// tellStatus tells the status of the run that was kept back, if any.
func (h *Host) tellStatus(g *group, run uint64) {
	h.mu.Lock()
	status := g.status
	if status == nil || g.run != run {
		h.mu.Unlock()
		return
	}
	g.status, g.statusDue = nil, time.Time{}
	h.mu.Unlock()
	h.tell(g, &heard{notifyMessage: notifyMessage{notice: reconciler.Notice{Status: *status, HasStatus: true}}})
}
