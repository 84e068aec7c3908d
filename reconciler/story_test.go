package reconciler

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"svc.d/spec"
)

// epoch is when every story begins.
var epoch = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// story builds facts from events, as the loop would, at times of its own.
type story struct {
	want  *spec.Service
	facts Facts
	now   time.Time
	runs  uint64
}

// service returns a manifest with defaults, changed by edits.
func service(edits ...func(*spec.Spec)) *spec.Service {
	s := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService}
	s.Metadata.Name = "web"
	s.Source = spec.Source{File: "web.yaml", Document: 1, Line: 1}
	s.Spec = spec.Defaults()
	s.Spec.Command = []string{"/usr/bin/web"}
	for _, edit := range edits {
		edit(&s.Spec)
	}
	return s
}

func tell(want *spec.Service) *story {
	s := &story{facts: Facts{Name: "web"}, now: epoch}
	return s.declare(want)
}

func (s *story) declare(want *spec.Service) *story {
	s.want = want
	return s.observe(Event{Kind: EventDeclared, Service: want})
}

// after lets time pass.
func (s *story) after(d time.Duration) *story {
	s.now = s.now.Add(d)
	return s
}

func (s *story) observe(e Event) *story {
	s.now = s.now.Add(time.Nanosecond)
	e.At = s.now
	s.facts = ObserveService(s.facts, e)
	if n := s.facts.index(e.Replica.Ordinal); n >= 0 && e.Kind.ofReplica() {
		if e.Run == 0 {
			e.Run = s.facts.Replicas[n].Run
		}
		s.facts.Replicas[n] = Observe(s.facts.Replicas[n], e)
	}
	return s
}

func (s *story) at(ordinal int32, e Event) *story {
	e.Replica = ReplicaID{"web", ordinal}
	return s.observe(e)
}

// next is the number of another run.
func (s *story) next() uint64 {
	s.runs++
	return s.runs
}

// taken, run: the host accepted the start; and the program runs.
func (s *story) taken(ordinal int32) *story {
	s.runs++
	return s.at(ordinal, Event{Kind: EventStartTaken, Service: s.want, Run: s.runs})
}

func (s *story) run(ordinal int32) *story {
	return s.taken(ordinal).at(ordinal, Event{Kind: EventStarted, Pid: 4700 + ordinal})
}

func (s *story) exit(ordinal int32, code int32, left ...Process) *story {
	return s.at(ordinal, Event{Kind: EventExited, Exit: Exit{Code: code}, Processes: left})
}

func (s *story) die(ordinal int32, sig syscall.Signal) *story {
	return s.at(ordinal, Event{Kind: EventExited, Exit: Exit{Signal: sig}})
}

func (s *story) failStart(ordinal int32, reason Reason, message string) *story {
	return s.taken(ordinal).at(ordinal, Event{Kind: EventStartFailed, Failure: &Failure{Reason: reason, Message: message}})
}

func (s *story) checked(f *Failure) *story {
	s.runs++
	s.observe(Event{Kind: EventCheckTaken, Service: s.want, Run: s.runs, Replica: ReplicaID{"web", -1}})
	return s.observe(Event{Kind: EventChecked, Service: s.want, Run: s.runs, Replica: ReplicaID{"web", -1}, Failure: f})
}

// crash ends the daemon; one that comes after it has the records of all
// replicas and nothing else.
func (s *story) crash() *story {
	var kept []Record
	f := s.facts
	for _, i := range f.Replicas {
		kept = append(kept, Record{
			At: s.now, Want: s.want, DeclaredAt: f.DeclaredAt, EditedAt: f.EditedAt, Generation: f.Generation,
			StoppedAt: f.StoppedAt, StoppedUntil: f.StoppedUntil, StoppedBy: f.StoppedBy, Instance: i,
		})
	}
	l := NewLoop(Config{Restored: kept})
	s.want, s.facts, s.runs = l.services["web"].want, l.services["web"].facts, l.runs
	for n := range s.facts.Replicas {
		if l := s.facts.Replicas[n].Life; l != nil {
			l.ResumedAt = s.now // instead of the real time
		}
	}
	return s
}

// gone is an end that no daemon saw.
func (s *story) gone(ordinal int32) *story {
	return s.at(ordinal, Event{Kind: EventExited, Exit: Exit{Unknown: true}})
}

// unclear is what a daemon finds whose record of it cannot be read.
func (s *story) unclear() *story { return s.at(0, Event{Kind: EventUnclear}) }

// act observes what Decide wants done now, as if it was done.
func (s *story) act() *story {
	for range 20 {
		actions, _ := Decide(s.want, &s.facts, s.now, nil)
		if len(actions) == 0 {
			return s
		}
		a := actions[0]
		e := Event{Replica: s.facts.Replicas[a.Index].ID, Cause: a.Cause}
		switch a.Deed {
		case DeedSignal:
			e.Kind = EventSignalled
		case DeedSignalGroup:
			e.Kind = EventGroupSignalled
		case DeedKill:
			e.Kind = EventKilled
		case DeedReload:
			e.Kind, e.Files = EventReloaded, s.facts.files()
		default:
			return s
		}
		s.observe(e)
	}
	panic("Decide does not come to rest")
}

var deedNames = map[Deed]string{
	DeedStart: "start", DeedCheck: "check", DeedSignal: "signal", DeedSignalGroup: "signal group",
	DeedKill: "kill", DeedInspect: "inspect", DeedForget: "forget", DeedDrop: "drop",
	DeedHook: "hook", DeedRelease: "release", DeedReload: "reload signal", DeedProbe: "probe",
}

// tellAll renders the report and the decision with times relative to the
// story's beginning.
func (s *story) tellAll() string {
	var b strings.Builder
	report := Report(s.want, &s.facts, s.now)
	fmt.Fprintf(&b, "service: %s", report.Phase)
	if report.Reason != "" {
		fmt.Fprintf(&b, " %s", report.Reason)
	}
	fmt.Fprintf(&b, "; desired %d running %d ready %d updated %d\n", report.DesiredReplicas, report.Replicas, report.ReadyReplicas, report.UpdatedReplicas)
	for _, r := range report.ReplicaStatuses {
		fmt.Fprintf(&b, "%s: %s", r.Name, r.Phase)
		if r.Reason != "" {
			fmt.Fprintf(&b, " %s: %s", r.Reason, r.Message)
		}
		fmt.Fprintf(&b, "\n  since %s", since(r.Since))
		if !r.Next.IsZero() {
			fmt.Fprintf(&b, ", next at %s", since(r.Next))
		}
		fmt.Fprintf(&b, ", restarts %d\n", r.Restarts)
	}
	for _, c := range report.Conditions {
		fmt.Fprintf(&b, "condition %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	actions, next := Decide(s.want, &s.facts, s.now, nil)
	for _, a := range actions {
		fmt.Fprintf(&b, "do: %s %s", deedNames[a.Deed], s.facts.Replicas[a.Index].ID)
		if a.Deed == DeedHook {
			fmt.Fprintf(&b, " %s", a.Hook)
		}
		if a.Deed == DeedProbe {
			fmt.Fprintf(&b, " %s", a.Probe)
		}
		if r := a.Cause.reason(); r != "" {
			fmt.Fprintf(&b, " (%s)", r)
		}
		b.WriteByte('\n')
	}
	if !next.IsZero() {
		fmt.Fprintf(&b, "ask again at %s\n", since(next))
	}
	return b.String()
}

func since(t time.Time) string {
	if t.IsZero() {
		return "ever"
	}
	return t.Sub(epoch).Round(100 * time.Millisecond).String()
}

// doing lists the deeds that Decide wants now.
func (s *story) doing() []string {
	actions, _ := Decide(s.want, &s.facts, s.now, nil)
	var all []string
	for _, a := range actions {
		all = append(all, deedNames[a.Deed]+" "+s.facts.Replicas[a.Index].ID.String())
	}
	return all
}
