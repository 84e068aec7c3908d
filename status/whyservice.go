package status

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxGroups = 3 // how many ways to be are told of one service
	maxNotes  = 3 // how much is told of what is not about replicas
)

// fine tells whether a replica is as it should be, whatever others are.
func (r *Replica) fine() bool {
	return r.Reason == "" || r.Reason == "Completed" || r.Reason == "ReplicasZero"
}

// asDeclared tells whether all of a service is as its last good manifest says.
func (s *Service) asDeclared() bool {
	return len(s.Spec) > 0 && s.Status.Held == nil && s.well(-1) && len(s.conditions()) == 0
}

// well tells whether all replicas, or the one that is chosen, are as they should be.
func (s *Service) well(ordinal int32) bool {
	for i := range s.Status.ReplicaStatuses {
		if r := &s.Status.ReplicaStatuses[i]; !r.fine() && (ordinal < 0 || r.Ordinal == ordinal) {
			return false
		}
	}
	return true
}

// problems are those of the file of a service.
func (c *Case) problems(v *Service) []*Problem {
	var all []*Problem
	for i := range c.Daemon.Problems {
		if p := &c.Daemon.Problems[i]; p.Concerns(v, c.Services) {
			all = append(all, p)
		}
	}
	return all
}

// told are conditions whose matter replicas tell better.
var told = []string{"Ready", "Available", "ReplacementBlocked", "ReplacementHalted", "Stuck", "RecordUnreadable"}

// notes are what is the matter with a service beside its replicas.
func (c *Case) notes(v *Service) []string {
	var notes []string
	for _, p := range c.problems(v) {
		notes = append(notes, c.problem(p))
	}
	return append(notes, v.conditions()...)
}

// conditions are those of a service that its replicas do not tell of.
func (s *Service) conditions() []string {
	var notes []string
	for i := range s.Status.Conditions {
		k := &s.Status.Conditions[i]
		bad := k.Status == "True"
		if k.Type == "Progressing" {
			// Its other reasons are those of replicas.
			bad = k.Status == "False" && strings.Contains(k.Message, " did not get ready within ")
		}
		if bad && !slices.Contains(told, k.Type) {
			notes = append(notes, k.Type+": "+k.Message)
		}
	}
	return notes
}

// problem is what is wrong with a file, and what that leaves in force.
func (c *Case) problem(p *Problem) string {
	text := p.String() + "; " + p.Meanwhile(c.Services, c.Daemon.Configuration, c.Now)
	if !p.Since.IsZero() {
		text += "; in error since " + moment(p.Since, c.Now)
	}
	return text
}

// one tells of a service, or of one replica of it.
func (c *Case) one(s *screen, v *Service) {
	groups := v.groups(c.Ordinal)
	s.title(c.verdict(v, groups))
	s.say("Wanted", v.sentence())
	s.all("Observed", c.observed(v, groups))
	if because := c.because(v, groups); len(because) > 0 {
		s.all("Because", because)
	}
	next := c.nextOf(v, groups)
	c.evidence(s, screenHeight-s.lines-s.height(next))
	s.all("Next", next)
}

// verdict is the first line.
func (c *Case) verdict(v *Service, groups []group) string {
	name := v.Metadata.Name
	if c.Ordinal >= 0 && len(groups) > 0 {
		name = groups[0][0].Name
	}
	st := &v.Status
	well := v.well(c.Ordinal)
	switch {
	case len(v.Spec) == 0:
		return name + " is not declared any more, and is ending."
	case st.Held != nil:
		return name + " is not as declared: a person has stopped it."
	case well && len(c.notes(v)) > 0:
		return fmt.Sprintf("%s works, but not everything about it is as declared: %d of %d replicas ready.",
			name, st.ReadyReplicas, st.DesiredReplicas)
	case st.Reason == "ReplicasZero":
		return name + " is as declared: with replicas: 0, so nothing runs."
	case well && st.Phase == PhaseCompleted:
		return name + " is as declared: it has done its work."
	case well && c.Ordinal >= 0:
		return name + " is as declared: it runs and is ready."
	case well:
		return fmt.Sprintf("%s is as declared: %d of %d replicas ready.", name, st.ReadyReplicas, st.DesiredReplicas)
	default:
		return fmt.Sprintf("%s is not as declared: %s.", name, groups[0][0].shown())
	}
}

// shown is the phase with the reason, where that tells more.
func (r *Replica) shown() string {
	if r.Reason == "" || r.Reason == string(r.Phase) {
		return string(r.Phase)
	}
	return fmt.Sprintf("%s (%s)", r.Phase, r.Reason)
}

// observed is how replicas are, a line for each group.
func (c *Case) observed(v *Service, groups []group) []string {
	st := &v.Status
	var lines []string
	if c.Ordinal < 0 && len(st.ReplicaStatuses) > 1 {
		of := int(st.DesiredReplicas)
		if st.Held != nil { // then none is to run
			of = len(st.ReplicaStatuses)
		}
		lines = append(lines, fmt.Sprintf("of %s %d run, %d are ready, %d run what is wanted now",
			plural(of, "replica"), st.Replicas, st.ReadyReplicas, st.UpdatedReplicas))
	}
	for _, g := range groups[:min(len(groups), maxGroups+1)] {
		lines = append(lines, g.observed(c))
	}
	if len(lines) == 0 {
		lines = append(lines, "no process of it")
	}
	return lines
}

// because is the chain of reasons.
func (c *Case) because(v *Service, groups []group) []string {
	var lines []string
	if !c.Daemon.StoppingSince.IsZero() {
		lines = append(lines, c.stopping())
	}
	if h := v.Status.Held; h != nil {
		lines = append(lines, c.held(h))
	}
	for _, g := range groups[:min(len(groups), maxGroups)] {
		if g[0].fine() && g[0].Reason != "Completed" || v.Status.Held != nil && g[0].Message == v.Status.Message && g[0].Phase == PhaseHeld {
			continue
		}
		lines = append(lines, c.chain(v, g[0])...)
	}
	if len(groups) == 0 && v.Status.Held == nil && v.Status.Message != "" {
		lines = append(lines, v.Status.Message)
	}
	lines = append(lines, c.clues()...)
	notes := c.notes(v)
	for _, note := range notes[:min(len(notes), maxNotes)] {
		lines = append(append(lines, note), c.unmet(v, note)...)
	}
	if more := len(notes) - maxNotes; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more (`reconciler describe %s`)", more, v.Metadata.Name))
	}
	return distinct(append(lines, c.conditions(true)...))
}

// conditions are those of the daemon that are true; held are those alone that keep
// edits of the directory from being in force.
func (c *Case) conditions(held bool) []string {
	var lines []string
	for i := range c.Daemon.Conditions {
		k := &c.Daemon.Conditions[i]
		if k.Status == "True" && (!held || strings.HasSuffix(k.Type, "Held")) {
			lines = append(lines, k.Type+": "+k.Message)
		}
	}
	return lines
}

// distinct leaves out what stands further above already.
func distinct(lines []string) []string {
	var once []string
	for _, line := range lines {
		if line != "" && !slices.Contains(once, line) {
			once = append(once, line)
		}
	}
	return once
}

func (c *Case) stopping() string {
	return "the daemon is shutting down since " + moment(c.Daemon.StoppingSince, c.Now)
}

// held is a person's stop.
func (c *Case) held(h *Held) string {
	by := h.By
	if by == "" {
		by = "a person"
	}
	return "stopped by " + by + " since " + moment(h.Since, c.Now)
}
