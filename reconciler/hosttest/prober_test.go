package hosttest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
)

var web0 = reconciler.ReplicaID{Service: "web"}

func TestProbesAreAnsweredInTheirTimeAndLostInACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := &reconciler.Failure{Reason: reconciler.ReasonProbeFailed, Message: "cannot probe"}
		m := hosttest.NewMachine(hosttest.Config{Probe: func(w reconciler.ProbeWork) (time.Duration, *reconciler.Failure) {
			if w.Run == 1 {
				return time.Second, failed
			}
			return 0, nil
		}})
		defer m.Close()
		p := m.Prober()
		p.Work() <- reconciler.ProbeWork{Replica: web0, Run: 1, Kind: reconciler.ProbeLiveness}
		p.Work() <- reconciler.ProbeWork{Replica: web0, Run: 2}
		got := []reconciler.Event{<-p.Events(), <-p.Events()}
		want := []reconciler.Event{
			{Kind: reconciler.EventProbed, Replica: web0, Run: 2},
			{Kind: reconciler.EventProbed, Replica: web0, Run: 1, Probe: reconciler.ProbeLiveness, Failure: failed},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		p.Work() <- reconciler.ProbeWork{Replica: web0, Run: 1}
		p.Work() <- reconciler.ProbeWork{Replica: web0, Run: 3}
		synctest.Wait() // one is answered and not told, the other is under way
		m.Crash()
		m.Reopen(nil, nil)
		select {
		case e := <-p.Events():
			t.Errorf("%+v came after the crash", e)
		case <-time.After(time.Hour):
		}
		p.Work() <- reconciler.ProbeWork{Replica: web0, Run: 4}
		if e := <-p.Events(); e.Run != 4 {
			t.Errorf("the next answer is %+v", e)
		}
	})
}

func TestOnlyWhatLivesTellsOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hosttest.NewMachine(hosttest.Config{})
		defer m.Close()
		if m.Notify(web0, reconciler.Notice{Ready: true}) || m.Line(web0) {
			t.Error("a replica tells of itself before its start")
		}
		m.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Run: 7}
		<-m.Events()
		if !m.Notify(web0, reconciler.Notice{Ready: true}) || !m.Line(web0) {
			t.Error("a replica that lives does not tell of itself")
		}
		got := []reconciler.Event{<-m.Events(), <-m.Events()}
		want := []reconciler.Event{
			{Kind: reconciler.EventNotified, Replica: web0, Run: 7, Notice: &reconciler.Notice{Ready: true}},
			{Kind: reconciler.EventLineSeen, Replica: web0, Run: 7},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestACrashLosesHooks(t *testing.T) {
	for sentence, run := range map[string]uint64{"one that runs": 0, "one that a worker is at": 1} {
		t.Run(sentence, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { crashDuringHook(t, run) }) })
	}
}

func crashDuringHook(t *testing.T, run uint64) {
	m := hosttest.NewMachine(hosttest.Config{
		Takes:    func(w reconciler.Work) time.Duration { return time.Duration(w.Run) * time.Second },
		Survives: func(reconciler.Work) bool { return true },
	})
	defer m.Close()
	m.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: web0, Run: 1}
	started := <-m.Events()
	m.Work() <- reconciler.Work{Verb: reconciler.VerbHook, Hook: reconciler.HookReload, Replica: web0, Run: run}
	synctest.Wait()
	m.Crash()
	m.Reopen([]reconciler.Record{{Instance: reconciler.Instance{
		ID: web0, Run: 1, StartTakenAt: time.Now(), StartedAt: time.Now(), Pid: started.Pid, StartTicks: started.StartTicks,
	}}}, nil)
	m.Work() <- reconciler.Work{Verb: reconciler.VerbInspect, Replica: web0}
	if e := <-m.Events(); e.Kind != reconciler.EventInspected || len(e.Processes) != 1 {
		t.Errorf("what lives is told as %+v", e)
	}
	select {
	case e := <-m.Events():
		t.Errorf("%+v came after the crash", e)
	case <-time.After(time.Hour):
	}
}
