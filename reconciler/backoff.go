package reconciler

import (
	"time"

	"svc.d/spec"
)

const (
	// daemonizedWithin is how soon a main process must end for what it left
	// behind to be taken for a daemon: programs fork away within their start.
	daemonizedWithin = 10 * time.Second
	// halfProvenAfter is how long a successor that ended once must run before
	// the next replica is replaced.
	halfProvenAfter = 5 * time.Second
	// stuckAfter is how long a kill may take before somebody looks why; it is
	// also the shortest time between two looks.
	stuckAfter = 5 * time.Second
	// stuckAtMost is the longest time between two looks.
	stuckAtMost = time.Minute
	// defaultGrace is for what nobody knows the manifest of; it is Kubernetes'.
	defaultGrace = 30 * time.Second
	// lastGrace is how long a process has at least that was sent the stop signal
	// late because its preStop hook took all of the grace, as in Kubernetes.
	lastGrace = 2 * time.Second
	// extendAtMost is how much time one message of a program can get it
	// (EXTEND_TIMEOUT_USEC), from when it is heard: a number that is wrong must not
	// hold up a shutdown for years. Who needs more asks again.
	extendAtMost = time.Hour
	// hookTimeout bounds the commands of a reload; it is systemd's DefaultTimeoutStartSec.
	hookTimeout = 90 * time.Second
	// recheckAtMost is the longest time between two checks of a successor that
	// cannot start.
	recheckAtMost = time.Minute
)

// restartDelay is the time between an unasked end and the next start. The first
// restart is immediate unless the run had no chance (eager false: the start, an init
// command or the postStart hook failed, or it daemonised); each later one waits twice as long, up to the
// maximum, with up to 10% taken off or put on so that replicas which fell
// together do not get up together. The same facts give the same delay.
func restartDelay(b *spec.Backoff, id ReplicaID, streak int32, eager bool) time.Duration {
	n := streak
	if eager {
		n--
	}
	if n <= 0 {
		return 0
	}
	d := doubling(time.Duration(b.InitialDelay), time.Duration(b.MaxDelay), n)
	permille := int64(id.hash(uint64(streak))>>33%201) - 100
	return d + d/1000*time.Duration(permille)
}

// gaveUp reports whether the restart limit is used up.
func gaveUp(limit *spec.RestartLimit, i *Instance) bool {
	if limit == nil {
		return false
	}
	oldest := i.EndedAt.Add(-time.Duration(limit.Within))
	var recent int32
	for _, t := range i.Ends {
		if t.After(oldest) {
			recent++
		}
	}
	return recent > limit.Restarts
}

// doubling is first, doubled n-1 times, at most most.
func doubling(first, most time.Duration, n int32) time.Duration {
	for ; n > 1 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}
