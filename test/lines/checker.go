package lines

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Faults counts what went wrong with lines.
type Faults struct {
	Lost, Doubled, Torn, Reordered, Elsewhere int
	Gaps                                      int // places at which lines are lost

	examples []string
}

// String tells all, with the first examples; it is empty when nothing is wrong.
func (f Faults) String() string {
	if f.Lost+f.Doubled+f.Torn+f.Reordered+f.Elsewhere == 0 {
		return ""
	}
	return fmt.Sprintf("%d lines are lost, %d doubled, %d torn, %d out of order, %d in the wrong stream:\n  %s",
		f.Lost, f.Doubled, f.Torn, f.Reordered, f.Elsewhere, strings.Join(f.examples, "\n  "))
}

func (f *Faults) note(count *int, n int, format string, arguments ...any) {
	*count += n
	if len(f.examples) < 20 {
		f.examples = append(f.examples, fmt.Sprintf(format, arguments...))
	}
}

// Checker follows one stream of a replica through all its runs.
type Checker struct {
	Faults

	script Script
	stream byte
	runs   map[string]*progress
	run    string // the one that writes now, "" before the first
	// loose are lines since the last that was in its place; they say too little
	// of themselves to be told without the next that says more.
	loose  [][]byte
	expect []byte
}

// progress is how far a run has come.
type progress struct {
	next   int
	missed map[int]bool
	// early are lines that came a little before the one at next, and what they
	// were counted as meanwhile.
	early map[int]*int
}

func newProgress() *progress {
	return &progress{missed: map[int]bool{}, early: map[int]*int{}}
}

// NewChecker follows the stream, 'o' or 'e'.
func NewChecker(script Script, stream byte) *Checker {
	return &Checker{script: script, stream: stream, runs: map[string]*progress{"": newProgress()}}
}

// Line takes the next line of the stream.
func (c *Checker) Line(text []byte) {
	p := c.runs[c.run]
	if c.run != "" && len(c.loose) == 0 && c.is(text, c.run, p.next) {
		p.next++
		return
	}
	run, stream, n, ok := parseHead(text)
	switch {
	case !ok:
		c.loose = append(c.loose, bytes.Clone(text))
		return
	case stream != c.stream:
		c.note(&c.Elsewhere, 1, "in %s: %s", Streams[c.stream], excerpt(text))
		return
	case run != c.run:
		if n == 0 { // else they are the new one's
			c.cut()
		}
		if c.runs[run] == nil {
			c.runs[run] = newProgress()
		} else {
			c.note(&c.Reordered, 1, "run %s goes on after another: %s", run, excerpt(text))
		}
		c.run = run
	}
	c.place(c.runs[run], n, text)
}

// place takes a line that says that it is number n of the run.
func (c *Checker) place(p *progress, n int, text []byte) {
	whole := c.is(text, c.run, n)
	switch {
	case n == p.next && !whole && bytes.HasPrefix(c.expect, text):
		// It may be what a run that was killed has written last.
		c.loose = append(c.loose, bytes.Clone(text))
	case n >= p.next:
		c.settle(c.between(p, n))
		p.next = n + 1
		if !whole {
			c.note(&c.Torn, 1, "line %d of %s %s: %s", n, c.run, Streams[c.stream], excerpt(text))
		}
	case p.missed[n] && whole:
		delete(p.missed, n)
		c.Lost--
		c.note(&c.Reordered, 1, "line %d of %s %s comes after %d", n, c.run, Streams[c.stream], p.next-1)
	case whole:
		c.note(&c.Doubled, 1, "line %d of %s %s", n, c.run, Streams[c.stream])
	default:
		c.note(&c.Torn, 1, "line %d of %s %s, late: %s", n, c.run, Streams[c.stream], excerpt(text))
	}
}

// numbered is a line that should have been there.
type numbered struct {
	n    int
	text []byte
}

// between returns what should have come before line n. Of a large gap the
// numbers must do.
func (c *Checker) between(p *progress, n int) []numbered {
	var missing []numbered
	for i := p.next; i < n; i++ {
		line := numbered{n: i}
		if n-p.next <= mostCompared/1024 {
			line.text = c.script.Append(nil, c.run, c.stream, i)
		}
		missing = append(missing, line)
	}
	return missing
}

// mostCompared bounds how many lines are compared with how many. What is not
// compared is counted as torn.
const mostCompared = 1 << 20

// settle compares the loose lines with those that should have been there.
func (c *Checker) settle(want []numbered) {
	p, where := c.runs[c.run], c.run+" "+Streams[c.stream]
	if len(c.loose)*max(1, len(want)) > mostCompared {
		c.note(&c.Torn, len(c.loose), "%d lines in %s, about line %d, that are not told apart: %s", len(c.loose), where, p.next, excerpt(c.loose[0]))
		c.loose = nil
	}
	at := aligned(c.loose, want)
	next := 0 // of want
	for i, text := range c.loose {
		if at[i] >= 0 {
			c.miss(p, want[next:at[i]], where)
			next = at[i] + 1
			continue
		}
		switch {
		case next < limit(at[i:], len(want)) && len(text) > 0 && bytes.HasPrefix(want[next].text, text):
			c.note(&c.Torn, 1, "line %d of %s: %s", want[next].n, where, excerpt(text))
			next++
		case c.late(p, text):
			c.note(&c.Reordered, 1, "in %s, before line %d: %s", where, p.next, excerpt(text))
		default:
			as := &c.Torn
			if c.recent(p, text, i) {
				as = &c.Doubled
			}
			c.note(as, 1, "in %s, about line %d: %s", where, p.next, excerpt(text))
			c.foresee(p, text, as, p.next+len(want))
		}
	}
	c.loose = nil
	c.miss(p, want[next:], where)
}

// limit is the first that was found, or the given.
func limit(at []int, or int) int {
	for _, i := range at {
		if i >= 0 {
			return i
		}
	}
	return or
}

// aligned returns which of want each of got is, in order, and so that the most
// are found; -1 is none of them.
func aligned(got [][]byte, want []numbered) []int {
	at := make([]int, len(got))
	for i := range at {
		at[i] = -1
	}
	if len(got) == 0 {
		return at
	}
	// longest[i][j] is of got[i:] and want[j:].
	longest := make([][]int, len(got)+1)
	longest[len(got)] = make([]int, len(want)+1)
	for i := len(got) - 1; i >= 0; i-- {
		longest[i] = make([]int, len(want)+1)
		for j := len(want) - 1; j >= 0; j-- {
			longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			if bytes.Equal(got[i], want[j].text) {
				longest[i][j] = max(longest[i][j], 1+longest[i+1][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(got) && j < len(want); {
		switch {
		case bytes.Equal(got[i], want[j].text) && longest[i][j] == 1+longest[i+1][j+1]:
			at[i] = j
			i, j = i+1, j+1
		case longest[i+1][j] >= longest[i][j+1]:
			i++
		default:
			j++
		}
	}
	return at
}

func (c *Checker) miss(p *progress, want []numbered, where string) {
	want = slices.DeleteFunc(want, func(w numbered) bool {
		as := p.early[w.n]
		if as != nil {
			*as--
			c.note(&c.Reordered, 1, "line %d of %s came before its time", w.n, where)
		}
		return as != nil
	})
	if len(want) == 0 {
		return
	}
	c.Gaps++
	c.note(&c.Lost, len(want), "%d lines, %d to %d, of %s", len(want), want[0].n, want[len(want)-1].n, where)
	for _, w := range want {
		p.missed[w.n] = true
	}
}

// near is how far from its place a short line is recognised.
const near = 2 * sync

// late says whether the text is of a line that was missed a little before, and
// takes it for that.
func (c *Checker) late(p *progress, text []byte) bool {
	for n := max(0, p.next-near); n < p.next; n++ {
		if p.missed[n] && c.is(text, c.run, n) {
			delete(p.missed, n)
			c.Lost--
			return true
		}
	}
	return false
}

// foresee keeps in mind that the text, which came before line n, may be one of
// the next.
func (c *Checker) foresee(p *progress, text []byte, as *int, n int) {
	for later := n + 1; later < n+8; later++ {
		if c.is(text, c.run, later) {
			p.early[later] = as
			return
		}
	}
}

// recent says whether the text, the i-th loose one, is of a line that was there a
// little before.
func (c *Checker) recent(p *progress, text []byte, i int) bool {
	for n := max(0, p.next-near); n < p.next+min(i, near); n++ {
		if c.is(text, c.run, n) {
			return true
		}
	}
	return false
}

func (c *Checker) is(text []byte, run string, n int) bool {
	c.expect = c.script.Append(c.expect[:0], run, c.stream, n)
	return bytes.Equal(text, c.expect)
}

// Count is how many lines of the run there were, lost ones before its last
// included.
func (c *Checker) Count(run string) int {
	if p := c.runs[run]; p != nil {
		return p.next
	}
	return 0
}

// cut ends a run. Its last line need not be whole: it may have been killed.
func (c *Checker) cut() {
	if len(c.loose) == 1 && c.run != "" {
		c.is(nil, c.run, c.runs[c.run].next)
		if bytes.HasPrefix(c.expect, c.loose[0]) {
			c.loose = nil
		}
	}
	c.settle(nil)
}

// Written is how many lines a run has written to a stream.
type Written struct {
	Lines  int
	Killed bool // there may be more
}

// End is told what runs have written, and judges what is missing at their ends.
// Of runs that it is not told of the end may be missing.
func (c *Checker) End(written map[string]Written) {
	if w, known := written[c.run]; known && !w.Killed {
		p := c.runs[c.run]
		c.settle(c.between(p, w.Lines))
		p.next = max(w.Lines, p.next)
	} else {
		c.cut()
	}
	for _, run := range slices.Sorted(maps.Keys(written)) {
		missing := written[run].Lines - c.Count(run)
		switch {
		case missing > 0:
			c.note(&c.Lost, missing, "the last %d lines of %s %s", missing, run, Streams[c.stream])
		case missing < 0 && !written[run].Killed:
			c.note(&c.Doubled, -missing, "%d lines of %s %s that were never written", -missing, run, Streams[c.stream])
		}
	}
}

// Check reads the files of a replica and judges them by what its runs have
// written. What is wrong is the error.
func Check(folder string, ordinal int, script Script, written map[byte]map[string]Written) (Seen, error) {
	byStream := map[string]*Checker{}
	for letter, name := range Streams {
		byStream[name] = NewChecker(script, letter)
	}
	seen, err := Read(folder, ordinal, func(stream string, text []byte) { byStream[stream].Line(text) })
	for letter, name := range Streams {
		c := byStream[name]
		c.End(written[letter])
		if faults := c.String(); faults != "" {
			err = errors.Join(err, fmt.Errorf("%s of %s: %s", name, folder, faults))
		}
	}
	return seen, err
}
