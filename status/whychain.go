package status

import (
	"fmt"
	"slices"
	"strings"
)

// link is one service in the chain of those who wait for one another.
type link struct {
	name    string
	service *Service // nil: no manifest declares it
	replica *Replica // nil: it has none
}

// links follow whom a replica waits for, to the one that waits for nobody.
func (c *Case) links(v *Service, r *Replica) []link {
	all := []link{{v.Metadata.Name, v, r}}
	for {
		last := all[len(all)-1]
		if last.replica == nil {
			return all
		}
		if sibling := last.service.sibling(last.replica); sibling != nil && c.Ordinal >= 0 && len(all) == 1 {
			all = append(all, link{last.name, last.service, sibling})
			continue
		}
		name := last.service.waitsFor(last.replica)
		if name == "" || slices.ContainsFunc(all, func(l link) bool { return l.name == name }) {
			return all
		}
		all = append(all, c.link(name))
	}
}

// link is a service with the worst of its replicas.
func (c *Case) link(name string) link {
	l := link{name: name, service: c.service(name)}
	if l.service != nil {
		if groups := l.service.groups(-1); len(groups) > 0 {
			l.replica = groups[0][0]
		}
	}
	return l
}

// sibling is the replica that keeps another one of its service from being replaced;
// nil is none.
func (s *Service) sibling(r *Replica) *Replica {
	if !strings.HasPrefix(r.Reason, "Replacement") && r.Reason != "ProgressDeadlineExceeded" {
		return nil
	}
	if worst := s.groups(-1)[0][0]; worst.rank() > 1 {
		return worst
	}
	return nil
}

// waitsFor is the service that a replica waits for; empty is none. The engine
// tells it in its sentence, and which names there are the manifest tells.
func (s *Service) waitsFor(r *Replica) string {
	if r.Reason != "DependencyUnmet" && r.Reason != "DependencyUnknown" {
		return ""
	}
	rest, ok := strings.CutPrefix(r.Message, "waits for ")
	name, _, _ := strings.Cut(strings.ReplaceAll(rest, ",", " "), " ")
	if w := s.want(); !ok || !slices.ContainsFunc(w.DependsOn, func(d wantedService) bool { return d.Name == name }) {
		return ""
	}
	return name
}

// chain is why a replica is as it is, a line for each service down to the one
// whose fault it is.
func (c *Case) chain(v *Service, r *Replica) []string {
	var lines []string
	links := c.links(v, r)
	for depth, l := range links {
		text := c.linkSays(l, depth)
		if depth+1 < len(links) && !strings.HasSuffix(text, overAlready) {
			text, _, _ = strings.Cut(text, ", which ") // the next line tells it
		}
		lines = append(lines, strings.Repeat("  ", depth)+text)
	}
	return append(lines, c.further(v, v.waitsFor(r))...)
}

// further are those that a replica will have to wait for besides the one that it waits
// for now, as far as they can be told: nobody declares them, or a person has stopped them.
func (c *Case) further(v *Service, first string) []string {
	if first == "" {
		return nil
	}
	var lines []string
	for _, d := range v.want().DependsOn {
		l := c.link(d.Name)
		if d.Name != first && (l.service == nil || l.service.Status.Held != nil) && len(lines) < maxNotes {
			lines = append(lines, "it needs "+c.linkSays(l, 1))
		}
	}
	return lines
}

func (c *Case) linkSays(l link, depth int) string {
	switch {
	case l.service == nil:
		return c.undeclared(l.name)
	case depth > 0 && l.service.Status.Held != nil:
		return l.name + ": " + c.held(l.service.Status.Held)
	case l.replica == nil:
		return l.name + ": " + l.service.Status.Message
	case l.replica.Message == "":
		return fmt.Sprintf("%s: %s", l.replica.Name, l.replica.shown())
	default:
		return l.replica.Name + ": " + withoutNext(l.replica.Message)
	}
}

// unmet is why those are as they are that a service depends on which runs all the
// same, when that is what is noted.
func (c *Case) unmet(v *Service, note string) []string {
	message, ok := strings.CutPrefix(note, "DependencyUnmet: ")
	if !ok {
		return nil
	}
	var lines []string
	for _, d := range v.want().DependsOn {
		if strings.Contains(" "+message, " "+d.Name+" is not ") {
			lines = append(lines, "  "+c.linkSays(c.link(d.Name), 1))
		}
	}
	return lines
}

// withoutNext takes from a message what the next line tells.
func withoutNext(message string) string {
	before, _, _ := strings.Cut(message, "; next start after a back-off of ")
	return before
}

// undeclared says that there is no such service, and why that may be.
func (c *Case) undeclared(name string) string {
	text := name + ": no manifest declares it"
	for _, p := range c.Daemon.Problems {
		if p.Service == name {
			return text + " well: " + p.String()
		}
	}
	if near := c.near(name); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return text
}

// Suspect is the replica whose run, and whose output, tells most about what was
// asked for, with its service; nil is none. Previous says that it is the run that
// ended last, and not the present one.
func (c *Case) Suspect() (v *Service, r *Replica, previous bool) {
	v = c.service(c.Service)
	if v == nil {
		return nil, nil, false
	}
	groups := v.groups(c.Ordinal)
	if len(groups) == 0 {
		return nil, nil, false
	}
	links := c.links(v, groups[0][0])
	last := links[len(links)-1]
	if last.service == nil || last.replica == nil {
		return nil, nil, false
	}
	return last.service, last.replica, last.replica.Pid == 0
}

// silent are the reasons to which what a service has written adds nothing.
var silent = []string{
	"", "Stopped", "ReplicasZero", "Removed", "ScaledDown", "Edited", "ShuttingDown", "RestartRequested", "Completed", "Queued",
	"DependencyUnmet", "DependencyUnknown", "DependentsStopping", "CommandNotFound", "CommandNotRunnable", "UserNotFound",
	"PermissionDenied", "WorkingDirInvalid", "EnvFileInvalid", "ReplacementPending", "ReplacementBlocked", "RecordUnreadable", "Stuck",
	"CgroupRefused", "OutputRefused", "DirectoryRefused", "ResourcesExhausted",
}

// Telling reports whether the output of the suspect is to the point.
func (r *Replica) Telling() bool {
	return !slices.Contains(silent, r.Reason) || r.Reason == "" && len(r.unasked()) > 0
}
