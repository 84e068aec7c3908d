package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxPanics within a minute are answered by leaving: then it is for whoever
	// supervises us to decide.
	maxPanics = 3
	// exitPanic is the code of that end (EX_SOFTWARE of sysexits.h).
	exitPanic = 70
	// stillPatience bounds the wait for the host to stand still after a panic.
	stillPatience = 200 * time.Millisecond
)

// reconcile runs the loop. A panic in it is logged with its stack, and the
// program executes itself anew: no service notices.
func (d *daemon) reconcile(ctx context.Context) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.mu.Lock()
	d.fail = cancel
	if d.failed != nil { // before there was anybody to be told
		cancel(d.failed)
	}
	d.mu.Unlock()
	err := func() (err error) {
		defer func() {
			if mistake := recover(); mistake != nil {
				err = &panicError{mistake, string(debug.Stack())}
			}
		}()
		return d.loop.Run(running)
	}()
	var p *panicError
	if errors.As(err, &p) || errors.As(context.Cause(running), &p) {
		return d.panicked(ctx, p)
	}
	return err
}

// guard runs what must not take the daemon down with it: a panic in f is treated
// like one in the loop.
func (d *daemon) guard(f func()) {
	defer func() {
		if mistake := recover(); mistake != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.failed = &panicError{mistake, string(debug.Stack())}
			d.fail(d.failed)
		}
	}()
	f()
}

// panicError is a panic, and where it happened.
type panicError struct {
	mistake any
	stack   string
}

func (p *panicError) Error() string { return fmt.Sprint(p.mistake) }

func (d *daemon) panicked(ctx context.Context, p *panicError) error {
	d.log.Error(p, "The engine panicked", "stack", p.stack)
	d.api.close() // who asks from now on is answered by the successor
	var before []int64
	if d.inherited != nil {
		before = d.inherited.Panics
	}
	panics := recent(before, monotonic())
	if len(panics) >= maxPanics && !d.isInit() {
		return &exit{exitPanic, fmt.Errorf("the engine panicked %d times within a minute; leaving, with every service running", len(panics))}
	}
	if len(panics) > 1 && d.isInit() {
		// Nobody is there to decide, so it is tried less and less often.
		select {
		case <-time.After(min(time.Second<<min(len(panics), 6), time.Minute)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-d.machine.Pause():
	case <-time.After(stillPatience):
		// It waits for the loop to take an event, which is lost.
	}
	if err := d.records.Sync(); err != nil {
		d.log.Error(err, "Could not write what is known")
	}
	d.log.Info("Executing itself anew", "why", whyPanic, "program", d.program)
	program, err := identify(d.program)
	if err == nil {
		d.notify.reloading()
		d.inherited = &handover{Panics: panics}
		err = d.become(whyPanic, program, d.inForce(), time.Now())
	}
	return &exit{exitPanic, fmt.Errorf("the engine panicked, and the program could not be executed anew: %w; leaving, with every service running", err)}
}

func closeFD(fd int) { _ = unix.Close(fd) }
