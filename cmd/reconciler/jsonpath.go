package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"k8s.io/client-go/util/jsonpath"
)

// template is a JSONPath template of kubectl. What an object does not have is
// printed as nothing.
type template struct{ parsed *jsonpath.JSONPath }

// parseTemplate reads the template of a flag, such as {.status.phase}. One path may
// do without braces.
func parseTemplate(flag, text string) (t *template, err error) {
	source := text
	if !strings.ContainsAny(text, "{}") {
		source = "{" + withDot(text) + "}"
	}
	defer survive(&err)
	parsed := jsonpath.New("template").AllowMissingKeys(true)
	if text == "" {
		err = errors.New("it is empty")
	} else {
		err = parsed.Parse(source)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use --%s %q: %w; write a path as in '{.status.phase}'", flag, text, err)
	}
	return &template{parsed}, nil
}

func withDot(path string) string {
	if strings.HasPrefix(path, ".") || strings.HasPrefix(path, "$") {
		return path
	}
	return "." + path
}

// survive makes an error of a panic: the package has some for templates that make
// no sense.
func survive(err *error) {
	if mistake := recover(); mistake != nil {
		*err = fmt.Errorf("cannot make sense of the template: %v; write a path as in '{.status.phase}'", mistake)
	}
}

// write writes what the template makes of data.
func (t *template) write(w io.Writer, data any) (err error) {
	defer survive(&err)
	var out bytes.Buffer
	if err := t.parsed.Execute(&out, data); err != nil {
		return fmt.Errorf("cannot fill in the template: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// find returns the values that a path leads to.
func (t *template) find(data any) (values []any, err error) {
	defer survive(&err)
	found, err := t.parsed.FindResults(data)
	if err != nil {
		return nil, fmt.Errorf("cannot follow the path: %w", err)
	}
	for _, group := range found {
		for _, v := range group {
			values = append(values, plainValue(v))
		}
	}
	return values, nil
}

func plainValue(v reflect.Value) any {
	if !v.IsValid() || !v.CanInterface() {
		return nil
	}
	return v.Interface()
}

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

// text is a value as a column or a comparison shows it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "<none>"
	case map[string]any, []any:
		out, err := json.Marshal(v)
		if err != nil {
			return "<none>"
		}
		return string(out)
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
