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
	ReasonLogUnwritable      Reason = "LogUnwritable"      // the log file could not be opened
	ReasonStartFailed        Reason = "StartFailed"        // anything else
)
