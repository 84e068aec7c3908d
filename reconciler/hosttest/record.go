package hosttest

import (
	"fmt"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// What names a kind of Record.
type What string

// What a machine records. The first six are what was asked of it, in the order
// in which it was asked; the rest is what happened.
const (
	StartTaken  What = "start taken"
	CheckTaken  What = "check taken"
	ForgetTaken What = "forget taken"
	Signalled   What = "signalled"
	Killed      What = "killed"
	HookTaken   What = "hook taken"

	Started     What = "started"
	StartFailed What = "start failed"
	Exited      What = "exited"
	Emptied     What = "emptied"
	Forgotten   What = "forgotten"
	HookEnded   What = "hook ended"
	Released    What = "released"
)

// Record is something that the machine did or was asked to do. MainLives and
// Lives tell how it was just before.
type Record struct {
	At      time.Time
	What    What
	Replica reconciler.ReplicaID
	Run     uint64
	// Service is what Start and Check were given, and for everything that is
	// of a run what the run was started from.
	Service *spec.Service
	Signal  syscall.Signal
	Scope   reconciler.Scope
	Exit    reconciler.Exit
	Failure *reconciler.Failure
	Init    int32 // of StartTaken
	Hook    reconciler.Hook
	// Superseded says that a hook was ended by the next one, and is not answered.
	Superseded bool

	MainLives bool // the main process lives
	Lives     int  // processes of the group that live, the main one included
}

// Violation is a broken promise. Promise is a stable name.
type Violation struct {
	At      time.Time
	Promise string
	Story   string
}

func (v Violation) Error() string {
	return fmt.Sprintf("%s: %s: %s", v.At.UTC().Format("15:04:05.000000000"), v.Promise, v.Story)
}

// The promises that the machine itself watches over.
const (
	// AtMostOne: no start while a main process of the replica lives or starts.
	AtMostOne = "AtMostOne"
	// NothingLeft: no start while something of the replica's earlier run lives.
	NothingLeft = "NothingLeft"
	// NobodySignalled: no signal to, and no kill of, what is known to be gone.
	NobodySignalled = "NobodySignalled"
	// NothingAliveForgotten: no Forget while something lives.
	NothingAliveForgotten = "NothingAliveForgotten"
	// OneWorkAtATime: no second Start or Forget of a replica while one is being
	// worked on.
	OneWorkAtATime = "OneWorkAtATime"
	// PostStopAlone: no hook PostStop while something of the replica lives or starts,
	// and no start while it runs.
	PostStopAlone = "PostStopAlone"
	// HookBesideLife: no other hook when all is known to be gone.
	HookBesideLife = "HookBesideLife"
	// ReleasedAfterEnd: no Release while the main process lives or starts.
	ReleasedAfterEnd = "ReleasedAfterEnd"
	// RunsDiffer: no run number is used for two runs of a replica.
	RunsDiffer = "RunsDiffer"
)
