package probe

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"svc.d/reconciler"
	"svc.d/spec"
)

func tcp(port string) *spec.Probe {
	return &spec.Probe{TCPSocket: &spec.TCPSocketAction{Port: spec.Port(port)}}
}

func TestTCP(t *testing.T) {
	port := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	r := newRig(t)
	matches(t, r.made(tcp(port)), "")
	p := tcp(port)
	p.TCPSocket.Host = "localhost"
	matches(t, r.made(p), "")
	matches(t, r.made(tcp("1")), "cannot connect to 127.0.0.1:1: connection refused")
	p = tcp("1")
	p.TCPSocket.Host = "localhost"
	matches(t, r.made(p), "cannot connect to localhost:1")
	matches(t, r.made(httpGet("1", "/")), "cannot connect to 127.0.0.1:1: connection refused")
}

func TestExec(t *testing.T) {
	tests := map[string]struct {
		output  string
		exit    reconciler.Exit
		failure *reconciler.Failure
		hangs   bool
		want    string
	}{
		"success":            {output: "fine"},
		"a code":             {output: "no\nroom\n", exit: reconciler.Exit{Code: 3}, want: "exited with code 3: no; room"},
		"a code, no output":  {exit: reconciler.Exit{Code: 1}, want: "exited with code 1"},
		"a signal":           {exit: reconciler.Exit{Signal: syscall.SIGSEGV}, want: "was killed by SIGSEGV"},
		"an unknown end":     {exit: reconciler.Exit{Unknown: true}, want: "it is not known how"},
		"no such program":    {failure: &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot find /x"}, want: "cannot find /x"},
		"too long":           {output: "thinking", hangs: true, exit: reconciler.Exit{Signal: syscall.SIGKILL}, want: "no answer within 1s: thinking"},
		"output without end": {output: strings.Repeat("é", 5000), exit: reconciler.Exit{Code: 1}, want: "é"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Exec = func(ctx context.Context, _ reconciler.ProbeWork, command []string, _ int) ([]byte, reconciler.Exit, *reconciler.Failure) {
					if test.hangs {
						<-ctx.Done()
					}
					if len(command) != 1 || command[0] != "$(A)" { // the host expands it
						t.Errorf("command %q", command)
					}
					return []byte(test.output), test.exit, test.failure
				}
			})
			got := r.made(&spec.Probe{Exec: &spec.ExecAction{Command: []string{"$(A)"}}})
			matches(t, got, test.want)
			if len(got) > 2*maxOutput {
				t.Errorf("%d bytes are told", len(got))
			}
		})
	}
}

// TestMoreProbesThanMayBeUnderWay has hanging ones take all places: the others wait,
// and each is answered.
func TestMoreProbesThanMayBeUnderWay(t *testing.T) {
	mute := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	r := newRig(t, func(c *Config) { c.Limit = 4 })
	answers := make(chan reconciler.Event)
	go func() {
		for range 12 {
			answers <- r.ended()
		}
	}()
	for n := range 12 {
		if n%2 == 0 {
			r.begin(httpGet(mute, "/"))
		} else {
			r.begin(tcp(mute))
		}
	}
	seen := map[uint64]bool{}
	for range 12 {
		e := <-answers
		if seen[e.Run] || (e.Run%2 == 1) != (e.Failure != nil) {
			t.Errorf("%+v", e)
		}
		seen[e.Run] = true
	}
}

// TestNothingIsLeft counts descriptors after probes of all kinds, also of those that
// nobody hears the answer of.
func TestNothingIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	mute := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	good := raw(t, ok(""))
	before := count()
	for range 3 {
		p, err := New(Config{Environment: func(context.Context, reconciler.ProbeWork) ([]string, *reconciler.Failure) { return nil, nil }})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, pool: p}
		for range 50 {
			matches(t, r.made(httpGet(good, "/")), "")
			matches(t, r.made(tcp(good)), "")
			matches(t, r.made(tcp("1")), "refused")
		}
		for range 20 {
			r.begin(httpGet(mute, "/"))
		}
		p.Close()
	}
	// The server's ends go when it has seen that ours are gone.
	for n := 0; count() > before+2 && n < 1000; n++ {
		matches(t, newRig(t).made(tcp(good)), "")
	}
	if after := count(); after > before+10 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func TestAFileThatHangsHoldsUpNobodyElse(t *testing.T) {
	hangs := make(chan struct{})
	r := newRig(t, func(c *Config) {
		c.Environment = func(_ context.Context, w reconciler.ProbeWork) ([]string, *reconciler.Failure) {
			if len(w.Service.Spec.EnvFrom) > 0 {
				<-hangs
			}
			return nil, nil
		}
	})
	t.Cleanup(func() { close(hangs) }) // before the pool is closed
	s := &spec.Service{Spec: spec.Defaults()}
	s.Spec.EnvFrom = []spec.EnvFrom{{File: "/hangs"}}
	s.Spec.LivenessProbe = httpGet("$(PORT)", "/")
	s.Spec.LivenessProbe.TimeoutSeconds = 1
	r.pool.Work() <- reconciler.ProbeWork{Replica: reconciler.ReplicaID{Service: "other"}, Run: 1, Kind: reconciler.ProbeLiveness, Service: s}
	matches(t, r.made(httpGet(raw(t, ok("")), "/")), "")
}

// TestFilesThatHangAreAnsweredInTime, and say nothing of the service.
func TestFilesThatHangAreAnsweredInTime(t *testing.T) {
	hung := &reconciler.Failure{Reason: reconciler.ReasonEnvFileInvalid, Message: "it hangs"}
	r := newRig(t, func(c *Config) {
		c.Environment = func(ctx context.Context, _ reconciler.ProbeWork) ([]string, *reconciler.Failure) {
			<-ctx.Done()
			return nil, hung
		}
		c.Exec = func(ctx context.Context, _ reconciler.ProbeWork, _ []string, _ int) ([]byte, reconciler.Exit, *reconciler.Failure) {
			<-ctx.Done()
			return nil, reconciler.Exit{}, hung
		}
	})
	for name, probe := range map[string]*spec.Probe{"of a field": httpGet("$(PORT)", "/"), "of a command": {Exec: &spec.ExecAction{Command: []string{"x"}}}} {
		s := &spec.Service{Spec: spec.Defaults()}
		s.Spec.EnvFrom = []spec.EnvFrom{{File: "/hangs"}}
		s.Spec.LivenessProbe = probe
		probe.TimeoutSeconds = 1
		r.pool.Work() <- reconciler.ProbeWork{Replica: reconciler.ReplicaID{Service: "web"}, Run: 1, Kind: reconciler.ProbeLiveness, Service: s}
		if e := r.ended(); e.Failure == nil || e.Failure.Reason != hung.Reason {
			t.Errorf("%s: %+v", name, e.Failure)
		}
	}
}
