package reconciler

// Step is a moment between what the daemon does and what it has written down. A
// crash at any of them must double no process and lose none; tests end the
// daemon there.
type Step string

// The steps of the loop.
const (
	StepStartTaken    Step = "start-taken"    // a worker has accepted a start
	StepStarted       Step = "started"        // the loop was told that a program runs
	StepExitSeen      Step = "exit-seen"      // the loop was told that a main process has ended
	StepEmptied       Step = "emptied"        // the loop was told that nothing of a run is left
	StepSignalSent    Step = "signal-sent"    // a stop signal was sent, and is not recorded
	StepKilled        Step = "killed"         // a group was killed, and that is not recorded
	StepStopRecorded  Step = "stop-recorded"  // that a signal was sent is on its way to the records
	StepPersonAsked   Step = "person-asked"   // a person's command was taken in
	StepForgotten     Step = "forgotten"      // the host keeps nothing of a replica any more
	StepHandoverBegun Step = "handover-begun" // the loop stands still for a handover
)

// step tells of a step when it is taken.
func (l *Loop) step(s Step, taken bool) {
	if l.Step != nil && taken && s != "" {
		l.Step(s)
	}
}

// stepOf is the step that the host's event is; empty for none.
func stepOf(k EventKind) Step {
	switch k {
	case EventStarted:
		return StepStarted
	case EventExited:
		return StepExitSeen
	case EventEmptied:
		return StepEmptied
	case EventForgotten:
		return StepForgotten
	default:
		return ""
	}
}
