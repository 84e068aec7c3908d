package reconciler

import (
	"testing"

	"svc.d/spec"
)

// reloadings are situations in which files have changed that a service reads.
var reloadings = map[string]func() *story{
	"01 a person asked for a reload while the check ran: this attempt goes on": func() *story {
		return askedWhileTried(changedFiles(), HookReloadCheck)
	},
	"02 and then there is another one": func() *story {
		s := askedWhileTried(changedFiles(), HookReloadCheck)
		return s.at(0, Event{Kind: EventReloaded, Files: "b"})
	},
	"03 a person asked for a reload while the command to reload ran": func() *story {
		s := changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "")
		return askedWhileTried(s, HookReload)
	},
	"04 the check failed, and a person had asked again meanwhile": func() *story {
		s := changedFiles().hook(0, HookReloadCheck).observe(Event{Kind: EventReload})
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookReloadCheck, Run: s.runs, Failure: &Failure{Reason: ReasonHookFailed, Message: "exited with code 1"}})
	},
	"05 a file changed while the command to reload ran": func() *story {
		s := changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "").hook(0, HookReload).contents("", "c")
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookReload, Run: s.runs})
	},
	"06 the daemon ended while the check ran that a person had asked for": func() *story {
		s := changedFiles().contents("", "a").observe(Event{Kind: EventReload}).hook(0, HookReloadCheck).crash()
		return s.contents("", "a")
	},
	"07 a reload that a person had asked for was made, once": func() *story {
		s := changedFiles().contents("", "a").observe(Event{Kind: EventReload}).hooked(0, HookReloadCheck, "")
		return s.at(0, Event{Kind: EventReloaded, Files: "a"}).crash().contents("", "a")
	},
	"08 the check failed, and the file is again what is loaded": func() *story { return refused().contents("", "a") },
	"09 and then it is again what the check refused": func() *story {
		return refused().contents("", "a").contents("", "b")
	},
	"10 other files were loaded, and then it is again what the check refused": func() *story {
		s := refused().contents("", "c").hooked(0, HookReloadCheck, "")
		return s.at(0, Event{Kind: EventReloaded, Files: "c"}).contents("", "b")
	},
	"11 the command to reload failed": func() *story { return reloadFailed() },
	"12 the command to reload failed, and the file is again what was loaded before: nobody knows what is loaded": func() *story {
		return reloadFailed().contents("", "a")
	},
	"13 the check failed, and the file became what is loaded while no daemon lived": func() *story {
		return refused().crash().contents("", "a")
	},
	"14 the check failed, and it is another one now": func() *story {
		return refused().declare(service(reloadsChecked, func(s *spec.Spec) { s.Reload.Check.Command = []string{"/bin/other-check"} }))
	},
	"15 the check failed, and nothing is to be reloaded any more": func() *story { return refused().declare(service()) },
	"16 it is to be replaced while its command to reload runs: that ends first": func() *story {
		return editedWhileReloading()
	},
	"17 the command to reload has ended": func() *story {
		s := editedWhileReloading()
		return s.at(0, Event{Kind: EventHookEnded, Hook: HookReload, Run: s.facts.Replicas[0].Life.HookRun})
	},
	"18 it is to be replaced while the check of a reload runs, which changes nothing": func() *story {
		return changedFiles(reloadsByExec).hook(0, HookReloadCheck).declare(service(reloadsChecked, reloadsByExec, args("-v"))).checked(nil)
	},
	"19 it is to stop while its command to reload runs": func() *story {
		return editedWhileReloading().observe(Event{Kind: EventStop, By: "ann"})
	},
	"20 the daemon shuts down while the command to reload runs": func() *story {
		return editedWhileReloading().observe(Event{Kind: EventShutdown})
	},
	"21 the daemon ended while the command to reload ran of what is to be replaced": func() *story {
		s := editedWhileReloading().crash()
		return s.checked(nil)
	},
	"22 its probe failed while its command to reload runs": func() *story {
		return changedFiles(reloadsByExec, livenessProbe).hooked(0, HookReloadCheck, "").hook(0, HookReload).fails(0, ProbeLiveness, 3)
	},
	"23 its watchdog is waited for although it is to be replaced": func() *story {
		s := tell(service(replicas(2), watched10s)).run(0).run(1).notified(Notice{Ready: true})
		return s.at(1, Event{Kind: EventNotified, Notice: &Notice{Ready: true}}).declare(service(replicas(2), watched10s, args("-v")))
	},
	"24 a file changed of what is to be replaced: it is not reloaded before": func() *story {
		s := tell(service(reloads, envFile)).contents("a", "a").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.contents("b", "b")
	},
	"25 a person asked for a reload of what is to be replaced": func() *story {
		s := tell(service(reloads)).contents("", "a").run(0).declare(service(reloads, args("-v")))
		return s.observe(Event{Kind: EventReload}).contents("", "b")
	},
	"26 other files are to be reloaded, and the one of envFrom is still known": func() *story {
		s := tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.declare(service(envFile, reloads)).contents("a", "x").contents("b", "x")
	},
	"27 a file of envFrom is one of reload.files now, and then none any more": func() *story {
		both := func(s *spec.Spec) { s.Reload = &spec.Reload{Signal: "SIGHUP", Files: []string{"/etc/web.env"}} }
		s := tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.declare(service(envFile, both)).contents("", "a").declare(service(envFile)).contents("a", "").contents("b", "")
	},
	"28 one of both was edited while a file of envFrom had changed: it is replaced, not reloaded": func() *story {
		s := tell(service(envFile, reloads)).contents("a", "a").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "a"})
		return s.declare(service(envFile, reloadsOther)).contents("b", "b")
	},
	"29 a start has read what nobody has told of yet": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "b"})
	},
	"30 and then it is told": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "b"}).contents("b", "")
	},
	"31 and then something else is told": func() *story {
		return tell(service(envFile)).contents("a", "").taken(0).at(0, Event{Kind: EventStarted, Pid: 9, EnvFiles: "b"}).contents("c", "")
	},
	"32 a successor that loads other files is not reloaded for them": func() *story {
		s := tell(service(reloads)).contents("", "a").run(0).declare(service(reloadsOther, args("-v"))).checked(nil).act().exit(0, 0)
		s.at(0, Event{Kind: EventStartTaken, Run: s.next(), Service: s.want, Files: s.facts.files()})
		return s.at(0, Event{Kind: EventStarted, Pid: 9}).contents("", "b")
	},
}

// editedWhileReloading is a service that was edited while its command to reload runs.
func editedWhileReloading() *story {
	return changedFiles(reloadsByExec).hooked(0, HookReloadCheck, "").hook(0, HookReload).
		declare(service(reloadsChecked, reloadsByExec, args("-v"))).checked(nil)
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

func TestReloadings(t *testing.T) { compareSituations(t, reloadings, "testdata/reloadings.golden") }
