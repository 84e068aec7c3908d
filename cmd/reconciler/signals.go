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
	log      logr.Logger
	// terminal says that a SIGHUP means a closed terminal.
	terminal bool
}

// handled are the signals that the daemon takes over.
func handled() []os.Signal {
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE}
}

// watchSignals takes over the daemon's signals until ctx ends. The returned
// function waits for the end of the goroutine; the signals stay caught, so that one that comes
// while the daemon tidies up does not change how it ends.
//
// All of them are caught and none is ignored: a signal that is ignored would be
// ignored in the services too, since that survives execve(2).
func watchSignals(ctx context.Context, s signals) (stop func()) {
	// nohup(1) starts us with SIGHUP ignored: then a closed terminal means
	// nothing.
	s.terminal = !signal.Ignored(syscall.SIGHUP) && hasTerminal()
	received := make(chan os.Signal, 8)
	signal.Notify(received, handled()...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, received)
	}()
	return func() { <-done }
}

func (s *signals) run(ctx context.Context, received <-chan os.Signal) {
	stopping := false
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-received:
			stopping = s.handle(sig, stopping)
		}
	}
}

// handle acts on one signal and returns whether the shutdown has begun.
func (s *signals) handle(sig os.Signal, stopping bool) bool {
	switch sig {
	case syscall.SIGPIPE:
		// A reader of our log went away. The write has failed, no more is due.
		return stopping
	case syscall.SIGQUIT:
		s.log.Info("Ignored signal: leaving the services running is not supported by this version", "signal", "SIGQUIT")
		return stopping
	case syscall.SIGHUP:
		if !s.terminal {
			s.log.Info("Ignored signal: reloading is not supported by this version, manifests are followed without it", "signal", "SIGHUP")
			return stopping
		}
		if stopping {
			return true // a terminal that closes tells more than once
		}
	}
	s.log.Info("Received signal", "signal", signalName(sig), "now", stopping)
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
