package reconciler

import (
	"syscall"
	"time"

	"svc.d/spec"
)

// EventKind says what happened.
type EventKind uint8

// What the host saw.
const (
	// EventStarted: the process runs its program (execve succeeded). Pid and
	// StartTicks are set.
	EventStarted EventKind = iota + 1
	// EventStartFailed: nothing was started. Failure is set.
	EventStartFailed
	// EventExited: the main process has ended. Exit is set; Processes are the
	// survivors of its group (the first few of them, when they are many).
	EventExited
	// EventEmptied: the last survivor is gone.
	EventEmptied
	// EventChecked: Service was checked; Failure is nil when it can start.
	EventChecked
	// EventInspected: Processes are what lives in the group (the first few).
	EventInspected
	// EventForgotten: the host keeps nothing of the replica any more.
	EventForgotten
	// EventHookEnded: Hook has ended; Failure is nil when it has succeeded. Its reason
	// is ReasonMainEnded when the hook was ended, or not begun, because the main process
	// had ended: that is no failure of the hook.
	EventHookEnded
	// EventReleased: what the main process left, Processes (the first few), lives
	// outside of the group; or Failure says why not.
	EventReleased
	// EventNotified: a process of the group told of itself; Notice is set. Pid and
	// StartTicks are set when there is another main process from now on.
	EventNotified
	// EventLineSeen: a line of the output matched readyLogLine.
	EventLineSeen
	// EventProbed: Probe has ended; Failure is nil when it has succeeded. It comes
	// from a Prober.
	EventProbed
)

// What the loop did; the fact is observed when the deed is done.
const (
	// EventStartTaken: the host has accepted to start the replica from Service.
	EventStartTaken EventKind = iota + 64
	// EventSignalled: the stop signal was sent to the main process for Cause.
	EventSignalled
	// EventGroupSignalled: the stop signal was sent to what the main process
	// left behind.
	EventGroupSignalled
	// EventKilled: the whole group was sent SIGKILL for Cause.
	EventKilled
	// EventCheckTaken: the host has accepted to check Service.
	EventCheckTaken
	// EventInspectTaken: the host has accepted to inspect the replica.
	EventInspectTaken
	// EventForgetTaken: the host has accepted to forget the replica.
	EventForgetTaken
	// EventHookTaken: the host has accepted to run Hook, as question Run. Cause is
	// why the run is to end, for HookPreStop; Files is a digest of what a reload is
	// about.
	EventHookTaken
	// EventReleaseTaken: the host has accepted to let live what is left.
	EventReleaseTaken
	// EventProbeTaken: the prober has accepted Probe, as question Run.
	EventProbeTaken
	// EventReloaded: the main process was sent the signal to load Files.
	EventReloaded
)

// What somebody wants.
const (
	// EventDeclared: Service is now wanted; nil when it is not any more.
	EventDeclared EventKind = iota + 128
	// EventFound: something lives in the replica's group that no record of
	// ours explains: left over from a daemon that died.
	EventFound
	// EventUnclear: something lives in the replica's group for which there is a
	// record that cannot be read, so nobody can tell what it is.
	EventUnclear
	// EventStop, EventStart and EventRestart: a person (By) asked. Until is
	// the end of a stop, zero for none.
	EventStop
	EventStart
	EventRestart
	// EventReload: a person asked for a reload.
	EventReload
	// EventDependency: Dependency is how another service is that this one needs.
	EventDependency
	// EventDependents: Names are the first of those that are being ended too and must
	// end before it.
	EventDependents
	// EventContents: EnvFiles, Files and Usable are what the files mean now that the
	// manifest names (see Bonds).
	EventContents
	// EventShutdown: everything is to stop, in order.
	EventShutdown
	// EventShutdownNow: everything is to be killed.
	EventShutdownNow
)

// Event is something that happened. Which fields are set is said at the kinds.
// Events are values; what they point to is never written again.
type Event struct {
	Kind    EventKind
	Replica ReplicaID
	// Run tells which run, or which question, the event belongs to.
	Run uint64
	// At is when the loop received it. The host leaves it zero: only the loop
	// reads the clock.
	At time.Time

	Pid        int32
	StartTicks uint64 // start time in clock ticks since boot, field 22 of /proc/PID/stat
	Exit       Exit
	Processes  []Process
	Failure    *Failure
	Service    *spec.Service
	Init       int32 // see Work
	Hook       Hook
	Probe      ProbeKind
	Notice     *Notice
	// EnvFiles, of Started, is a digest of what the files of envFrom meant
	// (spec.Spec.EnvFilesDigest).
	EnvFiles   string
	Files      string // a digest of the content of reload.files
	Usable     bool   // of Contents: a start can use each file of envFrom
	Dependency *Dependency
	Names      []string
	Cause      Cause
	Signal     syscall.Signal
	By         string
	Until      time.Time
}

// Cause is why a process was asked to end.
type Cause uint8

// The causes.
const (
	CauseNone         Cause = iota
	CauseEdited             // a restart-class field of its manifest changed
	CauseRemoved            // no manifest declares it any more
	CauseScaled             // replicas was lowered
	CauseStopped            // a person stopped it
	CauseRestarted          // a person asked for a restart
	CauseShutdown           // the daemon shuts down
	CauseMainEnded          // the main process ended and left these behind
	CauseLeftOver           // a daemon that died left these behind
	CauseUnclear            // a daemon that died left these behind, with a record that cannot be read
	CauseEnvFiles           // a file of envFrom means something else
	CauseDependency         // a dependency was restarted
	CausePostStart          // its postStart hook failed
	CauseNotStartedUp       // its startup probe failed
	CauseUnhealthy          // its liveness probe failed
	CauseWatchdog           // it did not feed its watchdog
)

// failed reports whether a process was ended because it did not work: that counts
// as an end that nobody asked for.
func (c Cause) failed() bool {
	switch c {
	case CausePostStart, CauseNotStartedUp, CauseUnhealthy, CauseWatchdog:
		return true
	case CauseNone, CauseEdited, CauseRemoved, CauseScaled, CauseStopped, CauseRestarted, CauseShutdown, CauseMainEnded,
		CauseLeftOver, CauseUnclear, CauseEnvFiles, CauseDependency:
	}
	return false
}

// replaces reports whether the process was ended for a successor that was checked.
func (c Cause) replaces() bool {
	switch c {
	case CauseEdited, CauseRestarted, CauseEnvFiles, CauseDependency:
		return true
	case CauseNone, CauseRemoved, CauseScaled, CauseStopped, CauseShutdown, CauseMainEnded, CauseLeftOver, CauseUnclear,
		CausePostStart, CauseNotStartedUp, CauseUnhealthy, CauseWatchdog:
	}
	return false
}

// causeNames are how causes are written down; they may not change.
var causeNames = [...]string{
	CauseNone: "", CauseEdited: "Edited", CauseRemoved: "Removed", CauseScaled: "Scaled", CauseStopped: "Stopped",
	CauseRestarted: "Restarted", CauseShutdown: "Shutdown", CauseMainEnded: "MainEnded", CauseLeftOver: "LeftOver",
	CauseUnclear: "Unclear", CauseEnvFiles: "EnvFiles", CauseDependency: "Dependency", CausePostStart: "PostStart",
	CauseNotStartedUp: "NotStartedUp", CauseUnhealthy: "Unhealthy", CauseWatchdog: "Watchdog",
}

// String is the name of the cause; empty for none.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "Unknown"
}

// CauseNamed is the inverse of String. A name that is not known, of a later
// version perhaps, is none: then somebody asked, and it is not known why.
func CauseNamed(name string) Cause {
	for c, known := range causeNames {
		if known == name {
			return Cause(c)
		}
	}
	return CauseNone
}

// ofReplica reports whether an event concerns one replica.
func (k EventKind) ofReplica() bool {
	switch k {
	case EventStarted, EventStartFailed, EventExited, EventEmptied, EventInspected, EventForgotten,
		EventHookEnded, EventReleased, EventNotified, EventLineSeen, EventProbed,
		EventStartTaken, EventSignalled, EventGroupSignalled, EventKilled, EventInspectTaken, EventForgetTaken,
		EventHookTaken, EventReleaseTaken, EventProbeTaken, EventReloaded, EventFound, EventUnclear:
		return true
	case EventChecked, EventCheckTaken, EventDeclared, EventStop, EventStart, EventRestart, EventReload,
		EventDependency, EventDependents, EventContents, EventShutdown, EventShutdownNow:
		return false
	}
	return false
}
