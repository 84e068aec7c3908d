package reconciler

// Reason is one CamelCase word that says why something is as it is. The list
// is closed and documented: people write alerts on it.
type Reason string

// Why a start or a check failed (Failure.Reason).
const (
	ReasonCommandNotFound    Reason = "CommandNotFound"    // no such program, or none in PATH
	ReasonCommandNotRunnable Reason = "CommandNotRunnable" // no execute permission, wrong architecture, broken interpreter line
	ReasonUserNotFound       Reason = "UserNotFound"       // no such user or group
	ReasonPermissionDenied   Reason = "PermissionDenied"   // the daemon may not do this (another user, a higher rlimit)
	ReasonWorkingDirInvalid  Reason = "WorkingDirInvalid"  // missing, or no directory, or not enterable
	ReasonEnvFileInvalid     Reason = "EnvFileInvalid"     // missing, unreadable or malformed
	ReasonResourcesExhausted Reason = "ResourcesExhausted" // EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC
	ReasonGroupOccupied      Reason = "GroupOccupied"      // something lives in the replica's cgroup
	ReasonCgroupRefused      Reason = "CgroupRefused"      // the cgroup could not be made or entered
	ReasonOutputRefused      Reason = "OutputRefused"      // the pipes for its output could not be made
	ReasonDirectoryRefused   Reason = "DirectoryRefused"   // a runtime directory could not be made
	ReasonHookFailed         Reason = "HookFailed"         // a hook could not be run, or ended without success
	ReasonProbeFailed        Reason = "ProbeFailed"        // a probe had no success
	ReasonReleaseFailed      Reason = "ReleaseFailed"      // what lives on could not be moved out of the group
	ReasonStartFailed        Reason = "StartFailed"        // anything else
)

// Why a replica is as it is, beyond a Failure's reasons.
const (
	ReasonQueued               Reason = "Queued"                   // it starts as soon as a worker is free
	ReasonStarting             Reason = "Starting"                 // a worker is starting it
	ReasonEdited               Reason = "Edited"                   // its manifest changed: it is being replaced
	ReasonRemoved              Reason = "Removed"                  // no manifest declares it any more
	ReasonScaledDown           Reason = "ScaledDown"               // replicas was lowered
	ReasonReplicasZero         Reason = "ReplicasZero"             // declared with replicas: 0
	ReasonStopped              Reason = "Stopped"                  // a person stopped it
	ReasonRestartRequested     Reason = "RestartRequested"         // a person asked for a restart
	ReasonShuttingDown         Reason = "ShuttingDown"             // the daemon stops everything
	ReasonMainEnded            Reason = "MainProcessEnded"         // what the main process left is being killed; or a hook was ended with it
	ReasonLeftOver             Reason = "LeftOver"                 // what a daemon that died left is being killed
	ReasonRecordUnreadable     Reason = "RecordUnreadable"         // it is not known what lives in its group: it is left alone
	ReasonStuck                Reason = "Stuck"                    // killed, and something does not go
	ReasonExited               Reason = "Exited"                   // it ended by itself
	ReasonDaemonized           Reason = "Daemonized"               // it put itself in the background
	ReasonCompleted            Reason = "Completed"                // it ended with success and is not to run again
	ReasonRestartLimitExceeded Reason = "RestartLimitExceeded"     // backoff.limit is used up
	ReasonReplacementPending   Reason = "ReplacementPending"       // it will be replaced; others are under way
	ReasonReplacementBlocked   Reason = "ReplacementBlocked"       // its successor could not be started
	ReasonReplacementHalted    Reason = "ReplacementHalted"        // a successor ended soon after its start
	ReasonProgressDeadline     Reason = "ProgressDeadlineExceeded" // a successor did not get ready in time
	ReasonEnvFileChanged       Reason = "EnvFileChanged"           // a file of envFrom means something else: it is being replaced
	ReasonDependencyRestarted  Reason = "DependencyRestarted"      // a dependency was restarted: it is being replaced
	ReasonDependencyUnmet      Reason = "DependencyUnmet"          // it waits for a service that it depends on
	ReasonDependencyUnknown    Reason = "DependencyUnknown"        // it waits for a service that no manifest declares
	ReasonDependentsStopping   Reason = "DependentsStopping"       // it ends when those that depend on it have ended
	ReasonInitializing         Reason = "Initializing"             // an init command runs
	ReasonInitFailed           Reason = "InitFailed"               // an init command ended without success
	ReasonPostStart            Reason = "PostStart"                // its postStart hook runs
	ReasonPostStartFailed      Reason = "PostStartFailed"          // its postStart hook failed
	ReasonPostStop             Reason = "PostStop"                 // its postStop hook runs
	ReasonNotNotified          Reason = "NotNotified"              // it has not told that it is ready
	ReasonNoReadyLine          Reason = "NoReadyLine"              // no line of its output matched readyLogLine yet
	ReasonNotStartedUp         Reason = "NotStartedUp"             // its startup probe has not succeeded yet
	ReasonStartupProbeFailed   Reason = "StartupProbeFailed"       // its startup probe failed
	ReasonUnready              Reason = "Unready"                  // its readiness probe does not succeed
	ReasonUnhealthy            Reason = "Unhealthy"                // its liveness probe failed
	ReasonWatchdog             Reason = "WatchdogExpired"          // it did not feed its watchdog
	ReasonReleasing            Reason = "Releasing"                // what its main process left is taken out of its group and lives on
	ReasonNotRunning           Reason = "NotRunning"               // no process of it runs
)

// reason is the word that people see for a cause.
func (c Cause) reason() Reason {
	switch c {
	case CauseEdited:
		return ReasonEdited
	case CauseRemoved:
		return ReasonRemoved
	case CauseScaled:
		return ReasonScaledDown
	case CauseStopped:
		return ReasonStopped
	case CauseRestarted:
		return ReasonRestartRequested
	case CauseShutdown:
		return ReasonShuttingDown
	case CauseMainEnded:
		return ReasonMainEnded
	case CauseLeftOver:
		return ReasonLeftOver
	case CauseUnclear:
		return ReasonRecordUnreadable
	case CauseEnvFiles:
		return ReasonEnvFileChanged
	case CauseDependency:
		return ReasonDependencyRestarted
	case CausePostStart:
		return ReasonPostStartFailed
	case CauseNotStartedUp:
		return ReasonStartupProbeFailed
	case CauseUnhealthy:
		return ReasonUnhealthy
	case CauseWatchdog:
		return ReasonWatchdog
	case CauseNone:
		return ""
	}
	return ""
}

// causeWords are why a process that works is to end, for people, by the cause's reason.
var causeWords = map[Reason]string{
	ReasonEdited:              "its manifest changed",
	ReasonRemoved:             "no manifest declares it any more",
	ReasonScaledDown:          "replicas was lowered",
	ReasonRestartRequested:    "a restart was asked for",
	ReasonShuttingDown:        "the daemon shuts down",
	ReasonStopped:             "a person stopped it",
	ReasonEnvFileChanged:      "a file of envFrom changed",
	ReasonDependencyRestarted: "a service that it depends on was restarted",
	ReasonMainEnded:           "its main process ended",
	ReasonLeftOver:            "an earlier daemon left it",
}
