package status

import (
	"encoding/json"
	"time"
)

// Service is a service as it is wanted and as it is. It has the shape of a
// Kubernetes object.
type Service struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   Metadata        `json:"metadata"`
	Spec       json.RawMessage `json:"spec,omitempty"` // nil: no manifest declares it any more
	Status     ServiceStatus   `json:"status"`
}

// ServiceList is a list of services in order of their names.
type ServiceList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // ServiceList
	Metadata   ListMeta  `json:"metadata"`
	Items      []Service `json:"items"`
}

// ServiceStatus is what is so.
type ServiceStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Replicas counts those that run, ReadyReplicas those of them that are ready,
	// AvailableReplicas those that have been ready for minReadySeconds,
	// UpdatedReplicas those that run the wanted spec.
	Replicas          int32 `json:"replicas"`
	ReadyReplicas     int32 `json:"readyReplicas"`
	AvailableReplicas int32 `json:"availableReplicas"`
	UpdatedReplicas   int32 `json:"updatedReplicas"`
	// DesiredReplicas is what should run now: 0 while it is held.
	DesiredReplicas int32 `json:"desiredReplicas"`
	// Phase, Reason and Message sum up the replicas: the worst one's.
	Phase   Phase  `json:"phase"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// File and Line are where the manifest stands.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Held is set while a person's stop is in force.
	Held *Held `json:"held,omitempty"`

	Conditions      []Condition `json:"conditions,omitempty"`
	ReplicaStatuses []Replica   `json:"replicaStatuses,omitempty"`
	// Hidden is what of messages only those may see who may do everything; it is not
	// sent, and neither is that of replicas.
	Hidden []string `json:"-"`
}

// Held is a person's stop.
type Held struct {
	By    string    `json:"by,omitempty"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

// Phase is where a replica stands, in Kubernetes' words.
type Phase string

// The phases, from best to worst.
const (
	PhaseRunning          Phase = "Running"
	PhaseCompleted        Phase = "Completed"
	PhaseHeld             Phase = "Held"
	PhasePending          Phase = "Pending"
	PhaseTerminating      Phase = "Terminating"
	PhaseCrashLoopBackOff Phase = "CrashLoopBackOff"
	PhaseFailed           Phase = "Failed"
)

// Replica is one process of a service.
type Replica struct {
	Name    string `json:"name"` // "web-0"
	Ordinal int32  `json:"ordinal"`
	Phase   Phase  `json:"phase"`
	// Reason is one CamelCase word, Message a sentence; a replica that is as
	// declared has neither.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Since is when the phase and reason came to be.
	Since time.Time `json:"since,omitzero"`
	// Next is when the daemon will act by itself next; zero when only an event
	// can change something.
	Next    time.Time `json:"next,omitzero"`
	Pid     int32     `json:"pid,omitempty"`
	Started time.Time `json:"startedAt,omitzero"`
	Updated bool      `json:"updated"` // runs the wanted spec
	// Ready says that it does its work, since ReadySince.
	Ready      bool      `json:"ready"`
	ReadySince time.Time `json:"readySince,omitzero"`
	// Init is the name of the init command that runs in place of the program.
	Init string `json:"init,omitempty"`
	// Status is what the program last told of itself (sd_notify(3), STATUS=).
	Status   string `json:"status,omitempty"`
	Restarts int64  `json:"restartCount"`
	LastExit *Exit  `json:"lastExit,omitempty"`
	// Exits are the latest ends that nobody asked for, oldest first, five at most.
	Exits []Exit `json:"exits,omitempty"`
	// Cgroup is the directory of the cgroup that it runs in, as the daemon sees it; empty
	// without cgroups.
	Cgroup string `json:"cgroup,omitempty"`
	// Processes are what is left of it, when that is to the point.
	Processes []Process `json:"processes,omitempty"`
	Hidden    []string  `json:"-"`
}

// runLag is how much later than a program's first line its start may be noted.
const runLag = 20 * time.Millisecond

// PreviousRun tells the times of what the run before the present one wrote: from
// its start to the start of the present one, or without an end when none runs. ok
// is false when no run has ended.
func (r *Replica) PreviousRun() (since, until time.Time, ok bool) {
	if r.LastExit == nil {
		return since, until, false
	}
	since = r.LastExit.At
	if !r.LastExit.Started.IsZero() {
		since = r.LastExit.Started.Add(-runLag)
	}
	if !r.Started.IsZero() {
		until = r.Started.Add(-runLag)
		if until.Before(r.LastExit.At) {
			until = r.LastExit.At
		}
	}
	return since, until, true
}

// RunSince is when the present run may have written its first line.
func (r *Replica) RunSince() time.Time { return r.Started.Add(-runLag) }

// Exit is how a run ended.
type Exit struct {
	Code    int32     `json:"exitCode"` // as a shell shows it: 128+n for signal n; -1 unknown
	Signal  string    `json:"signal,omitempty"`
	At      time.Time `json:"finishedAt"`
	Started time.Time `json:"startedAt,omitzero"`
	Asked   bool      `json:"asked,omitempty"` // it was told to end, and not because it did not work
	// Message is what was wrong with one that was ended because it did not work.
	Message string `json:"message,omitempty"`
}

// Process is a process as seen in /proc.
type Process struct {
	Pid         int32  `json:"pid"`
	Name        string `json:"name"`
	State       string `json:"state,omitempty"`
	WaitChannel string `json:"waitChannel,omitempty"`
}

// Condition has the shape of Kubernetes' metav1.Condition. Status is "True",
// "False" or "Unknown".
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastTransitionTime time.Time `json:"lastTransitionTime,omitzero"`
}

// Daemon is what the daemon says of itself and of its directory.
type Daemon struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // Daemon
	Version    string    `json:"version"`
	Pid        int       `json:"pid"`
	Dir        string    `json:"dir"`
	StateDir   string    `json:"stateDir"`
	LogDir     string    `json:"logDir"`
	StartedAt  time.Time `json:"startedAt"`
	// StoppingSince is when the shutdown began; zero while there is none.
	StoppingSince time.Time `json:"stoppingSince,omitzero"`
	// Recursive says that sub-directories are read too.
	Recursive bool `json:"recursive,omitempty"`
	// Configuration is the file whose ReconcilerConfiguration the directory
	// has; empty when there is none.
	Configuration string      `json:"configuration,omitempty"`
	Conditions    []Condition `json:"conditions,omitempty"`
	Problems      []Problem   `json:"problems,omitempty"`
	Ignored       []Ignored   `json:"ignored,omitempty"`
}

// Problem is something wrong with a manifest (spec.Problem).
type Problem struct {
	File     string    `json:"file"`
	Document int       `json:"document,omitempty"`
	Line     int       `json:"line,omitempty"`
	Column   int       `json:"column,omitempty"`
	Field    string    `json:"field,omitempty"`
	Value    string    `json:"value,omitempty"`
	Message  string    `json:"message"`
	Service  string    `json:"service,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// Ignored is a document that is none of ours (spec.Ignored).
type Ignored struct {
	File       string `json:"file"`
	Document   int    `json:"document,omitempty"`
	Line       int    `json:"line,omitempty"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Hint       string `json:"hint,omitempty"`
}
