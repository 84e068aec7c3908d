package status

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxExits = 5
	minLines = 3 // of output, however full the screen is
	maxLines = 8 // of output, however empty it is
)

// unasked are the latest ends that nobody asked for, oldest first.
func (r *Replica) unasked() []Exit {
	exits := r.Exits
	if len(exits) == 0 && r.LastExit != nil && !r.LastExit.Asked {
		exits = []Exit{*r.LastExit}
	}
	return exits[max(len(exits)-maxExits, 0):]
}

// evidence is how the suspect's runs have ended, and what it wrote last, in as many
// lines as there are left.
func (c *Case) evidence(s *screen, room int) {
	_, r, _ := c.Suspect()
	if r == nil || r.Reason == "Stopped" || r.Reason == "Completed" {
		return
	}
	exits := r.unasked()
	width := 0
	for _, e := range exits {
		width = max(width, len(moment(e.At, c.Now)))
	}
	for n, e := range exits {
		key := ""
		if n == 0 {
			key = "Exits"
		}
		s.row(key, fmt.Sprintf("%-*s  %s", width, moment(e.At, c.Now), e.sentence()))
	}
	switch lines := c.Output.Lines; {
	case c.Output.Refused != "":
		s.say("Log", "cannot be read: "+c.Output.Refused)
	case len(lines) > 0:
		run := "the run since " + moment(r.Started, c.Now)
		if c.Output.Previous {
			run = "its last run"
		}
		s.row("Log", "of "+r.Name+", "+run+":")
		for _, line := range lines[max(len(lines)-min(max(room-len(exits)-1, minLines), maxLines), 0):] {
			s.row("", "| "+line)
		}
	}
}

// sentence is how a run ended.
func (e *Exit) sentence() string {
	text := "exit code unknown"
	switch {
	case e.Code < 0:
	case e.Signal != "":
		text = fmt.Sprintf("%s (%d)", e.Signal, e.Code)
	default:
		text = "exit code " + strconv.Itoa(int(e.Code))
	}
	if !e.Started.IsZero() {
		ran := e.At.Sub(e.Started)
		if ran < time.Second {
			text += " after " + ran.Round(time.Millisecond).String()
		} else {
			text += " after " + Age(ran)
		}
	}
	if e.Message != "" {
		text += ", ended since " + e.Message
	}
	return text
}

// clues are what the suspect's exits and output mean, as far as it can be told.
func (c *Case) clues() []string {
	var lines []string
	v, r, _ := c.Suspect()
	if r == nil {
		return nil
	}
	if exits := r.unasked(); len(exits) > 0 && r.Pid == 0 || len(exits) > 0 && r.Reason == "" {
		e := &exits[len(exits)-1]
		if by := c.sent(e); by != "" {
			lines = append(lines, by)
		} else if e.Signal == "SIGKILL" && e.Message == "" {
			lines = append(lines, c.killed())
		}
	}
	return append(lines, c.inUse(v)...)
}

// sentBefore is how long before an end the signal was sent at most that caused it: what is
// killed may take a while to go.
const sentBefore = 10 * time.Second

// sent says which person has sent the signal that ended a run; empty is nobody who is
// known of.
func (c *Case) sent(e *Exit) string {
	for n := range c.Sent {
		at := c.Sent[n].LastTimestamp
		if e.Signal != "" && strings.HasPrefix(c.Sent[n].Message, e.Signal+" ") && !at.Before(e.Started) && !at.After(e.At) && e.At.Sub(at) < sentBefore {
			return c.Sent[n].Message + " with `reconciler kill`"
		}
	}
	return ""
}

// killed says what is known of a SIGKILL that the daemon did not send.
func (c *Case) killed() string {
	const text = "the daemon did not send that SIGKILL: somebody's `kill -9` did, or the kernel for want of memory; it is not known which"
	switch {
	case c.OOMKills == 0:
		return "the daemon did not send that SIGKILL, and the kernel has killed nothing for want of memory since it booted: " +
			"somebody's `kill -9` did, or a limit on CPU time; it is not known who"
	case c.OOMKills > 0:
		return text + fmt.Sprintf(": the kernel has killed %s so since it booted (`journalctl -k --grep oom` names them)",
			plural(int(c.OOMKills), "process"))
	default:
		return text + " (`journalctl -k --grep oom` names those of the kernel)"
	}
}

// occupied is how programs say that an address is in use.
const occupied = `(?i)address (is )?already in use|address in use|EADDRINUSE|errno:? 98\b|os error 98\b|port \d+ is (already )?(in use|allocated|taken)|failed \(98:`

// portIn are the ways in which they name the port.
const portIn = `(?i)(?:[:\]]|\bport[ =:"']{1,3})(\d{2,5})\b`

// number is what may be a port in a command line.
// No part of an address, of a version or of a time of day is one.
const number = `(?:^|[^.:\w])(\d{2,5})(?:$|[^.:\w])`

// clock is a time of day at the head of a line.
const clock = `\d\d:\d\d:\d\d\S*`

// PortsInQuestion are the ports of which the suspect's output says that they are in
// use. When it does not say which, they are those of its probes, or else what looks
// like one in its command line and environment. None when it says nothing of the
// kind.
func (c *Case) PortsInQuestion() []int {
	v, r, _ := c.Suspect()
	if r == nil {
		return nil
	}
	var said []string
	inUse, times := regexp.MustCompile(occupied), regexp.MustCompile(clock)
	for _, line := range c.Output.Lines {
		if inUse.MatchString(line) {
			said = append(said, times.ReplaceAllString(line, ""))
		}
	}
	if len(said) == 0 {
		return nil
	}
	w := v.want()
	words := append(slices.Clone(w.Command), w.Args...)
	for _, variable := range w.Env {
		words = append(words, variable.Value)
	}
	for _, ports := range [][]int{portsOf(portIn, said), w.probePorts(), portsOf(number, words)} {
		if len(ports) > 0 {
			return ports
		}
	}
	return []int{}
}

// portsOf are the numbers that an expression finds and that can be ports, once each.
func portsOf(expression string, texts []string) []int {
	var ports []int
	port := regexp.MustCompile(expression)
	for _, text := range texts {
		for _, match := range port.FindAllStringSubmatch(text, -1) {
			if n, err := strconv.Atoi(match[1]); err == nil && n > 0 && n < 1<<16 && !slices.Contains(ports, n) {
				ports = append(ports, n)
			}
		}
	}
	return ports
}

// probePorts are the ports that probes ask.
func (w *wanted) probePorts() []int {
	var ports []int
	for _, p := range []*wantedProbe{w.Startup, w.Readiness, w.Liveness} {
		if p == nil {
			continue
		}
		for _, at := range []*wantedPort{p.HTTPGet, p.TCPSocket, p.GRPC} {
			var n int
			if at != nil && json.Unmarshal(at.Port, &n) == nil && n > 0 && !slices.Contains(ports, n) {
				ports = append(ports, n)
			}
		}
	}
	return ports
}

// inUse says who listens on the ports in question.
func (c *Case) inUse(v *Service) []string {
	ports := c.PortsInQuestion()
	if ports == nil {
		return nil
	}
	var lines []string
	for i := range c.Listeners {
		lines = append(lines, c.Listeners[i].line(v))
	}
	slices.Sort(lines)
	if lines = slices.Compact(lines); len(lines) > 0 {
		return lines[:min(len(lines), maxNotes)]
	}
	if len(ports) == 0 {
		return []string{"an address is in use; its output, its probes and its command line do not tell which"}
	}
	var names []string
	for _, p := range ports {
		names = append(names, strconv.Itoa(p))
	}
	return []string{"an address was in use then; nobody has the TCP or UDP port " + strings.Join(names, ", ") + " now"}
}

// line says who listens on a port. v is whose failure it is.
func (l *Listener) line(v *Service) string {
	text := fmt.Sprintf("port %d is in use: ", l.Port)
	on := l.Address
	if l.UDP {
		on = "UDP " + on
	}
	switch {
	case l.Pid == 0:
		return text + "a process that you may not see listens on " + on + " (root may: run this command as root)"
	case l.Replica != "":
		text += fmt.Sprintf("%s (pid %d) listens on %s, and is of the replica %s", l.Program, l.Pid, on, l.Replica)
		if of := l.Replica[:max(strings.LastIndexByte(l.Replica, '-'), 0)]; of == v.Metadata.Name {
			text += " of the same service; give each replica a port of its own, as in $(SVC_REPLICA)"
		}
		return text
	default:
		return text + fmt.Sprintf("%s (pid %d) listens on %s, and is none of our services", l.Program, l.Pid, on)
	}
}
