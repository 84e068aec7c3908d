package main

import (
	"fmt"
	"strings"
)

// selector is what labels must be, in the equality-based form of Kubernetes'
// label selectors.
type selector []requirement

// requirement is one of its parts.
type requirement struct {
	key, value string
	any        bool // the value does not matter
	not        bool
}

// parseSelector reads "k=v,k2!=v2,k3,!k4".
func parseSelector(text string) (selector, error) {
	var s selector
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		var r requirement
		if key, value, ok := strings.Cut(part, "!="); ok {
			r = requirement{key: key, value: value, not: true}
		} else if key, value, ok := strings.Cut(part, "="); ok {
			r = requirement{key: key, value: strings.TrimPrefix(value, "=")}
		} else {
			r = requirement{any: true}
			r.key, r.not = strings.CutPrefix(part, "!")
		}
		r.key, r.value = strings.TrimSpace(r.key), strings.TrimSpace(r.value)
		if r.key == "" || strings.ContainsAny(r.key+r.value, " !=()") {
			return nil, fmt.Errorf("cannot use the labels %q: they are given as k=v, k!=v, k or !k, with commas between", text)
		}
		s = append(s, r)
	}
	return s, nil
}

func (s selector) matches(labels map[string]string) bool {
	for _, r := range s {
		value, has := labels[r.key]
		if met := has && (r.any || value == r.value); met == r.not {
			return false
		}
	}
	return true
}
