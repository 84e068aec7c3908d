package status

import (
	"fmt"
	"strings"
	"time"
)

// nextOf is what happens next to a service, and when. Of a chain it is also what
// happens to its root.
func (c *Case) nextOf(v *Service, groups []group) []string {
	var lines []string
	if h := v.Status.Held; h != nil && v.Status.Replicas == 0 {
		return []string{heldNext(v.Metadata.Name, h, c.Now)}
	}
	for _, g := range groups[:min(len(groups), maxGroups)] {
		if g[0].Reason == "" {
			continue
		}
		links := c.links(v, g[0])
		for n := len(links) - 1; n >= 0; n-- {
			if n > 0 && strings.HasSuffix(links[n-1].replica.Message, overAlready) {
				continue // it has done what it is there for
			}
			lines = append(lines, c.nextOfLink(links, n))
		}
	}
	if lines = distinct(lines); len(lines) == 0 {
		return []string{c.calm(v)}
	}
	return lines
}

// calm is what comes next when nothing is the matter with replicas.
func (c *Case) calm(v *Service) string {
	problems := c.problems(v)
	switch {
	case len(problems) > 0:
		return "nothing until " + printable(problems[0].File) + " changes: it is read as soon as it does"
	case len(v.Spec) == 0:
		return "its end"
	case v.Status.Reason == "ReplicasZero":
		return "nothing until its manifest says replicas: 1 or more"
	case c.pruneHeld():
		return prune
	default:
		return "nothing until its manifest changes, or a process of it ends"
	}
}

const prune = "nothing until the files are back, or `reconciler prune --confirm`"

// pruneHeld tells whether a removal waits for a person.
func (c *Case) pruneHeld() bool {
	for i := range c.Daemon.Conditions {
		if k := &c.Daemon.Conditions[i]; k.Type == "PruneHeld" && k.Status == "True" {
			return true
		}
	}
	return false
}

func heldNext(name string, h *Held, now time.Time) string {
	if h.Until.IsZero() {
		return "nothing until `reconciler start " + name + "`"
	}
	return moment(h.Until, now) + ": " + name + " starts again; `reconciler start " + name + "` does it now"
}

// nextOfLink is what happens next to one service of a chain.
func (c *Case) nextOfLink(links []link, n int) string {
	l := links[n]
	switch {
	case l.service == nil:
		return "nothing until a manifest declares " + l.name
	case n > 0 && l.service.Status.Held != nil:
		return heldNext(l.name, l.service.Status.Held, c.Now)
	case l.replica == nil:
		return "nothing until the manifest of " + l.name + " says replicas: 1 or more"
	case n+1 < len(links) && links[n+1].service == nil:
		return "" // nothing until somebody declares it
	case n+1 < len(links) && l.service.waitsFor(l.replica) != "":
		if strings.HasSuffix(l.replica.Message, overAlready) {
			return "nothing until dependsOn in the manifest of " + l.name + " says condition: Completed"
		}
		what, _, _ := strings.Cut(strings.TrimPrefix(l.replica.Message, "waits for "), ", which ")
		text := l.replica.Name + " starts as soon as " + strings.ReplaceAll(what, " to be ", " is ")
		if len(c.further(l.service, l.service.waitsFor(l.replica))) > 0 {
			text += ", and what else it needs is there"
		}
		return text
	default:
		return c.nextOfReplica(l.service, l.replica)
	}
}

// overAlready is how the engine ends the sentence of one that waits in vain.
const overAlready = ", which has completed; did you mean condition: Completed?"

// nextOfReplica is what happens next to a replica, and when.
func (c *Case) nextOfReplica(v *Service, r *Replica) string {
	w := v.want()
	at := moment(r.Next, c.Now) + ": "
	again := "`reconciler restart " + r.Name + "`"
	switch r.Phase {
	case PhaseTerminating:
		return c.nextOfEnding(r, at)
	case PhaseCompleted:
		return "nothing: it has done its work; " + again + " or an edit of its manifest has it run again"
	case PhaseFailed:
		return "nothing until " + again + " or an edit of its manifest"
	case PhaseHeld:
		if r.Reason == "RecordUnreadable" {
			return "nothing until " + again + ", or its manifest is removed"
		}
		return c.calm(v)
	case PhaseRunning:
		return c.nextOfRunning(v, w, r, at)
	case PhasePending, PhaseCrashLoopBackOff:
	}
	switch {
	case r.Reason == "Initializing":
		return r.Name + " goes on when its init command " + r.Init + " has ended"
	case r.Reason == "PostStop":
		return r.Name + " starts when its postStop hook has ended"
	case !r.Next.IsZero():
		return fmt.Sprintf("%s%s is started again, after a back-off of %s; %s does it now", at, r.Name, r.Next.Sub(r.Since).Round(100*time.Millisecond), again)
	case r.Reason == "DependencyUnmet":
		return r.Name + " starts as soon as what it waits for is there"
	default:
		return r.Name + " starts at once"
	}
}

// nextOfEnding is what happens next to a replica that is ending.
func (c *Case) nextOfEnding(r *Replica, at string) string {
	switch {
	case r.Reason == "Stuck":
		return at + r.Name + " is killed again; what waits in the kernel ends when that lets it go, and nothing is started beside it"
	case r.Reason == "DependentsStopping":
		return r.Name + " is told to end when those have ended that depend on it"
	case r.Next.IsZero():
		return r.Name + " ends at once"
	case strings.HasPrefix(r.Message, "runs its preStop hook"):
		return at + r.Name + " is sent the stop signal, or as soon as its preStop hook has ended"
	case strings.HasPrefix(r.Message, "was killed"), r.Reason == "MainProcessEnded", r.Reason == "LeftOver":
		return at + "it is looked why " + r.Name + " is not gone, and killed again"
	default:
		return at + "SIGKILL for all processes of " + r.Name + " that are left"
	}
}

// nextOfRunning is what happens next to a replica that runs and is not as declared.
func (c *Case) nextOfRunning(v *Service, w *wanted, r *Replica, at string) string {
	if p := w.probe(r.Reason); p != nil {
		return fmt.Sprintf("its probe is made every %ds; %s is ready when it succeeds%s", p.PeriodSeconds, r.Name, times(p.SuccessThreshold))
	}
	switch r.Reason {
	case "NotNotified":
		return "nothing until it tells READY=1"
	case "NoReadyLine":
		return "nothing until a line of its output matches"
	case "PostStart":
		return r.Name + " is ready when its postStart hook has ended with success"
	case "ReplacementBlocked":
		if r.Next.IsZero() {
			return "the check of its successor is made again at once"
		}
		return at + "it is checked again whether its successor can start; " + r.Name + " runs on until it can"
	case "ReplacementPending":
		return c.nextOfReplacement(v, r, at)
	case "ReplacementHalted", "ProgressDeadlineExceeded":
		if !r.Next.IsZero() {
			return at + "the replacement goes on, if those run on that were replaced already"
		}
		return "no other replica is replaced until those work that were replaced already, or the manifest changes"
	default:
		return c.calm(v)
	}
}

func times(n int32) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf(" %d times in a row", n)
}

// nextOfReplacement says which replica is replaced next, and what it waits for.
func (c *Case) nextOfReplacement(v *Service, r *Replica, at string) string {
	first := ""
	for i := range v.Status.ReplicaStatuses {
		if o := &v.Status.ReplicaStatuses[i]; first == "" && o.Pid != 0 && o.Updated && !o.Ready {
			first = o.Name
		}
	}
	switch {
	case first != "" && !r.Next.IsZero():
		return fmt.Sprintf("%s is replaced when %s is ready; %sthe replacement halts, if it is not by then (progressDeadlineSeconds)", r.Name, first, at)
	case !r.Next.IsZero():
		return at + r.Name + " is replaced (minReadySeconds)"
	default:
		return r.Name + " is replaced when its turn comes"
	}
}
