package reconciler

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

func replicas(n int32) func(*spec.Spec) { return func(s *spec.Spec) { s.Replicas = n } }
func args(a ...string) func(*spec.Spec) { return func(s *spec.Spec) { s.Args = a } }
func grace10s(s *spec.Spec)             { s.TerminationGracePeriodSeconds = 10 }
func never(s *spec.Spec)                { s.RestartPolicy = spec.RestartNever }
func onFailure(s *spec.Spec)            { s.RestartPolicy = spec.RestartOnFailure }
func minReady10s(s *spec.Spec)          { s.MinReadySeconds = 10 }
func limit2(s *spec.Spec) {
	s.Backoff.Limit = &spec.RestartLimit{Restarts: 2, Within: spec.Duration(time.Minute)}
}
func nginx(s *spec.Spec) { s.Command = []string{"/usr/sbin/nginx"} }

// situations are what an operator may meet, each told as the events that lead
// to it. What is reported and decided then stands in the golden file.
var situations = map[string]func() *story{
	"01 declared, no worker was free yet": func() *story { return tell(service()) },
	"02 a worker is starting it":          func() *story { return tell(service()).taken(0).after(time.Second) },
	"03 it runs":                          func() *story { return tell(service()).run(0).after(time.Minute) },
	"04 it crashed once: the first restart is immediate": func() *story {
		return tell(service()).run(0).after(3*time.Second).exit(0, 1)
	},
	"05 it crashed three times in a row": func() *story {
		return tell(service()).run(0).exit(0, 1).run(0).exit(0, 1).after(time.Second).run(0).after(2*time.Second).exit(0, 3)
	},
	"06 it was killed by a signal again": func() *story {
		return tell(service()).run(0).exit(0, 1).run(0).after(time.Second).die(0, syscall.SIGSEGV)
	},
	"07 a long run makes earlier ends forgotten": func() *story {
		return tell(service()).run(0).exit(0, 1).run(0).exit(0, 1).after(time.Second).run(0).after(time.Hour).exit(0, 1)
	},
	"08 its program does not exist": func() *story {
		return tell(service()).failStart(0, ReasonCommandNotFound, "cannot start /usr/bin/web: no such file")
	},
	"09 a job ended with success": func() *story { return tell(service(never)).run(0).after(time.Minute).exit(0, 0) },
	"10 a job failed":             func() *story { return tell(service(never)).run(0).after(time.Minute).exit(0, 2) },
	"11 OnFailure and it ended with success": func() *story {
		return tell(service(onFailure)).run(0).after(time.Minute).exit(0, 0)
	},
	"12 the restart limit is used up": func() *story {
		s := tell(service(limit2))
		return s.run(0).exit(0, 1).run(0).exit(0, 1).after(time.Second).run(0).exit(0, 1)
	},
	"13 its manifest changed: the successor is checked first": func() *story {
		return tell(service()).run(0).after(time.Minute).declare(service(args("-v")))
	},
	"14 its manifest changed and the successor can start": func() *story {
		return tell(service()).run(0).after(time.Minute).declare(service(args("-v"))).checked(nil)
	},
	"15 it was asked to end for an edit": func() *story {
		return tell(service(grace10s)).run(0).after(time.Minute).declare(service(grace10s, args("-v"))).checked(nil).act().after(2 * time.Second)
	},
	"16 it ignores the stop signal and its grace is over": func() *story {
		return tell(service(grace10s)).run(0).after(time.Minute).declare(service(grace10s, args("-v"))).checked(nil).act().after(10 * time.Second)
	},
	"17 its successor could not be started, so it runs on": func() *story {
		return tell(service()).run(0).after(time.Minute).declare(service(args("-v"))).
			checked(&Failure{Reason: ReasonCommandNotFound, Message: "cannot start /usr/bin/web: no such file"})
	},
	"18 a live-class edit changes nothing that runs": func() *story {
		return tell(service()).run(0).after(time.Minute).declare(service(grace10s))
	},
	"19 one of three replicas is being replaced": func() *story {
		return tell(service(replicas(3), minReady10s)).run(0).run(1).run(2).after(time.Minute).
			declare(service(replicas(3), minReady10s, args("-v"))).checked(nil).act()
	},
	"20 the successor must first run minReadySeconds": func() *story {
		return tell(service(replicas(3), minReady10s)).run(0).run(1).run(2).after(time.Minute).
			declare(service(replicas(3), minReady10s, args("-v"))).checked(nil).act().exit(0, 0).run(0).after(4 * time.Second)
	},
	"21 a successor ended soon: the replacement halts": func() *story {
		return tell(service(replicas(3))).run(0).run(1).run(2).after(time.Minute).
			declare(service(replicas(3), args("-v"))).checked(nil).act().exit(0, 0).run(0).after(time.Second).exit(0, 1)
	},
	"22 replicas was lowered": func() *story {
		return tell(service(replicas(2))).run(0).run(1).declare(service(replicas(1))).act().after(time.Second)
	},
	"23 a scaled-down replica is gone": func() *story {
		return tell(service(replicas(2))).run(0).run(1).declare(service(replicas(1))).act().die(1, syscall.SIGTERM)
	},
	"24 declared with replicas 0": func() *story { return tell(service(replicas(0))) },
	"25 no manifest declares it any more": func() *story {
		return tell(service()).run(0).after(time.Minute).declare(nil).act()
	},
	"26 a person stopped it": func() *story {
		return tell(service()).run(0).after(time.Minute).observe(Event{Kind: EventStop, By: "ann"}).act().die(0, syscall.SIGTERM)
	},
	"27 a person stopped it for an hour": func() *story {
		s := tell(service()).run(0).after(time.Minute)
		return s.observe(Event{Kind: EventStop, By: "ann", Until: s.now.Add(time.Hour)}).act().die(0, syscall.SIGTERM)
	},
	"28 the hour is over": func() *story {
		s := tell(service()).run(0).after(time.Minute)
		return s.observe(Event{Kind: EventStop, By: "ann", Until: s.now.Add(time.Hour)}).act().die(0, syscall.SIGTERM).after(time.Hour)
	},
	"29 an edit does not undo a person's stop": func() *story {
		return tell(service()).run(0).after(time.Minute).observe(Event{Kind: EventStop, By: "ann"}).act().die(0, syscall.SIGTERM).
			declare(service(args("-v")))
	},
	"30 a person asked for a restart": func() *story {
		return tell(service()).run(0).after(time.Minute).observe(Event{Kind: EventRestart}).checked(nil).act()
	},
	"31 a person's restart ignores the back-off": func() *story {
		return tell(service()).run(0).exit(0, 1).run(0).exit(0, 1).after(time.Millisecond).observe(Event{Kind: EventRestart})
	},
	"32 its main process died and left children": func() *story {
		return tell(service()).run(0).after(time.Minute).exit(0, 1, Process{Pid: 4801, Name: "worker"}).act()
	},
	"33 it put itself in the background": func() *story {
		return tell(service(nginx)).run(0).after(200*time.Millisecond).exit(0, 0, Process{Pid: 4801, Name: "nginx"}).act().
			at(0, Event{Kind: EventEmptied})
	},
	"34 it was told to end and left children": func() *story {
		return tell(service(grace10s)).run(0).after(time.Minute).declare(nil).act().after(time.Second).
			exit(0, 0, Process{Pid: 4801, Name: "worker"})
	},
	"35 it was killed and does not go": func() *story {
		return tell(service()).run(0).after(time.Minute).exit(0, 1, Process{Pid: 4801, Name: "worker"}).act().after(5 * time.Second)
	},
	"36 somebody looked why it does not go": func() *story {
		return tell(service()).run(0).after(time.Minute).exit(0, 1, Process{Pid: 4801, Name: "worker"}).act().after(5*time.Second).
			at(0, Event{Kind: EventInspectTaken}).at(0, Event{Kind: EventInspected, Processes: []Process{{4801, "worker", "D", "nfs_wait"}}}).act()
	},
	"37 a daemon that died left something": func() *story {
		return tell(service()).at(0, Event{Kind: EventFound}).act()
	},
	"38 what was left over is gone": func() *story {
		return tell(service()).at(0, Event{Kind: EventFound}).act().at(0, Event{Kind: EventEmptied})
	},
	"39 the daemon shuts down": func() *story {
		return tell(service()).run(0).after(time.Minute).observe(Event{Kind: EventShutdown}).act()
	},
	"40 the daemon shuts down at once": func() *story {
		return tell(service()).run(0).after(time.Minute).observe(Event{Kind: EventShutdown}).act().observe(Event{Kind: EventShutdownNow})
	},
	"41 an edit starts a job that failed again": func() *story {
		return tell(service(never)).run(0).after(time.Minute).exit(0, 2).declare(service(never, args("-v")))
	},
	"42 a start failed because something lives in its group": func() *story {
		return tell(service()).failStart(0, ReasonGroupOccupied, "cannot start /usr/bin/web: its cgroup is not empty")
	},
	"43 its record cannot be read": func() *story {
		return tell(service()).unclear().act().after(time.Hour)
	},
	"44 its record cannot be read and no manifest declares it any more": func() *story {
		return tell(service(grace10s)).unclear().after(time.Minute).declare(nil).act().after(time.Second)
	},
	"45 its record cannot be read and a person stops it": func() *story {
		return tell(service(grace10s)).unclear().after(time.Minute).observe(Event{Kind: EventStop, By: "ann"}).act().after(time.Second)
	},
	"46 its record cannot be read and a person asked for a restart": func() *story {
		return tell(service(grace10s)).unclear().after(time.Minute).at(0, Event{Kind: EventRestart}).act().after(10 * time.Second)
	},
	"47 a person's restart ended what could not be told": func() *story {
		return tell(service()).unclear().after(time.Minute).at(0, Event{Kind: EventRestart}).act().after(time.Second).
			at(0, Event{Kind: EventEmptied})
	},
	"48 its record cannot be read and the daemon shuts down": func() *story {
		return tell(service()).unclear().after(time.Minute).observe(Event{Kind: EventShutdown}).act()
	},
	"49 its record cannot be read and an edit changes nothing for it": func() *story {
		return tell(service()).unclear().after(time.Minute).declare(service(args("-v"))).act()
	},
	"50 what could not be told ended by itself": func() *story {
		return tell(service()).unclear().after(time.Minute).at(0, Event{Kind: EventEmptied})
	},
	"51 what could not be told ended by itself, and may have been a job": func() *story {
		return tell(service(never)).unclear().after(time.Minute).at(0, Event{Kind: EventEmptied})
	},
	"52 one of three has a record that cannot be read: the others are not replaced": func() *story {
		return tell(service(replicas(3))).run(1).run(2).unclear().after(time.Minute).declare(service(replicas(3), args("-v")))
	},
	"53 it ran on while no daemon lived": func() *story {
		return tell(service()).run(0).after(time.Minute).crash().after(time.Hour)
	},
	"54 Always, and it ended while no daemon lived": func() *story {
		return tell(service()).run(0).exit(0, 1).run(0).after(time.Second).crash().after(30 * time.Second).gone(0)
	},
	"55 OnFailure, and it ended while no daemon lived: nobody knows that it was success": func() *story {
		return tell(service(onFailure)).run(0).after(time.Minute).crash().after(time.Hour).gone(0)
	},
	"56 Never, and it ended while no daemon lived": func() *story {
		return tell(service(never)).run(0).after(time.Minute).crash().after(time.Hour).gone(0)
	},
	"57 it was told to stop and ended while no daemon lived": func() *story {
		return tell(service(never)).run(0).after(time.Minute).declare(service(never, args("-v"))).checked(nil).act().crash().after(time.Second).gone(0)
	},
	"58 the daemon ended before it knew of the start": func() *story {
		return tell(service()).taken(0).after(time.Second).crash().after(time.Second)
	},
	"59 the daemon ended before it knew of the start, which worked": func() *story {
		return tell(service()).taken(0).after(time.Second).crash().after(time.Second).at(0, Event{Kind: EventFound}).act()
	},
	"60 a person's stop outlives the daemon": func() *story {
		return tell(service()).run(0).after(time.Minute).observe(Event{Kind: EventStop, By: "ann"}).act().die(0, syscall.SIGTERM).
			crash().after(time.Hour)
	},
	"61 a back-off outlives the daemon": func() *story {
		return tell(service()).run(0).exit(0, 1).run(0).exit(0, 1).run(0).exit(0, 1).crash().after(time.Second)
	},
	"62 a start that was not recorded is ended, and the job stays done": func() *story {
		return tell(service(never)).run(0).after(time.Minute).exit(0, 0).crash().after(time.Second).
			at(0, Event{Kind: EventFound}).act().at(0, Event{Kind: EventEmptied})
	},
	"63 a start that a person had asked for and that was not recorded is done again": func() *story {
		return tell(service(never)).run(0).after(time.Minute).exit(0, 0).at(0, Event{Kind: EventRestart}).crash().after(time.Second).
			at(0, Event{Kind: EventFound}).act().at(0, Event{Kind: EventEmptied})
	},
	"64 the grace goes on where the daemon ended": func() *story {
		return tell(service(grace10s)).run(0).after(time.Minute).declare(nil).act().after(4 * time.Second).crash().after(2 * time.Second)
	},
}

func TestSituations(t *testing.T) { compareSituations(t, situations, "testdata/situations.golden") }

// compareSituations compares phase, reason, message, times and deeds with the golden
// file, and checks that Decide comes to rest in each situation.
func compareSituations(t *testing.T, all map[string]func() *story, golden string) {
	t.Helper()
	got := tellSituations(all)
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
		t.Errorf("situations differ from %s (-want +got; -update writes it anew):\n%s", golden, diff)
	}
}

// tellSituations tells each in the order of their names. Decide must come to rest in
// all of them.
func tellSituations(all map[string]func() *story) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]()
		b.WriteString("# " + name + "\n" + s.tellAll() + "\n")
		s.act()
	}
	return b.String()
}
