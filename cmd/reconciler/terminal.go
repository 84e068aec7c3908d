package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"sync"
	"unicode/utf8"

	"svc.d/reconciler/logs"
	"svc.d/reconciler/logs/cri"
)

// terminal shows the lines of services to a person who watches the daemon, each
// with the replica's name before it. What a terminal cannot show in time is
// dropped, and counted, by the queue.
type terminal struct {
	quiet, flood io.Writer // for who writes little, or much, at a time
	colour       bool

	mu    sync.Mutex
	width int
	line  []byte
}

// widestName bounds the room for names.
const widestName = 24

// floodBytes is how much at a time is much.
const floodBytes = 8 << 10

func newTerminal(quiet, flood io.Writer, colour bool) *terminal {
	return &terminal{quiet: quiet, flood: flood, colour: colour}
}

// colours are those that can be read on dark and on light (SGR).
var colours = []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

// prefixColour is the colour of a replica's name: the same each time.
func prefixColour(name string) int {
	sum := fnv.New32a()
	_, _ = io.WriteString(sum, name)
	return colours[sum.Sum32()%uint32(len(colours))]
}

// Entries implements logs.Sink.
func (t *terminal) Entries(r logs.Replica, entries []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := r.String()
	t.width = max(t.width, min(len(name), widestName))
	prefix := fmt.Sprintf("%-*s | ", t.width, name)
	if t.colour {
		prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", prefixColour(name), prefix)
	}
	out := t.quiet
	if len(entries) > floodBytes {
		out = t.flood
	}
	for entry := range bytes.Lines(entries) {
		l, ok := cri.Parse(entry)
		if !ok {
			continue
		}
		t.line = append(t.line[:0], prefix...)
		t.line = appendShown(t.line, l.Text)
		t.line = append(t.line, '\n')
		_, _ = out.Write(t.line)
	}
}

// appendShown appends text without what would steer the terminal; colours may
// stay (CSI ... m). Some obey the controls of C1 (ECMA-48, 5.3) as one byte, or as
// UTF-8.
func appendShown(line, text []byte) []byte {
	coloured := false
	for n := 0; n < len(text); n++ {
		c := text[n]
		switch {
		case c == 0x1b:
			if end := sgr(text[n:]); end > 0 {
				line = append(line, text[n:n+end]...)
				n += end - 1
				coloured = true
				continue
			}
			line = append(line, "^["...)
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(text[n:])
			if r == utf8.RuneError && size == 1 {
				r = rune(c)
			}
			if r >= 0x80 && r < 0xa0 { // ECMA-48's C1: they steer as what follows an escape does
				line = fmt.Appendf(line, "<%02x>", r)
			} else {
				line = append(line, text[n:n+size]...)
			}
			n += size - 1
		case c == '\t' || c >= ' ' && c != 0x7f:
			line = append(line, c)
		case c == '\r' && n == len(text)-1:
		default:
			line = append(line, '^', c^0x40)
		}
	}
	if coloured {
		line = append(line, "\x1b[0m"...)
	}
	return line
}

// sgr is the length of the sequence that begins text and sets colours; 0: none does.
func sgr(text []byte) int {
	if len(text) < 3 || text[1] != '[' {
		return 0
	}
	for n := 2; n < len(text); n++ {
		switch c := text[n]; {
		case c == 'm':
			return n + 1
		case c != ';' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}
