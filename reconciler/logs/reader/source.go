package reader

import (
	"regexp"
	"time"
)

// filter says which lines are wanted.
type filter struct {
	streams      Streams
	grep         *regexp.Regexp
	since, until time.Time
}

func (f *filter) wants(l *Line, k kind) bool {
	switch {
	case f.streams == OnlyStdout && k == ofStderr, f.streams == OnlyStderr && k != ofStderr:
		return false
	case l.Time.Before(f.since), !f.until.IsZero() && !l.Time.Before(f.until):
		return false
	default:
		return f.grep == nil || f.grep.Match(l.Text)
	}
}

// source gives the wanted lines of one replica.
type source struct {
	replica Replica
	filter  filter
	chain   *chain
	join    joiner
	wanted  [kinds]bool // was the line of that kind that is given out in pieces

	lines []Line // completed by the last part
	given int    // of them
	made  []Line // the memory of lines

	// skip is how many lines are left out, and left how many are given out
	// then; below zero it is all.
	skip, left int
	follow     bool    // what has not ended is not given out
	seen       *survey // told of each line; nil but in a probe
	// flushed says that what had not ended was given out.
	flushed bool
	merging bool // it has a line in the merge
}

// next returns the next line, or nil when there is none for now. With end what
// has not ended yet is given out too. It is valid until the next call.
func (s *source) next(end bool) *Line {
	for s.left != 0 || s.skip > 0 {
		for s.given < len(s.lines) {
			l := &s.lines[s.given]
			s.given++
			if s.takes(l) {
				return l
			}
		}
		if !s.more(end) {
			return nil
		}
	}
	return nil
}

// more reads on.
func (s *source) more(end bool) bool {
	s.given = 0
	s.lines = s.made[:0]
	p, ok := s.chain.next()
	switch {
	case ok && p.torn:
		s.lines = s.join.torn(s.lines, p.text, p.time)
	case ok:
		s.lines = s.join.add(s.lines, p.text, p.end, p.time)
	case end && !s.flushed:
		s.flushed = true
		p = s.chain.rest()
		s.lines = s.join.torn(s.lines, p.text, p.time)
		s.lines = s.join.flush(s.lines)
	default:
		return false
	}
	s.made = s.lines
	return true
}

// takes says whether a line is given out.
func (s *source) takes(l *Line) bool {
	k := l.kind
	if s.seen != nil {
		s.seen.see(l, s.filter.since)
	}
	if !l.Rest {
		s.wanted[k] = s.filter.wants(l, k)
	}
	if !s.wanted[k] {
		return false
	}
	l.Replica = s.replica
	if s.skip > 0 {
		if !l.More {
			s.skip--
		}
		return false
	}
	if s.left > 0 && !l.More {
		s.left--
	}
	return true
}
