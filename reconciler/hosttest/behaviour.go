package hosttest

import (
	"time"

	"svc.d/reconciler"
)

// Behaviour is how one run of a program, or a hook, goes. What a hook leaves when it
// ends is ended with it. The zero value starts at once,
// runs until it is signalled, and then dies of that signal.
type Behaviour struct {
	// Fails, when not nil, is why the start (or the check) fails.
	Fails *reconciler.Failure
	// Ends says that the main process ends by itself, After its start, as
	// Exit tells.
	Ends  bool
	After time.Duration
	Exit  reconciler.Exit
	// Main is how the main process takes signals.
	Main Temper
	// Children are forked at the start and live in the group of the replica.
	Children []Child
	// EnvFiles is what Started tells of the files of envFrom.
	EnvFiles string
}

// Child is a process that is not the main one.
type Child struct {
	Temper
	// Lives is how long it lives when nobody ends it; 0 is for ever.
	Lives time.Duration
}

// Temper is how a process takes signals.
type Temper struct {
	// Ignores says that only SIGKILL ends it.
	Ignores bool
	// Lingers is the time from the stop signal to the end.
	Lingers time.Duration
	// Last is how a process that obeys the stop signal ends; the zero value
	// stands for death by that signal, unless Answers is set.
	Last    reconciler.Exit
	Answers bool
	// Hangs is the time from SIGKILL to the end: uninterruptible sleep.
	Hangs time.Duration
	// Shown is its name in lists of processes.
	Shown string
}
