package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
)

// signals is what the daemon does on a signal.
type signals struct {
	shutdown func(now bool)
	reexec   func()
	leave    func()
	log      logr.Logger
	// nohup says that we were started by nohup(1).
	nohup bool
	// terminal says that a SIGHUP means a closed terminal.
	terminal bool
	// first says that we are pid 1, which never leaves.
	first bool
	// told is told of each shutdown signal; nil is nobody.
	told func(os.Signal)

	received chan os.Signal // nil: nothing is caught yet
	asked    chan chan struct{}
	ending   chan os.Signal // the first signal to end, when it was taken; holds one
}

// handled are the signals that the daemon takes over.
func handled() []os.Signal {
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE}
}

// caughtAtMost is how many signals may wait; of those that are too many nothing
// would be new.
const caughtAtMost = 64

// catchEarly takes over the signals when this process image has taken over from
// another one: then a daemon is what people talk to, from the first moment.
func catchEarly() chan os.Signal {
	if _, given := os.LookupEnv(handoverEnv); !given {
		return nil
	}
	caught := make(chan os.Signal, caughtAtMost)
	signal.Notify(caught, handled()...)
	return caught
}

// watch takes over the daemon's signals until ctx ends. The returned function
// waits for the end of the goroutine; the signals stay caught, so that one that comes
// while the daemon tidies up does not change how it ends.
//
// All of them are caught and none is ignored: a signal that is ignored would be
// ignored in the services too, since that survives execve(2).
func (s *signals) watch(ctx context.Context) (stop func()) {
	s.asked, s.ending = make(chan chan struct{}), make(chan os.Signal, 1)
	if s.received == nil {
		// nohup(1) starts us with SIGHUP ignored: then a closed terminal means
		// nothing.
		s.nohup = signal.Ignored(syscall.SIGHUP)
		s.received = make(chan os.Signal, caughtAtMost)
		signal.Notify(s.received, handled()...)
	}
	s.terminal = !s.nohup && hasTerminal()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	return func() { <-done }
}

func (s *signals) run(ctx context.Context) {
	stopping := false
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-s.received:
			stopping = s.handle(sig, stopping)
		case answer := <-s.asked:
			for len(s.received) > 0 {
				stopping = s.handle(<-s.received, stopping)
			}
			close(answer)
		}
	}
}

// ends notes that a signal to end was taken, before anybody is told, who may have
// no time to listen.
func (s *signals) ends(sig os.Signal) {
	select {
	case s.ending <- sig:
	default:
	}
}

// endingError is that a signal to end has come.
type endingError struct{ signal os.Signal }

func (e *endingError) Error() string { return signalName(e.signal) + " came" }

// pending is an *endingError when a signal to end has come and may not have been
// heeded: then nobody may take over from us. Another one is done with by who takes
// over. Signals must be blocked, so that no more of them come.
func (s *signals) pending() error {
	// Stop returns when the runtime has delivered all that the kernel gave it.
	flushed := make(chan os.Signal, 1)
	signal.Notify(flushed, handled()...)
	signal.Stop(flushed)
	answer := make(chan struct{})
	select {
	case s.asked <- answer:
	case sig := <-s.ending:
		s.ending <- sig
		return &endingError{sig}
	}
	select {
	case <-answer:
	case sig := <-s.ending:
		s.ending <- sig
		return &endingError{sig}
	}
	select {
	case sig := <-s.ending:
		s.ending <- sig
		return &endingError{sig}
	default:
		return nil
	}
}

// closedTerminal is for who meant to load a new version.
const closedTerminal = "to a daemon with a terminal it means that this was closed; ctrl-\\ (SIGQUIT) is what lets services run on"

// handle acts on one signal and returns whether the shutdown has begun.
func (s *signals) handle(sig os.Signal, stopping bool) bool {
	switch sig {
	case syscall.SIGPIPE:
		// A reader of our log went away. The write has failed, no more is due.
		return stopping
	case syscall.SIGQUIT:
		switch {
		case s.first:
			s.log.Info("Ignored signal: pid 1 does not leave", "signal", "SIGQUIT")
		case stopping:
			s.log.Info("Ignored signal: everything is being stopped", "signal", "SIGQUIT")
		default:
			s.ends(sig)
			s.log.Info("Received signal", "signal", "SIGQUIT")
			s.leave()
		}
		return stopping
	case syscall.SIGHUP:
		switch {
		case !s.terminal && stopping:
			s.log.Info("Ignored signal: everything is being stopped", "signal", "SIGHUP")
			return true
		case !s.terminal:
			s.reexec()
			return false
		case stopping:
			return true // a terminal that closes tells more than once
		}
	}
	s.ends(sig)
	if s.told != nil {
		s.told(sig)
	}
	about := []any{"signal", signalName(sig), "now", stopping}
	if sig == syscall.SIGHUP {
		about = append(about, "message", closedTerminal)
	}
	s.log.Info("Received signal", about...)
	s.shutdown(stopping)
	return true
}

func signalName(sig os.Signal) string {
	switch sig {
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGHUP:
		return "SIGHUP"
	case syscall.SIGQUIT:
		return "SIGQUIT"
	default:
		return sig.String()
	}
}

// hasTerminal says whether the process has a controlling terminal (tty(4)).
func hasTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	tty.Close()
	return true
}
