package reconciler_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// audit compares what the loop says with what the machine runs, while nothing
// moves.
func (w *storm) audit() {
	synctest.Wait()
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		return
	}
	w.auditRevisions(snapshot)
	said := map[reconciler.ReplicaID]int32{}
	for _, s := range snapshot.Services {
		for _, r := range s.Status.ReplicaStatuses {
			if r.Pid != 0 {
				said[reconciler.ReplicaID{Service: s.Metadata.Name, Ordinal: r.Ordinal}] = r.Pid
			}
		}
	}
	for _, state := range w.machine.States() {
		switch pid := said[state.Replica]; {
		case pid != 0 && pid != state.MainPid:
			w.broken(NoExitLost, "%v is said to run as %d; what runs is %d", state.Replica, pid, state.MainPid)
		case pid == 0 && state.MainPid != 0:
			w.broken(NothingUnseen, "%v runs as %d and is not said to", state.Replica, state.MainPid)
		}
	}
}

// auditRevisions judges that who follows changes misses nothing.
func (w *storm) auditRevisions(snapshot *reconciler.Snapshot) {
	for _, s := range snapshot.Services {
		before, known := w.shown[s.Metadata.Name]
		due := w.wakes(&before, snapshot.At)
		if known && !due && before.Metadata.ResourceVersion == s.Metadata.ResourceVersion {
			if !reflect.DeepEqual(before, s) {
				w.broken(ChangesTold, "%s is shown otherwise in revision %s (-before +after)\n%s",
					s.Metadata.Name, s.Metadata.ResourceVersion, cmp.Diff(before, s))
			}
		}
		w.shown[s.Metadata.Name] = s
	}
}

// wakes reports whether the loop, whose times run ahead by some ns, is about to wake
// up for a service that it has shown so.
func (w *storm) wakes(shown *status.Service, now time.Time) bool {
	var available time.Duration
	w.mu.Lock()
	if want := w.books.account(shown.Metadata.Name).want; want != nil {
		available = time.Duration(want.Spec.MinReadySeconds) * time.Second
	}
	w.mu.Unlock()
	near := func(due time.Time) bool { return !due.After(now) && now.Sub(due) < time.Microsecond }
	return slices.ContainsFunc(shown.Status.ReplicaStatuses, func(r status.Replica) bool {
		return near(r.Next) || near(r.ReadySince.Add(available))
	}) || shown.Status.Held != nil && near(shown.Status.Held.Until)
}

// unsettled says what is not as it should be for good; empty when all is.
func (w *storm) unsettled() string {
	snapshot, err := w.loop.Snapshot(context.Background())
	if err != nil {
		return err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	declared := 0
	for _, a := range w.books.services {
		if a.want != nil {
			declared++
		}
	}
	if len(snapshot.Services) != declared {
		return fmt.Sprintf("%d services are known, %d declared", len(snapshot.Services), declared)
	}
	for _, s := range snapshot.Services {
		a := w.books.account(s.Metadata.Name)
		expected := int(a.want.Spec.Replicas)
		if len(s.Status.ReplicaStatuses) != expected {
			return fmt.Sprintf("%s has %d replicas of %d", s.Metadata.Name, len(s.Status.ReplicaStatuses), expected)
		}
		unclear := slices.ContainsFunc(s.Status.ReplicaStatuses, func(r status.Replica) bool {
			return r.Reason == string(reconciler.ReasonRecordUnreadable)
		})
		for _, r := range s.Status.ReplicaStatuses {
			if !mayLast(a, r, now) && !(unclear && r.Reason == string(reconciler.ReasonReplacementPending)) {
				return fmt.Sprintf("%s is %s for %s: %s (wanted %+v)", r.Name, r.Phase, r.Reason, r.Message, a.want.Spec)
			}
		}
	}
	return ""
}

// mayLast reports whether a replica may stay as it is in a calm.
func mayLast(a *account, r status.Replica, now time.Time) bool {
	held := a.held(now)
	switch r.Phase {
	case status.PhaseRunning:
		switch reconciler.Reason(r.Reason) {
		case "":
			return r.Updated && !held
		case reconciler.ReasonReplacementBlocked, reconciler.ReasonReplacementPending:
			return isBad(a.want)
		case reconciler.ReasonReplacementHalted:
			return true // another replica has given up, or cannot start
		default:
			return false
		}
	case status.PhaseHeld:
		return held || r.Reason == string(reconciler.ReasonRecordUnreadable)
	case status.PhaseCompleted, status.PhaseFailed:
		return a.want.Spec.RestartPolicy != spec.RestartAlways || r.Reason == string(reconciler.ReasonRestartLimitExceeded)
	case status.PhasePending:
		return isBad(a.want)
	default:
		return false
	}
}
