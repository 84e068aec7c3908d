package reader

import (
	"time"

	"svc.d/reconciler/logs/cri"
)

// kind is what an entry belongs to: a stream, or none when it is no entry.
type kind uint8

const (
	ofStdout kind = iota
	ofStderr
	foreign
	kinds
)

func (k kind) stream() cri.Stream {
	if k == ofStderr {
		return cri.Stderr
	}
	return cri.Stdout
}

// joiner makes lines of entries. Entries come in parts, so that one of any
// length passes through.
type joiner struct {
	open    bool // the entry of the last part goes on
	kind    kind // of that entry
	partial bool
	// first and last are the times of the first and the last entry so far.
	first, last time.Time
	// cut says that reading began in the middle, so that the first line of
	// each kind may lack its beginning.
	cut     bool
	pending [kinds]pending
}

// pending is a line in the making.
type pending struct {
	begun   bool
	rest    bool // a piece of it was given out
	seen    bool // a line of this kind has ended before
	entries int
	time    time.Time
	text    []byte
}

// add takes the next part of an entry, with end when it is the last one, and
// appends to lines what it completes. The texts are valid until the next call.
// unstamped is the time for text that has none.
func (j *joiner) add(lines []Line, part []byte, end bool, unstamped time.Time) []Line {
	if !j.open {
		part = j.begin(part, unstamped)
	}
	j.open = !end
	p := &j.pending[j.kind]
	if len(p.text)+len(part) > MaxPiece && len(p.text) > 0 {
		lines = append(lines, j.line(j.kind, p.text, true))
		p.rest, p.text = true, nil // the text is the line's now
	}
	switch {
	case !end || j.partial:
		p.text = append(p.text, part...)
		return lines
	case len(p.text) == 0:
		lines = append(lines, j.line(j.kind, part, false)) // most lines: not copied
	default:
		p.text = append(p.text, part...)
		lines = append(lines, j.line(j.kind, p.text, false))
	}
	p.end()
	return lines
}

// begin looks at the head of an entry and returns its text.
func (j *joiner) begin(part []byte, unstamped time.Time) []byte {
	entry, ok := cri.Parse(part)
	if ok {
		j.kind, j.partial, j.last = ofStdout, entry.Partial, entry.Time
		if entry.Stream == cri.Stderr {
			j.kind = ofStderr
		}
		part = entry.Text
		if j.first.IsZero() {
			j.first = j.last
		}
	} else {
		j.kind, j.partial = foreign, false
	}
	p := &j.pending[j.kind]
	p.entries++
	if !p.begun {
		p.begun, p.time = true, j.last
		if p.time.IsZero() {
			p.time = unstamped
		}
	}
	if ok {
		j.pending[foreign].seen = true // its time is known from here on
	}
	return part
}

func (j *joiner) line(k kind, text []byte, more bool) Line {
	p := &j.pending[k]
	l := Line{Time: p.time, Stream: k.stream(), Text: text, Rest: p.rest, More: more, kind: k}
	switch {
	case !j.cut || p.seen:
	case p.entries > 1:
		l.doubt = probably
	default:
		l.doubt = perhaps
	}
	return l
}

func (p *pending) end() { *p = pending{seen: true, text: p.text[:0]} }

// torn takes what stands after the last newline of a file that nobody goes on
// with: it is shown, unless it is but a part of an entry's head.
func (j *joiner) torn(lines []Line, part []byte, unstamped time.Time) []Line {
	if !j.open && (len(part) == 0 || beginsEntry(part)) {
		return lines
	}
	return j.add(lines, part, true, unstamped)
}

// flush gives out the lines that have not ended, the earliest first.
func (j *joiner) flush(lines []Line) []Line {
	for {
		first := kinds
		for k := range kinds {
			if j.pending[k].begun && (first == kinds || j.pending[k].time.Before(j.pending[first].time)) {
				first = k
			}
		}
		if first == kinds {
			return lines
		}
		p := &j.pending[first]
		lines = append(lines, j.line(first, p.text, false))
		*p = pending{seen: true} // the text is the line's now
	}
}

// beginsEntry reports whether text is the head of an entry of ours that is cut
// off before its text begins.
func beginsEntry(text []byte) bool {
	const stamp = "0000-00-00T00:00:00.000000000Z "
	for i, c := range text {
		switch {
		case i >= len(stamp):
			rest := string(text[i:])
			for _, tail := range [...]string{"stdout F ", "stdout P ", "stderr F ", "stderr P "} {
				if len(rest) < len(tail) && rest == tail[:len(rest)] {
					return true
				}
			}
			return false
		case stamp[i] == '0' && (c < '0' || c > '9'), stamp[i] != '0' && c != stamp[i]:
			return false
		}
	}
	return true
}
