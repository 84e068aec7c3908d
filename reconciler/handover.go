package reconciler

import (
	"context"
	"errors"
	"time"
)

// handoverRequest is somebody who wants the loop to stand still.
type handoverRequest struct {
	ctx    context.Context
	do     func(began time.Time) error
	answer chan error // buffered
	paused <-chan struct{}
}

// ErrStopping answers who wants a handover from a loop that shuts down: that is
// one-way.
var ErrStopping = errors.New("the daemon is shutting down")

// Handover stops the offering of work, waits until the host has answered every
// start, has all that is known recorded, and then calls do in the loop's
// goroutine: nothing changes while it runs. began is when the loop ceased to take
// anything in. When do returns nil, Run returns nil and leaves everything running;
// when it returns an error, or nothing can be recorded, or ctx ends first, the loop goes
// on and the error is returned. A nil do is for who leaves whatever happens: it does
// not wait for starts, which may hang.
// It returns ErrStopping during a shutdown, and ErrStopped after the end.
func (l *Loop) Handover(ctx context.Context, do func(began time.Time) error) error {
	r := &handoverRequest{ctx: ctx, do: do, answer: make(chan error, 1)}
	select {
	case l.handovers <- r:
		return await(l, r.answer, ErrStopped)
	case <-l.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asked tells of a request. There is one at a time: who comes during another one
// waits for how that ends.
func (l *Loop) asked() <-chan *handoverRequest {
	if l.handover != nil {
		return nil
	}
	return l.handovers
}

// prepare takes in a request.
func (l *Loop) prepare(r *handoverRequest) {
	if !l.stopping.IsZero() {
		r.answer <- ErrStopping
		return
	}
	l.handover = r
}

// abandoned tells when the one who wanted the handover does not wait any more.
func (l *Loop) abandoned() <-chan struct{} {
	if l.handover == nil {
		return nil
	}
	return l.handover.ctx.Done()
}

// endHandover lets everything go on.
func (l *Loop) endHandover(err error) {
	r := l.handover
	l.handover = nil
	if r.paused != nil {
		l.Host.(Pauser).Resume()
	}
	r.answer <- err
}

// still tells when the host stands still, if it was asked to.
func (l *Loop) still() <-chan struct{} {
	if l.handover == nil {
		return nil
	}
	return l.handover.paused
}

// handedOver does the handover when the host has answered and stands still. It
// reports whether the loop is to end.
func (l *Loop) handedOver() bool {
	r := l.handover
	switch {
	case r == nil:
		return false
	case !l.stopping.IsZero():
		l.endHandover(ErrStopping)
		return false
	case l.pending > 0 && r.do != nil:
		return false
	}
	if p, ok := l.Host.(Pauser); ok {
		if r.paused == nil {
			r.paused = p.Pause()
		}
		select {
		case <-r.paused:
		default:
			return false // until then it delivers
		}
	}
	began := l.now() // until now it took in what came
	l.step(StepHandoverBegun, true)
	var err error
	if l.Recorder != nil {
		err = l.Recorder.Sync()
	}
	if r.do == nil {
		err = nil
	} else if err == nil {
		err = r.do(began)
	}
	l.endHandover(err)
	return err == nil
}

// beat lets a watchdog know that the loop turns.
func (l *Loop) beat(now time.Time) {
	if l.Heartbeat <= 0 || now.Before(l.beatAt) {
		return
	}
	l.Beat()
	l.beatAt = now.Add(l.Heartbeat)
}
