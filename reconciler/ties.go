package reconciler

import (
	"slices"

	"svc.d/spec"
)

// ties are what the loop keeps of a record that others depend on, or that depends on
// others; most have none.
type ties struct {
	needs []string // names of those that it depends on, sorted; of a removed one the last ones
	told  Dependency
}

// tie notes whom a record depends on, has it told how they are, and tells those that
// depend on it how it is. What is wanted of all services is known.
func (l *Loop) tie(r *record) {
	needs := r.needs()
	if r.ties == nil && len(needs) == 0 && len(l.dependents[r.facts.Name]) == 0 {
		return
	}
	if r.ties == nil {
		r.ties = &ties{}
	}
	for _, name := range r.ties.needs {
		l.untie(r, name)
	}
	r.ties.needs = needs
	for _, name := range needs {
		l.dependents[name] = append(l.dependents[name], r)
		if d := l.services[name]; d != nil {
			l.observe(r, Event{Kind: EventDependency, At: l.now(), Dependency: l.provided(d)})
			if d.ties == nil {
				d.ties = &ties{told: *l.provided(d)}
			}
		}
	}
	l.tellDependents(r, false)
	l.tellNeeds(r, false)
}

// needs lists whom a service depends on. One that is not declared any more depends
// on those that it depended on last.
func (r *record) needs() []string {
	var from []spec.Dependency
	switch {
	case r.want != nil:
		from = r.want.Spec.DependsOn
	case r.ties != nil && r.ties.needs != nil:
		return r.ties.needs
	default:
		for n := range r.facts.Replicas {
			if s := r.facts.Replicas[n].Spec; s != nil {
				from = s.Spec.DependsOn
			}
		}
	}
	var names []string
	for _, d := range from {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// provided is how a record is for those that depend on it.
func (l *Loop) provided(r *record) *Dependency {
	d := provides(r.want, &r.facts, l.stamp)
	return &d
}

// untie forgets that r depends on the named service.
func (l *Loop) untie(r *record, name string) {
	all := slices.DeleteFunc(l.dependents[name], func(d *record) bool { return d == r })
	if l.dependents[name] = all; len(all) == 0 {
		delete(l.dependents, name)
	}
}

// tieAll does so for all that an earlier loop knew.
func (l *Loop) tieAll() {
	for _, r := range l.services {
		l.tie(r)
	}
}

// tellBonds tells others how a record is, when that has changed. gone says that it
// is dropped.
func (l *Loop) tellBonds(r *record, gone bool) {
	if r.ties == nil {
		return
	}
	l.tellDependents(r, gone)
	l.tellNeeds(r, gone)
	if gone {
		for _, name := range r.ties.needs {
			l.untie(r, name)
		}
	}
}

// tellDependents tells those that depend on a record how it is.
func (l *Loop) tellDependents(r *record, gone bool) {
	now := l.provided(r)
	if *now == r.ties.told && !gone {
		return
	}
	r.ties.told = *now
	for _, d := range l.dependents[r.facts.Name] {
		l.observe(d, Event{Kind: EventDependency, At: l.now(), Dependency: now})
		l.concern(d)
	}
}

// tellNeeds tells those that a record depends on who has to end before them.
func (l *Loop) tellNeeds(r *record, gone bool) {
	if r.ties == nil {
		return
	}
	for _, name := range r.ties.needs {
		d := l.services[name]
		if d == nil || d.ties == nil {
			continue
		}
		var names []string // a few say enough
		for _, other := range l.dependents[name] {
			if len(names) < 3 && !(gone && other == r) && l.endsBefore(other, d) {
				names = append(names, other.facts.Name)
			}
		}
		var before []string
		if d.facts.Bonds != nil {
			before = d.facts.Bonds.Dependents
		}
		if !slices.Equal(names, before) {
			l.observe(d, Event{Kind: EventDependents, At: l.now(), Names: names})
			l.concern(d)
		}
	}
}

// endsBefore reports whether a record that depends on d is being ended too, and has
// not ended. In a circle, which only manifests of different times can make, nobody
// waits.
func (l *Loop) endsBefore(r, d *record) bool {
	ending := func(r *record) bool { return r.want == nil || !r.facts.ShutdownAt.IsZero() }
	return ending(r) && ending(d) && !r.facts.Quiet() && (len(d.ties.needs) == 0 || !l.reaches(d, r, map[*record]bool{}))
}

// reaches reports whether from depends on to, over others perhaps.
func (l *Loop) reaches(from, to *record, seen map[*record]bool) bool {
	if from.ties == nil || seen[from] {
		return false
	}
	seen[from] = true
	for _, name := range from.ties.needs {
		if d := l.services[name]; d != nil && (d == to || l.reaches(d, to, seen)) {
			return true
		}
	}
	return false
}

// concern has the record decided about when the present one is done.
func (l *Loop) concern(r *record) {
	if !slices.Contains(l.concerned, r) {
		l.concerned = append(l.concerned, r)
	}
}

// files is a digest of the content of reload.files, if it is known.
func (f *Facts) files() string {
	if f.Bonds == nil {
		return ""
	}
	return f.Bonds.Files
}

// learn takes in what files mean now.
func (l *Loop) learn(c *spec.Contents) {
	l.contents = c
	for _, r := range l.services {
		if l.know(r) {
			l.turn(r)
		}
	}
}

// know tells a record what its files mean now, and reports whether that is news.
func (l *Loop) know(r *record) bool {
	if r.want == nil || l.contents == nil {
		return false
	}
	s := &r.want.Spec
	if len(s.EnvFrom) == 0 && (s.Reload == nil || len(s.Reload.Files) == 0) {
		return false
	}
	known := true
	of := func(what func(spec.Content) string) func(string) string {
		return func(path string) string {
			c, ok := l.contents.Files[path]
			known = known && ok && (c.Problem == "" || c.Raw != "") // or it was never read
			return what(c)
		}
	}
	env := s.EnvFilesDigest(of(func(c spec.Content) string { return c.Env }))
	files := s.ReloadDigest(of(func(c spec.Content) string { return c.Raw }))
	usable := s.EnvFilesUsable(l.contents)
	if b := r.facts.Bonds; !known || b != nil && b.EnvFiles == env && b.Files == files && b.UsableAt.IsZero() != usable {
		return false
	}
	l.observe(r, Event{Kind: EventContents, At: l.now(), EnvFiles: env, Files: files, Usable: usable})
	return true
}
