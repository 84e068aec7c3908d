package status

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Describe writes all that is known of one service, in the manner of kubectl
// describe. problems are those of its file.
func Describe(w io.Writer, s *Service, problems []Problem, now time.Time) error {
	var out strings.Builder
	d := description{&out, now}
	d.head(s)
	d.spec(s)
	d.replicas(s.Status.ReplicaStatuses)
	d.conditions(s.Status.Conditions)
	d.problems(s, problems)
	_, err := io.WriteString(w, Shown(out.String()))
	return err
}

// DescribeReplica writes all that is known of one replica of a service.
func DescribeReplica(w io.Writer, s *Service, r *Replica, now time.Time) error {
	var out strings.Builder
	d := description{&out, now}
	d.line(0, "Name", r.Name)
	d.line(0, "Service", s.Metadata.Name)
	d.line(0, "Manifest", s.file())
	d.facts(0, r)
	d.line(0, "Cgroup", or(r.Cgroup))
	d.exits(r.Exits)
	_, err := io.WriteString(w, Shown(out.String()))
	return err
}

type description struct {
	out *strings.Builder
	now time.Time
}

// line writes a key and its value, aligned at the given depth. A value of
// several lines is kept in its column.
func (d description) line(depth int, key, value string) {
	const width = 14
	indent := strings.Repeat("  ", depth)
	value = strings.ReplaceAll(strings.TrimRight(value, "\n"), "\n", "\n"+indent+strings.Repeat(" ", width))
	fmt.Fprintf(d.out, "%s%-*s%s\n", indent, width, key+":", value)
}

func (d description) head(s *Service) {
	st := &s.Status
	d.line(0, "Name", s.Metadata.Name)
	d.line(0, "Labels", pairs(s.Metadata.Labels))
	d.line(0, "Annotations", pairs(s.Metadata.Annotations))
	d.line(0, "Manifest", s.file())
	d.line(0, "Declared", ago(s.Metadata.CreationTimestamp, d.now))
	d.line(0, "Generation", strconv.FormatInt(s.Metadata.Generation, 10))
	d.line(0, "Status", string(st.Phase))
	if st.Reason != "" {
		d.line(0, "Reason", st.Reason)
	}
	if st.Message != "" {
		d.line(0, "Message", st.Message)
	}
	if st.Held != nil {
		d.line(0, "Held", d.held(s.Metadata.Name, st.Held))
	}
	d.line(0, "Replicas", fmt.Sprintf("%d desired | %d running | %d ready | %d available | %d updated",
		st.DesiredReplicas, st.Replicas, st.ReadyReplicas, st.AvailableReplicas, st.UpdatedReplicas))
}

func (d description) held(name string, h *Held) string {
	text := "stopped"
	if h.By != "" {
		text += " by " + h.By
	}
	text += " " + ago(h.Since, d.now)
	if h.Until.IsZero() {
		return text + ", until `reconciler start " + name + "`"
	}
	return text + ", until " + ago(h.Until, d.now)
}

// spec shows the whole of it, defaults included: a summary would hide the field
// that somebody is looking for.
func (d description) spec(s *Service) {
	if len(s.Spec) == 0 {
		d.line(0, "Spec", "<none> (no manifest declares it any more)")
		return
	}
	text, err := YAML(s.Spec)
	if err != nil {
		d.line(0, "Spec", err.Error())
		return
	}
	d.out.WriteString("Spec:\n")
	for line := range strings.Lines(string(text)) {
		d.out.WriteString("  " + line)
	}
}

func (d description) replicas(replicas []Replica) {
	if len(replicas) == 0 {
		d.line(0, "Processes", none)
		return
	}
	d.out.WriteString("Processes:\n")
	for i := range replicas {
		d.replica(&replicas[i])
	}
}

func (d description) replica(r *Replica) {
	fmt.Fprintf(d.out, "  %s:\n", r.Name)
	d.facts(2, r)
}

// exits lists the latest ends that nobody asked for.
func (d description) exits(exits []Exit) {
	if len(exits) == 0 {
		d.line(0, "Exits", none)
		return
	}
	d.out.WriteString("Exits (that nobody asked for):\n")
	for i := range exits {
		fmt.Fprintf(d.out, "  %s\n", d.exit(&exits[i]))
	}
}

func (d description) facts(depth int, r *Replica) {
	d.line(depth, "Phase", string(r.Phase))
	if r.Reason != "" {
		d.line(depth, "Reason", r.Reason)
	}
	if r.Message != "" {
		d.line(depth, "Message", r.Message)
	}
	d.line(depth, "Since", ago(r.Since, d.now))
	if !r.Next.IsZero() {
		d.line(depth, "Next", ago(r.Next, d.now))
	}
	if r.Pid != 0 {
		d.line(depth, "Pid", strconv.Itoa(int(r.Pid)))
		d.line(depth, "Started", ago(r.Started, d.now))
		d.line(depth, "Up to date", yesNo(r.Updated, "no, runs an earlier version of its manifest"))
		d.line(depth, "Ready", d.isReady(r))
		if r.Init != "" {
			d.line(depth, "Init", r.Init)
		}
		if r.Status != "" {
			d.line(depth, "Says", printable(r.Status))
		}
	}
	d.line(depth, "Restarts", strconv.FormatInt(r.Restarts, 10))
	if r.LastExit != nil {
		d.line(depth, "Last exit", d.exit(r.LastExit))
	}
	for _, p := range r.Processes {
		d.line(depth, "Left over", p.String())
	}
}

func yesNo(yes bool, no string) string {
	if yes {
		return "yes"
	}
	return no
}

func (d description) isReady(r *Replica) string {
	if !r.Ready {
		return "no"
	}
	return "yes, since " + ago(r.ReadySince, d.now)
}

func (d description) exit(e *Exit) string {
	text := "exit code " + strconv.Itoa(int(e.Code))
	switch {
	case e.Code < 0:
		text = "exit code unknown"
	case e.Signal != "":
		text = fmt.Sprintf("ended by %s (%d)", e.Signal, e.Code)
	}
	switch {
	case e.Asked:
		text += ", as it was told to"
	case e.Message != "":
		text += ", as it was told to because " + e.Message
	}
	if !e.Started.IsZero() {
		text += ", after " + Age(e.At.Sub(e.Started))
	}
	return text + ", " + ago(e.At, d.now)
}

// String shows a process as in "1234 nginx (state D, waits in nfs_wait)".
func (p Process) String() string {
	var notes []string
	if p.State != "" {
		notes = append(notes, "state "+p.State)
	}
	if p.WaitChannel != "" && p.WaitChannel != "0" {
		notes = append(notes, "waits in "+p.WaitChannel)
	}
	text := fmt.Sprintf("%d %s", p.Pid, p.Name)
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text
}

func (d description) conditions(conditions []Condition) {
	if len(conditions) == 0 {
		d.line(0, "Conditions", none)
		return
	}
	d.out.WriteString("Conditions:\n")
	t := newTable(d.out)
	t.row("  Type", "Status", "Reason", "Since", "Message")
	for _, c := range conditions {
		t.row("  "+c.Type, c.Status, or(c.Reason), d.sinceCell(c.LastTransitionTime), c.Message)
	}
	t.flush() // to a strings.Builder, which cannot fail
}

func (d description) sinceCell(at time.Time) string {
	if at.IsZero() {
		return none
	}
	return Age(d.now.Sub(at)) + " ago"
}

func (d description) problems(s *Service, problems []Problem) {
	if len(problems) == 0 {
		d.line(0, "Problems", none)
		return
	}
	d.out.WriteString("Problems (what was last good stays in force):\n")
	for _, p := range problems {
		fmt.Fprintf(d.out, "  %s\n    %s\n", p, p.Meanwhile([]Service{*s}, "", d.now))
		if !p.Since.IsZero() {
			fmt.Fprintf(d.out, "    in error since %s\n", ago(p.Since, d.now))
		}
	}
}

// pairs shows labels one a line, in order.
func pairs(m map[string]string) string {
	if len(m) == 0 {
		return none
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, k+"="+m[k])
	}
	return strings.Join(lines, "\n")
}
