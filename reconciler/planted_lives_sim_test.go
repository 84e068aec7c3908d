package reconciler_test

import (
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

// reopening plants a mistake into what a daemon that comes after another is
// given.
func reopening(mistake func(c *reconciler.Config)) bug {
	return func(e engine) engine {
		e.reopened = mistake
		return e
	}
}

// restoring is a mistake about each record.
func restoring(mistake func(r *reconciler.Record)) bug {
	return reopening(func(c *reconciler.Config) {
		for n := range c.Restored {
			mistake(&c.Restored[n])
		}
	})
}

// beginning plants a mistake into a loop that comes after another.
func beginning(mistake func(l *reconciler.Loop)) bug {
	return func(e engine) engine {
		e.begun = mistake
		return e
	}
}

// absentMinded is a recorder that does not write down everything.
type absentMinded struct {
	reconciler.Recorder
	forgets func(i *reconciler.Instance) bool
}

func (a absentMinded) Record(r reconciler.Record) {
	if !a.forgets(&r.Instance) {
		a.Recorder.Record(r)
	}
}

// plantedLives are mistakes of daemons that come after another.
var plantedLives = map[string]plant{
	"restore forgets a person's stop": {restoring(func(r *reconciler.Record) {
		r.StoppedAt, r.StoppedUntil, r.StoppedBy = time.Time{}, time.Time{}, ""
	}), PersonsStopSurvives},
	"restore forgets when a person's stop ends": {restoring(func(r *reconciler.Record) {
		r.StoppedUntil = time.Time{}
	}), PersonsStopSurvives},
	"restore forgets the streak": {restoring(func(r *reconciler.Record) {
		r.Instance.Streak, r.Instance.Ends = 0, nil
	}), BackoffGrows},
	"restore forgets what has ended": {restoring(func(r *reconciler.Record) {
		if !r.Instance.GoneAt.IsZero() {
			r.Instance = reconciler.Instance{ID: r.Instance.ID, Run: r.Instance.Run}
		}
	}), NeverRestarts},
	"restore takes every manifest for edited": {restoring(func(r *reconciler.Record) {
		if r.Want != nil {
			r.Want.Metadata.Labels = map[string]string{"former": "true"}
		}
	}), NothingEdited},
	"restored run numbers start at 0":           {beginning((*reconciler.Loop).ForgetRuns), hosttest.RunsDiffer},
	"a restored loop acts before the first set": {beginning((*reconciler.Loop).ActEarly), WaitsForTheFirstSet},
	"an unclear group is killed": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventUnclear {
				e.Kind = reconciler.EventFound
				return reconciler.Observe(i, e)
			}
			return right
		}), UnclearIsLeftAlone},
	"a missing record is taken for an ended run": {reopening(func(c *reconciler.Config) {
		c.Found = nil
	}), hosttest.NothingLeft},
	"what is unclear is taken for an ended run": {reopening(func(c *reconciler.Config) {
		c.Unclear = nil
	}), hosttest.NothingLeft},
	"the end of what was found is waited for with the number of the last run": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventFound {
				right.Run = i.Run
			}
			return right
		}), hosttest.NobodySignalled},
	"an end while no daemon lived is lost": {observing(
		func(i reconciler.Instance, e reconciler.Event, right reconciler.Instance) reconciler.Instance {
			if e.Kind == reconciler.EventExited && e.Exit.Unknown {
				return i
			}
			return right
		}), NoExitLost},
	"an end is not recorded": {reopening(func(c *reconciler.Config) {
		c.Recorder = absentMinded{c.Recorder, func(i *reconciler.Instance) bool { return !i.EndedAt.IsZero() }}
	}), AllRecorded},
	"that a process was told to stop is not recorded": {reopening(func(c *reconciler.Config) {
		c.Recorder = absentMinded{c.Recorder, func(i *reconciler.Instance) bool {
			return !i.StoppingAt.IsZero() && i.EndedAt.IsZero()
		}}
	}), AllRecorded},
	"a start is recorded without its pid": {reopening(func(c *reconciler.Config) {
		c.Recorder = pidless{c.Recorder}
	}), LivesOn},
}

// pidless is a recorder that does not say which process it was.
type pidless struct{ reconciler.Recorder }

func (p pidless) Record(r reconciler.Record) {
	r.Instance.Pid, r.Instance.StartTicks = 0, 0
	p.Recorder.Record(r)
}
