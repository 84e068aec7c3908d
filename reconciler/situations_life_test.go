package reconciler

import (
	"syscall"
	"testing"
	"time"

	"svc.d/spec"
)

func execs(words ...string) *spec.Handler {
	return &spec.Handler{Exec: &spec.ExecAction{Command: words}}
}
func httpProbe() *spec.Probe {
	return &spec.Probe{
		HTTPGet: &spec.HTTPGetAction{Path: "/", Port: "80", Scheme: "HTTP"}, PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
}
func startupProbe(s *spec.Spec)   { s.StartupProbe = httpProbe() }
func readinessProbe(s *spec.Spec) { s.ReadinessProbe = httpProbe() }
func postStart(s *spec.Spec)      { s.Lifecycle.PostStart = execs("/bin/post-start") }
func preStop(s *spec.Spec)        { s.Lifecycle.PreStop = execs("/bin/pre-stop") }
func postStopHook(s *spec.Spec)   { s.Lifecycle.PostStop = execs("/bin/post-stop") }
func notifies(s *spec.Spec)       { s.Notify = spec.NotifySystemd }
func watched10s(s *spec.Spec)     { s.Notify, s.WatchdogSeconds = spec.NotifySystemd, 10 }
func readyLine(s *spec.Spec)      { s.ReadyLogLine = "^listening" }
func otherLine(s *spec.Spec)      { s.ReadyLogLine = "^serving" }
func otherPostStart(s *spec.Spec) { s.Lifecycle.PostStart = execs("/bin/other") }
func patientProbe(s *spec.Spec)   { s.StartupProbe.FailureThreshold = 30 }
func forGroup(s *spec.Spec)       { s.Lifetime = spec.LifetimeGroup }
func sparesRest(s *spec.Spec)     { s.StopScope = spec.StopScopeMain }
func inits(s *spec.Spec) {
	s.Init = []spec.Init{{Name: "one", Command: []string{"/bin/one"}}, {Name: "two", Command: []string{"/bin/two"}}}
}
func envFile(s *spec.Spec) { s.EnvFrom = []spec.EnvFrom{{File: "/etc/web.env"}} }
func needsDB(s *spec.Spec) {
	s.DependsOn = []spec.Dependency{{Name: "db", Condition: spec.DependencyReady}}
}
func needsMigration(s *spec.Spec) {
	s.DependsOn = []spec.Dependency{{Name: "migration", Condition: spec.DependencyCompleted}}
}
func followsDB(s *spec.Spec) {
	s.DependsOn = []spec.Dependency{{Name: "db", Condition: spec.DependencyReady, Restart: true}}
}
func reloads(s *spec.Spec) {
	s.Reload = &spec.Reload{Signal: "SIGHUP", Files: []string{"/etc/web.conf"}}
}
func reloadsOther(s *spec.Spec) {
	s.Reload = &spec.Reload{Signal: "SIGHUP", Files: []string{"/etc/web.conf", "/etc/other.conf"}}
}
func reloadsChecked(s *spec.Spec) {
	reloads(s)
	s.Reload.Check = &spec.ExecAction{Command: []string{"/bin/check"}}
}
func reloadsByExec(s *spec.Spec) {
	s.Reload.Exec = &spec.ExecAction{Command: []string{"/bin/reload"}}
}
func livenessProbe(s *spec.Spec) {
	s.LivenessProbe = httpProbe()
	s.LivenessProbe.TerminationGracePeriodSeconds = new(int64)
	*s.LivenessProbe.TerminationGracePeriodSeconds = 5
}

// hook: the host accepted a hook; hooked: and it ended.
func (s *story) hook(ordinal int32, h Hook) *story {
	s.runs++
	var files string
	if s.facts.Bonds != nil {
		files = s.facts.Bonds.Files
	}
	cause := CauseNone
	for _, a := range s.decided() {
		if a.Deed == DeedHook && a.Hook == h {
			cause = a.Cause
		}
	}
	return s.at(ordinal, Event{Kind: EventHookTaken, Hook: h, Run: s.runs, Cause: cause, Files: files})
}

func (s *story) hooked(ordinal int32, h Hook, failure string) *story {
	e := Event{Kind: EventHookEnded, Hook: h, Run: s.hook(ordinal, h).runs}
	if failure != "" {
		e.Failure = &Failure{Reason: ReasonHookFailed, Message: failure}
	}
	return s.at(ordinal, e)
}

func (s *story) decided() []Action {
	actions, _ := Decide(s.want, &s.facts, s.now, nil)
	return actions
}

// probed: a probe was made, and had success when failure is empty.
func (s *story) probed(ordinal int32, kind ProbeKind, failure string) *story {
	s.runs++
	s.at(ordinal, Event{Kind: EventProbeTaken, Probe: kind, Run: s.runs})
	e := Event{Kind: EventProbed, Probe: kind, Run: s.runs}
	if failure != "" {
		e.Failure = &Failure{Reason: ReasonProbeFailed, Message: failure}
	}
	return s.at(ordinal, e)
}

func (s *story) fails(ordinal int32, kind ProbeKind, times int) *story {
	for range times {
		s.after(10*time.Second).probed(ordinal, kind, "HTTP probe failed with statuscode: 500")
	}
	return s
}

func (s *story) notified(n Notice) *story { return s.at(0, Event{Kind: EventNotified, Notice: &n}) }

// dependency: another service is, from now on, as far as this.
func (s *story) dependency(name string, started, ready, completed bool) *story {
	d := &Dependency{Name: name, Declared: true}
	s.now = s.now.Add(time.Nanosecond)
	for at, is := range map[*time.Time]bool{&d.StartedAt: started, &d.ReadyAt: ready, &d.CompletedAt: completed} {
		if is {
			*at = s.now
		}
	}
	return s.observe(Event{Kind: EventDependency, Dependency: d})
}

func (s *story) contents(env, files string) *story {
	return s.observe(Event{Kind: EventContents, EnvFiles: env, Files: files})
}

// usable: what the files of envFrom mean, and whether a start can use them.
func (s *story) usable(env string, is bool) *story {
	return s.observe(Event{Kind: EventContents, EnvFiles: env, Usable: is})
}

// lives are situations in which more is known of a replica than its processes.
var lives = map[string]func() *story{
	"01 it has not told that it is ready": func() *story {
		return tell(service(notifies)).run(0).notified(Notice{HasStatus: true, Status: "loading"}).after(time.Second)
	},
	"02 it told that it is ready": func() *story {
		return tell(service(notifies)).run(0).after(time.Second).notified(Notice{Ready: true})
	},
	"03 no line has matched": func() *story { return tell(service(readyLine)).run(0).after(time.Second) },
	"04 a line has matched": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).at(0, Event{Kind: EventLineSeen})
	},
	"05 the startup probe gates the others": func() *story {
		return tell(service(startupProbe, readinessProbe, livenessProbe)).run(0).after(time.Second)
	},
	"06 the startup probe had a success": func() *story {
		return tell(service(startupProbe, readinessProbe, livenessProbe)).run(0).probed(0, ProbeStartup, "")
	},
	"07 the startup probe failed": func() *story {
		return tell(service(startupProbe)).run(0).fails(0, ProbeStartup, 3)
	},
	"08 the readiness probe failed twice": func() *story {
		return tell(service(readinessProbe)).run(0).probed(0, ProbeReadiness, "").fails(0, ProbeReadiness, 2)
	},
	"09 the readiness probe failed three times: it restarts nothing": func() *story {
		return tell(service(readinessProbe)).run(0).probed(0, ProbeReadiness, "").fails(0, ProbeReadiness, 3)
	},
	"10 the liveness probe failed twice": func() *story {
		return tell(service(livenessProbe)).run(0).probed(0, ProbeLiveness, "").fails(0, ProbeLiveness, 2)
	},
	"11 the liveness probe failed three times": func() *story {
		return tell(service(livenessProbe)).run(0).probed(0, ProbeLiveness, "").fails(0, ProbeLiveness, 3)
	},
	"12 it is being ended for that, with the grace of the probe": func() *story {
		return tell(service(livenessProbe)).run(0).fails(0, ProbeLiveness, 3).act().after(time.Second)
	},
	"13 it ended for that a second time: an end that nobody asked for": func() *story {
		return tell(service(livenessProbe)).run(0).fails(0, ProbeLiveness, 3).act().exit(0, 0).
			run(0).fails(0, ProbeLiveness, 3).act().exit(0, 0)
	},
	"14 a job that did not work is no success": func() *story {
		return tell(service(livenessProbe, onFailure)).run(0).fails(0, ProbeLiveness, 3).act().exit(0, 0)
	},
	"15 it did not feed its watchdog": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Ready: true}).after(5 * time.Second).notified(Notice{Watchdog: true}).after(10 * time.Second)
	},
	"16 it feeds its watchdog": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Ready: true}).after(5 * time.Second).notified(Notice{Watchdog: true}).after(6 * time.Second)
	},
	"17 the watchdog was not fed while no daemon lived": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Ready: true}).after(time.Minute).crash().after(5 * time.Second)
	},
	"18 the postStart hook is to run": func() *story { return tell(service(postStart, livenessProbe)).run(0) },
	"19 the postStart hook failed": func() *story {
		return tell(service(postStart)).run(0).hooked(0, HookPostStart, "cannot run lifecycle.postStart: exited with code 3")
	},
	"20 the daemon ended while the postStart hook ran: it runs again": func() *story {
		return tell(service(postStart)).run(0).hook(0, HookPostStart).crash()
	},
	"21 it is to end, and its preStop hook comes first": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil)
	},
	"22 the preStop hook runs": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).after(4 * time.Second)
	},
	"23 the preStop hook took all of the grace": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).after(10 * time.Second).act().after(time.Second)
	},
	"24 two seconds later it is killed": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).after(10 * time.Second).act().after(2 * time.Second)
	},
	"25 the preStop hook failed, which hinders nothing": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hooked(0, HookPreStop, "cannot run lifecycle.preStop: exited with code 1")
	},
	"26 the daemon ended while the preStop hook ran: it runs again": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).after(time.Second).crash()
	},
	"27 a kill at once skips the preStop hook": func() *story {
		return tell(service(preStop)).run(0).observe(Event{Kind: EventShutdownNow})
	},
	"28 the postStop hook is to run before the next start": func() *story {
		return tell(service(postStopHook)).run(0).exit(0, 1)
	},
	"29 the postStop hook has run": func() *story {
		return tell(service(postStopHook)).run(0).exit(0, 1).hooked(0, HookPostStop, "")
	},
	"30 the postStop hook runs before it is forgotten": func() *story {
		return tell(service(postStopHook)).run(0).declare(nil).act().die(0, syscall.SIGTERM)
	},
	"31 the first init command runs": func() *story {
		return tell(service(inits)).at(0, Event{Kind: EventStartTaken, Run: 1, Init: 1, Service: service(inits)}).at(0, Event{Kind: EventStarted, Pid: 9})
	},
	"32 the first init command succeeded": func() *story {
		s := tell(service(inits))
		return s.at(0, Event{Kind: EventStartTaken, Run: 1, Init: 1, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).after(time.Second).exit(0, 0)
	},
	"33 an init command failed": func() *story {
		s := tell(service(inits))
		return s.at(0, Event{Kind: EventStartTaken, Run: 1, Init: 2, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).after(time.Second).exit(0, 3)
	},
	"34 an init command failed under Never": func() *story {
		s := tell(service(inits, never))
		return s.at(0, Event{Kind: EventStartTaken, Run: 1, Init: 2, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).after(time.Second).exit(0, 3)
	},
	"35 it depends on what no manifest declares": func() *story { return tell(service(needsDB)) },
	"36 its dependency is not ready":             func() *story { return tell(service(needsDB)).dependency("db", true, false, false) },
	"37 its dependency is ready":                 func() *story { return tell(service(needsDB)).dependency("db", true, true, false) },
	"38 its dependency is no longer ready: it runs on": func() *story {
		return tell(service(needsDB)).dependency("db", true, true, false).run(0).after(time.Minute).dependency("db", true, false, false)
	},
	"39 it waits for a job": func() *story { return tell(service(needsMigration)).dependency("migration", true, true, false) },
	"40 it waits for a job to be ready that is done": func() *story {
		return tell(service(needsDB)).dependency("db", true, false, true)
	},
	"41 its dependency was restarted and is not ready yet": func() *story {
		return tell(service(followsDB)).dependency("db", true, true, false).run(0).after(time.Minute).dependency("db", true, false, false)
	},
	"42 its dependency was restarted and is ready": func() *story {
		return tell(service(followsDB)).dependency("db", true, true, false).run(0).after(time.Minute).dependency("db", true, true, false)
	},
	"43 it followed its dependency, once": func() *story {
		s := tell(service(followsDB)).dependency("db", true, true, false).run(0).after(time.Minute).dependency("db", true, true, false)
		return s.checked(nil).act().exit(0, 0).run(0)
	},
	"44 others that depend on it end first": func() *story {
		return tell(service()).run(0).observe(Event{Kind: EventDependents, Names: []string{"app", "proxy"}}).observe(Event{Kind: EventShutdown})
	},
	"45 a file of envFrom means something else": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"}).contents("b", "")
	},
	"46 a file of envFrom means something else, and the successor cannot start": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"}).contents("b", "").
			checked(&Failure{Reason: ReasonEnvFileInvalid, Message: "cannot read environment file /etc/web.env: line 3: no \"=\""})
	},
	"47 a file that it loads has changed": func() *story {
		return tell(service(reloads)).contents("", "a").at(0, Event{Kind: EventStartTaken, Run: 1, Service: service(reloads), Files: "a"}).
			at(0, Event{Kind: EventStarted, Pid: 9}).contents("", "b")
	},
	"48 the check of what it would load is to run": func() *story { return changedFiles() },
	"49 the check failed": func() *story {
		return changedFiles().hooked(0, HookReloadCheck, "cannot run reload.check: exited with code 1: unexpected \"}\" in line 7")
	},
	"50 the check succeeded": func() *story { return changedFiles().hooked(0, HookReloadCheck, "") },
	"51 it has loaded the files": func() *story {
		s := changedFiles().hooked(0, HookReloadCheck, "")
		return s.at(0, Event{Kind: EventReloaded, Files: "b"})
	},
	"52 a person asked for a reload": func() *story { return changedFiles().contents("", "a").observe(Event{Kind: EventReload}) },
	"53 it put itself in the background and carries on": func() *story {
		return tell(service(forGroup)).run(0).after(time.Second).exit(0, 0, Process{Pid: 77, Name: "redis-server"}).after(time.Hour)
	},
	"54 what carried on has ended": func() *story {
		return tell(service(forGroup)).run(0).after(time.Second).exit(0, 0, Process{Pid: 77, Name: "redis-server"}).after(time.Hour).
			at(0, Event{Kind: EventEmptied})
	},
	"55 it failed to put itself in the background": func() *story {
		return tell(service(forGroup)).run(0).after(time.Second).exit(0, 1, Process{Pid: 77, Name: "redis-server"})
	},
	"56 what its main process left may live on": func() *story {
		return tell(service(sparesRest)).run(0).after(time.Hour).observe(Event{Kind: EventRestart}).checked(nil).act().
			exit(0, 0, Process{Pid: 77, Name: "sshd"})
	},
	"57 what its main process left could not be moved": func() *story {
		s := tell(service(sparesRest)).run(0).after(time.Hour).exit(0, 0, Process{Pid: 77, Name: "sshd"})
		return s.at(0, Event{Kind: EventReleaseTaken}).at(0, Event{Kind: EventReleased, Failure: &Failure{Reason: ReasonReleaseFailed, Message: "cannot move processes: no cgroups"}})
	},
	"58 a successor is not ready: the others wait": func() *story {
		return rolling().after(time.Minute)
	},
	"59 a successor did not get ready in time: the replacement halts": func() *story {
		return rolling().after(600 * time.Second)
	},
	"60 an edit goes to what is not ready first": func() *story {
		return rolling().after(600 * time.Second).declare(service(replicas(3), readinessProbe, args("-x"))).checked(nil)
	},
	"61 the daemon ended: what is known of probes stays": func() *story {
		return tell(service(readinessProbe, livenessProbe)).run(0).probed(0, ProbeReadiness, "").fails(0, ProbeLiveness, 2).crash()
	},
	"62 a new readyLogLine is for the next start": func() *story {
		return tell(service()).run(0).after(time.Minute).declare(service(readyLine, postStart))
	},
}

// rolling is a replacement of which the first successor runs.
func rolling() *story {
	s := tell(service(replicas(3), readinessProbe))
	for n := range int32(3) {
		s.run(n).probed(n, ProbeReadiness, "")
	}
	s.after(time.Minute).declare(service(replicas(3), readinessProbe, args("-v"))).checked(nil)
	return s.at(0, Event{Kind: EventSignalled, Cause: CauseEdited}).exit(0, 0).run(0)
}

// changedFiles is a service whose files have changed since it loaded them.
func changedFiles(edits ...func(*spec.Spec)) *story {
	s := tell(service(append([]func(*spec.Spec){reloadsChecked}, edits...)...)).contents("", "a")
	s.at(0, Event{Kind: EventStartTaken, Run: 1, Service: s.want, Files: "a"}).at(0, Event{Kind: EventStarted, Pid: 9})
	s.runs = 1
	return s.after(time.Minute).contents("", "b")
}

// TestLives compares phase, reason, message, times and deeds with the golden file.
func TestLives(t *testing.T) { compareSituations(t, lives, "testdata/lives.golden") }
