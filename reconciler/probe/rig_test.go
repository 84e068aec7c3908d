package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
)

// rig is a pool and what answers it.
type rig struct {
	t    *testing.T
	pool *Pool
	runs uint64
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	c := Config{
		Exec: func(context.Context, reconciler.ProbeWork, []string, int) ([]byte, reconciler.Exit, *reconciler.Failure) {
			return nil, reconciler.Exit{}, nil
		},
		Environment: func(context.Context, reconciler.ProbeWork) ([]string, *reconciler.Failure) {
			return []string{"HOST=127.0.0.1", "EMPTY="}, nil
		},
	}
	for _, f := range change {
		f(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &rig{t: t, pool: p}
}

// begin hands a probe to the pool.
func (r *rig) begin(probe *spec.Probe) uint64 {
	r.t.Helper()
	if probe.TimeoutSeconds == 0 {
		probe.TimeoutSeconds = 1
	}
	s := &spec.Service{Spec: spec.Defaults()}
	s.Spec.LivenessProbe = probe
	r.runs++
	w := reconciler.ProbeWork{Replica: reconciler.ReplicaID{Service: "web"}, Run: r.runs, Kind: reconciler.ProbeLiveness, Service: s}
	select {
	case r.pool.Work() <- w:
	case <-time.After(time.Minute):
		r.t.Fatal("the pool takes no work")
	}
	return r.runs
}

// ended is the next answer.
func (r *rig) ended() reconciler.Event {
	r.t.Helper()
	select {
	case e := <-r.pool.Events():
		if e.Kind != reconciler.EventProbed || e.Probe != reconciler.ProbeLiveness || e.Replica.Service != "web" {
			r.t.Fatalf("%+v", e)
		}
		return e
	case <-time.After(time.Minute):
		r.t.Fatal("no answer")
	}
	return reconciler.Event{}
}

// made is what a probe brings; empty is success.
func (r *rig) made(probe *spec.Probe) string {
	r.t.Helper()
	run := r.begin(probe)
	e := r.ended()
	if e.Run != run {
		r.t.Fatalf("run %d, want %d", e.Run, run)
	}
	if e.Failure == nil {
		return ""
	}
	if e.Failure.Reason != reconciler.ReasonProbeFailed {
		r.t.Errorf("reason %s", e.Failure.Reason)
	}
	return e.Failure.Message
}

func httpGet(port, path string) *spec.Probe {
	return &spec.Probe{HTTPGet: &spec.HTTPGetAction{Path: path, Port: spec.Port(port), Scheme: "HTTP"}}
}

// listen serves each connection by a function that gets it after the request's header,
// and closes it then.
func listen(t *testing.T, network, address string, serve func(c net.Conn)) (port string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-ended })
	go func() {
		defer close(ended)
		var all []chan struct{}
		for {
			c, err := l.Accept()
			if err != nil {
				for _, one := range all {
					<-one
				}
				return
			}
			one := make(chan struct{})
			all = append(all, one)
			go func() {
				defer close(one)
				defer c.Close()
				serve(c)
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// raw answers each request with text.
func raw(t *testing.T, text string) (port string) {
	return listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = c.Write([]byte(text))
		}
	})
}

func matches(t *testing.T, got, want string) {
	t.Helper()
	if (want == "") != (got == "") || !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
