package reconciler

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// Report says how a service is: it takes each replica's verdict, which is what
// Decide acts on, and puts it in words. It is pure. Words depend on the facts
// and not on the time that has passed, so they change only when something did.
func Report(want *spec.Service, f *Facts, now time.Time) status.ServiceStatus {
	s := status.ServiceStatus{ObservedGeneration: f.Generation}
	if want != nil {
		s.File, s.Line = want.Source.File, want.Source.Line
	}
	if f.held(now) {
		s.Held = &status.Held{By: f.StoppedBy, Since: f.StoppedAt, Until: f.StoppedUntil}
	}
	if want != nil && s.Held == nil && f.ShutdownAt.IsZero() {
		s.DesiredReplicas = want.Spec.Replicas
	}
	r := plan(want, f, now)
	worst := -1
	s.Hidden = hidden(f.CheckFailure)
	for n := range f.Replicas {
		v := judge(want, f, n, now, &r)
		one := replica(want, f, n, v)
		if one.Pid != 0 {
			s.Replicas++
			if one.Updated {
				s.UpdatedReplicas++
			}
			if one.Ready {
				s.ReadyReplicas++
				if want != nil && !now.Before(one.ReadySince.Add(minReady(want))) {
					s.AvailableReplicas++
				}
			}
		}
		s.ReplicaStatuses = append(s.ReplicaStatuses, one)
		s.Hidden = append(s.Hidden, one.Hidden...)
		if worst < 0 || worse(one, s.ReplicaStatuses[worst]) {
			worst = n
		}
	}
	if worst >= 0 {
		w := s.ReplicaStatuses[worst]
		s.Phase, s.Reason, s.Message = w.Phase, w.Reason, w.Message
	} else {
		s.Phase, s.Reason = status.PhaseHeld, string(ReasonReplicasZero)
		s.Message = "declared with replicas: 0, so nothing runs"
	}
	s.Conditions = append(usual(want, f, &s, now), conditions(want, f, &r, s.ReplicaStatuses)...)
	return s
}

func minReady(want *spec.Service) time.Duration {
	return time.Duration(want.Spec.MinReadySeconds) * time.Second
}

// worse orders replicas for the one line that sums up a service.
func worse(a, b status.Replica) bool {
	if a.Phase != b.Phase {
		return a.Phase.Severity() > b.Phase.Severity()
	}
	return b.Reason == "" && a.Reason != ""
}

func replica(want *spec.Service, f *Facts, n int, v verdict) status.Replica {
	i := &f.Replicas[n]
	one := status.Replica{
		Name: i.ID.String(), Ordinal: i.ID.Ordinal, Phase: v.phase, Reason: string(v.reason),
		Since: v.since, Next: v.next, Restarts: i.Restarts,
	}
	if i.stage() == stageLive {
		one.Pid, one.Started = i.Pid, i.StartedAt
		if i.Detached() && len(i.Left) > 0 {
			one.Pid = i.Left[0].Pid // as far as anybody knows
		}
		one.Updated = want != nil && i.outdated(want, f) == CauseNone
		one.Status = i.known().Status
		if since, _ := i.ready(); v.phase != status.PhaseTerminating && !since.IsZero() {
			one.Ready, one.ReadySince = true, since
		}
		if i.Init > 0 && int(i.Init) <= len(i.Spec.Spec.Init) {
			one.Init = i.Spec.Spec.Init[i.Init-1].Name
		}
	}
	if !i.Last.EndedAt.IsZero() {
		last := exitOf(i.Last)
		one.LastExit = &last
	}
	if i.Exits != nil {
		for _, e := range *i.Exits {
			one.Exits = append(one.Exits, exitOf(e))
		}
	}
	if v.reason == ReasonStuck || v.reason == ReasonDaemonized || v.reason == ReasonMainEnded {
		for _, p := range i.Left {
			one.Processes = append(one.Processes, status.Process(p))
		}
	}
	one.Message = message(want, f, i, v)
	one.Hidden = append(hidden(f.CheckFailure), i.hidden()...)
	return one
}

func exitOf(e Ended) status.Exit {
	x := status.Exit{Code: e.Exit.Status(), At: e.EndedAt, Started: e.StartedAt, Asked: e.Asked, Message: e.Why}
	if e.Exit.Signal != 0 {
		x.Signal = string(spec.SignalOf(e.Exit.Signal))
	}
	return x
}

// message is the sentence to a reason.
func message(want *spec.Service, f *Facts, i *Instance, v verdict) string {
	switch v.reason {
	case "":
		return ""
	case ReasonQueued:
		return "waits for its turn to start"
	case ReasonStarting:
		return "is being started"
	case ReasonEdited, ReasonRemoved, ReasonScaledDown, ReasonRestartRequested, ReasonShuttingDown, ReasonStopped,
		ReasonEnvFileChanged, ReasonDependencyRestarted:
		return ending(want, f, i, v)
	case ReasonReplicasZero:
		return "declared with replicas: 0"
	case ReasonMainEnded:
		return "its main process " + ended(i) + "; what it left behind is being killed: " + names(i.Left)
	case ReasonLeftOver:
		return "processes that an earlier daemon left are being killed"
	case ReasonRecordUnreadable:
		return "something lives in its group and its record cannot be read, so nobody can tell whether it is this service; " +
			"it is left alone and nothing is started beside it; `reconciler restart " + i.ID.String() + "` or removing its manifest ends it"
	case ReasonStuck:
		return "was killed and does not end: " + names(i.Left)
	case ReasonExited, ReasonDaemonized:
		return afterEnd(i, v, wrong(i))
	case ReasonCompleted:
		return ended(i) + ", which is success; restartPolicy " + string(want.Spec.RestartPolicy) + " does not run it again"
	case ReasonRestartLimitExceeded:
		limit := want.Spec.Backoff.Limit
		return fmt.Sprintf("%s; gave up after %d restarts within %s (backoff.limit); restart it, or edit its process, init, hooks or probes, to try again",
			wrong(i), limit.Restarts, time.Duration(limit.Within))
	case ReasonReplacementPending:
		return turnToCome(want, f, i)
	case ReasonReplacementBlocked:
		return keepsRunning(want, f, i) + f.CheckFailure.Message
	case ReasonReplacementHalted:
		return keepsRunning(want, f, i) + "a replica that was replaced already ended soon after its start"
	default:
		return messageOfLife(want, f, i, v)
	}
}

// messageOfLife is message for what is known beyond processes.
func messageOfLife(want *spec.Service, f *Facts, i *Instance, v verdict) string {
	switch v.reason {
	case ReasonPostStartFailed, ReasonStartupProbeFailed, ReasonUnhealthy, ReasonWatchdog:
		if i.EndedAt.IsZero() {
			return ending(want, f, i, v)
		}
		return afterEnd(i, v, wrong(i))
	case ReasonInitFailed:
		return afterEnd(i, v, wrong(i))
	case ReasonProgressDeadline:
		return fmt.Sprintf("%sa replica that was replaced already did not get ready within %s (progressDeadlineSeconds)", keepsRunning(want, f, i),
			time.Duration(want.Spec.ProgressDeadlineSeconds)*time.Second)
	case ReasonDependencyUnmet, ReasonDependencyUnknown:
		return waiting(want, f)
	case ReasonDependentsStopping:
		return "ends when those have ended that depend on it: " + strings.Join(f.Bonds.Dependents, ", ")
	case ReasonReleasing:
		return "its main process " + ended(i) + "; what it left lives on: " + names(i.Left)
	case ReasonReleaseFailed:
		return "its main process " + ended(i) + " and left " + names(i.Left) + ", which may live on: " + i.known().ReleaseFailure.Message
	default:
		if v.phase == status.PhaseRunning || v.reason == ReasonInitializing || v.reason == ReasonPostStop {
			return i.notReady(v.reason)
		}
		if i.Failure != nil {
			return afterEnd(i, v, i.Failure.Message)
		}
		return ""
	}
}

// ending is the message of a replica that is not to run, or not like this.
func ending(want *spec.Service, f *Facts, i *Instance, v verdict) string {
	why := causeWords[v.reason]
	switch v.reason {
	case ReasonStopped:
		why = "stopped by " + who(f.StoppedBy)
	case ReasonPostStartFailed, ReasonStartupProbeFailed, ReasonUnhealthy, ReasonWatchdog:
		why = i.blamed(v)
	default:
	}
	switch {
	case i.Quiet():
		return why
	case i.StoppingAt.IsZero():
		return "is to end: " + why
	case !i.KilledAt.IsZero():
		return "was killed: " + why
	case !i.signalled():
		return fmt.Sprintf("runs its preStop hook and has %s: %s", i.term(want), why)
	default:
		sig := "the stop signal"
		if want == nil {
			want = i.Spec
		}
		if want != nil {
			sig = string(want.Spec.Lifecycle.StopSignal)
		}
		return fmt.Sprintf("was sent %s and has %s: %s", sig, i.term(want), why)
	}
}

// wrong says what was wrong with a run that did not work.
func wrong(i *Instance) string {
	switch {
	case i.Failure != nil:
		return i.Failure.Message
	case i.Init != 0:
		return "its init command " + initName(i) + " " + ended(i)
	case i.known().Why != "":
		return i.known().Why + "; it " + ended(i)
	case i.daemonized():
		return fmt.Sprintf("%s, leaving %s: it put itself in the background and was killed; run it in the foreground%s, or set lifetime: Group",
			ended(i), names(i.Left), foreground(i))
	default:
		return ended(i)
	}
}

// ended says how the latest run ended.
func ended(i *Instance) string {
	if i.StartedAt.IsZero() {
		return Exit{Unknown: true}.Words()
	}
	ran := i.EndedAt.Sub(i.StartedAt).Round(time.Millisecond)
	if ran >= time.Second {
		ran = ran.Round(time.Second)
	}
	return i.Exit.words(" after " + ran.String())
}

// afterEnd adds what comes next to what has happened.
func afterEnd(i *Instance, v verdict, what string) string {
	if v.next.IsZero() {
		return what
	}
	return fmt.Sprintf("%s; next start after a back-off of %s", what, v.next.Sub(i.EndedAt).Round(100*time.Millisecond))
}

// names lists processes.
func names(left []Process) string {
	if len(left) == 0 {
		return "(none seen)"
	}
	var b strings.Builder
	for n, p := range left {
		if n > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (pid %d", p.Name, p.Pid)
		if p.State != "" {
			b.WriteString(", state " + p.State)
		}
		if p.WaitChannel != "" {
			b.WriteString(", in " + p.WaitChannel)
		}
		b.WriteString(")")
	}
	return b.String()
}

// foregroundSwitches are the words that keep well-known programs from putting
// themselves in the background.
var foregroundSwitches = map[string]string{
	"nginx":             `"-g", "daemon off;"`,
	"redis-server":      `"--daemonize", "no"`,
	"sshd":              `"-D"`,
	"apache2":           `"-DFOREGROUND"`,
	"httpd":             `"-DFOREGROUND"`,
	"cron":              `"-f"`,
	"crond":             `"-n"`,
	"dnsmasq":           `"--keep-in-foreground"`,
	"memcached":         `remove "-d"`,
	"haproxy":           `"-db"`,
	"php-fpm":           `"-F"`,
	"rsyslogd":          `"-n"`,
	"mongod":            `remove "--fork"`,
	"lighttpd":          `"-D"`,
	"chronyd":           `"-d"`,
	"named":             `"-f"`,
	"openvpn":           `remove "--daemon"`,
	"supervisord":       `"-n"`,
	"keepalived":        `"-n"`,
	"stunnel":           `"foreground = yes" in its configuration`,
	"smbd":              `"-F", "--no-process-group"`,
	"slapd":             `"-d", "0"`,
	"proftpd":           `"-n"`,
	"vsftpd":            `"-obackground=NO"`,
	"unbound":           `"-d"`,
	"pg_ctl":            `run "postgres" itself`,
	"pg_ctlcluster":     `"--foreground"`,
	"in.tftpd":          `"--foreground"`,
	"start-stop-daemon": `run the program itself`,
}

// foreground is the hint for a program that is well known.
func foreground(i *Instance) string {
	command := i.Spec.Spec.Command[0]
	name := command[strings.LastIndexByte(command, '/')+1:]
	if hint, ok := foregroundSwitches[name]; ok {
		return fmt.Sprintf(" (for %s: %s)", name, hint)
	}
	return ""
}

// conditions are what people watch for beyond the phase.
func conditions(want *spec.Service, f *Facts, r *rollout, replicas []status.Replica) []status.Condition {
	var all []status.Condition
	add := func(typ string, reason Reason, message string, since time.Time) {
		all = append(all, status.Condition{
			Type: typ, Status: "True", Reason: string(reason), Message: message, LastTransitionTime: since,
		})
	}
	if f.CheckFailure != nil && r.reason == ReasonReplacementBlocked {
		add("ReplacementBlocked", f.CheckFailure.Reason, f.CheckFailure.Message, r.since)
	}
	if n := slices.IndexFunc(replicas, func(s status.Replica) bool { return s.Reason == string(ReasonReplacementHalted) }); n >= 0 {
		add("ReplacementHalted", ReasonReplacementHalted, replicas[n].Message, replicas[n].Since)
	}
	// Of one kind the first says enough.
	first := func(typ string, reason Reason, between string) {
		if n := slices.IndexFunc(replicas, func(s status.Replica) bool { return s.Reason == string(reason) }); n >= 0 {
			add(typ, reason, replicas[n].Name+between+replicas[n].Message, replicas[n].Since)
		}
	}
	beyond(f, add)
	if want != nil && len(want.Spec.DependsOn) > 0 && slices.ContainsFunc(replicas, func(s status.Replica) bool { return s.Pid != 0 }) {
		if unmet := unmetNow(want, f); len(unmet) > 0 {
			add("DependencyUnmet", ReasonDependencyUnmet, strings.Join(unmet, ", ")+"; what runs goes on", time.Time{})
		}
	}
	first("Stuck", ReasonStuck, " ")
	first("RecordUnreadable", ReasonRecordUnreadable, ": ")
	return all
}

// specJSON is a manifest's spec as it is shown. The types marshal always.
func specJSON(want *spec.Service) json.RawMessage {
	b, err := json.Marshal(want.Spec)
	if err != nil {
		panic("cannot marshal a spec: " + err.Error())
	}
	return b
}
