package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// EventHeader names the columns of Event.Row.
func EventHeader() []string { return []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"} }

// Row is the event in the columns of a table, as kubectl events has them. What
// happened again and again tells how often, and since when.
func (e *Event) Row(now time.Time) []string {
	return []string{e.lastSeen(now), string(e.Type), e.Reason, e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, e.Message}
}

func (e *Event) lastSeen(now time.Time) string {
	if e.Count > 1 {
		return fmt.Sprintf("%s (x%d over %s)", age(e.LastTimestamp, now), e.Count, age(e.FirstTimestamp, now))
	}
	return age(e.LastTimestamp, now)
}

// Of tells whether an event is about the object of a kind, or, of a service, about
// one of its replicas.
func (e *Event) Of(kind, name string) bool {
	o := &e.InvolvedObject
	if o.Kind == kind && o.Name == name {
		return true
	}
	ordinal, ok := strings.CutPrefix(o.Name, name+"-")
	return kind == "Service" && o.Kind == "Replica" && ok && ordinal != "" && strings.Trim(ordinal, "0123456789") == ""
}

// WriteEvents writes the section that ends a description, as kubectl describe does.
func WriteEvents(w io.Writer, events []Event, now time.Time) error {
	if len(events) == 0 {
		_, err := fmt.Fprintf(w, "%-14s%s\n", "Events:", none)
		return err
	}
	if _, err := io.WriteString(w, "Events:\n"); err != nil {
		return err
	}
	t := &Table{w: w, gap: 2}
	header := []string{"Type", "Reason", "Age", "From", "Message"}
	rule := make([]string, len(header))
	for i, name := range header {
		rule[i] = strings.Repeat("-", len(name))
	}
	rows := [][]string{header, rule}
	for i := range events {
		e := &events[i]
		rows = append(rows, []string{string(e.Type), e.Reason, e.lastSeen(now), or(e.Source.Component), e.InvolvedObject.Name + ": " + e.Message})
	}
	for _, row := range rows {
		t.Row(slices.Concat([]string{"  " + row[0]}, row[1:])...)
	}
	return t.Flush()
}
