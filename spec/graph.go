package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Conflict is something that is wrong with services together, though each is right by
// itself.
type Conflict struct {
	// Services are the names of those whose manifests bring it about, each of which
	// could mend it.
	Services []string

	dependent, dependency string
	index                 int // of the dependency, in the dependent's dependsOn
	circle                []string
}

// Conflicts finds circles in dependsOn, and conditions that can never be met. A name
// that is not in services is no conflict: whoever depends on it waits. The result
// depends on services alone. It takes time in proportion to all dependencies.
func Conflicts(services map[string]*Service) []Conflict {
	g := graph{services: services, state: map[string]visit{}}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if len(services[name].Spec.DependsOn) > 0 {
			g.visit(name)
		}
	}
	return g.found
}

type visit uint8

const (
	visitNone visit = iota
	visitOpen       // on the path
	visitDone
)

// graph is a walk along dependencies, depth first.
type graph struct {
	services map[string]*Service
	state    map[string]visit
	path     []string
	found    []Conflict
}

func (g *graph) visit(name string) {
	g.state[name] = visitOpen
	g.path = append(g.path, name)
	for i, x := range g.services[name].Spec.DependsOn {
		other := g.services[x.Name]
		if other == nil {
			continue
		}
		if x.Condition == DependencyCompleted && other.Spec.RestartPolicy != RestartNever {
			g.found = append(g.found, Conflict{Services: []string{name, x.Name}, dependent: name, dependency: x.Name, index: i})
		}
		switch g.state[x.Name] {
		case visitNone:
			g.visit(x.Name)
		case visitOpen:
			circle := slices.Clone(g.path[slices.Index(g.path, x.Name):])
			g.found = append(g.found, Conflict{Services: circle, dependent: name, dependency: x.Name, index: i, circle: circle})
		case visitDone:
		}
	}
	g.path = g.path[:len(g.path)-1]
	g.state[name] = visitDone
}

// Circular says that it is a circle of services that wait for one another.
func (c *Conflict) Circular() bool { return c.circle != nil }

// Blamed are those of Services that are to be held back, when changed tells which of
// them are not as they were before: in a circle all of these; otherwise who waits for
// what cannot be, before whom it waits for. It is empty when none has changed.
func (c *Conflict) Blamed(changed func(name string) bool) []string {
	var blamed []string
	for _, name := range c.Services {
		if changed(name) && (c.circle != nil || len(blamed) == 0) {
			blamed = append(blamed, name)
		}
	}
	return blamed
}

// Problem tells of the conflict at one of its services, which is declared as s.
func (c *Conflict) Problem(s *Service) Problem {
	p := Problem{Source: s.Source, Service: s.Metadata.Name}
	switch {
	case c.circle != nil:
		at := slices.Index(c.circle, s.Metadata.Name)
		around := append(slices.Concat(c.circle[at:], c.circle[:at]), s.Metadata.Name)
		p.Value = around[1]
		p.Field = fmt.Sprintf("spec.dependsOn[%d].name", slices.IndexFunc(s.Spec.DependsOn, func(x Dependency) bool { return x.Name == around[1] }))
		p.Message = "makes a circle of services that wait for one another: " + strings.Join(shortened(around), " -> ")
	case s.Metadata.Name == c.dependent:
		p.Field, p.Value = fmt.Sprintf("spec.dependsOn[%d].condition", c.index), string(DependencyCompleted)
		p.Message = fmt.Sprintf("can never be met: %s has not restartPolicy %s, so it is never completed", c.dependency, RestartNever)
	default:
		p.Field, p.Value = "spec.restartPolicy", string(s.Spec.RestartPolicy)
		p.Message = fmt.Sprintf("must be %q: %s waits for it with the condition %s, which could never be met", RestartNever, c.dependent, DependencyCompleted)
	}
	return p
}

// shortened leaves out what is in the middle of a long list.
func shortened(names []string) []string {
	const most, last = 12, 3
	if len(names) <= most {
		return names
	}
	left := fmt.Sprintf("(%d more)", len(names)-most+1)
	return slices.Concat(names[:most-last-1], []string{left}, names[len(names)-last:])
}
