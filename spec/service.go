package spec

import "time"

// APIVersion is the only manifest version that this package reads.
const APIVersion = "svc.d/v1"

// KindService is the kind of a document that declares processes.
const KindService = "Service"

// Service is one document of a manifest after defaults were applied and
// everything was validated: whoever holds one may use each field as it is.
// A Service is immutable; goroutines share pointers to it.
//
// Field names, types and meaning are those of Kubernetes' core/v1 Container and
// PodSpec and apps/v1 Deployment wherever these have them.
type Service struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`

	// Source is where the document stands. It is no part of what is declared.
	Source Source `json:"-"`
}

// Metadata names a service and carries the operator's own marks.
type Metadata struct {
	// Name is a DNS-1123 label, unique in the directory.
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is what the operator wants of a service. Every field carries the class
// of its edits in the tag `edit`: "restart" (the process must be replaced) or
// "live" (takes effect on the running process). SameProcess follows the tags.
type Spec struct {
	// Replicas is how many processes run; 0 is "declared, not run".
	Replicas int32 `json:"replicas" edit:"live"`
	// Command is the program and its first arguments. Never empty. A program
	// without a slash is looked up in the PATH of the service's environment; a
	// relative one with a slash stands in WorkingDir, as execve(2) has it.
	Command []string `json:"command" edit:"restart"`
	Args    []string `json:"args,omitempty" edit:"restart"`
	// WorkingDir is absolute when the manifest's path was: a relative one was
	// resolved against the folder of the manifest.
	WorkingDir string    `json:"workingDir" edit:"restart"`
	Env        []EnvVar  `json:"env,omitempty" edit:"restart"`
	EnvFrom    []EnvFrom `json:"envFrom,omitempty" edit:"restart"`

	SecurityContext SecurityContext   `json:"securityContext" edit:"restart"`
	Rlimits         map[string]Rlimit `json:"rlimits,omitempty" edit:"restart"`

	RestartPolicy    RestartPolicy `json:"restartPolicy" edit:"live"`
	Backoff          Backoff       `json:"backoff" edit:"live"`
	SuccessExitCodes []int32       `json:"successExitCodes" edit:"live"`
	Lifecycle        Lifecycle     `json:"lifecycle" edit:"live"`

	// TerminationGracePeriodSeconds is the time between the stop signal and
	// the kill, in seconds; 0 kills at once.
	TerminationGracePeriodSeconds int64 `json:"terminationGracePeriodSeconds" edit:"live"`
	// MinReadySeconds is how long, in seconds, a successor must have run
	// before the next replica is replaced.
	MinReadySeconds int32 `json:"minReadySeconds" edit:"live"`

	Log Log `json:"log" edit:"live"`

	DependsOn []Dependency `json:"dependsOn,omitempty" edit:"live"`

	StartupProbe   *Probe `json:"startupProbe,omitempty" edit:"live"`
	ReadinessProbe *Probe `json:"readinessProbe,omitempty" edit:"live"`
	LivenessProbe  *Probe `json:"livenessProbe,omitempty" edit:"live"`
	// ReadyLogLine is a regular expression of package regexp, or empty. A run is
	// not ready before a line of its output matches.
	ReadyLogLine string `json:"readyLogLine,omitempty" edit:"live"`
	Notify       Notify `json:"notify" edit:"restart"`
	// WatchdogSeconds is how long a program with Notify Systemd may be silent, in
	// seconds, before it is ended as if a liveness probe had failed; 0 is for ever.
	WatchdogSeconds int32 `json:"watchdogSeconds" edit:"restart"`

	Init               []Init             `json:"init,omitempty" edit:"live"`
	RuntimeDirectories []RuntimeDirectory `json:"runtimeDirectories,omitempty" edit:"restart"`
	Lifetime           Lifetime           `json:"lifetime" edit:"restart"`
	StopScope          StopScope          `json:"stopScope" edit:"live"`
	Reload             *Reload            `json:"reload,omitempty" edit:"live"`
	// ProgressDeadlineSeconds is how long, in seconds, a successor may take to get
	// ready before the replacement of the other replicas halts.
	ProgressDeadlineSeconds int32 `json:"progressDeadlineSeconds" edit:"live"`
}

// EnvVar is one variable. $(NAME) in Value refers to the variables before it.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// EnvFrom reads variables from a file of NAME=VALUE lines at each start.
type EnvFrom struct {
	// File is absolute: a relative one was resolved against the folder of the
	// manifest.
	File string `json:"file"`
	// Optional says that a missing file is no error.
	Optional bool `json:"optional,omitempty"`
	// Prefix is put before each name.
	Prefix string `json:"prefix,omitempty"`
}

// SecurityContext is the identity of the process.
type SecurityContext struct {
	// RunAsUser is a name or number; empty is the daemon's user.
	RunAsUser ID `json:"runAsUser,omitempty"`
	// RunAsGroup is a name or number; empty is the user's own group.
	RunAsGroup ID `json:"runAsGroup,omitempty"`
	// SupplementalGroups are names or numbers. When nil and RunAsUser is
	// given, the groups of that user in the group database are taken.
	// When empty and not nil, there are none.
	SupplementalGroups []ID `json:"supplementalGroups,omitzero"`
	// Umask is the file mode creation mask, 0 to 0777.
	Umask Umask `json:"umask"`
}

// ID is a user or group: a name, or a decimal number.
type ID string

// Umask is a file mode creation mask, written in octal ("0022").
type Umask uint32

// Rlimit is one resource limit; RlimitInfinity is "unlimited".
type Rlimit struct {
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// RlimitInfinity stands for no limit (RLIM_INFINITY of getrlimit(2)).
const RlimitInfinity = ^uint64(0)

// RestartPolicy says which ends are followed by a new start.
type RestartPolicy string

// The restart policies of Kubernetes.
const (
	RestartAlways    RestartPolicy = "Always"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartNever     RestartPolicy = "Never"
)

// Backoff spaces the restarts of a process that keeps ending.
type Backoff struct {
	// InitialDelay is waited before the second restart (the first is
	// immediate); it doubles up to MaxDelay.
	InitialDelay Duration `json:"initialDelay"`
	MaxDelay     Duration `json:"maxDelay"`
	// StableAfter is the length of a run that makes earlier ends forgotten.
	StableAfter Duration `json:"stableAfter"`
	// Limit, when not nil, gives up after so many restarts.
	Limit *RestartLimit `json:"limit,omitempty"`
}

// RestartLimit gives up when Restarts restarts within Within were not enough.
type RestartLimit struct {
	Restarts int32    `json:"restarts"` // 1 to 1000
	Within   Duration `json:"within"`
}

// Log bounds what is kept of what each replica prints. The files of a replica
// are one that is written to and the rotated ones, which were.
type Log struct {
	// MaxSize bounds one file, in bytes before compression, and is above 0: the
	// file is rotated when it would grow beyond it.
	MaxSize Quantity `json:"maxSize"`
	// MaxFiles is how many files a replica keeps, from 1, the one that is
	// written to included, as kubelet's containerLogMaxFiles counts; 1 keeps
	// nothing that was rotated. The oldest are removed.
	MaxFiles int32 `json:"maxFiles"`
	// MaxAge bounds the age of what is kept; 0 is no limit. The file that is
	// written to is rotated when its first line is older, and a rotated file is
	// removed when its last line is older.
	MaxAge Duration `json:"maxAge"`
	// Compress says that rotated files are compressed with gzip. The newest of
	// them is not: what just happened stays easy to read.
	Compress bool `json:"compress"`
}

// Signal is a signal by name, always with the prefix "SIG".
type Signal string

// Duration is a Go duration in text form ("10s", "1m30s").
type Duration time.Duration

// Source is a place in a manifest. Lines and columns count from 1; 0 means
// unknown.
type Source struct {
	// File is the logical path: links are not resolved.
	File string
	// Document counts from 1 within the file.
	Document int
	Line     int
}
