package watch

import (
	"maps"
	"slices"
	"time"

	"svc.d/spec"
)

// agree has services that are wrong only together (spec.Conflicts) not come into
// force: of those that bring a conflict about, who has changed since base stays as it
// is there, or undeclared. It is mended when one of them is. What is returned is in
// force; it is wanted itself when there is no conflict. What is held back is noted in
// l.refused, and what there is to tell in l.disagreements.
func (l *ledger) agree(base, wanted map[string]*spec.Service, now time.Time) map[string]*spec.Service {
	l.disagreements = nil
	clear(l.refused)
	next := wanted
	for {
		var blamed []string
		told := map[string]struct{}{} // in a circle; among many services that all depend on one another there are very many
		for _, c := range spec.Conflicts(next) {
			now := c.Blamed(func(name string) bool { return next[name] != base[name] })
			blamed = append(blamed, now...)
			if len(now) == 0 {
				now = c.Services[:1] // it was so in what an earlier daemon had
			}
			if c.Circular() {
				now = slices.DeleteFunc(slices.Clone(now), func(name string) bool { _, is := told[name]; return is })
			}
			for _, name := range now {
				if c.Circular() {
					told[name] = struct{}{}
				}
				l.disagree(c.Problem(next[name]))
			}
		}
		if len(blamed) == 0 {
			break
		}
		if len(l.refused) == 0 {
			next = maps.Clone(next)
		}
		for _, name := range blamed {
			l.refused[name] = struct{}{}
			if before := base[name]; before != nil {
				next[name] = before
			} else {
				delete(next, name)
			}
		}
	}
	for i := range l.disagreements {
		l.disagreements[i].Since = l.since(l.disagreements[i], now)
	}
	return next
}

// disagree notes a problem once.
func (l *ledger) disagree(p spec.Problem) {
	if !slices.Contains(l.disagreements, p) {
		l.disagreements = append(l.disagreements, p)
	}
}
