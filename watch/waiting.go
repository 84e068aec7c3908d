package watch

import (
	"strconv"
	"strings"
	"time"

	"svc.d/spec"
)

// await notes that somebody has a file open for writing, and when to look again.
func (l *ledger) await(e *entry, now time.Time) {
	t := l.wait(e)
	if t.writer.IsZero() {
		t.writer, t.tries = now, 0
	}
	delay := min(retryFirst<<min(t.tries, 20), retryMax)
	t.tries++
	t.next = now.Add(delay)
	patienceEnds := t.writer.Add(writerPatience)
	if now.Before(patienceEnds) {
		t.next = earlier(t.next, patienceEnds)
		return
	}
	l.troubled[e.path] = e
	t.late = &spec.Problem{Source: spec.Source{File: e.path}, Since: t.writer,
		Message: "is open for writing since " + t.writer.UTC().Format(time.RFC3339) +
			" and is read when its writer closes it; to see who that is: fuser -v " + e.path}
}

// unquiet notes that a version of a file must stay unchanged for the quiet
// window before it is read.
func (l *ledger) unquiet(e *entry, id identity, now time.Time) {
	t := l.wait(e)
	if t.settling != id || t.since.IsZero() {
		t.settling, t.since = id, now
	}
	t.next = now.Add(quietWindow)
}

// steady says whether a version was seen unchanged for the quiet window.
func (l *ledger) steady(path string, id identity, now time.Time) bool {
	e := l.pending[path]
	return e != nil && e.trouble.settling == id && !e.trouble.since.IsZero() &&
		now.Sub(e.trouble.since) >= quietWindow
}

// wait puts a file among those that are looked at again. It is not known any
// more which version stands there.
func (l *ledger) wait(e *entry) *trouble {
	if e.trouble == nil {
		e.trouble = &trouble{}
	}
	e.id = identity{}
	l.pending[e.path] = e
	return e.trouble
}

// settle ends the waiting for a file.
func (l *ledger) settle(e *entry) {
	if l.pending[e.path] == nil {
		return
	}
	delete(l.pending, e.path)
	t := e.trouble
	*t = trouble{problems: t.problems, ignored: t.ignored}
	if len(t.problems) == 0 && len(t.ignored) == 0 {
		e.trouble = nil
		delete(l.troubled, e.path)
	}
}

// report notes what is wrong with a file; nothing when all is well. A problem
// that was there before keeps its time.
func (l *ledger) report(e *entry, problems []spec.Problem, ignored []spec.Ignored, now time.Time) {
	t := e.trouble
	if t == nil {
		if len(problems) == 0 && len(ignored) == 0 {
			return
		}
		t = &trouble{}
		e.trouble = t
	}
	for i := range problems {
		p := &problems[i]
		if p.File == "" {
			p.File = e.path
		}
		if p.Since.IsZero() {
			p.Since = now
		}
		for _, old := range t.problems {
			if old.Document == p.Document && old.Field == p.Field && old.Message == p.Message {
				p.Since = old.Since
			}
		}
	}
	t.problems, t.ignored = problems, ignored
	if len(problems) == 0 && len(ignored) == 0 {
		if l.pending[e.path] == nil {
			e.trouble = nil
		}
		delete(l.troubled, e.path)
		return
	}
	l.troubled[e.path] = e
}

func quotedNames(list []*spec.Service) []string {
	var names []string
	for _, s := range list {
		names = append(names, strconv.Quote(s.Metadata.Name))
	}
	return names
}

// abridged lists some of the names: a message is read by people.
func abridged(names []string) string {
	const shown = 5
	if more := len(names) - shown; more > 0 {
		return strings.Join(names[:shown], ", ") + " and " + itoa(more) + " more"
	}
	return strings.Join(names, ", ")
}

func itoa(n int) string { return strconv.Itoa(n) }
