package status

import (
	"fmt"
	"io"
	"strconv"
	"strings"
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
	if line > 0 {
		file += ":" + strconv.Itoa(line)
		if column > 0 {
			file += ":" + strconv.Itoa(column)
		}
	}
	return file
}

// WriteProblems writes everything about the directory that a reader of a table
// of services must not miss: the conditions that are true, and every problem
// with what keeps running meanwhile. running tells whether a service of that
// name runs. It writes nothing when all is well.
func WriteProblems(w io.Writer, d *Daemon, running func(name string) bool) error {
	var out strings.Builder
	for _, c := range d.Conditions {
		if c.Status == "True" {
			fmt.Fprintf(&out, "%s (%s): %s\n", c.Type, c.Reason, c.Message)
		}
	}
	for _, p := range d.Problems {
		fmt.Fprintf(&out, "%s%s\n", p, meanwhile(p, running))
	}
	if out.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(w, "\n"+out.String())
	return err
}

// meanwhile says what a problem leaves in force.
func meanwhile(p Problem, running func(string) bool) string {
	since := ""
	if !p.Since.IsZero() {
		since = " since " + p.Since.Format("2006-01-02 15:04:05")
	}
	switch {
	case p.Service != "" && running(p.Service):
		return fmt.Sprintf(" (%s runs on as last declared; the error stands%s)", p.Service, orNow(since))
	case p.Service != "":
		return fmt.Sprintf(" (%s is not started; the error stands%s)", p.Service, orNow(since))
	case since != "":
		return fmt.Sprintf(" (the error stands%s)", since)
	default:
		return ""
	}
}

func orNow(since string) string {
	if since == "" {
		return " now"
	}
	return since
}
