package main

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"svc.d/reconciler/api"
)

// endpoint serves the API on a socket that outlives it.
type endpoint struct {
	socket *api.Socket
	server *api.Server
	log    logr.Logger
	ctx    context.Context

	mu     sync.Mutex
	cancel context.CancelFunc // nil while nobody serves
	ended  chan struct{}
	closed bool
	failed bool // nobody serves, but should
}

// sessionPause is when it is tried again to serve.
const sessionPause = time.Second

// resume serves, in a goroutine of its own, until pause or the end of ctx.
func (e *endpoint) resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cancel != nil || e.closed || e.ctx.Err() != nil {
		return
	}
	listener, err := e.socket.Session()
	if err != nil {
		if !e.failed {
			e.log.Error(err, "Cannot serve the API; trying again")
		}
		e.failed = true
		time.AfterFunc(sessionPause, e.resume) // out of descriptors
		return
	}
	e.failed = false
	ctx, cancel := context.WithCancel(e.ctx)
	ended := make(chan struct{})
	e.cancel, e.ended = cancel, ended
	go func() {
		defer close(ended)
		if err := e.server.Serve(ctx, listener); err != nil {
			e.log.Error(err, "API ended; commands do not reach this daemon any more")
		}
	}()
}

// pause answers what was asked and serves no more. Who connects from then on
// waits for an answer; nobody is refused.
func (e *endpoint) pause() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cancel == nil {
		return
	}
	e.cancel()
	<-e.ended
	e.cancel = nil
}

// close is pause for good: an attempt to execute the program anew that fails because
// the loop has ended must not have the API answer for it.
func (e *endpoint) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.pause()
}
