package reconciler

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"svc.d/spec"
)

// Host is the machine as the loop needs it. The real one is package host, the
// simulated one package hosttest; both pass the same conformance suite.
//
// What a Host guarantees:
//   - Work is answered by exactly one event that carries the work's Replica and
//     Run; Start is answered by Started or StartFailed. Different replicas'
//     work may be answered in any order.
//   - After Started comes exactly one Exited with the same Run, when the main
//     process has ended. If Exited says that processes are left, exactly one
//     Emptied follows when the last of them is gone; if it does not, nothing
//     of the run is left and Emptied is not sent.
//   - A host is opened with the records of an earlier loop, and goes on as if it
//     had started what they tell of. For a record of a run that had started and
//     not ended, exactly one Exited with its Run comes when the main process
//     ends, or at once when that one does not live any more; how it ended may be
//     unknown. For a record of a run that had ended and left something, exactly
//     one Emptied with its Run comes when nothing is left, or at once.
//   - What else lives in the group of such a run counts as left by it, also a
//     later run of which no record was kept.
//   - For each other replica in whose group something lives (Config.Found: no
//     record, or one of a run that is over or was not yet answered;
//     Config.Unclear: a record that cannot be read), exactly one Emptied with
//     Run 0 comes when it is gone.
//   - Opening signals nobody, and forgets a replica of which there is no record
//     and in whose group nothing lives.
//   - A Start for a replica in whose group something lives fails; it never
//     runs beside it.
//   - What runs for a hook or a probe is of the replica's group, but Exited does
//     not name it: it is ended with the main process.
//   - What a hook or a probe of a daemon that died left running is ended when a
//     host is opened, and not answered.
//   - Notified and LineSeen carry the Run that they are of. They come after
//     Started and not after the run's end.
//   - Signal and Kill never reach a process outside the replica's group.
type Host interface {
	// Work is where the loop offers work; receiving is accepting. The host
	// receives only when a worker is free, so work that is still only offered
	// can be withdrawn.
	Work() chan<- Work
	// Events delivers what happened, in order per replica. The loop must keep
	// receiving: the host may block on it.
	Events() <-chan Event
	// Signal sends sig to the main process (ScopeMain) or to every process of
	// the replica's group (ScopeGroup). It does not block. A group in which
	// nothing lives is no error. Safe for use by the loop only.
	Signal(id ReplicaID, sig syscall.Signal, scope Scope) error
	// Kill ends everything in the replica's group with SIGKILL. It does not
	// wait for the end, which comes as Exited or Emptied, or as StartFailed when
	// the start was still under way; a start that hangs before there is a
	// process goes on. A group in which nothing lives is no error. Safe for use by the loop only.
	Kill(id ReplicaID) error
}

// Pauser is a Host that can stand still for a handover.
type Pauser interface {
	// Pause has the host deliver what it is about to deliver and nothing more;
	// the answer is closed then. What happens from then on is not lost: it is
	// told after Resume, or to the host of the process image that takes over.
	Pause() <-chan struct{}
	// Resume ends a pause.
	Resume()
}

// ReplicaID names one replica of a service; it is shown as "web-0".
type ReplicaID struct {
	Service string
	Ordinal int32
}

// String returns the service's name, a hyphen and the ordinal.
func (id ReplicaID) String() string {
	return id.Service + "-" + strconv.Itoa(int(id.Ordinal))
}

// ParseReplicaID is the inverse of String.
func ParseReplicaID(name string) (ReplicaID, bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return ReplicaID{}, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	id := ReplicaID{Service: name[:i], Ordinal: int32(n)}
	return id, err == nil && n >= 0 && id.String() == name
}

// Scope says whom a signal is for.
type Scope uint8

const (
	// ScopeMain is the main process alone; when that has ended and the others
	// carry on (spec.LifetimeGroup), the one of them whose parent is none of them,
	// or all when there is not exactly one, as systemd guesses a main process.
	ScopeMain Scope = iota
	// ScopeGroup is every process of the replica's group.
	ScopeGroup
)

// Verb is a kind of Work.
type Verb uint8

const (
	// VerbStart starts the replica's main process; answered by Started or
	// StartFailed.
	VerbStart Verb = iota + 1
	// VerbCheck looks, without starting anything, whether Service could be
	// started: command, user, groups, workingDir and envFrom files resolve.
	// Answered by Checked.
	VerbCheck
	// VerbInspect lists what lives in the replica's group; answered by
	// Inspected.
	VerbInspect
	// VerbForget drops what the host keeps for a replica in whose group
	// nothing lives (the cgroup's directory); answered by Forgotten.
	VerbForget
	// VerbHook runs a command of the service beside its processes, or after them;
	// answered by HookEnded when the command has ended. See Hook.
	VerbHook
	// VerbRelease takes what a main process that has ended left behind out of the
	// replica's group and lets it live; answered by Released. When nothing failed,
	// Emptied follows.
	VerbRelease
)

// Work is something that may take long and is done off the loop.
type Work struct {
	Verb    Verb
	Replica ReplicaID
	// Run is the number that the answer carries: a late answer to an earlier
	// question is told by it. For Start it is the number of the run, which
	// Exited and Emptied carry too.
	Run uint64
	// Service is what to start or check, or whose hook is to run; nil otherwise.
	Service *spec.Service
	// Init is, for Start, the number in Service's init, from 1, of the command that
	// runs as the main process; 0 is the main program.
	Init int32
	// Hook is what to run, for Hook.
	Hook Hook
	// Env is added to the hook's environment.
	Env []spec.EnvVar
	// Timeout ends the hook; 0 is never.
	Timeout time.Duration
	// Cause is why a run is to end, for PreStop. It is the loop's own.
	Cause Cause
}

// Hook is a command of a service that is not its main process. It runs in the
// service's environment, as its user, in a sub-group of the replica's group, with
// MAINPID in its environment while there is a main process. At its end, whatever
// it left in its sub-group is killed. One at a time runs for a replica: who takes a
// hook ends the one before, which is then not answered. The end of the main process
// ends each hook but PostStop, answered as a failure; so does Kill.
//
// The output of PostStart, PreStop, PostStop and Reload goes to the log of the
// replica; that of ReloadCheck into the answer.
type Hook uint8

// The hooks.
const (
	HookNone        Hook = iota
	HookPostStart        // lifecycle.postStart, after the start of the main program
	HookPreStop          // lifecycle.preStop, before the stop signal
	HookPostStop         // lifecycle.postStop, when nothing of the run is left
	HookReloadCheck      // reload.check
	HookReload           // reload.exec
)

// Command is what the hook of a service runs; nil when it has none.
func (h Hook) Command(s *spec.Spec) []string {
	handler := func(h *spec.Handler) []string {
		if h == nil || h.Exec == nil {
			return nil
		}
		return h.Exec.Command
	}
	switch h {
	case HookPostStart:
		return handler(s.Lifecycle.PostStart)
	case HookPreStop:
		return handler(s.Lifecycle.PreStop)
	case HookPostStop:
		return handler(s.Lifecycle.PostStop)
	case HookReloadCheck:
		if s.Reload != nil && s.Reload.Check != nil {
			return s.Reload.Check.Command
		}
	case HookReload:
		if s.Reload != nil && s.Reload.Exec != nil {
			return s.Reload.Exec.Command
		}
	case HookNone:
	}
	return nil
}

// String is the hook's field in a manifest.
func (h Hook) String() string {
	switch h {
	case HookPostStart:
		return "lifecycle.postStart"
	case HookPreStop:
		return "lifecycle.preStop"
	case HookPostStop:
		return "lifecycle.postStop"
	case HookReloadCheck:
		return "reload.check"
	case HookReload:
		return "reload.exec"
	case HookNone:
	}
	return ""
}

// Exit is how a main process ended.
type Exit struct {
	// Code is the exit code, 0 to 255; meaningless when Signal is not 0.
	Code int32
	// Signal is the signal that ended it, or 0.
	Signal syscall.Signal
	// Unknown says that the kernel could not tell how it ended.
	Unknown bool
	// CoreDumped says that a core was written (waitid(2), CLD_DUMPED).
	CoreDumped bool
}

// Status is the exit status as a shell shows it: the code, or 128 plus the
// number of the signal. -1 when it is not known.
func (e Exit) Status() int32 {
	switch {
	case e.Unknown:
		return -1
	case e.Signal != 0:
		return 128 + int32(e.Signal)
	default:
		return e.Code
	}
}

// Words say how it ended, as people are told: "exited with code 3", "was killed by SIGKILL".
func (e Exit) Words() string { return e.words("") }

// words are Words with how long it ran, such as " after 3s".
func (e Exit) words(after string) string {
	switch {
	case e.Unknown:
		return "ended" + after + ", it is not known how"
	case e.Signal != 0 && e.CoreDumped:
		return "was killed by " + string(spec.SignalOf(e.Signal)) + after + " (core dumped)"
	case e.Signal != 0:
		return "was killed by " + string(spec.SignalOf(e.Signal)) + after
	default:
		return "exited with code " + strconv.Itoa(int(e.Code)) + after
	}
}

// Process is a process as seen in /proc.
type Process struct {
	Pid int32 `json:"pid"`
	// Name is the command's name (comm), at most 15 bytes.
	Name string `json:"name"`
	// State is the letter of proc(5), e.g. "D".
	State string `json:"state,omitempty"`
	// WaitChannel is the kernel function that it sleeps in, if known.
	WaitChannel string `json:"waitChannel,omitempty"`
}

// Failure says why something could not be done.
type Failure struct {
	// Reason is one CamelCase word from the documented list of reasons.
	Reason Reason
	// Message is a sentence for people that starts with "cannot".
	Message string
	// Hidden is what of Message only those may see who may do everything: what a
	// program has printed, or what was made of values of variables. Empty: nothing.
	Hidden string
}
