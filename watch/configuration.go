package watch

import (
	"cmp"
	"slices"
	"time"

	"svc.d/spec"
)

// tenure is the daemon's own configuration in force. The zero value is none.
type tenure struct {
	document *spec.Configuration
	by       *entry
	missing  time.Time // since when nobody declares it; zero when declared
}

// claimConfiguration puts e's configuration in force, unless another file
// provides one.
func (l *ledger) claimConfiguration(e *entry) {
	switch t := &l.tenure; {
	case e.configuration == nil:
	case t.by == nil, t.by == e, !t.missing.IsZero():
		l.appoint(e)
	case !slices.Contains(l.claimants, e):
		l.claimants = append(l.claimants, e)
	}
}

// appoint keeps the pointer when the same file declares the same.
func (l *ledger) appoint(e *entry) {
	if before := l.tenure.document; spec.SameConfiguration(before, e.configuration) && before.Source.File == e.configuration.Source.File {
		e.configuration = before
	}
	l.tenure = tenure{document: e.configuration, by: e}
}

// releaseConfiguration ends e's claim. Another file that declares one takes
// over, the first in the order of paths.
func (l *ledger) releaseConfiguration(e *entry, now time.Time) {
	l.claimants = slices.DeleteFunc(l.claimants, func(c *entry) bool { return c == e })
	if l.tenure.by != e || !l.tenure.missing.IsZero() {
		return
	}
	if len(l.claimants) == 0 {
		l.tenure.missing = now
		return
	}
	next := slices.MinFunc(l.claimants, func(a, b *entry) int { return cmp.Compare(a.path, b.path) })
	l.claimants = slices.DeleteFunc(l.claimants, func(c *entry) bool { return c == next })
	l.appoint(next)
}

// sweepConfiguration removes the configuration when nobody has declared one
// for long enough. It is no service: the guard against mass removal neither counts
// nor holds it.
func (l *ledger) sweepConfiguration(now time.Time) {
	t := l.tenure
	if t.missing.IsZero() || now.Sub(t.missing) < l.patience {
		return
	}
	l.tenure = tenure{}
	l.drop(t.by)
}

// superfluous is the problem of a file whose configuration is not in force.
func (l *ledger) superfluous(e *entry, now time.Time) spec.Problem {
	p := spec.Problem{Source: e.configuration.Source, Field: "kind", Value: spec.KindConfiguration,
		Message: "another one is in force already, of " + l.tenure.by.path + ", which keeps it: there is at most one " +
			spec.KindConfiguration + " in a directory"}
	p.File = e.path
	p.Since = l.since(p, now)
	return p
}

// declared says what a file declared, for people.
func (e *entry) declared() string {
	names := quotedNames(e.services)
	if e.configuration != nil {
		names = append(names, "the "+spec.KindConfiguration)
	}
	return abridged(names)
}
