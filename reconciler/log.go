package reconciler

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/go-logr/logr"

	"svc.d/spec"
	"svc.d/status"
)

// logEvent writes one line for each change of state that an operator would ask
// about. It is called after the event was observed.
func (l *Loop) logEvent(r *record, e Event) {
	log := func() logr.Logger { // few events are told, and probes are many
		return l.Log.WithValues("service", e.Replica.Service, "replica", e.Replica.String())
	}
	switch e.Kind {
	case EventStarted:
		log().Info("Started process", "pid", e.Pid)
	case EventStartFailed:
		log().Info("Could not start process", "reason", e.Failure.Reason, "message", e.Failure.Message)
	case EventExited:
		n := r.facts.index(e.Replica.Ordinal)
		if n < 0 {
			return
		}
		i := &r.facts.Replicas[n]
		values := []any{"pid", i.Pid, "exitCode", e.Exit.Status(), "asked", i.asked(), "ran", e.At.Sub(i.StartedAt)}
		if e.Exit.Signal != 0 {
			values = append(values, "signal", string(spec.SignalOf(e.Exit.Signal)))
		}
		if len(e.Processes) > 0 {
			values = append(values, "left", e.Processes)
		}
		log().Info("Process ended", values...)
	case EventFound:
		log().Info("Found processes of a daemon that died; killing them")
	case EventUnclear:
		log().Info("Found processes whose record cannot be read; leaving them alone")
	case EventInspected:
		log().Info("Killed processes do not end", "left", e.Processes)
	case EventChecked:
		if e.Failure != nil {
			log().Info("Replacement blocked", "reason", e.Failure.Reason, "message", e.Failure.Message)
		}
	case EventForgotten:
		if e.Failure != nil {
			log().Info("Could not remove what was kept of the replica", "reason", e.Failure.Reason, "message", e.Failure.Message)
			return
		}
		log().V(1).Info("Forgot the replica", "run", e.Run)
	case EventEmptied:
		log().V(1).Info("Nothing is left of the run", "run", e.Run)
	default:
	}
}

// logAct writes what was done to a replica.
func (l *Loop) logAct(r *record, e Event, err error) {
	i := &r.facts.Replicas[r.facts.index(e.Replica.Ordinal)]
	log := l.Log.WithValues("service", e.Replica.Service, "replica", e.Replica.String(),
		"pid", i.Pid, "reason", e.Cause.reason(), "signal", string(spec.SignalOf(e.Signal)))
	if err != nil {
		log.Error(err, "Could not signal process")
		return
	}
	switch e.Kind {
	case EventSignalled:
		log.Info("Stopping process")
	case EventGroupSignalled:
		log.Info("Stopping what the process left behind")
	case EventKilled:
		log.Info("Killing process group")
	case EventReloaded:
		log.Info("Reloaded process")
	default:
	}
}

func (l *Loop) logDeclared(r *record, want *spec.Service) {
	switch {
	case want == nil:
		l.Log.Info("Service removed", "service", r.facts.Name)
	case r.want == nil:
		l.Log.V(1).Info("Service declared", "service", r.facts.Name, "file", want.Source.File, "line", want.Source.Line)
	default:
		var fields []string
		for _, c := range spec.Diff(r.want, want) {
			fields = append(fields, c.Field)
		}
		l.Log.Info("Service edited", "service", r.facts.Name, "file", want.Source.File, "fields", fields)
	}
}

// logSet writes what is newly wrong with the directory, and what was mended.
func (l *Loop) logSet(old, set *spec.Set) {
	type key struct{ file, field, message string }
	before, now := map[key]bool{}, map[key]bool{}
	if old != nil {
		for _, p := range old.Problems {
			before[key{p.File, p.Field, p.Message}] = true
		}
	}
	var fresh []spec.Problem
	for _, p := range set.Problems {
		k := key{p.File, p.Field, p.Message}
		now[k] = true
		if !before[k] {
			fresh = append(fresh, p)
		}
	}
	l.logProblems(fresh, set)
	mended := map[string]bool{}
	for k := range before {
		mended[k.file] = true
	}
	for k := range now {
		delete(mended, k.file)
	}
	for file := range mended {
		l.Log.Info("Manifest was mended", "file", file)
		l.occurredIn("", false, OccurredMended, file+" has no error any more")
	}
	for _, i := range set.Ignored {
		if old == nil || !slices.Contains(old.Ignored, i) {
			l.Log.Info("Document ignored", "document", i.String())
		}
	}
	l.logConditions(old, set)
}

// logProblems writes what is newly wrong, and what of it runs on. It is called before
// a set is taken in: what was good stays as it is.
func (l *Loop) logProblems(problems []spec.Problem, set *spec.Set) {
	if len(problems) == 0 {
		return
	}
	now, configuration := l.now(), ""
	if set.Configuration != nil {
		configuration = set.Configuration.Source.File
	}
	files := map[string][]status.Service{}
	for _, p := range problems {
		files[p.File] = nil
	}
	report := func(r *record) status.Service {
		return status.Service{
			Metadata: status.Metadata{Name: r.facts.Name}, Spec: json.RawMessage("{}"), Status: Report(r.want, &r.facts, now),
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.services)) {
		r := l.services[name]
		if r.want == nil {
			continue
		}
		if of, wrong := files[r.want.Source.File]; wrong {
			files[r.want.Source.File] = append(of, report(r))
		}
	}
	for _, p := range problems {
		concerned := files[p.File]
		if r := l.services[p.Service]; r != nil && r.want != nil && r.want.Source.File != p.File {
			concerned = append(slices.Clip(concerned), report(r))
		}
		shown := status.Problem{File: p.File, Field: p.Field, Value: p.Value, Service: p.Service}
		l.Log.Info("Manifest has an error", "problem", p.String(),
			"meanwhile", shown.Meanwhile(concerned, configuration, now), "service", p.Service)
		l.occurredInvalid(&p)
	}
}

func (l *Loop) logConditions(old, set *spec.Set) {
	has := func(s *spec.Set, typ string) bool {
		if s == nil {
			return false
		}
		for _, c := range s.Conditions {
			if c.Type == typ {
				return true
			}
		}
		return false
	}
	for _, c := range set.Conditions {
		if !has(old, c.Type) {
			l.Log.Info("Directory needs attention", "condition", c.Type, "reason", c.Reason, "message", c.Message)
			l.occurredIn("", true, OccurrenceReason(c.Type), c.Message)
		}
	}
	if old == nil {
		return
	}
	for _, c := range old.Conditions {
		if !has(set, c.Type) {
			l.Log.Info("Directory is well again", "condition", c.Type)
			l.occurredIn("", false, OccurredWell, c.Type+" is over")
		}
	}
}
