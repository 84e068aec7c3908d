package reconciler

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		e.Failure = &Failure{ReasonHookFailed, failure}
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
		e.Failure = &Failure{ReasonProbeFailed, failure}
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
			checked(&Failure{ReasonEnvFileInvalid, "cannot read environment file /etc/web.env: line 3: no \"=\""})
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
		return s.at(0, Event{Kind: EventReleaseTaken}).at(0, Event{Kind: EventReleased, Failure: &Failure{ReasonReleaseFailed, "cannot move processes: no cgroups"}})
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
	"63 a person asked for a reload while the check ran: this attempt goes on": func() *story {
		return askedWhileTried(changedFiles(), HookReloadCheck)
	},
	"64 and then there is another one": func() *story {
		s := askedWhileTried(changedFiles(), HookReloadCheck)
		return s.at(0, Event{Kind: EventReloaded, Files: "b"})
	},
	"65 a person asked for a reload while the command to reload ran": func() *story {
		s := changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "")
		return askedWhileTried(s, HookReload)
	},
	"66 the check failed, and a person had asked again meanwhile": func() *story {
		s := changedFiles().hook(0, HookReloadCheck).observe(Event{Kind: EventReload})
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookReloadCheck, Run: s.runs, Failure: &Failure{ReasonHookFailed, "exited with code 1"}})
	},
	"67 a file changed while the command to reload ran": func() *story {
		s := changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "").hook(0, HookReload).contents("", "c")
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookReload, Run: s.runs})
	},
	"68 the daemon ended while the check ran that a person had asked for": func() *story {
		s := changedFiles().contents("", "a").observe(Event{Kind: EventReload}).hook(0, HookReloadCheck).crash()
		return s.contents("", "a")
	},
	"69 a reload that a person had asked for was made, once": func() *story {
		s := changedFiles().contents("", "a").observe(Event{Kind: EventReload}).hooked(0, HookReloadCheck, "")
		return s.at(0, Event{Kind: EventReloaded, Files: "a"}).crash().contents("", "a")
	},
	"70 the check failed, and the file is again what is loaded": func() *story { return refused().contents("", "a") },
	"71 and then it is again what the check refused": func() *story {
		return refused().contents("", "a").contents("", "b")
	},
	"72 other files were loaded, and then it is again what the check refused": func() *story {
		s := refused().contents("", "c").hooked(0, HookReloadCheck, "")
		return s.at(0, Event{Kind: EventReloaded, Files: "c"}).contents("", "b")
	},
	"73 the command to reload failed": func() *story { return reloadFailed() },
	"74 the command to reload failed, and the file is again what was loaded before: nobody knows what is loaded": func() *story {
		return reloadFailed().contents("", "a")
	},
	"75 the check failed, and the file became what is loaded while no daemon lived": func() *story {
		return refused().crash().contents("", "a")
	},
	"76 the check failed, and it is another one now": func() *story {
		return refused().declare(service(reloadsChecked, func(s *spec.Spec) { s.Reload.Check.Command = []string{"/bin/other-check"} }))
	},
	"77 the check failed, and nothing is to be reloaded any more": func() *story { return refused().declare(service()) },
	"78 it wanted more time before it was told to end: that was for something else": func() *story {
		return tell(service(notifies, grace10s)).run(0).notified(Notice{Ready: true, Extend: time.Hour}).after(time.Second).declare(nil).act()
	},
	"79 it wants more time to end": func() *story {
		return tell(service(notifies, grace10s)).run(0).notified(Notice{Ready: true}).declare(nil).act().
			after(8 * time.Second).notified(Notice{Extend: 20 * time.Second})
	},
	"80 it wants less time to end than it has": func() *story {
		return tell(service(notifies, grace10s)).run(0).declare(nil).act().notified(Notice{Extend: time.Minute}).notified(Notice{Extend: time.Second})
	},
	"81 it wants more time to end than anybody gets": func() *story {
		return tell(service(notifies, grace10s)).run(0).observe(Event{Kind: EventShutdown}).act().
			after(time.Second).notified(Notice{Extend: 1<<63 - 1})
	},
	"82 it wants more time while its preStop hook runs": func() *story {
		return tell(service(notifies, preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).
			after(time.Second).notified(Notice{Extend: time.Minute})
	},
	"83 what it wanted for its start holds off no watchdog": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Extend: time.Hour}).after(time.Second).notified(Notice{Ready: true}).
			after(10 * time.Second)
	},
	"84 it wants more time before its watchdog bites": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Ready: true, Extend: time.Minute}).after(30 * time.Second)
	},
	"85 the preStop hook took nearly all of the grace": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).after(9*time.Second).
			at(0, Event{Kind: EventHookEnded, Hook: HookPreStop, Run: 2}).act()
	},
	"86 readyLogLine was edited before a line has matched": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service(otherLine))
	},
	"87 the line that it was started with has matched": func() *story {
		return tell(service(readyLine)).run(0).declare(service(otherLine)).after(time.Second).at(0, Event{Kind: EventLineSeen})
	},
	"88 readyLogLine was added to what has not started up otherwise": func() *story {
		return tell(service(startupProbe)).run(0).declare(service(startupProbe, otherLine)).probed(0, ProbeStartup, "")
	},
	"89 readyLogLine was taken away, so it is not waited for": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service())
	},
	"90 readyLogLine was taken away, and there is another one again": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service()).declare(service(otherLine))
	},
	"91 readyLogLine was edited, and another daemon looks for the new one": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service(otherLine)).crash()
	},
	"b0 a file of envFrom cannot be used": func() *story { return badEnvFile().usable("", false) },
	"b1 it is there now, and what it means was not known at the start": func() *story {
		return badEnvFile().usable("", false).usable("a", true)
	},
	"b2 it means again what it meant before": func() *story {
		s := tell(service(envFile)).usable("a", true).taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"}).exit(0, 1)
		return s.usable("a", false).failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env").usable("a", true)
	},
	"b3 it can be used as long as it is known, and the start failed all the same": func() *story {
		return tell(service(envFile)).usable("a", true).failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env")
	},
	"b4 it can be used again, after the restart limit": func() *story {
		s := tell(service(envFile, limit2)).usable("a", false)
		for range 3 {
			s.failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env")
		}
		return s.usable("a", true)
	},
	"b5 the start failed for something else": func() *story {
		return tell(service(envFile)).usable("a", false).failStart(0, ReasonUserNotFound, "cannot find user web").usable("a", true)
	},
	"b6 a successor was blocked by it, and need not wait for the next check": func() *story {
		s := tell(service(envFile)).usable("a", true).taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"}).usable("a", false)
		return s.observe(Event{Kind: EventRestart}).checked(&Failure{ReasonEnvFileInvalid, "cannot read /etc/web.env"}).usable("a", true)
	},
	"c0 a restart was asked for, and the successor cannot start": func() *story {
		return tell(service()).run(0).observe(Event{Kind: EventRestart}).checked(&Failure{ReasonCommandNotFound, "cannot find /usr/bin/web"})
	},
	"c1 a dependency was restarted, and the successor cannot start": func() *story {
		s := tell(service(followsDB)).dependency("db", true, true, false).run(0).after(time.Minute).dependency("db", true, true, false)
		return s.checked(&Failure{ReasonCommandNotFound, "cannot find /usr/bin/web"})
	},
	"c2 a restart of all, one after the other": func() *story {
		s := tell(service(replicas(2), readinessProbe)).run(0).run(1).after(time.Minute).observe(Event{Kind: EventRestart}).checked(nil)
		return s.at(0, Event{Kind: EventSignalled, Cause: CauseRestarted}).exit(0, 0).run(0)
	},
	"c3 a restart of all, and the first did not get ready in time": func() *story {
		s := tell(service(replicas(2), readinessProbe)).run(0).run(1).after(time.Minute).observe(Event{Kind: EventRestart}).checked(nil)
		return s.at(0, Event{Kind: EventSignalled, Cause: CauseRestarted}).exit(0, 0).run(0).after(600 * time.Second)
	},
	"c4 a file of envFrom changed, and a successor ended soon": func() *story {
		s := tell(service(replicas(2), envFile)).contents("a", "")
		for n := range int32(2) {
			s.taken(n).at(n, Event{Kind: EventStarted, EnvFiles: "a"})
		}
		s.after(time.Minute).contents("b", "").checked(nil).at(0, Event{Kind: EventSignalled, Cause: CauseEnvFiles}).exit(0, 0)
		return s.taken(0).at(0, Event{Kind: EventStarted, EnvFiles: "b"}).after(time.Second).exit(0, 1)
	},
	"d0 it is to be replaced while its command to reload runs: that ends first": func() *story {
		return editedWhileReloading()
	},
	"d1 the command to reload has ended": func() *story {
		s := editedWhileReloading()
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookReload, Run: s.facts.Replicas[0].Life.HookRun})
	},
	"d2 it is to be replaced while the check of a reload runs, which changes nothing": func() *story {
		return changedFiles(reloadsByExec).hook(0, HookReloadCheck).declare(service(reloadsChecked, reloadsByExec, args("-v"))).checked(nil)
	},
	"d3 it is to stop while its command to reload runs": func() *story {
		return editedWhileReloading().observe(Event{Kind: EventStop, By: "ann"})
	},
	"d4 the daemon shuts down while the command to reload runs": func() *story {
		return editedWhileReloading().observe(Event{Kind: EventShutdown})
	},
	"d5 the daemon ended while the command to reload ran of what is to be replaced": func() *story {
		s := editedWhileReloading().crash()
		return s.checked(nil)
	},
	"d6 its probe failed while its command to reload runs": func() *story {
		return changedFiles(reloadsByExec, livenessProbe).hooked(0, HookReloadCheck, "").hook(0, HookReload).fails(0, ProbeLiveness, 3)
	},
	"d7 its watchdog is waited for although it is to be replaced": func() *story {
		s := tell(service(replicas(2), watched10s)).run(0).run(1).notified(Notice{Ready: true})
		return s.at(1, Event{Kind: EventNotified, Notice: &Notice{Ready: true}}).declare(service(replicas(2), watched10s, args("-v")))
	},
	"e0 a file changed of what is to be replaced: it is not reloaded before": func() *story {
		s := tell(service(reloads, envFile)).contents("a", "a").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.contents("b", "b")
	},
	"e1 a person asked for a reload of what is to be replaced": func() *story {
		s := tell(service(reloads)).contents("", "a").run(0).declare(service(reloads, args("-v")))
		return s.observe(Event{Kind: EventReload}).contents("", "b")
	},
	"e2 other files are to be reloaded, and the one of envFrom is still known": func() *story {
		s := tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.declare(service(envFile, reloads)).contents("a", "x").contents("b", "x")
	},
	"e3 a file of envFrom is one of reload.files now, and then none any more": func() *story {
		both := func(s *spec.Spec) { s.Reload = &spec.Reload{Signal: "SIGHUP", Files: []string{"/etc/web.env"}} }
		s := tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.declare(service(envFile, both)).contents("", "a").declare(service(envFile)).contents("a", "").contents("b", "")
	},
	"e4 one of both was edited while a file of envFrom had changed: it is replaced, not reloaded": func() *story {
		s := tell(service(envFile, reloads)).contents("a", "a").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.declare(service(envFile, reloadsOther)).contents("b", "b")
	},
	"e5 a start has read what nobody has told of yet": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "b"})
	},
	"e6 and then it is told": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "b"}).contents("b", "")
	},
	"e7 and then something else is told": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "b"}).contents("c", "")
	},
	"e8 a successor that loads other files is not reloaded for them": func() *story {
		s := tell(service(reloads)).contents("", "a").run(0).declare(service(reloadsOther, args("-v"))).checked(nil).act().exit(0, 0)
		s.at(0, Event{Kind: EventStartTaken, Run: s.next(), Service: s.want, Files: s.facts.files()})
		return s.at(0, Event{Kind: EventStarted, Pid: 9}).contents("", "b")
	},
	"92 the next run awaits the line that it is started with": func() *story {
		return tell(service(readyLine)).run(0).declare(service(otherLine)).exit(0, 1).run(0)
	},
	"93 the postStart hook failed too often: the reason is told with the limit": func() *story { return badPostStart(limit2) },
	"94 the postStart hook failed too often, and was edited": func() *story {
		return badPostStart(limit2).declare(service(limit2, otherPostStart))
	},
	"95 that was tried: it is a new streak": func() *story {
		s := badPostStart(limit2).declare(service(limit2, otherPostStart))
		return s.run(0).hooked(0, HookPostStart, "exited with code 4").act().exit(0, 0)
	},
	"96 a postStart hook that failed under Never was taken away": func() *story {
		return badPostStart(never).declare(service(never))
	},
	"97 an edit that has to do with no run lets it be": func() *story {
		return badPostStart(never).declare(service(never, postStart, grace10s))
	},
	"98 an edit that was taken back lets it be": func() *story {
		return badPostStart(never).declare(service(never)).declare(service(never, postStart))
	},
	"99 init failed under Never": func() *story { return badInit(never) },
	"a0 init failed, and was edited": func() *story {
		return badInit(never).declare(service(inits, never, func(s *spec.Spec) { s.Init[1].Command = []string{"/bin/other"} }))
	},
	"a1 init waits out a back-off, and was edited": func() *story {
		return badInit().declare(service(inits, func(s *spec.Spec) { s.Init[1].Command = []string{"/bin/other"} }))
	},
	"a2 the startup probe failed, and was edited while the run was told to end": func() *story {
		s := tell(service(startupProbe, never)).run(0).fails(0, ProbeStartup, 3).act()
		return s.declare(service(startupProbe, never, patientProbe)).exit(0, 0)
	},
	"a3 a job that did its work is not run again for an edit of its probes": func() *story {
		return tell(service(never)).run(0).exit(0, 0).declare(service(never, livenessProbe))
	},
	"a4 a daemon that comes later knows of the edit": func() *story {
		return badPostStart(never, needsDB).declare(service(never, needsDB)).crash().dependency("db", true, true, false)
	},
	"a5 init failed too often: the reason is told with the limit": func() *story {
		s := badInit(limit2)
		for range 2 {
			s.after(10*time.Second).at(0, Event{Kind: EventStartTaken, Run: s.next(), Init: 2, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).exit(0, 3)
		}
		return s
	},
}

// badPostStart is a service whose postStart hook failed, by itself and at each start
// that its edits allow.
func badPostStart(edits ...func(*spec.Spec)) *story {
	s := tell(service(append(edits, postStart)...))
	for range 3 {
		s.run(0).hooked(0, HookPostStart, "exited with code 3").act().exit(0, 0).after(10 * time.Second)
		if actions := s.decided(); len(actions) == 0 || actions[0].Deed != DeedStart {
			return s
		}
	}
	return s
}

// badEnvFile is a service that could not start, before anything was known of its files.
func badEnvFile() *story {
	return tell(service(envFile)).failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env: no such file")
}

// editedWhileReloading is a service that was edited while its command to reload runs.
func editedWhileReloading() *story {
	return changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "").hook(0, HookReload).
		declare(service(reloadsChecked, reloadsByExec, args("-v"))).checked(nil)
}

// badInit is a service whose second init command failed.
func badInit(edits ...func(*spec.Spec)) *story {
	s := tell(service(append(edits, inits)...))
	return s.at(0, Event{Kind: EventStartTaken, Run: s.next(), Init: 2, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).
		after(time.Second).exit(0, 3)
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

// refused is a service of which the check refused the files.
func refused() *story { return changedFiles().hooked(0, HookReloadCheck, "exited with code 1") }

// reloadFailed is a service whose command to reload failed.
func reloadFailed() *story {
	return changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "").hooked(0, HookReload, "exited with code 1")
}

// askedWhileTried is somebody who asks for a reload while a hook of one runs, which
// succeeds.
func askedWhileTried(s *story, h Hook) *story {
	s.hook(0, h).observe(Event{Kind: EventReload})
	return s.at(0, Event{Kind: EventHookEnded, Hook: h, Run: s.runs})
}

// TestLives compares phase, reason, message, times and deeds with the golden file.
func TestLives(t *testing.T) {
	const golden = "testdata/lives.golden"
	got := tellSituations(lives)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("lives differ from %s (-want +got; -update writes it anew):\n%s", golden, diff)
	}
}
