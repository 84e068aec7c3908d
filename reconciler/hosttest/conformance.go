package hosttest

import (
	"syscall"
	"testing"

	"svc.d/reconciler"
	"svc.d/spec"
)

// Target is a host to be judged, and the programs of its world.
type Target struct {
	Host reconciler.Host
	// Programs returns the command of a program: Shell or Scripted, or
	// something like them.
	Programs func(t testing.TB, p Program) []string
	// Degraded says that the host has no cgroups and so may lose sight of
	// processes that leave their session.
	Degraded bool
	// LeftBehind lists what was released and lives, by service, and KillReleased
	// ends one of them. Nil when the target cannot.
	LeftBehind   func() map[string][]reconciler.Process
	KillReleased func(pid int32)
	// Reopen ends the host without touching what runs, as a crash of the daemon
	// does, and opens it again with these records, and with records that cannot
	// be read of these replicas. It returns the new target and the replicas for
	// Config.Found and Config.Unclear. Nil when the target cannot.
	Reopen func(t *testing.T, records []reconciler.Record, unclear []reconciler.ReplicaID) (next Target, found, unclearFound []reconciler.ReplicaID)
}

// Conformance checks everything that reconciler.Host guarantees. For each of
// its tests it calls within, which opens a target, calls test once, and closes
// the target; for a simulated world it does so in a synctest bubble.
//
// The suite never sleeps and asserts no times: it waits for events. What it
// starts is gone when a test returns.
func Conformance(t *testing.T, within func(t *testing.T, test func(t *testing.T, target Target))) {
	for _, suite := range []map[string]func(*client){conformance, besides} {
		for sentence, test := range suite {
			t.Run(sentence, func(t *testing.T) {
				within(t, func(t *testing.T, target Target) {
					c := newClient(t, target)
					defer c.finish()
					test(c)
				})
			})
		}
	}
	for sentence, test := range reopening {
		t.Run("after a crash of the daemon "+sentence, func(t *testing.T) {
			within(t, func(t *testing.T, target Target) {
				if target.Reopen == nil {
					t.Skip("the target cannot be opened again")
				}
				c := newClient(t, target)
				defer c.finish()
				test(c)
			})
		})
	}
}

var (
	web0 = reconciler.ReplicaID{Service: "web", Ordinal: 0}
	web1 = reconciler.ReplicaID{Service: "web", Ordinal: 1}
)

var conformance = map[string]func(c *client){
	"a start is answered with the pid and the run":                        startIsAnswered,
	"what cannot start says why":                                          failureHasReason,
	"what failed to start can be started afterwards":                      startAfterFailure,
	"the exit code is told":                                               exitCodes,
	"death by a signal is told":                                           exitSignals,
	"a program that ends at once is started before it ends":               shortRuns,
	"the second run of a replica has its own number":                      secondRun,
	"survivors are told, and their end once":                              survivors,
	"many survivors are told by the first few":                            manySurvivors,
	"a daemonised process is a survivor":                                  daemonized,
	"a start into an occupied group is refused":                           occupiedBySurvivors,
	"a start beside a running main process is refused":                    occupiedByMain,
	"a signal to the main process spares its children":                    signalMain,
	"a signal to the group reaches everything in it":                      signalGroup,
	"a signal reaches no other replica":                                   signalOthers,
	"a program may answer a signal with an exit code":                     signalAnswered,
	"a kill ends what ignores signals":                                    killStubborn,
	"a kill ends main process and children":                               killTree,
	"a kill reaches no other replica":                                     killOthers,
	"signals and kills where nothing lives are no error":                  signalNobody,
	"a check says what could start and starts nothing":                    checks,
	"a check leaves alone what runs":                                      checkBesideRun,
	"an inspection lists what lives":                                      inspections,
	"a replica that was never heard of is empty and can be forgotten":     unknownReplica,
	"a forgotten replica can be started again":                            startAfterForget,
	"work that was withdrawn is not done":                                 withdrawnWork,
	"many replicas at once each tell their own story":                     manyReplicas,
	"a flood of events while nobody reads loses nothing":                  flood,
	"work is taken while main processes end":                              workWhileEnding,
	"starts, ends and new starts of one replica come in order many times": churn,
}

func startIsAnswered(c *client) {
	run, started := c.start(web0, c.service(Runs))
	if state := c.inspect(web0); len(state) != 1 || state[0].Pid != started.Pid {
		c.t.Errorf("run %d started as pid %d, but what lives is %+v", run, started.Pid, state)
	}
}

// failing are services that cannot start, and why.
func (c *client) failing() map[reconciler.Reason][]*spec.Service {
	return map[reconciler.Reason][]*spec.Service{
		reconciler.ReasonCommandNotFound: {c.service(Missing), c.service(MissingInPath)},
		reconciler.ReasonCommandNotRunnable: {
			c.service(NotExecutable), c.service(NoInterpreter), c.service(NotAnExecutable),
		},
		reconciler.ReasonWorkingDirInvalid: {
			c.service(Runs, func(s *spec.Spec) { s.WorkingDir = Nonexistent }),
		},
		reconciler.ReasonEnvFileInvalid: {
			c.service(Runs, func(s *spec.Spec) { s.EnvFrom = []spec.EnvFrom{{File: Nonexistent}} }),
		},
		reconciler.ReasonUserNotFound: {
			c.service(Runs, func(s *spec.Spec) { s.SecurityContext.RunAsUser = NobodyHere }),
		},
	}
}

func failureHasReason(c *client) {
	for reason, services := range c.failing() {
		for _, s := range services {
			run := c.offer(reconciler.VerbStart, web0, s)
			e := c.await(web0, run, reconciler.EventStartFailed)
			if e.Failure.Reason != reason {
				c.t.Errorf("start of %q in %q: reason %q, want %q (%s)",
					s.Spec.Command, s.Spec.WorkingDir, e.Failure.Reason, reason, e.Failure.Message)
			}
			if left := c.inspect(web0); len(left) > 0 {
				c.t.Errorf("a failed start of %q left %+v", s.Spec.Command, left)
			}
		}
	}
}

func startAfterFailure(c *client) {
	run := c.offer(reconciler.VerbStart, web0, c.service(Missing))
	c.await(web0, run, reconciler.EventStartFailed)
	c.start(web0, c.service(Runs, func(s *spec.Spec) {
		s.EnvFrom = []spec.EnvFrom{{File: Nonexistent, Optional: true}}
	}))
}

func exitCodes(c *client) {
	for _, code := range []int{0, 1, 3, 127, 128, 255} {
		run, _ := c.start(web0, c.service(Exits(code)))
		want := reconciler.Exit{Code: int32(code)}
		if e := c.exited(web0, run); e.Exit != want {
			c.t.Errorf("exit %d was told as %+v", code, e.Exit)
		}
	}
}

func exitSignals(c *client) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGUSR1, syscall.SIGSEGV} {
		run, _ := c.start(web0, c.service(Dies(sig)))
		e := c.exited(web0, run)
		if e.Exit.Signal != sig || e.Exit.Unknown || e.Exit.Status() != 128+int32(sig) {
			c.t.Errorf("death by %v was told as %+v", sig, e.Exit)
		}
	}
}

func shortRuns(c *client) {
	for range 50 {
		run := c.offer(reconciler.VerbStart, web0, c.service(Exits(0)))
		c.exited(web0, run) // observe fails when Exited comes before Started
	}
}

func secondRun(c *client) {
	first, _ := c.start(web0, c.service(Exits(1)))
	if e := c.exited(web0, first); e.Exit.Code != 1 {
		c.t.Errorf("the first run ended as %+v", e.Exit)
	}
	second, _ := c.start(web0, c.service(Exits(2)))
	if e := c.exited(web0, second); e.Exit.Code != 2 {
		c.t.Errorf("the second run ended as %+v", e.Exit)
	}
}

func survivors(c *client) {
	run, _ := c.start(web0, c.service(LeavesChild))
	e := c.await(web0, run, reconciler.EventExited)
	if e.Exit.Code != 7 || len(e.Processes) != 1 {
		c.t.Fatalf("exited as %+v with survivors %+v, want code 7 and one", e.Exit, e.Processes)
	}
	c.signal(web0, syscall.SIGTERM, reconciler.ScopeGroup)
	c.await(web0, run, reconciler.EventEmptied)
}

func manySurvivors(c *client) {
	run, _ := c.start(web0, c.service(LeavesMany))
	e := c.await(web0, run, reconciler.EventExited)
	if len(e.Processes) == 0 || len(e.Processes) > 40 {
		c.t.Errorf("%d survivors were told of 40", len(e.Processes))
	}
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
}

func daemonized(c *client) {
	if c.target.Degraded {
		c.t.Skip("needs cgroups: without them a process in a session of its own is out of sight")
	}
	run, _ := c.start(web0, c.service(Daemonizes))
	e := c.await(web0, run, reconciler.EventExited)
	if e.Exit != (reconciler.Exit{}) || len(e.Processes) != 1 {
		c.t.Fatalf("exited as %+v with survivors %+v, want code 0 and one", e.Exit, e.Processes)
	}
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
}

func occupiedBySurvivors(c *client) {
	run, _ := c.start(web0, c.service(LeavesStubborn))
	e := c.await(web0, run, reconciler.EventExited)
	if len(e.Processes) != 1 {
		c.t.Fatalf("survivors are told as %+v, want one", e.Processes)
	}
	refused := c.await(web0, c.offer(reconciler.VerbStart, web0, c.service(Runs)), reconciler.EventStartFailed)
	if refused.Failure.Reason != reconciler.ReasonGroupOccupied {
		c.t.Errorf("refused for %q, want %q", refused.Failure.Reason, reconciler.ReasonGroupOccupied)
	}
	if left := c.inspect(web0); len(left) != 1 || left[0].Pid != e.Processes[0].Pid {
		c.t.Errorf("after the refusal %+v live, want the survivor %+v", left, e.Processes)
	}
	c.kill(web0)
	c.await(web0, run, reconciler.EventEmptied)
	c.start(web0, c.service(Runs))
}

func occupiedByMain(c *client) {
	_, started := c.start(web0, c.service(Runs))
	refused := c.await(web0, c.offer(reconciler.VerbStart, web0, c.service(Runs)), reconciler.EventStartFailed)
	if refused.Failure.Reason != reconciler.ReasonGroupOccupied {
		c.t.Errorf("refused for %q, want %q", refused.Failure.Reason, reconciler.ReasonGroupOccupied)
	}
	if alive := c.inspect(web0); len(alive) != 1 || alive[0].Pid != started.Pid {
		c.t.Errorf("after the refusal %+v live, want pid %d alone", alive, started.Pid)
	}
}
