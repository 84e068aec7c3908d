package status

import (
	"fmt"
	"strings"
)

// maxNames is how many replicas are named before they are counted.
const maxNames = 3

// group are replicas that are in the same phase for the same reason; the first
// stands for all.
type group []*Replica

func (g group) names() string {
	var names []string
	for _, r := range g[:min(len(g), maxNames)] {
		names = append(names, r.Name)
	}
	if more := len(g) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

// groups sorts replicas by how they are, the worst first. An ordinal from 0 chooses
// that one alone.
func (s *Service) groups(ordinal int32) []group {
	var all []group
	for i := range s.Status.ReplicaStatuses {
		r := &s.Status.ReplicaStatuses[i]
		if ordinal >= 0 && r.Ordinal != ordinal {
			continue
		}
		n := 0
		for n < len(all) && !all[n][0].alike(r) {
			n++
		}
		if n == len(all) {
			all = append(all, nil)
		}
		all[n] = append(all[n], r)
	}
	return worstFirst(all, func(g group) int { return g[0].weight() })
}

func (r *Replica) alike(o *Replica) bool {
	return o.Phase == r.Phase && o.Reason == r.Reason && o.Ready == r.Ready && o.about() == r.about()
}

// about tells a message from others of the same reason. What has ended in another
// way, or after another time, is not of another kind.
func (r *Replica) about() string {
	if r.Phase == PhaseCrashLoopBackOff || r.Phase == PhaseTerminating {
		return ""
	}
	return r.Message
}

// worstFirst puts the heaviest first and leaves the order of equals. It sorts by
// inserting, since slices.SortStableFunc is five kilobytes of code for each type and
// there are few weights.
func worstFirst[T any](list []T, weight func(T) int) []T {
	for n := 1; n < len(list); n++ {
		for i := n; i > 0 && weight(list[i]) > weight(list[i-1]); i-- {
			list[i], list[i-1] = list[i-1], list[i]
		}
	}
	return list
}

// weight orders replicas: the worst first, and of one phase by rank.
func (r *Replica) weight() int { return 10*r.Phase.Severity() + r.rank() }

// rank orders replicas of one phase: what has caused the trouble of others comes
// before who merely has to wait.
func (r *Replica) rank() int {
	switch r.Reason {
	case "":
		return 0
	case "ReplacementPending", "ReplacementHalted", "ProgressDeadlineExceeded", "DependencyUnmet", "Queued":
		return 1
	default:
		return 2
	}
}

// observed is how the replicas are, in a line.
func (g group) observed(c *Case) string {
	r := g[0]
	text := g.names() + ": " + r.shown()
	since := r.Since
	switch {
	case r.Ready && r.Reason == "":
		text, since = text+", ready", r.ReadySince
	case r.Ready:
		text += ", ready"
	}
	if !since.IsZero() {
		text += " since " + moment(since, c.Now)
	}
	if len(g) == 1 && r.Pid != 0 {
		text += fmt.Sprintf(", pid %d", r.Pid)
	}
	if len(g) == 1 && r.Restarts > 0 {
		text += ", restarted " + plural(int(r.Restarts), "time")
	}
	if len(g) == 1 && r.Status != "" {
		text += ", says " + printable(r.Status)
	}
	return text
}
