package watch

import (
	"fmt"
	"time"

	"svc.d/spec"
)

// degrade notes whether changes are told of.
func (w *Watcher) degrade(failure error, now time.Time) {
	c := spec.Condition{Type: spec.ConditionWatchDegraded, Since: now}
	switch {
	case failure != nil:
		c.Reason, c.Message = "NotificationFailed", failure.Error()
	case w.scan.remote != "":
		c.Reason = "RemoteFileSystem"
		c.Message = "changes by other machines are not told of in " + w.scan.remote
	default:
		if w.scan.ledger.degraded.Type != "" {
			w.log.Info("Recovered the notification of files", "dir", w.dir)
		}
		w.scan.ledger.degraded = spec.Condition{}
		return
	}
	c.Message += fmt.Sprintf("; the directory is listed every %v instead", w.poll)
	if old := w.scan.ledger.degraded; old.Reason == c.Reason {
		c.Since = old.Since
	} else {
		w.log.Info("Degraded the notification of files", "dir", w.dir, "reason", c.Message)
	}
	w.scan.ledger.degraded = c
}
