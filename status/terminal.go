package status

import (
	"fmt"
	"strings"
	"unicode"
)

// Shown is a text in which nothing is left that a terminal obeys: controls are shown, as
// in ^[ for ESC. Ends of lines and tabs stay.
func Shown(text string) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(text, control) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !control(r):
			b.WriteRune(r)
		case r < 0x80:
			b.WriteString("^" + string(r^0x40))
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}
