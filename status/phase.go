package status

// Severity orders phases from the best (0) to the worst.
func (p Phase) Severity() int {
	switch p {
	case PhaseRunning:
		return 0
	case PhaseCompleted:
		return 1
	case PhaseHeld:
		return 2
	case PhasePending:
		return 3
	case PhaseTerminating:
		return 4
	case PhaseCrashLoopBackOff:
		return 5
	case PhaseFailed:
		return 6
	}
	return 7
}
