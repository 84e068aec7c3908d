package api

import (
	"bytes"
	"encoding/json"
	"strings"

	"svc.d/status"
)

// hidden stands for what somebody may not see.
const hidden = "<redacted>"

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
			pair["value"] = hidden
		}
	}
}

// redactProblems hides what messages about wrong manifests quote of them.
func redactProblems(problems []status.Problem) []status.Problem {
	less := make([]status.Problem, len(problems))
	for n, p := range problems {
		if p.Field == "spec.env" || strings.HasPrefix(p.Field, "spec.env[") || strings.Contains(p.Field, "httpHeaders") {
			p.Value, p.Message = "", "is wrong; what it holds is not shown to you"
		}
		less[n] = p
	}
	return less
}
