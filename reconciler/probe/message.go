package probe

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable is what a service says, as it may stand in a line: the first of it, in one
// line, and nothing that a terminal obeys.
func printable(output []byte) string {
	output = output[:min(len(output), maxOutput)]
	for len(output) > 0 && !utf8.RuneStart(output[len(output)-1]) && !utf8.Valid(output[max(0, len(output)-utf8.UTFMax):]) {
		output = output[:len(output)-1] // a character that was cut off
	}
	lines := strings.FieldsFunc(string(bytes.ToValidUTF8(output, []byte("?"))), func(r rune) bool { return r == '\n' || r == '\r' })
	text := strings.Join(lines, "; ")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if r == '\t' {
			return ' '
		}
		return -1
	}, text))
}
