package record

import (
	"time"

	"svc.d/reconciler"
)

// life is reconciler.Life as it is written: what must be known by a daemon that
// comes later. Questions and hooks under way end with who asked.
type life struct {
	Moments       map[string]int64    `json:"moments,omitempty"`
	Probes        map[string]*probing `json:"probes,omitempty"`
	Why           string              `json:"why,omitempty"`
	Status        string              `json:"status,omitempty"`
	WatchdogEvery time.Duration       `json:"watchdogEvery,omitempty"`
	EnvFiles      string              `json:"envFiles,omitempty"`
	Loaded        string              `json:"loaded,omitempty"`
	Refused       string              `json:"refused,omitempty"`
	ReloadFailure *failure            `json:"reloadFailure,omitempty"`
}

// probing is what is known of a probe.
type probing struct {
	PassedAt int64    `json:"passedAt,omitempty"`
	FailedAt int64    `json:"failedAt,omitempty"`
	Failure  *failure `json:"failure,omitempty"`
}

var probeNames = map[reconciler.ProbeKind]string{
	reconciler.ProbeStartup: "startup", reconciler.ProbeReadiness: "readiness", reconciler.ProbeLiveness: "liveness",
}

// lifeMoments are its times with their keys.
func lifeMoments(l *reconciler.Life) map[string]*time.Time {
	return map[string]*time.Time{
		"detachedAt": &l.DetachedAt, "preStopAt": &l.PreStopAt, "signalledAt": &l.SignalledAt, "postStartAt": &l.PostStartAt,
		"postStopAt": &l.PostStopAt, "firstReadyAt": &l.FirstReadyAt, "readyToldAt": &l.ReadyToldAt, "lineAt": &l.LineAt,
		"reloadingAt": &l.ReloadingAt, "heardAt": &l.HeardAt, "deafAt": &l.DeafAt, "extendedUntil": &l.ExtendedUntil,
		"triedAt": &l.TriedAt, "reloadedAt": &l.ReloadedAt, "reloadAskedAt": &l.ReloadAskedAt,
	}
}

func failureOf(f *reconciler.Failure) *failure {
	if f == nil {
		return nil
	}
	return &failure{string(f.Reason), f.Message, f.Hidden}
}

func (f *failure) failure() *reconciler.Failure {
	if f == nil {
		return nil
	}
	return &reconciler.Failure{Reason: reconciler.Reason(f.Reason), Message: f.Message, Hidden: f.Hidden}
}

func (c clock) lifeOf(l *reconciler.Life) life {
	out := life{
		Why: l.Why, Status: l.Status, WatchdogEvery: l.WatchdogEvery, EnvFiles: l.EnvFiles, Loaded: l.Loaded,
		Refused: l.Refused, ReloadFailure: failureOf(l.ReloadFailure), Moments: map[string]int64{}, Probes: map[string]*probing{},
	}
	for key, at := range lifeMoments(l) {
		if !at.IsZero() {
			out.Moments[key] = c.stamp(*at)
		}
	}
	for kind, name := range probeNames {
		p := &l.Probes[kind]
		if !p.PassedAt.IsZero() || !p.FailedAt.IsZero() {
			out.Probes[name] = &probing{c.stamp(p.PassedAt), c.stamp(p.FailedAt), failureOf(p.Failure)}
		}
	}
	return out
}

func (c clock) life(from life) *reconciler.Life {
	l := &reconciler.Life{
		Why: from.Why, Status: from.Status, WatchdogEvery: from.WatchdogEvery, EnvFiles: from.EnvFiles, Loaded: from.Loaded,
		Refused: from.Refused, ReloadFailure: from.ReloadFailure.failure(),
	}
	for key, at := range lifeMoments(l) {
		*at = c.time(from.Moments[key])
	}
	for kind, name := range probeNames {
		if p := from.Probes[name]; p != nil {
			l.Probes[kind] = reconciler.Probing{PassedAt: c.time(p.PassedAt), FailedAt: c.time(p.FailedAt), Failure: p.Failure.failure()}
		}
	}
	return l
}
