package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"svc.d/spec"
	"svc.d/status"
)

// act is what an edit of the directory would do to a service.
type act string

const (
	actStart   act = "start"   // it is new
	actStop    act = "stop"    // no manifest declares it any more
	actRestart act = "restart" // its processes are replaced
	actLive    act = "change"  // it changes without a restart
)

// redacted is what the daemon shows in place of a value that is not for everybody.
const redacted = "<redacted>"

// step is one service that is not as the files have it.
type step struct {
	act    act
	name   string
	place  spec.Source // zero for a stop
	fields []spec.Change
	note   string
}

// plan compares what the daemon has declared with what files declare, once they
// are where they belong. It is pure.
func plan(services []status.Service, m *manifests, where placement) ([]*step, error) {
	var steps []*step
	declared := map[string]bool{}
	for _, wanted := range m.services {
		declared[wanted.Metadata.Name] = true
		s := find(services, wanted.Metadata.Name)
		if s == nil || len(s.Spec) == 0 {
			steps = append(steps, &step{act: actStart, name: wanted.Metadata.Name, place: wanted.Source, note: startNote(wanted)})
			continue
		}
		before, after, err := sameForm(s, wanted)
		if err != nil {
			return nil, err
		}
		if fields := spec.Diff(before, after); len(fields) > 0 {
			steps = append(steps, &step{
				act: actOf(fields), name: wanted.Metadata.Name, place: wanted.Source, fields: fields, note: editNote(s, wanted, where),
			})
		}
	}
	for i := range services {
		s := &services[i]
		if declared[s.Metadata.Name] || len(s.Spec) == 0 || !where.covers(s) || m.broken(s) {
			continue
		}
		steps = append(steps, &step{act: actStop, name: s.Metadata.Name})
	}
	slices.SortFunc(steps, func(a, b *step) int { return cmp.Compare(a.name, b.name) })
	return steps, nil
}

// broken says whether the last good version of a service stays in force since
// its file has a problem.
func (m *manifests) broken(s *status.Service) bool {
	return slices.ContainsFunc(m.problems, func(p spec.Problem) bool {
		return p.File == s.Status.File || p.Service == s.Metadata.Name
	})
}

// sameForm brings both versions into the same form: the daemon's went through
// JSON, which does not tell an empty list from none.
func sameForm(s *status.Service, wanted *spec.Service) (before, after *spec.Service, err error) {
	before = &spec.Service{Metadata: metadata(s.Metadata)}
	after = &spec.Service{Metadata: wanted.Metadata}
	if err := json.Unmarshal(s.Spec, &before.Spec); err != nil {
		return nil, nil, fmt.Errorf("cannot read the daemon's spec of %s: %w", s.Metadata.Name, err)
	}
	for i := range before.Spec.Env {
		// Who may only look is not shown values: they count as what is wanted.
		if b := &before.Spec.Env[i]; b.Value == redacted && i < len(wanted.Spec.Env) && wanted.Spec.Env[i].Name == b.Name {
			b.Value = wanted.Spec.Env[i].Value
		}
	}
	text, err := json.Marshal(wanted.Spec)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encode the spec of %s: %w", s.Metadata.Name, err)
	}
	if err := json.Unmarshal(text, &after.Spec); err != nil {
		return nil, nil, fmt.Errorf("cannot read the spec of %s: %w", s.Metadata.Name, err)
	}
	return before, after, nil
}

func metadata(m status.Metadata) spec.Metadata {
	return spec.Metadata{Name: m.Name, Labels: m.Labels, Annotations: m.Annotations}
}

func actOf(fields []spec.Change) act {
	if slices.ContainsFunc(fields, func(c spec.Change) bool { return c.Class == spec.EditRestart }) {
		return actRestart
	}
	return actLive
}

func startNote(s *spec.Service) string {
	switch s.Spec.Replicas {
	case 0:
		return "declared with replicas: 0, so nothing runs"
	case 1:
		return ""
	default:
		return fmt.Sprintf("%d replicas", s.Spec.Replicas)
	}
}

func editNote(s *status.Service, wanted *spec.Service, where placement) string {
	switch {
	case !where.dir && where.target(wanted.Source.File) != s.Status.File:
		return "only when " + s.Status.File + " does not declare it any more"
	case s.Status.Held != nil:
		return "it is stopped; it takes effect when it is started"
	default:
		return ""
	}
}

// render writes the steps for people, and a line that sums them up.
func render(steps []*step, total int) string {
	width := 0
	for _, s := range steps {
		width = max(width, len(s.name))
	}
	var out strings.Builder
	counts := map[act]int{}
	for _, s := range steps {
		counts[s.act]++
		line := fmt.Sprintf("%-8s %-*s", s.act, width, s.name)
		if s.place.File != "" {
			line += fmt.Sprintf("  %s:%d", s.place.File, s.place.Line)
		}
		if s.note != "" {
			line += "  (" + s.note + ")"
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, c := range s.fields {
			fmt.Fprintf(&out, "           %s: %s -> %s%s\n", c.Field, shown(c.Old), shown(c.New), cause(s.act, c))
		}
	}
	fmt.Fprintf(&out, "\n%d to start, %d to stop, %d to restart, %d to change live, %d unchanged\n",
		counts[actStart], counts[actStop], counts[actRestart], counts[actLive], total-len(steps))
	return out.String()
}

// cause marks the fields that make a restart necessary.
func cause(a act, c spec.Change) string {
	if a == actRestart && c.Class == spec.EditRestart {
		return "  (restart)"
	}
	return ""
}

func shown(value string) string {
	if value == "" {
		return "<none>"
	}
	return value
}
