package reconciler

import (
	"testing"
	"time"

	"svc.d/spec"
)

// changes are situations in which something is wanted otherwise than a moment before: of
// the time that there is, of what is awaited, or of what has failed.
var changes = map[string]func() *story{
	"01 it wanted more time before it was told to end: that was for something else": func() *story {
		return tell(service(notifies, grace10s)).run(0).notified(Notice{Ready: true, Extend: time.Hour}).after(time.Second).declare(nil).act()
	},
	"02 it wants more time to end": func() *story {
		return tell(service(notifies, grace10s)).run(0).notified(Notice{Ready: true}).declare(nil).act().
			after(8 * time.Second).notified(Notice{Extend: 20 * time.Second})
	},
	"03 it wants less time to end than it has": func() *story {
		return tell(service(notifies, grace10s)).run(0).declare(nil).act().notified(Notice{Extend: time.Minute}).notified(Notice{Extend: time.Second})
	},
	"04 it wants more time to end than anybody gets": func() *story {
		return tell(service(notifies, grace10s)).run(0).observe(Event{Kind: EventShutdown}).act().
			after(time.Second).notified(Notice{Extend: 1<<63 - 1})
	},
	"05 it wants more time while its preStop hook runs": func() *story {
		return tell(service(notifies, preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).
			after(time.Second).notified(Notice{Extend: time.Minute})
	},
	"06 what it wanted for its start holds off no watchdog": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Extend: time.Hour}).after(time.Second).notified(Notice{Ready: true}).
			after(10 * time.Second)
	},
	"07 it wants more time before its watchdog bites": func() *story {
		return tell(service(watched10s)).run(0).notified(Notice{Ready: true, Extend: time.Minute}).after(30 * time.Second)
	},
	"08 the preStop hook took nearly all of the grace": func() *story {
		return tell(service(preStop, grace10s)).run(0).declare(nil).hook(0, HookPreStop).after(9*time.Second).
			at(0, Event{Kind: EventHookEnded, Hook: HookPreStop, Run: 2}).act()
	},
	"09 others that depend on it are ending, and everything is to be killed": func() *story {
		return tell(service()).run(0).observe(Event{Kind: EventDependents, Names: []string{"app"}}).observe(Event{Kind: EventShutdown}).
			observe(Event{Kind: EventShutdownNow})
	},
	"10 it is killed then": func() *story {
		return tell(service()).run(0).observe(Event{Kind: EventDependents, Names: []string{"app"}}).observe(Event{Kind: EventShutdown}).
			observe(Event{Kind: EventShutdownNow}).act()
	},
	"11 others that depend on it are ending, and a person stops it": func() *story {
		return tell(service()).run(0).observe(Event{Kind: EventDependents, Names: []string{"app"}}).observe(Event{Kind: EventStop, By: "ann"})
	},
	"12 the postStop hook has not begun, and everything is to be killed": func() *story {
		return tell(service(postStopHook)).run(0).exit(0, 1).observe(Event{Kind: EventShutdownNow})
	},
	"13 the postStop hook runs, and everything is to be killed": func() *story {
		return tell(service(postStopHook)).run(0).exit(0, 1).hook(0, HookPostStop).observe(Event{Kind: EventShutdownNow})
	},
	"14 the postStop hook was killed": func() *story {
		return tell(service(postStopHook)).run(0).exit(0, 1).hook(0, HookPostStop).observe(Event{Kind: EventShutdownNow}).act()
	},
	"15 the postStop hook was killed, and has ended": func() *story {
		s := tell(service(postStopHook)).run(0).exit(0, 1).hook(0, HookPostStop).observe(Event{Kind: EventShutdownNow}).act()
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookPostStop, Run: s.runs, Failure: &Failure{Reason: ReasonHookFailed, Message: "was killed by SIGKILL"}})
	},
	"16 the preStop hook runs, and everything is to be killed": func() *story {
		return tell(service(preStop)).run(0).observe(Event{Kind: EventShutdown}).hook(0, HookPreStop).observe(Event{Kind: EventShutdownNow}).act()
	},
	"17 readyLogLine was edited before a line has matched": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service(otherLine))
	},
	"18 the line that it was started with has matched": func() *story {
		return tell(service(readyLine)).run(0).declare(service(otherLine)).after(time.Second).at(0, Event{Kind: EventLineSeen})
	},
	"19 readyLogLine was added to what has not started up otherwise": func() *story {
		return tell(service(startupProbe)).run(0).declare(service(startupProbe, otherLine)).probed(0, ProbeStartup, "")
	},
	"20 readyLogLine was taken away, so it is not waited for": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service())
	},
	"21 readyLogLine was taken away, and there is another one again": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service()).declare(service(otherLine))
	},
	"22 readyLogLine was edited, and another daemon looks for the new one": func() *story {
		return tell(service(readyLine)).run(0).after(time.Second).declare(service(otherLine)).crash()
	},
	"23 the next run awaits the line that it is started with": func() *story {
		return tell(service(readyLine)).run(0).declare(service(otherLine)).exit(0, 1).run(0)
	},
	"24 the postStart hook failed too often: the reason is told with the limit": func() *story { return badPostStart(limit2) },
	"25 the postStart hook failed too often, and was edited": func() *story {
		return badPostStart(limit2).declare(service(limit2, otherPostStart))
	},
	"26 that was tried: it is a new streak": func() *story {
		s := badPostStart(limit2).declare(service(limit2, otherPostStart))
		return s.run(0).hooked(0, HookPostStart, "exited with code 4").act().exit(0, 0)
	},
	"27 a postStart hook that failed under Never was taken away": func() *story {
		return badPostStart(never).declare(service(never))
	},
	"28 an edit that has to do with no run lets it be": func() *story {
		return badPostStart(never).declare(service(never, postStart, grace10s))
	},
	"29 an edit that was taken back lets it be": func() *story {
		return badPostStart(never).declare(service(never)).declare(service(never, postStart))
	},
	"30 init failed under Never": func() *story { return badInit(never) },
	"31 init failed, and was edited": func() *story {
		return badInit(never).declare(service(inits, never, func(s *spec.Spec) { s.Init[1].Command = []string{"/bin/other"} }))
	},
	"32 init waits out a back-off, and was edited": func() *story {
		return badInit().declare(service(inits, func(s *spec.Spec) { s.Init[1].Command = []string{"/bin/other"} }))
	},
	"33 the startup probe failed, and was edited while the run was told to end": func() *story {
		s := tell(service(startupProbe, never)).run(0).fails(0, ProbeStartup, 3).act()
		return s.declare(service(startupProbe, never, patientProbe)).exit(0, 0)
	},
	"34 a job that did its work is not run again for an edit of its probes": func() *story {
		return tell(service(never)).run(0).exit(0, 0).declare(service(never, livenessProbe))
	},
	"35 a daemon that comes later knows of the edit": func() *story {
		return badPostStart(never, needsDB).declare(service(never, needsDB)).crash().dependency("db", true, true, false)
	},
	"36 init failed too often: the reason is told with the limit": func() *story {
		s := badInit(limit2)
		for range 2 {
			s.after(10*time.Second).at(0, Event{Kind: EventStartTaken, Run: s.next(), Init: 2, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).exit(0, 3)
		}
		return s
	},
	"37 a file of envFrom cannot be used": func() *story { return badEnvFile().usable("", false) },
	"38 it is there now, and what it means was not known at the start": func() *story {
		return badEnvFile().usable("", false).usable("a", true)
	},
	"39 it means again what it meant before": func() *story {
		s := tell(service(envFile)).usable("a", true).taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"}).exit(0, 1)
		return s.usable("a", false).failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env").usable("a", true)
	},
	"40 it can be used as long as it is known, and the start failed all the same": func() *story {
		return tell(service(envFile)).usable("a", true).failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env")
	},
	"41 it can be used again, after the restart limit": func() *story {
		s := tell(service(envFile, limit2)).usable("a", false)
		for range 3 {
			s.failStart(0, ReasonEnvFileInvalid, "cannot read /etc/web.env")
		}
		return s.usable("a", true)
	},
	"42 the start failed for something else": func() *story {
		return tell(service(envFile)).usable("a", false).failStart(0, ReasonUserNotFound, "cannot find user web").usable("a", true)
	},
	"43 a successor was blocked by it, and need not wait for the next check": func() *story {
		s := tell(service(envFile)).usable("a", true).taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"}).usable("a", false)
		return s.observe(Event{Kind: EventRestart}).checked(&Failure{Reason: ReasonEnvFileInvalid, Message: "cannot read /etc/web.env"}).usable("a", true)
	},
	"44 a restart was asked for, and the successor cannot start": func() *story {
		return tell(service()).run(0).observe(Event{Kind: EventRestart}).checked(&Failure{Reason: ReasonCommandNotFound, Message: "cannot find /usr/bin/web"})
	},
	"45 a dependency was restarted, and the successor cannot start": func() *story {
		s := tell(service(followsDB)).dependency("db", true, true, false).run(0).after(time.Minute).dependency("db", true, true, false)
		return s.checked(&Failure{Reason: ReasonCommandNotFound, Message: "cannot find /usr/bin/web"})
	},
	"46 a restart of all, one after the other": func() *story {
		s := tell(service(replicas(2), readinessProbe)).run(0).run(1).after(time.Minute).observe(Event{Kind: EventRestart}).checked(nil)
		return s.at(0, Event{Kind: EventSignalled, Cause: CauseRestarted}).exit(0, 0).run(0)
	},
	"47 a restart of all, and the first did not get ready in time": func() *story {
		s := tell(service(replicas(2), readinessProbe)).run(0).run(1).after(time.Minute).observe(Event{Kind: EventRestart}).checked(nil)
		return s.at(0, Event{Kind: EventSignalled, Cause: CauseRestarted}).exit(0, 0).run(0).after(600 * time.Second)
	},
	"48 a file of envFrom changed, and a successor ended soon": func() *story {
		s := tell(service(replicas(2), envFile)).contents("a", "")
		for n := range int32(2) {
			s.taken(n).at(n, Event{Kind: EventStarted, EnvFiles: "a"})
		}
		s.after(time.Minute).contents("b", "").checked(nil).at(0, Event{Kind: EventSignalled, Cause: CauseEnvFiles}).exit(0, 0)
		return s.taken(0).at(0, Event{Kind: EventStarted, EnvFiles: "b"}).after(time.Second).exit(0, 1)
	},
}

// badPostStart is a service whose postStart hook fails at each start, until none follows
// by itself.
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

// badInit is a service whose second init command failed.
func badInit(edits ...func(*spec.Spec)) *story {
	s := tell(service(append(edits, inits)...))
	return s.at(0, Event{Kind: EventStartTaken, Run: s.next(), Init: 2, Service: s.want}).at(0, Event{Kind: EventStarted, Pid: 9}).
		after(time.Second).exit(0, 3)
}

func TestChanges(t *testing.T) { compareSituations(t, changes, "testdata/changes.golden") }
