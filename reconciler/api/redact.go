package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"svc.d/spec"
	"svc.d/status"
)

// redact hides what in a spec may be a secret: the values of variables, and those of
// the headers that probes send. Commands are shown, as ps(1) shows them.
func redact(raw json.RawMessage) json.RawMessage {
	if !bytes.Contains(raw, []byte(`"value"`)) {
		return raw
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil
	}
	hide(value)
	text, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return text
}

func hide(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if list, ok := member.([]any); ok && (name == "env" || name == "httpHeaders") {
				hideValues(list)
				continue
			}
			hide(member)
		}
	case []any:
		for _, item := range v {
			hide(item)
		}
	}
}

func hideValues(list []any) {
	for _, item := range list {
		if pair, ok := item.(map[string]any); ok && pair["value"] != nil {
			pair["value"] = status.Hidden
		}
	}
}

// redactProblems hides what messages about wrong manifests quote of them.
func redactProblems(problems []status.Problem) []status.Problem {
	less := slices.Clone(problems)
	for n := range less {
		p := spec.Problem{Field: less[n].Field, Value: less[n].Value, Message: less[n].Message}.Public()
		less[n].Field, less[n].Value, less[n].Message = p.Field, p.Value, p.Message
	}
	return less
}

// lastApplied is where kubectl keeps a copy of what was applied, with its spec.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

func redactAnnotations(all map[string]string) map[string]string {
	if _, has := all[lastApplied]; !has {
		return all
	}
	less := maps.Clone(all)
	less[lastApplied] = status.Hidden
	return less
}

// redactStatus hides what messages quote of values and of what programs have printed.
func redactStatus(s *status.ServiceStatus) {
	s.Message = status.Hide(s.Message, s.Hidden)
	s.Conditions = slices.Clone(s.Conditions)
	for n := range s.Conditions {
		s.Conditions[n].Message = status.Hide(s.Conditions[n].Message, s.Hidden)
	}
	s.ReplicaStatuses = slices.Clone(s.ReplicaStatuses)
	for n := range s.ReplicaStatuses {
		redactReplica(&s.ReplicaStatuses[n])
	}
}

func redactReplica(r *status.Replica) {
	r.Message = status.Hide(r.Message, r.Hidden)
	if r.LastExit != nil {
		last := redactExit(*r.LastExit)
		r.LastExit = &last
	}
	r.Exits = slices.Clone(r.Exits)
	for n := range r.Exits {
		r.Exits[n] = redactExit(r.Exits[n])
	}
}

// redactExit hides why a run was ended, but for what was wrong: it is not kept what of
// it may be seen.
func redactExit(e status.Exit) status.Exit {
	if what, _, more := strings.Cut(e.Message, ": "); more {
		e.Message = what + ": " + status.Hidden
	}
	return e
}
