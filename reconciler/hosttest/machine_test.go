package hosttest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

func TestSimulatedMachineConforms(t *testing.T) {
	tells := func(id reconciler.ReplicaID, run uint64) bool { return run%2 == 0 }
	takes := map[string]func(reconciler.Work) time.Duration{
		"at once":    nil,
		"in a while": func(w reconciler.Work) time.Duration { return time.Duration(w.Run%7) * time.Millisecond },
	}
	for name, takes := range takes {
		t.Run(name, func(t *testing.T) {
			hosttest.Conformance(t, func(t *testing.T, test func(*testing.T, hosttest.Target)) {
				synctest.Test(t, func(t *testing.T) {
					m := hosttest.NewMachine(hosttest.Config{
						Script: hosttest.ScriptedBehaviour,
						Takes:  takes,
						Tells:  tells,
						Fail:   func(hosttest.Violation) {}, // the suite does what an engine may not
					})
					defer m.Close()
					test(t, simulated(m))
				})
			})
		})
	}
}

// simulated is a machine to be judged that can be opened again.
func simulated(m *hosttest.Machine) hosttest.Target {
	return hosttest.Target{
		Host: m, Programs: hosttest.Scripted, LeftBehind: m.LeftBehind, KillReleased: m.KillReleased,
		Reopen: func(_ *testing.T, records []reconciler.Record, unclear []reconciler.ReplicaID) (next hosttest.Target, found, unclearFound []reconciler.ReplicaID) {
			m.Crash()
			found, unclearFound = m.Reopen(records, unclear)
			return simulated(m), found, unclearFound
		},
	}
}

func TestMachineTellsWhoeverBreaksAPromise(t *testing.T) {
	id := reconciler.ReplicaID{Service: "web"}
	start := func(m *hosttest.Machine, run uint64) {
		m.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: id, Run: run}
		<-m.Events()
	}
	hook := func(m *hosttest.Machine, h reconciler.Hook) {
		m.Work() <- reconciler.Work{Verb: reconciler.VerbHook, Hook: h, Replica: id, Run: 9}
		<-m.Events()
	}
	tests := map[string]struct {
		behaviour hosttest.Behaviour
		do        func(m *hosttest.Machine)
		promise   string
	}{
		"a second start beside the first": {hosttest.Behaviour{}, func(m *hosttest.Machine) { start(m, 2) }, hosttest.AtMostOne},
		"a start beside what the first left": {
			hosttest.Behaviour{Children: []hosttest.Child{{}}},
			func(m *hosttest.Machine) {
				m.End(id, reconciler.Exit{})
				<-m.Events()
				start(m, 2)
			}, hosttest.NothingLeft,
		},
		"a kill of what is known to have ended": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			m.End(id, reconciler.Exit{})
			<-m.Events()
			synctest.Wait()
			if err := m.Kill(id); err != nil {
				t.Error(err)
			}
		}, hosttest.NobodySignalled},
		"a number of a run used twice": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			m.End(id, reconciler.Exit{})
			<-m.Events()
			start(m, 1)
		}, hosttest.RunsDiffer},
		"a hook after the end of all": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			m.End(id, reconciler.Exit{})
			<-m.Events()
			synctest.Wait()
			hook(m, reconciler.HookReload)
		}, hosttest.HookBesideLife},
		"a postStop beside what lives": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			hook(m, reconciler.HookPostStop)
		}, hosttest.PostStopAlone},
		"a start beside a postStop": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			m.End(id, reconciler.Exit{})
			<-m.Events()
			m.Work() <- reconciler.Work{Verb: reconciler.VerbHook, Hook: reconciler.HookPostStop, Replica: id, Run: 2}
			start(m, 3)
		}, hosttest.PostStopAlone},
		"a release beside a main process": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			m.Work() <- reconciler.Work{Verb: reconciler.VerbRelease, Replica: id, Run: 2}
			<-m.Events()
		}, hosttest.ReleasedAfterEnd},
		"something alive is forgotten": {hosttest.Behaviour{}, func(m *hosttest.Machine) {
			m.Work() <- reconciler.Work{Verb: reconciler.VerbForget, Replica: id, Run: 1}
			<-m.Events()
		}, hosttest.NothingAliveForgotten},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broken []string
				m := hosttest.NewMachine(hosttest.Config{
					Script: func(reconciler.Work) hosttest.Behaviour { return test.behaviour },
					Fail:   func(v hosttest.Violation) { broken = append(broken, v.Promise) },
				})
				start(m, 1)
				test.do(m)
				m.Close()
				if len(broken) != 1 || broken[0] != test.promise {
					t.Errorf("broken is %v, want %s", broken, test.promise)
				}
			})
		})
	}
}
