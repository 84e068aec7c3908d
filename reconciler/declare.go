package reconciler

import (
	"slices"

	"svc.d/spec"
)

// declare takes in a new set: whoever's pointer changed has changed.
func (l *Loop) declare(set *spec.Set) {
	l.logSet(l.set, set)
	first := l.set == nil
	if l.Declared != nil {
		l.Declared(set)
	}
	l.set = set
	if !l.stopping.IsZero() {
		return
	}
	if first {
		defer func() {
			l.tieAll()
			l.turnAll()
		}()
	}
	var changed []string
	for name, want := range set.Services {
		r := l.services[name]
		if r != nil && (first || r.want != want) && l.unedited(r, want) {
			continue
		}
		if r == nil || r.want != want {
			changed = append(changed, name)
		}
	}
	for name, r := range l.services {
		if r.want != nil && set.Services[name] == nil {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	records := make([]*record, len(changed))
	for n, name := range changed {
		r := l.services[name]
		if r == nil {
			r = l.add(name)
		}
		l.want(r, set.Services[name], first)
		records[n] = r
	}
	// Who ends first is known when all of them are.
	for _, r := range records {
		l.tie(r)
	}
	for _, r := range records {
		l.turn(r)
	}
}

func (l *Loop) want(r *record, want *spec.Service, first bool) {
	e := Event{Kind: EventDeclared, Service: want, At: l.now()}
	l.logDeclared(r, want)
	fresh := r.want == nil && len(r.facts.Replicas) == 0
	l.occurredDeclared(r, want, first)
	r.want = want
	r.facts = ObserveService(r.facts, e)
	l.changed(r)
	l.know(r)   // others may name its files already
	if !fresh { // its manifest tells all that there is to know
		l.keepAll(r)
	}
}

// turnAll decides about every service: when what is wanted is known at last, what
// was restored has its turn.
func (l *Loop) turnAll() {
	names := make([]string, 0, len(l.services))
	for name := range l.services {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if r := l.services[name]; r != nil {
			l.turn(r)
		}
	}
}

func (l *Loop) add(name string) *record {
	r := &record{facts: Facts{Name: name}, place: -1, revision: l.Revisions.Next()}
	l.services[name] = r
	return r
}
