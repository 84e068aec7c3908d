package logs

import (
	"slices"
	"time"
)

// late does what is due: parts of lines that have waited long enough, and files
// that could not be written.
func (l *lane) late() {
	if l.timerAt.IsZero() || time.Now().Before(l.timerAt) {
		return
	}
	l.timerAt = time.Time{}
	now := time.Now()
	var next time.Time
	for _, p := range slices.Clone(l.held) {
		if due := p.since.Add(holdFor); now.Before(due) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
			continue
		}
		l.flush(p, false)
	}
	if l.retry(now) && (next.IsZero() || now.Add(retryAfter).Before(next)) {
		next = now.Add(retryAfter)
	}
	if l.unsafe.Load() != nil {
		l.mend()
		if due := now.Add(journalAfter); l.unsafe.Load() != nil && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	l.remind(next)
}

// mend tries again to have a journal that outlives us.
func (l *lane) mend() {
	j, err := openJournal(l.path)
	if err != nil {
		l.unsafe.Store(&err)
		return
	}
	copy(j.mem, l.journal.mem)
	l.mu.Lock()
	for _, s := range l.lossy {
		if loss := j.lossOf(&s.loss.Key, false); loss != nil {
			s.loss = loss
		}
	}
	l.mu.Unlock()
	l.journal = j
	l.unsafe.Store(nil)
	l.log.Info("The journal of output is kept again")
}

// remind has late called at a time, if not before; the zero time is never.
func (l *lane) remind(at time.Time) {
	if at.IsZero() || !l.timerAt.IsZero() && !at.Before(l.timerAt) {
		return
	}
	l.timerAt = at
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(at), l.wake)
		return
	}
	l.timer.Reset(time.Until(at))
}
