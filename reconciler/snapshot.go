package reconciler

import (
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// Snapshot is the loop's answer to a question: what is so at one moment.
// It is the caller's own.
type Snapshot struct {
	At       time.Time
	Services []status.Service // in order of names
	Set      *spec.Set        // nil until the first one came
	// Conditions are the host's (such as Degraded) and the directory's.
	Conditions []status.Condition
	// Stopping is when the shutdown began; zero while there is none.
	Stopping time.Time
}

// Command is what a person asks of the loop. Kind is EventStop, EventStart or
// EventRestart.
type Command struct {
	Kind    EventKind
	Service string
	// Ordinal limits a restart to one replica; -1 is all of them.
	Ordinal int32
	By      string    // who asks, as it is shown
	Until   time.Time // the end of a stop; zero for none
}
