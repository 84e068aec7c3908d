package spec

// Lifecycle holds what happens around a process's life.
type Lifecycle struct {
	StopSignal Signal `json:"stopSignal"`
	// PostStart runs after each start of the main program. The service is not
	// ready before it has ended; its failure is that of the start.
	PostStart *Handler `json:"postStart,omitempty"`
	// PreStop runs before the stop signal, within the grace; its failure hinders
	// nothing.
	PreStop *Handler `json:"preStop,omitempty"`
	// PostStop runs when nothing of a run is left, however it ended, before a
	// successor starts. It has the environment that systemd gives ExecStopPost:
	// SERVICE_RESULT, EXIT_CODE, EXIT_STATUS.
	PostStop *Handler `json:"postStop,omitempty"`
}

// Handler is what a hook does: a command, without a shell, as the service's user,
// in its cgroup and environment. Its output goes to the log of the service.
type Handler struct {
	Exec *ExecAction `json:"exec"`
}

// Dependency is a service without which another one does not start.
type Dependency struct {
	Name string `json:"name"`
	// Condition must hold at each start; it is not watched afterwards.
	Condition DependencyCondition `json:"condition"`
	// Restart has the dependent restarted when all processes of the dependency
	// are newer than it, as soon as the condition holds again.
	Restart bool `json:"restart,omitempty"`
}

// DependencyCondition is how far a dependency must have come.
type DependencyCondition string

// The conditions, of all wanted replicas.
const (
	DependencyStarted   DependencyCondition = "Started"   // their programs run
	DependencyReady     DependencyCondition = "Ready"     // they are ready
	DependencyCompleted DependencyCondition = "Completed" // they have ended with success and will not run again
)

// Notify is how a program tells of itself.
type Notify string

// The ways.
const (
	NotifyNone    Notify = "None"
	NotifySystemd Notify = "Systemd" // sd_notify(3)
)

// Init is a command that must have ended with success before the main program
// starts. It runs as the main program does.
type Init struct {
	// Name is a DNS label, unique in the list.
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Args    []string `json:"args,omitempty"`
}

// RuntimeDirectory is made before each start, and belongs to the service's user.
type RuntimeDirectory struct {
	// Path is absolute, without "..".
	Path string `json:"path"`
	// Mode are its permissions, 0 to 07777.
	Mode Mode `json:"mode"`
}

// Mode are permissions, written in octal ("0755").
type Mode uint32

// Lifetime says how long a run lasts.
type Lifetime string

// The lifetimes.
const (
	LifetimeMain  Lifetime = "Main"  // as its main process
	LifetimeGroup Lifetime = "Group" // until nothing of it lives, when the main process has ended with success: for programs that put themselves in the background
)

// StopScope says what ends with a run.
type StopScope string

// The scopes.
const (
	StopScopeGroup StopScope = "Group" // all of it
	StopScopeMain  StopScope = "Main"  // its main process; the others live on and hinder no successor
)

// Reload is how a running process takes in changed files. All of it is optional.
type Reload struct {
	// Signal is sent to the main process; empty when Exec is given.
	Signal Signal `json:"signal,omitempty"`
	// Exec is run instead of a signal.
	Exec *ExecAction `json:"exec,omitempty"`
	// Check must end with success before a reload.
	Check *ExecAction `json:"check,omitempty"`
	// Files are absolute paths. A change of their content has the service reload.
	Files []string `json:"files,omitempty"`
}
