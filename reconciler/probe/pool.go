// Package probe looks whether services do their work: it makes startup, readiness and
// liveness probes as the kubelet does (pkg/probe and pkg/kubelet/prober of Kubernetes).
//
// Plain HTTP and TCP to numeric addresses, which a thousand services may ask for each
// second, are done by one goroutine with sockets of its own (quick.go); all others by a
// bounded number of goroutines.
package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// Config is what a Pool needs. Exec and Environment are required.
type Config struct {
	// Exec runs a command of a service, expanded, until it ends or ctx does: then
	// all that it started is killed. It returns the first limit bytes of output, or
	// so. It must be safe for concurrent use.
	Exec func(ctx context.Context, w reconciler.ProbeWork, command []string, limit int) ([]byte, reconciler.Exit, *reconciler.Failure)
	// Environment tells the NAME=value lines of a replica, until ctx ends. It must be
	// safe for concurrent use.
	Environment func(ctx context.Context, w reconciler.ProbeWork) ([]string, *reconciler.Failure)
	// Limit is how many probes may be under way at a time; 0 stands for 512.
	Limit int
	Log   logr.Logger
}

const (
	defaultLimit = 512
	// maxOutput is how much of what a service says is told.
	maxOutput = 1 << 10
)

// Pool implements reconciler.Prober. What it costs while nothing is to be probed is
// a goroutine that does not wake.
type Pool struct {
	config Config
	work   chan reconciler.ProbeWork
	events chan reconciler.Event
	slots  chan struct{} // one for each probe under way
	quick  *quick
	ctx    context.Context
	end    context.CancelFunc
	group  sync.WaitGroup
}

var _ reconciler.Prober = (*Pool)(nil)

// New starts a pool. Close ends it.
func New(c Config) (*Pool, error) {
	if c.Limit <= 0 {
		c.Limit = defaultLimit
	}
	p := &Pool{
		config: c, slots: make(chan struct{}, c.Limit),
		// Those that are due together are handed over together, and so are their
		// answers: to wake somebody for each costs more than the probes do.
		work: make(chan reconciler.ProbeWork, 64), events: make(chan reconciler.Event, 64),
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	var err error
	if p.quick, err = openQuick(p); err != nil {
		p.end()
		return nil, err
	}
	p.group.Go(p.dispatch)
	return p, nil
}

// Work implements reconciler.Prober.
func (p *Pool) Work() chan<- reconciler.ProbeWork { return p.work }

// Events implements reconciler.Prober.
func (p *Pool) Events() <-chan reconciler.Event { return p.events }

// Close ends all probes. Nothing is delivered after it. It waits for what runs a
// command no longer than the host takes to kill it.
func (p *Pool) Close() {
	p.end()
	p.group.Wait()
}

// dispatch receives probes as long as one more may be under way, and does the quick
// ones.
func (p *Pool) dispatch() {
	defer p.quick.close()
	free := false
	for {
		var work <-chan reconciler.ProbeWork
		slots := p.slots
		if free {
			work, slots = p.work, nil
		}
		select {
		case slots <- struct{}{}:
			free = true
		case w := <-work:
			free = false
			p.begin(w)
		case <-p.quick.timer.C:
			p.quick.look()
		case <-p.ctx.Done():
			return
		}
	}
}

// begin makes a probe, in the background.
func (p *Pool) begin(w reconciler.ProbeWork) {
	probe := w.Kind.Of(&w.Service.Spec)
	timeout := time.Duration(probe.TimeoutSeconds) * time.Second
	deadline := time.Now().Add(timeout)
	if refers(probe) && len(w.Service.Spec.EnvFrom) > 0 {
		// Files are read for it: those of a file system that hangs must not hold up
		// the probes of others.
		p.group.Go(func() {
			ctx, cancel := context.WithDeadline(p.ctx, deadline)
			defer cancel()
			probe, failure := p.expanded(ctx, w, probe)
			if failure == nil {
				failure = p.slow(w, probe, timeout, deadline)
			}
			p.answer(w, failure)
		})
		return
	}
	probe, failure := p.expanded(p.ctx, w, probe)
	if failure != nil {
		p.group.Go(func() { p.answer(w, failure) })
		return
	}
	if p.quick.ask(w, probe, timeout, deadline) {
		return
	}
	p.group.Go(func() { p.answer(w, p.slow(w, probe, timeout, deadline)) })
}

// slow makes a probe that quick does not know, until deadline; timeout is what the
// manifest says.
func (p *Pool) slow(w reconciler.ProbeWork, probe *spec.Probe, timeout time.Duration, deadline time.Time) *reconciler.Failure {
	ctx, cancel := context.WithDeadline(p.ctx, deadline)
	defer cancel()
	var err error
	switch {
	case probe.Exec != nil:
		err = p.exec(ctx, w, probe.Exec.Command)
	case probe.HTTPGet != nil:
		err = get(ctx, probe.HTTPGet)
	case probe.TCPSocket != nil:
		err = connect(ctx, probe.TCPSocket)
	default:
		err = check(ctx, probe.GRPC)
	}
	var unmade *unmadeError
	if err != nil && ctx.Err() != nil && !errors.As(err, &unmade) {
		err = late(timeout, err)
	}
	return failed(err)
}

// answer tells how a probe ended.
func (p *Pool) answer(w reconciler.ProbeWork, failure *reconciler.Failure) {
	p.tell(answerTo(w, failure))
}

func answerTo(w reconciler.ProbeWork, failure *reconciler.Failure) reconciler.Event {
	if probe := w.Kind.Of(&w.Service.Spec); probe.Exec != nil {
		failure = failure.HiddenIf(probe.Exec.Command[0])
	} else if refers(probe) {
		failure = failure.HiddenIf("$(")
	}
	return reconciler.Event{Kind: reconciler.EventProbed, Replica: w.Replica, Run: w.Run, Probe: w.Kind, Failure: failure}
}

// tell delivers an answer, and frees the place of its probe.
func (p *Pool) tell(e reconciler.Event) {
	<-p.slots
	select {
	case p.events <- e:
	case <-p.ctx.Done():
	}
}

func failed(err error) *reconciler.Failure {
	if err == nil {
		return nil
	}
	var unmade *unmadeError
	if errors.As(err, &unmade) && unmade.failure.Unmade() {
		return unmade.failure
	}
	for _, exhausted := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, exhausted) {
			return &reconciler.Failure{Reason: reconciler.ReasonResourcesExhausted, Message: err.Error()}
		}
	}
	failure := &reconciler.Failure{Reason: reconciler.ReasonProbeFailed, Message: err.Error()}
	var said *outputError
	if errors.As(err, &said) {
		failure.Hidden = said.output
	}
	return failure
}

// unmadeError is of a probe that the host could not make.
type unmadeError struct {
	failure *reconciler.Failure
}

func (e *unmadeError) Error() string { return e.failure.Message }

// errLate is of a probe that took too long.
var errLate = errors.New("no answer")

// late words it; said is what is known besides.
func late(timeout time.Duration, err error) error {
	var said *outputError
	if errors.As(err, &said) && said.output != "" {
		return &outputError{fmt.Sprintf("%v within %s", errLate, timeout), said.output}
	}
	return fmt.Errorf("%w within %s", errLate, timeout)
}

// outputError is an error with what the command had printed.
type outputError struct {
	what, output string
}

func (e *outputError) Error() string {
	if e.output == "" {
		return e.what
	}
	return e.what + ": " + e.output
}

// exec runs a command.
func (p *Pool) exec(ctx context.Context, w reconciler.ProbeWork, command []string) error {
	output, exit, failure := p.config.Exec(ctx, w, command, maxOutput)
	said := printable(output)
	switch {
	case failure != nil && failure.Unmade():
		return &unmadeError{failure}
	case ctx.Err() != nil:
		return &outputError{"was ended", said}
	case failure != nil:
		return &unmadeError{failure}
	case exit.Status() != 0:
		return &outputError{exit.Words(), said}
	}
	return nil
}

// expanded is the probe with its references expanded.
func (p *Pool) expanded(ctx context.Context, w reconciler.ProbeWork, probe *spec.Probe) (*spec.Probe, *reconciler.Failure) {
	if !refers(probe) {
		return probe, nil
	}
	env, failure := p.config.Environment(ctx, w)
	if failure != nil {
		return nil, failure
	}
	x := spec.NewExpander(env)
	to := *probe
	port := func(from spec.Port) spec.Port { return spec.Port(x.Text(string(from))) }
	switch {
	case to.HTTPGet != nil:
		h := *to.HTTPGet
		h.Path, h.Port, h.Host = x.Text(h.Path), port(h.Port), x.Text(h.Host)
		h.HTTPHeaders = make([]spec.HTTPHeader, len(h.HTTPHeaders))
		for i, header := range probe.HTTPGet.HTTPHeaders {
			h.HTTPHeaders[i] = spec.HTTPHeader{Name: header.Name, Value: x.Text(header.Value)}
		}
		to.HTTPGet = &h
	case to.TCPSocket != nil:
		s := *to.TCPSocket
		s.Port, s.Host = port(s.Port), x.Text(s.Host)
		to.TCPSocket = &s
	default:
		g := *to.GRPC
		g.Port, g.Service = port(g.Port), x.Text(g.Service)
		to.GRPC = &g
	}
	if _, err := portOf(&to); err != nil {
		return nil, failed(err)
	}
	return &to, nil
}

// refers reports whether a field of the probe holds a reference that is to be expanded
// here; the host expands commands.
func refers(probe *spec.Probe) bool {
	has := func(text string) bool { return strings.IndexByte(text, '$') >= 0 }
	switch {
	case probe.Exec != nil:
		return false
	case probe.HTTPGet != nil:
		h := probe.HTTPGet
		for _, header := range h.HTTPHeaders {
			if has(header.Value) {
				return true
			}
		}
		return has(h.Path) || has(string(h.Port)) || has(h.Host)
	case probe.TCPSocket != nil:
		return has(string(probe.TCPSocket.Port)) || has(probe.TCPSocket.Host)
	default:
		return has(string(probe.GRPC.Port)) || has(probe.GRPC.Service)
	}
}

// portOf is the port of a probe that is expanded.
func portOf(probe *spec.Probe) (int, error) {
	var port spec.Port
	switch {
	case probe.HTTPGet != nil:
		port = probe.HTTPGet.Port
	case probe.TCPSocket != nil:
		port = probe.TCPSocket.Port
	default:
		port = probe.GRPC.Port
	}
	number, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || number == 0 {
		return 0, fmt.Errorf("cannot probe port %q: it must be a number from 1 to 65535", string(port))
	}
	return int(number), nil
}
