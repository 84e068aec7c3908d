package reconciler_test

import (
	"slices"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// The promises that the books watch over, beyond those of the machine.
const (
	ShutdownStartsNothing = "ShutdownStartsNothing"
	RemovedStaysDown      = "RemovedStaysDown" // also what was scaled away
	PersonsStopHolds      = "PersonsStopHolds"
	StartsWhatIsWanted    = "StartsWhatIsWanted"
	NeverRestarts         = "NeverRestarts"
	SuccessIsSuccess      = "SuccessIsSuccess"
	LimitHonoured         = "LimitHonoured"
	BackoffGrows          = "BackoffGrows"  // no start sooner than the back-off allows: no hot loop
	BackoffResets         = "BackoffResets" // no start much later than the back-off wants
	GraceHonoured         = "GraceHonoured"
	ExactlyWhatChanged    = "ExactlyWhatChanged"   // nothing is stopped that nobody has a reason to stop
	ReplacementIsChecked  = "ReplacementIsChecked" // nothing that runs is stopped for what cannot start
	ReplacementOneByOne   = "ReplacementOneByOne"  // none is stopped for an edit while another is down for it
)

// lateness is how much later than due a start may be taken: workers may hang.
const lateness = 15 * time.Minute

// books are what an outsider can know of a simulated world: what was declared
// and asked, and what the machine recorded. They repeat the documented rules in
// their own words. They are guarded by the world's lock.
type books struct {
	services map[string]*account
	replicas map[reconciler.ReplicaID]*book
	// changing says that something was told to the loop and may or may not
	// have arrived: what depends on it is not judged.
	changing bool
	// suspects are the signals that were sent meanwhile, to be judged after it.
	suspects []suspect
	// shutdown and immediate say what the loop surely knows.
	shutdown, immediate bool
	broken              func(promise, story string, args ...any)
}

// account is a service as the world declared it.
type account struct {
	want *spec.Service // nil: not declared
	// touched is when a person or an edit last concerned it.
	touched           time.Time
	heldAt, heldUntil time.Time
	restartAsked      map[int32]time.Time
	startAsked        time.Time
}

// book is a replica as the machine saw it.
type book struct {
	run       uint64
	service   *spec.Service // of the last run
	takenAt   time.Time     // the start was accepted
	startedAt time.Time
	askedAt   time.Time // the first stop signal of the run, or kill of the main process
	killed    bool
	// grace is the shortest that any manifest has given since the run began, in
	// seconds: after a removal the last one that this process had decides.
	grace   int64
	endedAt time.Time // or the start failed
	goneAt  time.Time
	failed  bool
	exit    reconciler.Exit
	left    bool
	streak  int32
	ends    []time.Time
	// former are the streak and ends before this run's end was counted: after a
	// crash it may be told once more.
	former struct {
		streak int32
		ends   []time.Time
	}
	// unclearSince is when nobody could tell any more what lives; zero while
	// that is known or was wanted to end.
	unclearSince time.Time
}

func (b *books) account(name string) *account {
	a := b.services[name]
	if a == nil {
		a = &account{restartAsked: map[int32]time.Time{}}
		b.services[name] = a
	}
	return a
}

func (b *books) book(id reconciler.ReplicaID) *book {
	k := b.replicas[id]
	if k == nil {
		k = &book{}
		b.replicas[id] = k
	}
	return k
}

func (a *account) held(now time.Time) bool {
	return !a.heldAt.IsZero() && (a.heldUntil.IsZero() || now.Before(a.heldUntil))
}

// touchedSince reports whether anything but time has come between then and now.
func (a *account) touchedSince(then, now time.Time) bool {
	return !a.touched.Before(then) || !a.heldUntil.IsZero() && a.heldUntil.After(then) && !a.heldUntil.After(now)
}

func (a *account) restartAskedSince(then time.Time, ordinal int32) bool {
	asked := a.restartAsked[ordinal]
	return !asked.IsZero() && !asked.Before(then)
}

func sameProcess(a, b *spec.Service) bool {
	return slices.Equal(a.Spec.Command, b.Spec.Command) && slices.Equal(a.Spec.Args, b.Spec.Args)
}

// see takes in what the machine recorded, and judges it.
func (b *books) see(r hosttest.Record) {
	a, k := b.account(r.Replica.Service), b.book(r.Replica)
	switch r.What {
	case hosttest.StartTaken:
		b.judgeStart(a, k, r)
		if k.service != nil && !sameProcess(k.service, r.Service) {
			k.streak, k.ends = 0, nil
		}
		*k = book{
			run: r.Run, service: r.Service, takenAt: r.At, streak: k.streak, ends: k.ends,
			grace: r.Service.Spec.TerminationGracePeriodSeconds,
		}
	case hosttest.Started:
		k.startedAt = r.At
	case hosttest.StartFailed:
		k.endedAt, k.goneAt, k.failed = r.At, r.At, true
		k.count(r.At)
	case hosttest.Exited:
		if !k.endedAt.IsZero() {
			k.streak, k.ends = k.former.streak, k.former.ends
		}
		k.former.streak, k.former.ends = k.streak, k.ends
		k.endedAt, k.exit, k.left, k.goneAt = r.At, r.Exit, r.Lives > 1 || !r.MainLives && r.Lives > 0, time.Time{}
		if !k.left {
			k.goneAt = r.At
		}
		if k.askedAt.IsZero() {
			if r.At.Sub(k.startedAt) >= time.Duration(r.Service.Spec.Backoff.StableAfter) {
				k.streak = 0
			}
			k.count(r.At)
		}
	case hosttest.Emptied:
		k.goneAt, k.unclearSince = r.At, time.Time{}
	case hosttest.Signalled:
		b.judgeUnclear(a, k, r)
		b.judgeSignal(a, k, r)
		if k.askedAt.IsZero() && k.endedAt.IsZero() && !k.startedAt.IsZero() {
			k.askedAt = r.At
		}
	case hosttest.Killed:
		b.judgeUnclear(a, k, r)
		b.judgeKill(k, r)
		k.killed = true
		if k.askedAt.IsZero() && k.endedAt.IsZero() && !k.startedAt.IsZero() {
			k.askedAt = r.At
		}
	case hosttest.Forgotten:
		*k = book{}
	case hosttest.CheckTaken, hosttest.ForgetTaken, hosttest.HookTaken, hosttest.HookEnded, hosttest.Released:
	}
}

func (k *book) count(at time.Time) {
	k.streak++
	k.ends = append(slices.Clone(k.ends), at)
}

func (b *books) judgeStart(a *account, k *book, r hosttest.Record) {
	if b.changing {
		return
	}
	switch {
	case b.shutdown:
		b.broken(ShutdownStartsNothing, "start of %v after the shutdown began", r.Replica)
	case a.want == nil || r.Replica.Ordinal >= a.want.Spec.Replicas:
		b.broken(RemovedStaysDown, "start of %v, which is not declared", r.Replica)
	case a.held(r.At):
		b.broken(PersonsStopHolds, "start of %v, which a person has stopped", r.Replica)
	case r.Service != a.want:
		b.broken(StartsWhatIsWanted, "start of %v from an older manifest", r.Replica)
	case k.service == nil || k.endedAt.IsZero() || !k.askedAt.IsZero() || !sameProcess(k.service, a.want),
		a.touchedSince(k.endedAt, r.At), a.restartAskedSince(k.takenAt, r.Replica.Ordinal):
		// There is more reason for it than the end of the last run.
	default:
		b.judgeRestart(a, k, r)
	}
}

// judgeRestart judges a start that only the end of the last run is the reason
// for.
func (b *books) judgeRestart(a *account, k *book, r hosttest.Record) {
	s := &a.want.Spec
	daemonized := !k.failed && k.exit.Status() == 0 && k.left && k.endedAt.Sub(k.startedAt) < 10*time.Second
	success := !k.failed && !daemonized && slices.Contains(s.SuccessExitCodes, k.exit.Status())
	if !k.failed && s.RestartPolicy == spec.RestartNever {
		b.broken(NeverRestarts, "start of %v, which ended under Never", r.Replica)
	}
	if success && s.RestartPolicy == spec.RestartOnFailure {
		b.broken(SuccessIsSuccess, "start of %v, which ended with status %d", r.Replica, k.exit.Status())
	}
	if l := s.Backoff.Limit; l != nil {
		recent := 0
		for _, t := range k.ends {
			if t.After(k.endedAt.Add(-time.Duration(l.Within))) {
				recent++
			}
		}
		if recent > int(l.Restarts) {
			b.broken(LimitHonoured, "start of %v after %d ends within %v; the limit is %d", r.Replica, recent, time.Duration(l.Within), l.Restarts)
		}
	}
	n := k.streak
	if !k.failed && !daemonized {
		n--
	}
	var delay time.Duration
	if n > 0 {
		delay = time.Duration(s.Backoff.InitialDelay)
		for ; n > 1 && delay < time.Duration(s.Backoff.MaxDelay); n-- {
			delay *= 2
		}
		delay = min(delay, time.Duration(s.Backoff.MaxDelay))
	}
	waited := r.At.Sub(k.endedAt)
	if waited < delay*89/100 {
		b.broken(BackoffGrows, "start of %v %v after end number %d; the back-off is %v", r.Replica, waited, k.streak, delay)
	}
	if late := r.At.Sub(later(k.endedAt.Add(delay*111/100), k.goneAt)); late > lateness {
		b.broken(BackoffResets, "start of %v %v after end number %d; the back-off is %v", r.Replica, waited, k.streak, delay)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (b *books) judgeSignal(a *account, k *book, r hosttest.Record) {
	if b.shutdown || !r.MainLives || r.Scope != reconciler.ScopeMain {
		return
	}
	if b.changing {
		// A successor may have started when the change is over.
		b.suspects = append(b.suspects, suspect{r, k.takenAt})
		return
	}
	b.judgeStop(a, k.takenAt, r)
}

// suspect is a stop signal that is judged later, with the time when the run it
// was sent to was begun.
type suspect struct {
	hosttest.Record
	takenAt time.Time
}

func (b *books) judgeStop(a *account, takenAt time.Time, r hosttest.Record) {
	if b.shutdown || a.want == nil || r.Replica.Ordinal >= a.want.Spec.Replicas || a.held(r.At) {
		return
	}
	asked := a.restartAskedSince(takenAt, r.Replica.Ordinal)
	if !asked && sameProcess(r.Service, a.want) {
		b.broken(ExactlyWhatChanged, "%v was told to stop without a reason", r.Replica)
	}
	if isBad(a.want) {
		b.broken(ReplacementIsChecked, "%v was told to stop for a successor that cannot start", r.Replica)
	}
}

// changed ends a change. When it was one change and not many, what was done in
// its course is judged by what came out of it.
func (b *books) changed(one bool) {
	b.changing = false
	for _, r := range b.suspects {
		if one {
			b.judgeStop(b.account(r.Replica.Service), r.takenAt, r.Record)
		}
	}
	b.suspects = nil
}

func (b *books) judgeKill(k *book, r hosttest.Record) {
	if b.changing || b.immediate || r.Lives == 0 || k.killed {
		return
	}
	if k.askedAt.IsZero() {
		if r.MainLives {
			b.broken(GraceHonoured, "%v was killed without a stop signal", r.Replica)
		}
		return
	}
	if had := r.At.Sub(k.askedAt); had < time.Duration(k.grace)*time.Second {
		b.broken(GraceHonoured, "%v was killed after %v of at least %d s", r.Replica, had, k.grace)
	}
}

// declared notes a new manifest.
func (b *books) declared(name string, want *spec.Service) {
	a := b.account(name)
	if a.want = want; want == nil {
		a.heldAt, a.heldUntil = time.Time{}, time.Time{}
		return
	}
	for id, k := range b.replicas {
		if id.Service == name {
			k.grace = min(k.grace, want.Spec.TerminationGracePeriodSeconds)
		}
	}
}
