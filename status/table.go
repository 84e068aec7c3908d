package status

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// none stands where there is nothing to show, as in kubectl.
const none = "<none>"

// maxPids is how many process ids a cell of the table shows before it counts.
const maxPids = 4

// WriteTable writes the services as kubectl would, one a line. wide adds
// columns. Ages are counted to now.
func WriteTable(w io.Writer, services []Service, now time.Time, wide bool) error {
	t := newTable(w)
	header := []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if wide {
		header = append(header, "PIDS", "REASON", "FILE", "MESSAGE")
	}
	t.row(header...)
	for i := range services {
		s := &services[i]
		cells := []string{s.Metadata.Name, s.ready(), s.Shown(), s.restarts(now), s.age(now)}
		if wide {
			cells = append(cells, s.pids(), or(s.Status.Reason), s.file(), or(s.Status.Message))
		}
		t.row(cells...)
	}
	return t.flush()
}

// WriteNames writes one "service.svc.d/NAME" a line, which every command takes
// as a name.
func WriteNames(w io.Writer, services []Service) error {
	for i := range services {
		if _, err := fmt.Fprintln(w, NamePrefix+services[i].Metadata.Name); err != nil {
			return err
		}
	}
	return nil
}

// NamePrefix is what `-o name` puts before a service's name.
const NamePrefix = "service.svc.d/"

// Shown is what sums up a service in a column: its phase, and the reason where
// that tells more, as nodes have it ("Ready,SchedulingDisabled"). For what is
// pending the reason is enough, as for a pod's "ContainerCreating".
func (s *Service) Shown() string {
	phase, reason := s.Status.Phase, s.Status.Reason
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

// restarts is the sum over the replicas, with the time since the latest.
func (s *Service) restarts(now time.Time) string {
	var count int64
	var last time.Time
	for i := range s.Status.ReplicaStatuses {
		r := &s.Status.ReplicaStatuses[i]
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

func (s *Service) age(now time.Time) string {
	if s.Metadata.CreationTimestamp.IsZero() {
		return none
	}
	return Age(now.Sub(s.Metadata.CreationTimestamp))
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

// table aligns columns with three blanks between them, as kubectl does.
type table struct {
	tw *tabwriter.Writer
}

func newTable(w io.Writer) table {
	return table{tabwriter.NewWriter(w, 6, 4, 3, ' ', 0)}
}

// row writes one line; a tab or a line's end within a cell becomes a blank.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ", "\f", " ", "\v", " ").Replace(cell)
	}
	fmt.Fprintln(t.tw, strings.Join(cells, "\t"))
}

func (t table) flush() error { return t.tw.Flush() }
