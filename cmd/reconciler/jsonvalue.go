package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// decoded is a JSON text as templates see it: whole numbers are int64.
func decoded(text json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return withNumbers(v), nil
}

func withNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

// text is a value as it is printed.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "<none>"
	case map[string]any, []any:
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return "<none>"
		}
		return strings.TrimSuffix(out.String(), "\n")
	default:
		return fmt.Sprint(v)
	}
}

// compareValues orders numbers by their size, times by theirs, and all else as
// texts. What is missing comes first.
func compareValues(a, b any) int {
	if a == nil || b == nil {
		return boolOrder(a != nil, b != nil)
	}
	x, xOK := numeric(a)
	y, yOK := numeric(b)
	if xOK && yOK {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	s, t := text(a), text(b)
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if bt, err := time.Parse(time.RFC3339Nano, t); err == nil {
			return at.Compare(bt)
		}
	}
	return strings.Compare(s, t)
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func numeric(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
