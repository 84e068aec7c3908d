package status

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// none stands where there is nothing to show, as in kubectl.
const none = "<none>"

// maxPids is how many process ids a cell of the table shows before it counts.
const maxPids = 4

// ServiceHeader names the columns of Service.Row.
func ServiceHeader(wide bool) []string {
	header := []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if wide {
		header = append(header, "PIDS", "REASON", "FILE", "MESSAGE")
	}
	return header
}

// Row is the service in the columns of a table, as kubectl would have them. Ages
// are counted to now.
func (s *Service) Row(now time.Time, wide bool) []string {
	cells := []string{s.Metadata.Name, s.ready(), s.Shown(), s.restarts(now), age(s.Metadata.CreationTimestamp, now)}
	if wide {
		cells = append(cells, s.pids(), or(s.Status.Reason), s.file(), or(s.Status.Message))
	}
	return cells
}

// ReplicaHeader names the columns of ReplicaObject.Row.
func ReplicaHeader(wide bool) []string {
	header := []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if wide {
		header = append(header, "PID", "REASON", "MESSAGE")
	}
	return header
}

// Row is the replica in the columns of a table, as kubectl shows a pod. The age is
// that of its process.
func (o *ReplicaObject) Row(now time.Time, wide bool) []string {
	r := &o.Status
	ready := "0/1"
	if r.Ready {
		ready = "1/1"
	}
	cells := []string{o.Metadata.Name, ready, shown(r.Phase, r.Reason), restarts(now, r), age(r.Started, now)}
	if wide {
		pid := none
		if r.Pid != 0 {
			pid = strconv.Itoa(int(r.Pid))
		}
		cells = append(cells, pid, or(r.Reason), or(r.Message))
	}
	return cells
}

// NamePrefix and ReplicaPrefix are what "-o name" puts before a name; every command
// takes such names.
const (
	NamePrefix    = "service.svc.d/"
	ReplicaPrefix = "replica.svc.d/"
)

// Shown is what sums up a service in a column: its phase, and the reason where
// that tells more, as nodes have it ("Ready,SchedulingDisabled"). For what is
// pending the reason is enough, as for a pod's "ContainerCreating".
func (s *Service) Shown() string { return shown(s.Status.Phase, s.Status.Reason) }

func shown(phase Phase, reason string) string {
	switch {
	case phase == "":
		return "Unknown"
	case reason == "" || implied[reason] || reason == string(phase):
		return string(phase)
	case phase == PhasePending:
		return reason
	default:
		return string(phase) + "," + reason
	}
}

// implied are the reasons that tell nothing that the phase does not.
var implied = map[string]bool{
	"Exited": true, "Stopped": true, "Removed": true, "ScaledDown": true, "Edited": true,
	"RestartRequested": true, "ShuttingDown": true,
	// The column before tells that it is not ready.
	"Unready": true, "NotStartedUp": true, "NotNotified": true, "NoReadyLine": true,
}

func (s *Service) ready() string {
	return fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, s.Status.DesiredReplicas)
}

func (s *Service) restarts(now time.Time) string {
	replicas := make([]*Replica, len(s.Status.ReplicaStatuses))
	for i := range replicas {
		replicas[i] = &s.Status.ReplicaStatuses[i]
	}
	return restarts(now, replicas...)
}

// restarts is the sum over replicas, with the time since the latest.
func restarts(now time.Time, replicas ...*Replica) string {
	var count int64
	var last time.Time
	for _, r := range replicas {
		count += r.Restarts
		if r.LastExit != nil && r.LastExit.At.After(last) {
			last = r.LastExit.At
		}
	}
	if count == 0 || last.IsZero() {
		return strconv.FormatInt(count, 10)
	}
	return fmt.Sprintf("%d (%s ago)", count, Age(now.Sub(last)))
}

func age(since, now time.Time) string {
	if since.IsZero() {
		return none
	}
	return Age(now.Sub(since))
}

func (s *Service) pids() string {
	var pids []string
	for i := range s.Status.ReplicaStatuses {
		if pid := s.Status.ReplicaStatuses[i].Pid; pid != 0 {
			pids = append(pids, strconv.Itoa(int(pid)))
		}
	}
	if more := len(pids) - maxPids; more > 0 {
		pids = append(pids[:maxPids], fmt.Sprintf("+%d", more))
	}
	return or(strings.Join(pids, ","))
}

func (s *Service) file() string {
	if s.Status.File == "" {
		return none
	}
	return place(s.Status.File, s.Status.Line, 0)
}

func or(text string) string {
	if text == "" {
		return none
	}
	return text
}

// Table aligns columns as kubectl does: three blanks between them. What was flushed
// stays as it is; later rows keep its columns, and make them wider where they must.
type Table struct {
	w      io.Writer
	gap    int
	widths []int
	rows   [][]string
}

// minColumn is the width of a narrow column with its blanks.
const minColumn = 6

// NewTable returns a table that is written to w.
func NewTable(w io.Writer) *Table { return &Table{w: w, gap: 3} }

func newTable(w io.Writer) *Table { return NewTable(w) }

func (t *Table) row(cells ...string) { t.Row(cells...) }
func (t *Table) flush() error        { return t.Flush() }

var oneLine = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ", "\f", " ", "\v", " ")

// plain reports whether a cell is shown as it is, a column for each byte.
func plain(cell string) bool {
	for i := range len(cell) {
		if cell[i] < ' ' || cell[i] > '~' {
			return false
		}
	}
	return true
}

// Row adds one line; a tab or a line's end within a cell becomes a blank, and what a
// terminal would obey is Shown. The cells are the table's.
func (t *Table) Row(cells ...string) {
	for i, cell := range cells {
		if !plain(cell) {
			cells[i] = Shown(oneLine.Replace(cell))
		}
		if i == len(t.widths) {
			t.widths = append(t.widths, minColumn)
		}
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cells[i])+t.gap)
	}
	t.rows = append(t.rows, cells)
}

// Flush writes the rows since the last time.
func (t *Table) Flush() error {
	var out strings.Builder
	line := 1
	for _, width := range t.widths {
		line += width
	}
	out.Grow(line * len(t.rows))
	for _, row := range t.rows {
		for i, cell := range row {
			out.WriteString(cell)
			if i < len(row)-1 {
				out.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)))
			}
		}
		out.WriteString("\n")
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.w, out.String())
	return err
}
