package status

import (
	"fmt"
	"strings"
)

// everything tells what is not as declared, a line each, and what is the matter
// with the directory and the daemon.
func (c *Case) everything(s *screen) {
	var troubled []*Service
	for i := range c.Services {
		if v := &c.Services[i]; !v.asDeclared() {
			troubled = append(troubled, v)
		}
	}
	worstFirst(troubled, (*Service).weight)
	around := c.around()
	switch {
	case len(c.Services) == 0:
		s.title("No service is declared in " + printable(c.Daemon.Dir) + ".")
	case len(troubled) == 0 && len(around) > 0:
		s.title(fmt.Sprintf("All services are as declared (%d), but not everything around them.", len(c.Services)))
	case len(troubled) == 0:
		s.title(fmt.Sprintf("All is as declared: %s.", plural(len(c.Services), "service")))
	default:
		be := "are"
		if len(troubled) == 1 {
			be = "is"
		}
		s.title(fmt.Sprintf("%d of %s %s not as declared.", len(troubled), plural(len(c.Services), "service"), be))
	}
	next := []string{c.earliest(troubled)}
	c.table(s, troubled, max(screenHeight-s.lines-s.height(around)-s.height(next), screenHeight/2))
	s.all("Besides", around)
	s.all("Next", next)
}

// weight orders services: the worst first, and last who merely waits for another.
func (s *Service) weight() int {
	if s.Status.Reason == "DependencyUnmet" || s.Status.Reason == "Queued" {
		return -1
	}
	return s.Status.Phase.Severity()
}

// table is a line for each service, as many as there is room for.
func (c *Case) table(s *screen, troubled []*Service, room int) {
	width := 0
	for _, v := range troubled {
		width = max(width, len([]rune(v.Metadata.Name)))
	}
	for n, v := range troubled {
		if n == room-1 && len(troubled) > room {
			s.title(fmt.Sprintf("  and %d more; `reconciler get` lists all", len(troubled)-n))
			return
		}
		name := v.Metadata.Name
		text := "  " + name + strings.Repeat(" ", width-len([]rune(name))) + "  " + c.brief(v)
		s.out.WriteString(cut(text, s.width) + "\n")
		s.lines++
	}
}

// brief is why a service is as it is, in part of a line.
func (c *Case) brief(v *Service) string {
	groups := v.groups(-1)
	switch {
	case v.Status.Held != nil:
		text := c.held(v.Status.Held)
		if until := v.Status.Held.Until; !until.IsZero() {
			text += ", until " + moment(until, c.Now)
		}
		return "Held: " + text
	case len(groups) > 0 && !groups[0][0].fine():
		r := groups[0][0]
		text := r.shown()
		if len(v.Status.ReplicaStatuses) > 1 {
			text = groups[0].names() + " " + text
		}
		if r.Message == "" {
			return text
		}
		return text + ": " + withoutNext(r.Message)
	default:
		if notes := v.conditions(); len(notes) > 0 {
			return "works, but: " + notes[0]
		}
		return string(v.Status.Phase) + ": " + v.Status.Message
	}
}

// around is what is the matter with the daemon, its directory and the files.
func (c *Case) around() []string {
	var lines []string
	if !c.Daemon.StoppingSince.IsZero() {
		lines = append(lines, c.stopping())
	}
	lines = append(lines, c.conditions(false)...)
	for i := range c.Daemon.Problems {
		lines = append(lines, c.problem(&c.Daemon.Problems[i]))
	}
	return lines
}

// earliest is the next thing that the daemon does by itself.
func (c *Case) earliest(troubled []*Service) string {
	var of *Service
	var first *Replica
	for _, v := range troubled {
		for i := range v.Status.ReplicaStatuses {
			r := &v.Status.ReplicaStatuses[i]
			if r.Reason != "" && !r.Next.IsZero() && (first == nil || r.Next.Before(first.Next)) {
				of, first = v, r
			}
		}
	}
	text := "nothing until something changes"
	if c.pruneHeld() {
		text = prune
	}
	if first != nil {
		if text = c.nextOfReplica(of, first); first.Phase == PhaseHeld && of.Status.Held != nil {
			text = heldNext(of.Metadata.Name, of.Status.Held, c.Now)
		}
	}
	if len(troubled) > 0 {
		text += "; `reconciler why NAME` tells more"
	}
	return text
}

// unknown tells of a name that nobody declares, or only a manifest that is in error.
func (c *Case) unknown(s *screen) {
	for i := range c.Daemon.Problems {
		if p := &c.Daemon.Problems[i]; p.Service == c.Service {
			s.title(c.Service + " has not been started: what declares it is in error.")
			s.say("Because", c.problem(p))
			s.say("Next", c.Service+" is started as soon as that is mended")
			return
		}
	}
	s.title(fmt.Sprintf("There is no %q: no manifest in %s declares it.", c.Asked, printable(c.Daemon.Dir)))
	var because []string
	if near := c.near(c.Service); near != "" {
		because = append(because, fmt.Sprintf("did you mean %q?", near))
	}
	for i := range c.Daemon.Problems {
		p := &c.Daemon.Problems[i]
		if p.Service == "" {
			because = append(because, "perhaps declared in "+c.problem(p))
		}
	}
	if len(because) == 0 {
		because = append(because, fmt.Sprintf("there are %s (`reconciler get` lists them)", plural(len(c.Services), "service")))
	}
	s.all("Because", because[:min(len(because), maxNotes)])
	s.say("Next", "nothing until a manifest declares it")
}

// absent tells what can be known while no daemon answers.
func (c *Case) absent(s *screen) {
	a := c.Absence
	if a.Refused {
		s.title("The daemon cannot be asked: " + a.Error + ".")
		s.say("Next", "run this command as root, or as the user that the daemon runs as")
		return
	}
	s.title("No daemon answers: " + a.Error + ".")
	switch {
	case a.Unread != "":
		s.say("Records", "cannot be read: "+a.Unread)
	case a.Dir == "":
		s.say("Records", "none: no daemon has used "+printable(a.StateDir)+" since the machine booted")
	case a.Silent:
		s.say("Records", "a daemon of "+printable(a.Dir)+" takes connections and does not answer: it hangs, or is stopped (SIGSTOP)")
	case a.Ended:
		s.say("Records", "the last daemon, of "+printable(a.Dir)+", has stopped everything and ended, as it was told to")
	default:
		s.say("Records", "the last daemon, of "+printable(a.Dir)+", did not end orderly: it was killed, crashed, or left (SIGQUIT)")
	}
	list := func(key, what string, names []string) {
		if len(names) > 0 {
			s.say(key, what+": "+listed(names))
		}
	}
	list("Alive", "unsupervised", a.Living)
	list("Ended", "ran when it was last written down, and do not any more", a.Gone)
	list("Damaged", "records that cannot be read", a.Damaged)
	if a.Silent {
		s.say("Next", "nothing until it answers; `kill -9` ends it, and the next daemon takes over what is alive")
		return
	}
	text := "nothing until a daemon is started"
	if a.Dir != "" {
		text += ", as in `reconciler --dir " + a.Dir + "`"
	} else {
		text += ", as in `reconciler --dir DIR`; if one runs, point to it with --state-dir"
	}
	if len(a.Living)+len(a.Gone) > 0 {
		text += "; it takes over what is alive, and does with the rest as the manifests say"
	}
	s.say("Next", text)
}

// maxListed is how many of something are named at most.
const maxListed = 12
