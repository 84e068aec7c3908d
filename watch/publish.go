package watch

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"svc.d/spec"
)

// publish makes the set of what is known, or returns nil when it does not
// differ from the one before.
func (l *ledger) publish(now time.Time) *spec.Set {
	next := &spec.Set{
		Configuration: l.tenure.document,
		Ignored:       l.ignored(),
		Conditions:    l.conditions(),
	}
	if _, held := l.held[l.root]; !held && l.dirs[l.root] != (dirIdentity{}) {
		next.Directory = l.dirs[l.root].String()
	}
	last := l.published
	services, differ := l.servicesSince(last, now)
	next.Services, next.Problems = services, l.problems(now)
	clear(l.changed)
	if last != nil && !differ && next.Configuration == last.Configuration && next.Directory == last.Directory &&
		slices.Equal(next.Problems, last.Problems) &&
		slices.Equal(next.Ignored, last.Ignored) &&
		slices.Equal(next.Conditions, last.Conditions) {
		return nil
	}
	l.published = next
	return next
}

// servicesSince is the map of services in force; the very map of last when
// they do not differ.
func (l *ledger) servicesSince(last *spec.Set, now time.Time) (next map[string]*spec.Service, differ bool) {
	if last == nil {
		next = make(map[string]*spec.Service, len(l.services))
		for name, h := range l.services {
			next[name] = h.service
		}
		return l.agree(l.seeded, next, now), true
	}
	for name := range l.refused {
		l.changed[name] = struct{}{} // what was wrong with it may be right by now
	}
	for name := range l.changed {
		var want *spec.Service
		if h := l.services[name]; h != nil {
			want = h.service
		}
		if last.Services[name] == want {
			continue
		}
		if next == nil {
			next = maps.Clone(last.Services)
		}
		if want == nil {
			delete(next, name)
		} else {
			next[name] = want
		}
	}
	if next == nil {
		return last.Services, false
	}
	if next = l.agree(last.Services, next, now); maps.Equal(next, last.Services) {
		return last.Services, false
	}
	return next, true
}

func (l *ledger) problems(now time.Time) []spec.Problem {
	var list []spec.Problem
	for _, e := range l.troubled {
		list = append(list, e.trouble.problems...)
		if e.trouble.late != nil {
			list = append(list, *e.trouble.late)
		}
	}
	for name, rivals := range l.rivals {
		for _, e := range rivals {
			list = append(list, l.duplicate(name, e, now))
		}
	}
	for _, e := range l.claimants {
		list = append(list, l.superfluous(e, now))
	}
	list = append(list, l.disagreements...)
	slices.SortFunc(list, func(a, b spec.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return list
}

func (l *ledger) duplicate(name string, e *entry, now time.Time) spec.Problem {
	p := spec.Problem{Field: "metadata.name", Value: name, Service: name,
		Message: "is declared already by " + l.services[name].by.path + ", which keeps it"}
	for _, s := range e.services {
		if s.Metadata.Name == name {
			p.Source = s.Source
		}
	}
	p.File = e.path
	p.Since = l.since(p, now)
	return p
}

// since is when a problem that is made anew each time was first published.
func (l *ledger) since(p spec.Problem, now time.Time) time.Time {
	if l.published != nil {
		for _, old := range l.published.Problems {
			if old.File == p.File && old.Service == p.Service && old.Message == p.Message {
				return old.Since
			}
		}
	}
	return now
}

func (l *ledger) ignored() []spec.Ignored {
	var list []spec.Ignored
	for _, e := range l.troubled {
		list = append(list, e.trouble.ignored...)
	}
	slices.SortFunc(list, func(a, b spec.Ignored) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Line, b.Line))
	})
	return list
}

func (l *ledger) conditions() []spec.Condition {
	var list []spec.Condition
	if len(l.held) > 0 {
		c := spec.Condition{Type: spec.ConditionDirectoryHeld}
		var messages []string
		for _, path := range slices.Sorted(maps.Keys(l.held)) {
			t := l.held[path]
			if c.Reason == "" {
				c.Reason = t.reason
			}
			message := t.message
			if t.reason == ReasonReplaced {
				message += " (`reconciler prune --confirm` if that is meant)"
			}
			messages = append(messages, message)
			c.Since = earlier(c.Since, t.since)
		}
		c.Message = strings.Join(messages, "; ") + "; everything is kept as it is"
		list = append(list, c)
	}
	if !l.pruneSince.IsZero() {
		names := slices.Sorted(maps.Keys(l.absent))
		list = append(list, spec.Condition{
			Type: spec.ConditionPruneHeld, Reason: "MassRemoval", Since: l.pruneSince,
			Message: "would remove " + itoa(len(names)) + " of " + itoa(len(l.services)) + " services (" +
				abridged(names) + "); they are kept until their files are back or `reconciler prune --confirm`",
		})
	}
	if l.degraded.Type != "" {
		list = append(list, l.degraded)
	}
	return list
}
