package host_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// sayOften is a service that tells numbers as its status, as fast as it can: as many
// as HOST_TEST_SAY says, or without end. Then it tells that it is ready, and waits, or
// ends when HOST_TEST_PATH says "end".
func sayOften() int {
	count, err := strconv.Atoi(os.Getenv("HOST_TEST_SAY"))
	for n := 1; err != nil || n <= count; n++ {
		say("STATUS=" + strconv.Itoa(n))
	}
	if os.Getenv("HOST_TEST_PATH") == "end" {
		unix.Exit(0)
	}
	say("READY=1")
	for {
		_ = unix.Pause()
	}
}

// TestAFloodOfStatusesTakesNoProcessor, is told some times a second, and others are
// heard meanwhile.
func TestAFloodOfStatusesTakesNoProcessor(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		flooder := reconciler.ReplicaID{Service: "flood"}
		m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: flooder, Run: 1, Service: notifies(self(t, "say-often"))}
		if e := m.next(); e.Kind != reconciler.EventStarted {
			t.Fatalf("got %+v", e)
		}
		told := 0
		of := func(id reconciler.ReplicaID) reconciler.Event { // the next event that is not of the flood
			for e := m.next(); ; e = m.next() {
				if e.Kind != reconciler.EventNotified || e.Replica != flooder {
					if e.Replica != id {
						t.Fatalf("got %+v", e)
					}
					return e
				}
				told++
			}
		}
		used, began := processorTime(t), time.Now()
		end := time.After(time.Second)
		for over := false; !over; {
			select {
			case <-m.host.Events():
				told++
			case <-end:
				over = true
			}
		}
		took := time.Since(began)
		if used = processorTime(t) - used; used > int64(took)/2 {
			t.Errorf("it took %v of %v", time.Duration(used), took)
		}
		if told > 10 {
			t.Errorf("%d statuses were told within a second", told)
		}
		for range 10 {
			m.offer(reconciler.VerbStart, notifies(self(t, "say", spec.EnvVar{Name: "HOST_TEST_SAY", Value: "READY=1"})))
			if e := of(web0); e.Kind != reconciler.EventStarted {
				t.Fatalf("got %+v", e)
			}
			if e := of(web0); e.Kind != reconciler.EventNotified || !e.Notice.Ready {
				t.Fatalf("got %+v", e)
			}
			if e := of(web0); e.Kind != reconciler.EventExited {
				t.Fatalf("got %+v", e)
			}
		}
		if err := m.host.Kill(flooder); err != nil {
			t.Error(err)
		}
		if e := of(flooder); e.Kind != reconciler.EventExited {
			t.Errorf("got %+v", e)
		}
	})
}

// TestTheNewestStatusIsTold, whatever happens next.
func TestTheNewestStatusIsTold(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		newest := func(until reconciler.EventKind) (status string, ready bool) {
			for e := m.next(); e.Kind != until; e = m.next() {
				if e.Kind != reconciler.EventNotified {
					t.Fatalf("got %+v", e)
				}
				ready = ready || e.Notice.Ready
				if e.Notice.HasStatus {
					status = e.Notice.Status
				}
				if until == 0 && status == "500" && ready {
					break
				}
			}
			return status, ready
		}
		often := func(then string) *spec.Service {
			return notifies(self(t, "say-often", spec.EnvVar{Name: "HOST_TEST_SAY", Value: "500"}, spec.EnvVar{Name: "HOST_TEST_PATH", Value: then}))
		}
		t.Run("while it lives", func(t *testing.T) {
			m.start(often("wait"))
			newest(0)
			m.end()
		})
		t.Run("before its end", func(t *testing.T) {
			m.start(often("end"))
			if status, _ := newest(reconciler.EventExited); status != "500" {
				t.Errorf("the last one is %q", status)
			}
		})
		t.Run("with what it has said before its start was told", func(t *testing.T) {
			m.offer(reconciler.VerbStart, often("wait"))
			until(func() bool { return len(m.host.Carry().Early[web0]) == 3 }) // the first, the newest, READY
			m.want(reconciler.EventStarted)
			newest(0)
			m.end()
		})
		t.Run("after the process image was replaced", func(t *testing.T) {
			s := often("wait")
			e := m.start(s)
			for !m.notified().Ready { // what was kept back is still to come
			}
			<-m.host.Pause()
			early := m.host.Carry().Early
			if got := fmt.Sprintf("%s", early[web0]); got != "[STATUS=500]" {
				t.Errorf("carried %s", got)
			}
			m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{recordOf(s, e)}, Early: early}})
			m.wantNotices(reconciler.Notice{Status: "500", HasStatus: true})
			m.end()
		})
	})
}
