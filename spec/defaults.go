package spec

import "time"

// Defaults returns what a manifest that says nothing but a command means. The
// caller owns the result.
func Defaults() Spec {
	return Spec{
		Replicas:        1,
		WorkingDir:      "/",
		SecurityContext: SecurityContext{Umask: 0o022},
		RestartPolicy:   RestartAlways,
		Backoff: Backoff{
			InitialDelay: Duration(time.Second),
			MaxDelay:     Duration(time.Minute),
			StableAfter:  Duration(time.Minute),
		},
		SuccessExitCodes:              []int32{0},
		Lifecycle:                     Lifecycle{StopSignal: "SIGTERM"},
		TerminationGracePeriodSeconds: 30,
		// Kubelet's containerLogMaxSize and containerLogMaxFiles.
		Log:                     Log{MaxSize: 10 << 20, MaxFiles: 5, Compress: true},
		Notify:                  NotifyNone,
		Lifetime:                LifetimeMain,
		StopScope:               StopScopeGroup,
		ProgressDeadlineSeconds: 600,
	}
}

// The bounds of numbers. Reading, messages and the schema take them from here.
var (
	// A thousand processes is what a machine is expected to run in all.
	replicasBounds = bounds{0, 1000}
	// A week: a database may need hours to stop, nothing needs more.
	secondsBounds  = bounds{0, 7 * 24 * 60 * 60}
	restartsBounds = bounds{1, 1000}
	// Kubernetes has no upper ends; these only keep sums far from overflow.
	probeBounds     = bounds{1, 7 * 24 * 60 * 60}
	thresholdBounds = bounds{1, 1_000_000}
	portBounds      = bounds{1, 65535}
	exitBounds      = bounds{0, 255} // wait(2)
	// Below 64Ki it would be rotated all the time; nobody reads a file of a
	// terabyte.
	logSizeBounds  = quantityBounds{64 << 10, 1 << 40}
	logFilesBounds = bounds{1, 1000}
	// Less than a megabyte is no room for services; the upper end only keeps
	// sums far from overflow.
	logQuotaBounds = quantityBounds{1 << 20, 1 << 50}
	// (uid_t)-1 means "no change" to setresuid(2).
	idBounds = bounds{0, 1<<32 - 2}
)

const (
	maxUmask = 0o777
	maxMode  = 0o7777
	// defaultReloadSignal is what daemons take for "read your files again".
	defaultReloadSignal = Signal("SIGHUP")
	// minDuration keeps back-off from being a hot loop. maxDuration keeps
	// sums of durations far from overflow.
	minDuration = time.Millisecond
	maxDuration = 365 * 24 * time.Hour
	// minLogAge keeps rotation by age from being a hot loop.
	minLogAge = time.Second
	// maxArgLength is MAX_ARG_STRLEN of execve(2) less the final NUL: the
	// kernel takes no longer string, for arguments and "NAME=value" alike.
	maxArgLength = 128<<10 - 1
	// maxAnnotations is Kubernetes' limit for all annotations of an object.
	maxAnnotations = 256 << 10
)

// restartPolicies and rlimitNames list what is allowed, in the order in which
// messages show it.
var (
	dependencyConditions = []string{string(DependencyStarted), string(DependencyReady), string(DependencyCompleted)}
	notifies             = []string{string(NotifyNone), string(NotifySystemd)}
	lifetimes            = []string{string(LifetimeMain), string(LifetimeGroup)}
	stopScopes           = []string{string(StopScopeGroup), string(StopScopeMain)}
	schemes              = []string{"HTTP", "HTTPS"}
	restartPolicies      = []string{string(RestartAlways), string(RestartOnFailure), string(RestartNever)}
	// The names of setrlimit(2) without RLIMIT_, in lower case.
	rlimitNames = []string{
		"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue",
		"nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
	}
)
