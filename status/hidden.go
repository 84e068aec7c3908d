package status

import (
	"cmp"
	"slices"
	"strings"
)

// Hidden stands for what somebody may not see.
const Hidden = "<redacted>"

// Hide is a text without those parts of it.
func Hide(text string, parts []string) string {
	if len(parts) == 0 || text == "" {
		return text
	}
	// The longest first: one may be a part of another.
	parts = slices.SortedFunc(slices.Values(parts), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, part := range parts {
		if part != "" {
			text = strings.ReplaceAll(text, part, Hidden)
		}
	}
	return text
}
