package status

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// String is the problem on one line: file:line:column: field: message.
func (p Problem) String() string {
	text := place(p.File, p.Line, p.Column) + ": "
	if p.Field != "" {
		text += p.Field + ": "
	}
	return text + p.Message
}

// place shows a position as compilers do, so that editors can jump to it.
func place(file string, line, column int) string {
	file = printable(file)
	if line > 0 {
		file += ":" + strconv.Itoa(line)
		if column > 0 {
			file += ":" + strconv.Itoa(column)
		}
	}
	return file
}

// printable is a path as it is shown: a name may hold what a terminal obeys.
func printable(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

// WriteProblems writes everything about the directory that a reader of a table
// of services must not miss: the conditions that are true, and every problem
// with what keeps running meanwhile, which services tells. It writes nothing
// when all is well. Moments are shown in the time zone of now.
func WriteProblems(w io.Writer, d *Daemon, services []Service, now time.Time) error {
	var out strings.Builder
	if !d.StoppingSince.IsZero() {
		fmt.Fprintf(&out, "The daemon is shutting down since %s.\n", ago(d.StoppingSince, now))
	}
	for _, c := range d.Conditions {
		if c.Status == "True" {
			fmt.Fprintf(&out, "%s (%s): %s\n", c.Type, c.Reason, c.Message)
		}
	}
	for _, p := range d.Problems {
		fmt.Fprintf(&out, "%s\n    %s", p, p.Meanwhile(services, d.Configuration, now))
		if !p.Since.IsZero() {
			fmt.Fprintf(&out, "; in error since %s", ago(p.Since, now))
		}
		out.WriteString("\n")
	}
	if out.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(w, "\n"+Shown(out.String()))
	return err
}

// Concerns tells whether the problem is why a service may not be as its file
// says. One document with a problem holds all of its file, unless another file
// provides the service that the document is about. services are all there are.
func (p Problem) Concerns(s *Service, services []Service) bool {
	return p.Service == s.Metadata.Name || p.File == s.Status.File && p.elsewhere(services) == nil && !p.ofConfiguration()
}

// elsewhere is the problem's service when another file provides it, or nil.
func (p Problem) elsewhere(services []Service) *Service {
	for i := range services {
		s := &services[i]
		if len(s.Spec) > 0 && s.Metadata.Name == p.Service && s.Status.File != p.File {
			return s
		}
	}
	return nil
}

// ofConfiguration tells whether the problem is only that another file has the
// ReconcilerConfiguration in force.
func (p Problem) ofConfiguration() bool {
	return p.Field == "kind" && p.Value == "ReconcilerConfiguration"
}

// ConcernsConfiguration tells whether the problem is why the daemon's
// configuration may not be as a file says.
func (d *Daemon) ConcernsConfiguration(p Problem) bool {
	return p.ofConfiguration() || d.Configuration != "" && p.File == d.Configuration
}

// Meanwhile says what a problem leaves in force, and for how long what runs has run
// by now. services are all there are, or at least those that the problem concerns;
// configuration is the file of the daemon's own one.
func (p Problem) Meanwhile(services []Service, configuration string, now time.Time) string {
	if s := p.elsewhere(services); s != nil {
		return s.Metadata.Name + " stays as " + printable(s.Status.File) + " declares it"
	}
	if p.ofConfiguration() {
		return "what else its file declares is in force"
	}
	var run []*Service
	var kept []string
	if p.File == configuration {
		kept = append(kept, "the daemon's configuration")
	}
	for i := range services {
		s := &services[i]
		switch {
		case len(s.Spec) == 0 || p.Service != s.Metadata.Name && p.File != s.Status.File:
		case s.runs(now) != "":
			run = append(run, s)
		default:
			kept = append(kept, s.Metadata.Name)
		}
	}
	var all []string
	switch len(run) {
	case 0:
	case 1:
		all = append(all, fmt.Sprintf("%s keeps running (%s)", run[0].Metadata.Name, run[0].runs(now)))
	default:
		var names []string
		for _, s := range run {
			names = append(names, fmt.Sprintf("%s (%s)", s.Metadata.Name, s.runs(now)))
		}
		all = append(all, listed(names)+" keep running")
	}
	switch len(kept) {
	case 0:
	case 1:
		all = append(all, kept[0]+" keeps its last good version")
	default:
		all = append(all, listed(kept)+" keep their last good version")
	}
	switch {
	case len(all) > 0:
		return strings.Join(all, "; ")
	case p.Service != "":
		return p.Service + " has not been started"
	default:
		return "nothing of it has been started"
	}
}

// listed names the first of many.
func listed(names []string) string {
	if more := len(names) - maxListed; more > 0 {
		names = append(slices.Clone(names[:maxListed]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// runs tells which processes of a service run, and since when the youngest of them
// does; empty is none.
func (s *Service) runs(now time.Time) string {
	text, n := "", 0
	var since time.Time
	for _, r := range s.Status.ReplicaStatuses {
		if r.Pid == 0 || r.Phase == PhaseTerminating {
			continue
		}
		n++
		text = fmt.Sprintf("pid %d", r.Pid)
		if r.Started.After(since) {
			since = r.Started
		}
	}
	if n > 1 {
		text = plural(n, "replica")
	}
	if !since.IsZero() {
		text += ", " + Age(now.Sub(since))
	}
	return text
}
