package reconciler

import (
	"testing"
	"time"

	"svc.d/spec"
)

func TestADaemonThatTakesOverKnowsWhatIsDependedOn(t *testing.T) {
	want := service(func(s *spec.Spec) {
		s.DependsOn = []spec.Dependency{{Name: "db", Condition: spec.DependencyReady, Restart: true}}
	})
	s := tell(want).run(0).crash()
	s.observe(Event{Kind: EventDependency, Dependency: &Dependency{Name: "db", Declared: true}})
	if d := s.facts.bonds().Dependencies; len(d) != 1 || !d[0].Declared {
		t.Errorf("it knows of %+v", d)
	}
}

func TestADaemonThatTakesOverGivesAWatchdogItsWholeTime(t *testing.T) {
	want := service(func(s *spec.Spec) { s.Notify, s.WatchdogSeconds = spec.NotifySystemd, 2 })
	s := tell(want).run(0).notified(Notice{Ready: true})
	now := s.now.Add(time.Hour)
	i := resumed(&Record{At: s.now, Instance: s.facts.Replicas[0]}, now)
	if deaf, _ := i.watchdog(); deaf.Before(now.Add(2 * time.Second)) {
		t.Errorf("it is taken for dead at %v", deaf)
	}
}

// TestADaemonThatCannotBeHeardTakesNobodyForDead: who has connected to the socket of a
// daemon that was killed feeds a watchdog that is gone. The host makes the record say
// that it was never fed.
func TestADaemonThatCannotBeHeardTakesNobodyForDead(t *testing.T) {
	want := service(func(s *spec.Spec) { s.Notify, s.WatchdogSeconds = spec.NotifySystemd, 2 })
	s := tell(want).run(0).notified(Notice{Ready: true})
	s.facts.Replicas[0].Life.HeardAt = time.Time{}
	s.crash().after(time.Hour)
	if cause := s.facts.Replicas[0].failing(s.now); cause != CauseNone {
		t.Errorf("it is ended: %v", cause)
	}
	s.notified(Notice{Watchdog: true})
	before := s.facts.Replicas[0]
	if cause := s.after(time.Hour).facts.Replicas[0].failing(s.now); cause != CauseWatchdog {
		t.Errorf("it was heard, and then not any more: %v", cause)
	}
	silent := before
	l := *before.Life
	l.HeardAt, silent.Life = time.Time{}, &l
	if !turned(&silent, &before) {
		t.Error("that it was heard is not recorded")
	}
}

func TestWhatIsBeingStartedHasLoadedItsFiles(t *testing.T) {
	want := service(func(s *spec.Spec) { s.Reload = &spec.Reload{Files: []string{"/etc/web.conf"}} })
	s := tell(want).taken(0)
	s.observe(Event{Kind: EventContents, Files: "one"})
	s.at(0, Event{Kind: EventStarted, Pid: 4700})
	if l := s.facts.Replicas[0].Life; l == nil || l.Loaded != "one" {
		t.Errorf("it has %+v", l)
	}
}

func TestAProbeThatCannotBeMadeEndsNothing(t *testing.T) {
	want := service(func(s *spec.Spec) {
		s.LivenessProbe = &spec.Probe{Exec: &spec.ExecAction{Command: []string{"true"}}, PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 1}
	})
	for reason, ended := range map[Reason]bool{ReasonEnvFileInvalid: false, ReasonResourcesExhausted: false, ReasonProbeFailed: true} {
		s := tell(want).run(0)
		s.at(0, Event{Kind: EventProbeTaken, Probe: ProbeLiveness})
		s.at(0, Event{Kind: EventProbed, Probe: ProbeLiveness, Failure: &Failure{Reason: reason, Message: "no"}})
		if cause := s.facts.Replicas[0].failing(s.now); (cause == CauseUnhealthy) != ended {
			t.Errorf("%s: %v", reason, cause)
		}
	}
}

func TestAnEndWhilePostStartRunsIsNotBlamedOnIt(t *testing.T) {
	want := service(func(s *spec.Spec) {
		s.RestartPolicy = spec.RestartNever
		s.Lifecycle.PostStart = &spec.Handler{Exec: &spec.ExecAction{Command: []string{"sleep", "3"}}}
	})
	for reason, blamed := range map[Reason]bool{ReasonMainEnded: false, ReasonHookFailed: true} {
		s := tell(want).run(0)
		s.at(0, Event{Kind: EventHookTaken, Hook: HookPostStart, Run: 7})
		s.at(0, Event{Kind: EventHookEnded, Hook: HookPostStart, Run: 7, Failure: &Failure{Reason: reason, Message: "no"}})
		if cause := s.facts.Replicas[0].failing(s.now); (cause == CausePostStart) != blamed {
			t.Errorf("%s: %v", reason, cause)
		}
	}
}
