package reconciler_test

import (
	"slices"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// The promises that a chart watches over.
const (
	InitInOrder      = "InitInOrder"      // the main program starts after all init commands have succeeded
	PreStopFirst     = "PreStopFirst"     // no stop signal before the preStop hook ran
	PostStopBetween  = "PostStopBetween"  // no start before the postStop hook of the last run
	IllnessIsProven  = "IllnessIsProven"  // nothing is ended for its health that did not fail often enough: readiness ends nothing
	IllnessBacksOff  = "IllnessBacksOff"  // ends for ill health are spaced as others are
	EndsInOrder      = "EndsInOrder"      // a shutdown ends dependents first
	StartsInOrder    = "StartsInOrder"    // nothing starts before what it depends on has
	ProbesOfTheLived = "ProbesOfTheLived" // nothing is probed that does not run
	ReloadsAnswered  = "ReloadsAnswered"  // a reload begins after each request for one
)

// chart is what an outsider knows of a clinic. It repeats the documented rules in its
// own words, and is guarded by the clinic's lock.
type chart struct {
	wants    map[string]*spec.Service
	ill      map[string]bool
	touched  map[string]time.Time // when an edit or a person last concerned it
	patients map[reconciler.ReplicaID]*patient
	changing bool // what is wanted is just being told
	stopping bool
	broken   func(promise, story string, args ...any)
}

func newChart(broken func(promise, story string, args ...any)) chart {
	return chart{
		wants: map[string]*spec.Service{}, ill: map[string]bool{}, touched: map[string]time.Time{},
		patients: map[reconciler.ReplicaID]*patient{}, broken: broken,
	}
}

// patient is a replica as the machine saw it.
type patient struct {
	service                     *spec.Service
	init                        int32
	started, lives              bool
	preStop, postStop, hookBad  bool
	told                        bool // to end
	toldForHealth               bool
	takenAt, startedAt, endedAt time.Time
	checkedAt                   time.Time // when the latest reload began
	exit                        reconciler.Exit
	failures                    [3]int32 // in a row, by kind of probe
	streak, former              int32    // former is before the end was counted, which may be told again
	unsure                      bool     // a daemon that crashed may not have recorded all of it
	before                      *patient // what was known before a start that nobody has heard of yet
}

func (c *chart) patient(id reconciler.ReplicaID) *patient {
	p := c.patients[id]
	if p == nil {
		p = &patient{}
		c.patients[id] = p
	}
	return p
}

// crashed forgets what a new daemon cannot know.
// atRest says that all was recorded.
func (c *chart) crashed(atRest bool) {
	for _, p := range c.patients {
		p.unsure = p.unsure || !atRest
		if p.before != nil && !p.started && p.endedAt.IsZero() {
			*p = *p.before // that start was lost with the daemon
		}
		p.failures = [3]int32{}
	}
}

// touch notes that an edit or a person concerns a service, at which its streaks end.
func (c *chart) touch(name string, now time.Time) {
	c.touched[name] = now
	for id, p := range c.patients {
		if id.Service == name {
			p.streak = 0
		}
	}
}

// probed notes how a probe is going to be answered.
func (c *chart) probed(w reconciler.ProbeWork, failure *reconciler.Failure, now time.Time) {
	p := c.patient(w.Replica)
	if !p.lives && now.Sub(p.endedAt) > time.Second || p.init != 0 {
		c.broken(ProbesOfTheLived, "%v of %v, which does not run", w.Kind, w.Replica)
	}
	if p.failures[w.Kind]++; failure == nil {
		p.failures[w.Kind] = 0
	}
}

// see takes in what the machine recorded, and judges it.
func (c *chart) see(r hosttest.Record) {
	p := c.patient(r.Replica)
	switch r.What {
	case hosttest.StartTaken:
		c.judgeStart(p, r)
		before := *p
		before.before = nil
		if p.unsure || p.service != nil && !sameProcess(p.service, r.Service) {
			p.streak = 0
		}
		*p = patient{service: r.Service, init: r.Init, takenAt: r.At, streak: p.streak, before: &before}
	case hosttest.Started:
		p.started, p.lives, p.startedAt = true, true, r.At
	case hosttest.StartFailed:
		p.endedAt = r.At
	case hosttest.Exited:
		if !p.endedAt.IsZero() {
			p.streak = p.former
		}
		p.former = p.streak
		p.lives, p.endedAt, p.exit = false, r.At, r.Exit
		p.count(r.At)
	case hosttest.HookTaken:
		switch r.Hook {
		case reconciler.HookPreStop:
			c.judgeEnd(p, r)
			p.preStop, p.told = true, true
		case reconciler.HookPostStop:
			p.postStop = true
		case reconciler.HookReloadCheck:
			p.checkedAt = r.At
		default:
		}
	case hosttest.HookEnded:
		if r.Hook == reconciler.HookPostStart && r.Failure != nil {
			p.hookBad = true
		}
	case hosttest.Signalled:
		if !r.MainLives || r.Scope != reconciler.ScopeMain || r.Signal != p.service.Spec.Lifecycle.StopSignal.Number() {
			return
		}
		if p.init == 0 && p.service.Spec.Lifecycle.PreStop != nil && !p.preStop {
			c.broken(PreStopFirst, "%v was sent the stop signal before its hook", r.Replica)
		}
		c.judgeEnd(p, r)
		p.told = true
	case hosttest.Forgotten:
		*p = patient{}
	default:
	}
}

// count notes an end that nobody asked for.
func (p *patient) count(at time.Time) {
	ok := p.init != 0 && p.exit == reconciler.Exit{}
	if ok || p.told && !p.toldForHealth {
		return
	}
	if p.init == 0 && at.Sub(p.startedAt) >= time.Duration(p.service.Spec.Backoff.StableAfter) {
		p.streak = 0
	}
	p.streak++
}

func (c *chart) judgeStart(p *patient, r hosttest.Record) {
	if p.unsure {
		return
	}
	s := &r.Service.Spec
	succeeded := p.started && !p.lives && p.init != 0 && p.exit == reconciler.Exit{} && !p.told
	inits := int32(len(s.Init))
	if want := r.Init == 1 || inits == 0 || succeeded && (r.Init == p.init+1 || r.Init == 0 && p.init == inits); !want {
		c.broken(InitInOrder, "%v starts with %d of %d after %d, which succeeded: %v", r.Replica, r.Init, inits, p.init, succeeded)
	}
	if p.started && !succeeded && p.service.Spec.Lifecycle.PostStop != nil && !p.postStop {
		c.broken(PostStopBetween, "%v starts before the hook of its last run", r.Replica)
	}
	for _, need := range s.DependsOn {
		if want := c.wants[need.Name]; want == nil && !c.changing {
			c.broken(StartsInOrder, "%v starts without %s", r.Replica, need.Name)
		}
	}
	if !p.started || succeeded || c.changing || p.told && !p.toldForHealth || !sameProcess(p.service, r.Service) ||
		!c.touched[r.Replica.Service].Before(p.takenAt) {
		return
	}
	var delay time.Duration
	if n := p.streak - 1; n > 0 {
		delay = time.Duration(s.Backoff.InitialDelay)
		for ; n > 1 && delay < time.Duration(s.Backoff.MaxDelay); n-- {
			delay *= 2
		}
		delay = min(delay, time.Duration(s.Backoff.MaxDelay))
	}
	if waited := r.At.Sub(p.endedAt); waited < delay*89/100 {
		c.broken(IllnessBacksOff, "%v starts %v after end number %d; the back-off is %v", r.Replica, waited, p.streak, delay)
	}
}

// judgeEnd judges the first step of an end.
func (c *chart) judgeEnd(p *patient, r hosttest.Record) {
	name := r.Replica.Service
	if c.stopping {
		for other, patient := range c.patients {
			if want := c.wants[other.Service]; want != nil && patient.lives && slices.ContainsFunc(want.Spec.DependsOn, func(d spec.Dependency) bool { return d.Name == name }) {
				c.broken(EndsInOrder, "%v ends while %v lives, which depends on it", r.Replica, other)
			}
		}
		return
	}
	want := c.wants[name]
	if p.told || c.changing || want == nil || r.Replica.Ordinal >= want.Spec.Replicas || !sameProcess(p.service, want) ||
		!c.touched[name].Before(p.takenAt) || p.init != 0 {
		return
	}
	s := &want.Spec
	often := func(kind reconciler.ProbeKind) bool {
		probe := kind.Of(s)
		return probe != nil && p.failures[kind] >= probe.FailureThreshold
	}
	p.toldForHealth = often(reconciler.ProbeLiveness) || often(reconciler.ProbeStartup) || p.hookBad
	follows := slices.ContainsFunc(s.DependsOn, func(d spec.Dependency) bool { return d.Restart })
	p.unsure = p.unsure || follows // it may be for the one or the other
	if !p.toldForHealth && !follows {
		c.broken(IllnessIsProven, "%v is ended without a reason: %+v", r.Replica, p.failures)
	}
}

// clinicService is a manifest, which depends only on services with smaller names.
func clinicService(seed uint64, names []string, name string) *spec.Service {
	r := dice(seed, "clinic", name)
	s := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService, Spec: spec.Defaults()}
	s.Metadata.Name = name
	s.Spec.Command, s.Spec.Replicas = []string{"/bin/web"}, int32(1+r.IntN(2))
	s.Spec.TerminationGracePeriodSeconds = []int64{2, 10, 30}[r.IntN(3)]
	probe := func() *spec.Probe {
		return &spec.Probe{
			TCPSocket: &spec.TCPSocketAction{Port: "80"}, PeriodSeconds: int32(1 + r.IntN(10)), TimeoutSeconds: 1,
			SuccessThreshold: 1, FailureThreshold: int32(1 + r.IntN(3)), InitialDelaySeconds: int32(r.IntN(3)),
		}
	}
	handler := &spec.Handler{Exec: &spec.ExecAction{Command: []string{"/bin/hook"}}}
	if chance(r, 0.7) {
		s.Spec.ReadinessProbe = probe()
	}
	if chance(r, 0.4) {
		s.Spec.LivenessProbe = probe()
	}
	if chance(r, 0.2) {
		s.Spec.StartupProbe = probe()
	}
	for _, hook := range []**spec.Handler{&s.Spec.Lifecycle.PostStart, &s.Spec.Lifecycle.PreStop, &s.Spec.Lifecycle.PostStop} {
		if chance(r, 0.3) {
			*hook = handler
		}
	}
	if chance(r, 0.3) {
		s.Spec.Init = []spec.Init{{Name: "one", Command: []string{"/bin/one"}}, {Name: "two", Command: []string{"/bin/two"}}}
	}
	if chance(r, 0.3) {
		s.Spec.Reload = &spec.Reload{Signal: "SIGHUP", Check: handler.Exec}
		if chance(r, 0.5) {
			s.Spec.Reload.Exec = handler.Exec
		}
	}
	if n := slices.Index(names, name); n > 0 && chance(r, 0.7) {
		for range 1 + r.IntN(2) {
			d := spec.Dependency{Name: names[r.IntN(n)], Condition: spec.DependencyReady, Restart: chance(r, 0.2)}
			if chance(r, 0.3) {
				d.Condition = spec.DependencyStarted
			}
			if !slices.ContainsFunc(s.Spec.DependsOn, func(x spec.Dependency) bool { return x.Name == d.Name }) {
				s.Spec.DependsOn = append(s.Spec.DependsOn, d)
			}
		}
	}
	return s
}

// clinicBehaviour scripts what is run.
func clinicBehaviour(seed uint64, w reconciler.Work, calm bool) hosttest.Behaviour {
	r := dice(seed, "clinic", w.Verb, w.Replica, w.Run, w.Hook)
	soon := time.Duration(r.IntN(3000)) * time.Millisecond
	failed := reconciler.Exit{Code: 1}
	switch {
	case w.Verb == reconciler.VerbCheck:
		return hosttest.Behaviour{}
	case w.Verb == reconciler.VerbHook || w.Init != 0:
		b := hosttest.Behaviour{Ends: true, After: soon}
		if !calm && chance(r, 0.15) {
			b.Exit = failed
		}
		if !calm && chance(r, 0.1) && w.Hook != reconciler.HookPostStart && w.Init == 0 {
			b.Ends = false
		}
		return b
	}
	b := hosttest.Behaviour{Main: hosttest.Temper{Shown: "web", Lingers: soon, Answers: chance(r, 0.5)}}
	if !calm && chance(r, 0.3) {
		b.Ends, b.After, b.Exit = true, about(r, 5*time.Minute, time.Hour), failed
	}
	if chance(r, 0.2) {
		b.Children = []hosttest.Child{{Temper: hosttest.Temper{Shown: "child", Ignores: chance(r, 0.5)}}}
	}
	return b
}
