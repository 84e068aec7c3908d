package main

import (
	"hash/fnv"
	"os"
	"strings"

	"golang.org/x/term"

	"svc.d/reconciler/logs/reader"
)

// prefixes are the names of replicas before their lines, in one column.
type prefixes struct {
	width   int
	known   map[reader.Replica]string
	always  bool
	colours bool
}

// logPrinter writes to stdout, with prefixes as soon as there are two replicas.
func (a *app) logPrinter(l *logPlace, flags *logsFlags, targets []reader.Target) *reader.Printer {
	p := &prefixes{known: map[reader.Replica]string{}, always: flags.prefix, colours: a.colours()}
	for _, t := range targets {
		ordinals := []int32{t.Ordinal}
		if t.Ordinal == reader.All {
			ordinals, _ = reader.Ordinals(l.dir, t.Service) // reading tells what is wrong
		}
		for _, n := range ordinals {
			p.meet(reader.Replica{Service: t.Service, Ordinal: n})
		}
	}
	printer := reader.NewPrinter(a.stdout)
	printer.Timestamps = flags.timestamps
	printer.Prefix = p.of
	return printer
}

// colours reports whether output is for a terminal that shows them
// (https://no-color.org).
func (a *app) colours() bool {
	f, ok := a.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.env("NO_COLOR") == "" && obeys(a.env)
}

// obeys tells whether the terminal of an environment knows sequences that move its cursor
// and give colours. One of which nothing is said may be anything.
func obeys(env func(string) string) bool {
	kind := env("TERM")
	return kind != "" && kind != "dumb"
}

// meet makes room for a replica.
func (p *prefixes) meet(r reader.Replica) {
	p.known[r] = ""
	if n := len(r.String()); n > p.width {
		p.width = n
		p.forget()
	}
}

// of returns what a line of a replica begins with.
func (p *prefixes) of(r reader.Replica) string {
	text, ok := p.known[r]
	if !ok {
		p.meet(r) // in a follow
	}
	if len(p.known) < 2 && !p.always {
		return ""
	}
	if text == "" {
		name := r.String()
		text = name + strings.Repeat(" ", p.width-len(name)) + " | "
		if p.colours {
			text = colourOf(name) + text + "\x1b[0m"
		}
		p.known[r] = text
	}
	return text
}

// forget forgets the texts, which have another width now.
func (p *prefixes) forget() {
	for r := range p.known {
		p.known[r] = ""
	}
}

// colourOf gives a name a colour that it keeps from one command to the next.
func colourOf(name string) string {
	colours := [...]string{"\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[93m", "\x1b[92m", "\x1b[95m", "\x1b[94m"}
	h := fnv.New32a()
	h.Write([]byte(name))
	return colours[h.Sum32()%uint32(len(colours))]
}
