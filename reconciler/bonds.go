package reconciler

import (
	"slices"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// Bonds are what is known of others that a service has to do with. It is a value:
// who observes something makes a new one.
type Bonds struct {
	// Dependencies are how the services are that it depends on, in the order of its
	// manifest.
	Dependencies []Dependency
	// Dependents are the names of the first of those that depend on it, are being
	// ended together with it, and have not ended yet.
	Dependents []string
	// EnvFiles is a digest of what the files of envFrom mean now
	// (spec.Spec.EnvFilesDigest), Files of the content of reload.files
	// (spec.Spec.ReloadDigest); empty when there are none, or it is not known yet.
	EnvFiles, Files string
	// EnvFilesAt is when EnvFiles was told: a start after that may have read what is
	// told next.
	EnvFilesAt time.Time
	// UsableAt is since when the files of envFrom, as they are, can be used for a
	// start; zero when one cannot, or it is not known.
	UsableAt time.Time
}

// Dependency is how a service is, as those see it that depend on it. All its wanted
// replicas have come as far as the times tell; a service of which no replica is
// wanted has come nowhere.
type Dependency struct {
	Name string
	// Declared says that a manifest declares it.
	Declared bool
	// StartedAt is when the oldest of its present processes was started, or that of
	// a job that is done; zero when not all have.
	StartedAt time.Time
	// ReadyAt is when the last of them got ready; zero when not all are.
	ReadyAt time.Time
	// CompletedAt is when the last of them ended with success, not to run again;
	// zero when not all have.
	CompletedAt time.Time
	// Hindered is why it comes no further by itself, for people: "is stopped by ann".
	// Empty when it may.
	Hindered string
}

// met reports whether the condition holds.
func (d *Dependency) met(c spec.DependencyCondition) bool {
	switch c {
	case spec.DependencyStarted:
		return !d.StartedAt.IsZero()
	case spec.DependencyCompleted:
		return !d.CompletedAt.IsZero()
	case spec.DependencyReady:
	}
	return !d.ReadyAt.IsZero()
}

// provides is how a service is for those that depend on it.
func provides(want *spec.Service, f *Facts, now time.Time) Dependency {
	d := Dependency{Name: f.Name, Declared: want != nil}
	if want == nil {
		return d
	}
	d.Hindered = hindered(want, f, now)
	if want.Spec.Replicas == 0 {
		return d
	}
	var started, ready, completed int32
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if i.ID.Ordinal >= want.Spec.Replicas || i.Spec == nil || i.Init != 0 {
			continue
		}
		done := i.completed(want)
		if !done && (i.stage() != stageLive || i.asked()) {
			continue
		}
		if started++; d.StartedAt.IsZero() || i.StartedAt.Before(d.StartedAt) {
			d.StartedAt = i.StartedAt
		}
		if since, _ := i.ready(); !since.IsZero() {
			ready++
			d.ReadyAt = latest(d.ReadyAt, since)
		}
		if done {
			completed++
			d.CompletedAt = latest(d.CompletedAt, i.EndedAt)
		}
	}
	if started < want.Spec.Replicas {
		d.StartedAt = time.Time{}
	}
	if ready < want.Spec.Replicas {
		d.ReadyAt = time.Time{}
	}
	if completed < want.Spec.Replicas {
		d.CompletedAt = time.Time{}
	}
	return d
}

// hindered is why a service comes no further by itself.
func hindered(want *spec.Service, f *Facts, now time.Time) string {
	switch {
	case want.Spec.Replicas == 0:
		return "is declared with replicas: 0"
	case f.held(now):
		return "is stopped by " + who(f.StoppedBy)
	}
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if i.ID.Ordinal < want.Spec.Replicas && i.stage() == stageIdle && startAlone(want, f, n, now).phase == status.PhaseFailed {
			return "has failed"
		}
	}
	return ""
}

// completed reports whether the latest run was what is wanted, and ended with
// success under a policy that does not run it again.
func (i *Instance) completed(want *spec.Service) bool {
	s := &want.Spec
	return i.stage() == stageIdle && !i.StartedAt.IsZero() && i.Init == 0 && i.Failure == nil && !i.asked() && i.runs(want) &&
		!i.daemonized() && s.RestartPolicy != spec.RestartAlways && slices.Contains(s.SuccessExitCodes, i.Exit.Status()) && !i.personAsked()
}

// unmet is the first dependency whose condition does not hold; -1 is none.
func (f *Facts) unmet(want *spec.Service) int {
	for n := range want.Spec.DependsOn {
		if d := f.dependency(n, want); d == nil || !d.met(want.Spec.DependsOn[n].Condition) {
			return n
		}
	}
	return -1
}

// dependency is what is known of the nth dependency; nil is nothing.
func (f *Facts) dependency(n int, want *spec.Service) *Dependency {
	if f.Bonds == nil || n >= len(f.Bonds.Dependencies) || f.Bonds.Dependencies[n].Name != want.Spec.DependsOn[n].Name {
		return nil
	}
	return &f.Bonds.Dependencies[n]
}

// renewed reports whether a dependency that asks for it was restarted after the
// replica was started, and has come as far again as it must.
func (f *Facts) renewed(want *spec.Service, i *Instance) bool {
	for n := range want.Spec.DependsOn {
		need := &want.Spec.DependsOn[n]
		if !need.Restart {
			continue
		}
		if d := f.dependency(n, want); d != nil && d.met(need.Condition) && d.StartedAt.After(i.StartTakenAt) {
			return f.unmet(want) < 0
		}
	}
	return false
}

// bonds returns a copy of what is known, to be changed and stored.
func (f *Facts) bonds() *Bonds {
	b := new(Bonds)
	if f.Bonds != nil {
		*b = *f.Bonds
	}
	return b
}

// bind keeps what is known of the dependencies that are still named, when want is
// declared.
func bind(f Facts, want *spec.Service, reads bool) Facts {
	needs := want.Spec.DependsOn
	if f.Bonds == nil && len(needs) == 0 {
		return f
	}
	b := f.bonds()
	if !reads {
		b.EnvFiles, b.Files, b.EnvFilesAt, b.UsableAt = "", "", time.Time{}, time.Time{} // of other files
	}
	before := b.Dependencies
	b.Dependencies = make([]Dependency, len(needs))
	for n := range needs {
		b.Dependencies[n].Name = needs[n].Name
		for k := range before {
			if before[k].Name == needs[n].Name {
				b.Dependencies[n] = before[k]
			}
		}
	}
	f.Bonds = b
	return f
}

// bonded takes in how others are, and what files mean.
func bonded(f Facts, e Event) Facts {
	b := f.bonds()
	switch e.Kind {
	case EventDependency:
		b.Dependencies = slices.Clone(b.Dependencies)
		for n := range b.Dependencies {
			if b.Dependencies[n].Name == e.Dependency.Name {
				b.Dependencies[n] = *e.Dependency
			}
		}
	case EventDependents:
		b.Dependents = e.Names
	case EventContents:
		if b.EnvFiles != e.EnvFiles || b.UsableAt.IsZero() == e.Usable {
			f.CheckOf, b.UsableAt = nil, time.Time{} // a check is of what the files meant
			if e.Usable {
				b.UsableAt = e.At
			}
		}
		before := *b
		if b.EnvFiles != e.EnvFiles {
			b.EnvFilesAt = e.At
		}
		b.EnvFiles, b.Files = e.EnvFiles, e.Files
		f.Replicas = slices.Clone(f.Replicas)
		for n := range f.Replicas {
			f.Replicas[n] = informed(f.Replicas[n], &before, e)
		}
	default:
	}
	f.Bonds = b
	return f
}

// informed is a replica whose files mean something else than before. What it has read
// of them and is not known is taken for what there is when that is first known.
func informed(i Instance, before *Bonds, e Event) Instance {
	l := *i.known()
	live := i.stage() == stageLive
	if before.EnvFiles == "" && live && l.EnvFiles == "" {
		l.EnvFiles = e.EnvFiles
	}
	if before.Files == "" && (live || i.stage() == stageStarting) && l.Loaded == "" {
		l.Loaded = e.Files
	}
	if e.Files != "" && e.Files == l.Loaded && l.ReloadFailure != nil && l.Refused != l.Loaded {
		l.Refused, l.ReloadFailure = "", nil // it runs with what there is again
	}
	if l != *i.known() {
		i.Life = &l
	}
	return i
}
