package reconciler

import (
	"slices"
	"time"

	"svc.d/spec"
)

// Instance is what is known of one replica: facts with times, never intentions.
// A zero time means that it did not happen. The facts of a run begin with
// StartTakenAt and are replaced by the next run's; what people are shown (the
// phase) is derived from them.
type Instance struct {
	ID ReplicaID
	// Init is the number in the manifest's init, from 1, of the command that the
	// latest run is; 0 is the main program, and -1 a command of a list that was
	// edited since.
	Init int32
	// Run numbers the latest run. An event of another run is stale.
	Run uint64
	// Spec is what the latest run was started from, with later live-class
	// edits; nil when there was none. A run that did not work keeps the init
	// commands, hooks and probes that it had (see amended).
	Spec *spec.Service

	StartTakenAt time.Time // the host accepted the start
	StartedAt    time.Time // the program runs
	StoppingAt   time.Time // it was asked to end (stop signal, or kill without one)
	RestAt       time.Time // what the main process left was sent the stop signal
	KilledAt     time.Time // the group was last sent SIGKILL
	EndedAt      time.Time // the main process ended, or the start failed
	GoneAt       time.Time // nothing of the run is left

	InspectTakenAt time.Time
	InspectedAt    time.Time
	ForgetTakenAt  time.Time
	// RestartAskedAt is when a person last asked for a restart or a start.
	RestartAskedAt time.Time
	// StartAskedAt is when a person last asked for a start.
	StartAskedAt time.Time

	Pid        int32
	Cause      Cause // why it was asked to end
	Exit       Exit  // how it ended; unknown for what a dead daemon left
	StartTicks uint64
	Failure    *Failure  // why the start failed
	Left       []Process // what the main process left behind, as last seen

	// Streak counts the ends that nobody asked for since the last stable run,
	// person's request, or restart-class edit.
	Streak int32
	// Restarts counts the runs since the last restart-class edit that came
	// after one which had ended by itself.
	Restarts int64
	// Ends are the times of the ends in the streak, oldest first; kept only
	// when the service has a restart limit, and no more than it needs.
	Ends []time.Time
	// Last is how the latest run that started has ended.
	Last Ended
	// Exits are the latest ends that nobody asked for, oldest first, maxExits at most.
	// The loop keeps them, for people; nothing is decided by them. It is never written
	// again; nil is none, as for most.
	Exits *[]Ended
	// Life is what else is known of the run; nil is nothing.
	Life *Life
}

// maxExits is how many ends are remembered of a replica.
const maxExits = 5

// remember adds the end of the run to Exits, when that is news.
func (i *Instance) remember(before *Instance) {
	if i.Last.EndedAt.Equal(before.Last.EndedAt) || i.Last.Asked {
		return
	}
	var exits []Ended
	if i.Exits != nil {
		exits = *i.Exits
	}
	exits = append(slices.Clone(exits[max(0, len(exits)+1-maxExits):]), i.Last)
	i.Exits = &exits
}

// Ended is a run that is over.
type Ended struct {
	StartedAt time.Time
	EndedAt   time.Time
	Exit      Exit
	Asked     bool
	// Why is what was wrong with a run that was ended for not working; empty for
	// others.
	Why string
}

// stage is where a run stands, derived from its facts.
type stage uint8

const (
	stageIdle     stage = iota // never ran, or nothing of the last run is left
	stageStarting              // the host was given the start and has not answered
	stageLive                  // the main process lives
	stageLeftOver              // the main process has ended, its group is not empty
)

func (i *Instance) stage() stage {
	switch {
	case !i.GoneAt.IsZero():
		return stageIdle
	case !i.EndedAt.IsZero():
		return stageLeftOver
	case !i.StartedAt.IsZero():
		return stageLive
	case !i.StartTakenAt.IsZero():
		return stageStarting
	default:
		return stageIdle
	}
}

// Quiet reports whether nothing of the replica lives and nothing is under way.
func (i *Instance) Quiet() bool {
	return i.stage() == stageIdle && i.ForgetTakenAt.IsZero() && !i.hookRuns()
}

// asked reports whether the latest run was told to end.
func (i *Instance) asked() bool { return !i.StoppingAt.IsZero() }

// obeyed reports whether the latest run was told to end because it was not wanted
// any more, and not because it did not work.
func (i *Instance) obeyed() bool { return i.asked() && !i.Cause.failed() }

// signalled reports whether a run that was told to end was sent the signal for it:
// the preStop hook comes before that.
func (i *Instance) signalled() bool {
	return i.asked() && (i.Life == nil || i.Life.PreStopAt.IsZero() || !i.Life.SignalledAt.IsZero())
}

// unclear reports whether something lives in the group of which nobody can tell
// what it is, and nobody has wanted it to end.
func (i *Instance) unclear() bool {
	return i.Cause == CauseUnclear && i.stage() == stageLeftOver && !i.asked()
}

// daemonized reports whether the main process ended with success at once and
// left processes behind: what a program does that puts itself in the
// background.
func (i *Instance) daemonized() bool {
	return !i.asked() && !i.EndedAt.IsZero() && !i.StartedAt.IsZero() &&
		i.Exit.Status() == 0 && len(i.Left) > 0 && i.EndedAt.Sub(i.StartedAt) < daemonizedWithin
}

// personAsked reports whether a person asked for a start or restart that no run
// has answered yet.
func (i *Instance) personAsked() bool {
	return i.RestartAskedAt.After(i.StartTakenAt) || i.StartAskedAt.After(i.StartTakenAt)
}

// outdated is why a live run is not what is wanted now; CauseNone when it is.
func (i *Instance) outdated(want *spec.Service, f *Facts) Cause {
	switch {
	case i.RestartAskedAt.After(i.StartTakenAt):
		return CauseRestarted
	case !i.runs(want):
		return CauseEdited
	case f.Bonds == nil:
		return CauseNone
	case i.envFilesChanged(f):
		return CauseEnvFiles
	case f.renewed(want, i):
		return CauseDependency
	default:
		return CauseNone
	}
}

// envFilesChanged reports whether the files of envFrom mean something else than at
// the start of the latest run, as was told since.
func (i *Instance) envFilesChanged(f *Facts) bool {
	return f.Bonds != nil && f.Bonds.EnvFiles != "" && i.known().EnvFiles != "" && f.Bonds.EnvFiles != i.known().EnvFiles &&
		f.Bonds.EnvFilesAt.After(i.StartTakenAt)
}

// envFilesMended reports whether the latest start failed for a file of envFrom, and all
// of them can be used since.
func (i *Instance) envFilesMended(f *Facts) bool {
	return i.Failure != nil && i.Failure.Reason == ReasonEnvFileInvalid && f.Bonds != nil && f.Bonds.UsableAt.After(i.StartTakenAt)
}

// runs reports whether the latest run was started from what is wanted now. What
// nobody can tell is taken for it: that it ended is no reason to run a job again.
func (i *Instance) runs(want *spec.Service) bool {
	if i.Spec == nil {
		return i.Cause == CauseUnclear && !i.asked()
	}
	return i.Spec == want || spec.SameProcess(&i.Spec.Spec, &want.Spec)
}

// didNotWork reports whether the latest run has ended by itself, or was told to end
// because it did not work.
func (i *Instance) didNotWork() bool {
	return !i.obeyed() && (!i.EndedAt.IsZero() || i.asked())
}

// amended reports whether what is wanted has other init commands, hooks or probes than
// the latest run, which did not work: that was not tried yet.
func (i *Instance) amended(want *spec.Service) bool {
	return i.Spec != nil && i.Spec != want && !sameTrial(&i.Spec.Spec, &want.Spec)
}

// Facts is what is known of one service. Decide's unit is the service with all
// its replicas, because a replacement must choose which of them goes next.
type Facts struct {
	Name string
	// Replicas are in order of their ordinals: each that is wanted, and each
	// of which anything is left.
	Replicas []Instance

	DeclaredAt time.Time // a manifest first declared it (this time)
	EditedAt   time.Time // what is wanted last changed
	Generation int64     // counts those changes

	// A person's stop: in force from StoppedAt to StoppedUntil (zero: no end).
	StoppedAt    time.Time
	StoppedUntil time.Time
	StoppedBy    string

	// The check that precedes each replacement: of CheckOf, asked as question
	// CheckRun.
	CheckOf       *spec.Service
	CheckRun      uint64
	CheckTakenAt  time.Time
	CheckedAt     time.Time
	CheckFailure  *Failure
	CheckFailures int32 // in a row, for CheckOf

	ShutdownAt    time.Time
	ShutdownNowAt time.Time

	// Bonds are what is known of others that it has to do with; nil is nothing.
	Bonds *Bonds
}

// Quiet reports whether nothing of the service lives and nothing is under way
// that could make something live. A check is not: nobody need wait for its
// answer, which may hang with a file server.
func (f *Facts) Quiet() bool {
	for n := range f.Replicas {
		i := &f.Replicas[n]
		if !i.Quiet() || f.ShutdownNowAt.IsZero() && i.owesPostStop() {
			return false
		}
	}
	return true
}

// held reports whether a person's stop is in force.
func (f *Facts) held(now time.Time) bool {
	return !f.StoppedAt.IsZero() && (f.StoppedUntil.IsZero() || now.Before(f.StoppedUntil))
}

// index returns the place of an ordinal in Replicas, or -1.
func (f *Facts) index(ordinal int32) int {
	for n := range f.Replicas {
		if f.Replicas[n].ID.Ordinal == ordinal {
			return n
		}
	}
	return -1
}
