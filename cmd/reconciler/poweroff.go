package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"svc.d/reconciler/host"
)

// lastAct is what the first process of a machine does when its services have
// ended: it ends everything else and switches the machine off, or restarts it. For
// everybody else it is nil, and ends nothing.
type lastAct struct {
	stderr  io.Writer
	asked   atomic.Bool
	restart atomic.Bool
}

// newLastAct takes ctrl-alt-del over, which comes as SIGINT from then on.
func newLastAct(stderr io.Writer) *lastAct {
	if !host.IsInit() {
		return nil
	}
	if err := host.CatchCtrlAltDel(); err != nil {
		fmt.Fprintln(stderr, "error: "+err.Error())
	}
	return &lastAct{stderr: stderr}
}

// told hears each signal that has the daemon end. The last one counts.
func (l *lastAct) told(sig os.Signal) {
	if l == nil {
		return
	}
	l.restart.Store(sig == syscall.SIGINT)
	l.asked.Store(true)
}

// perform comes after everything else. An end that nobody asked for is left to
// the kernel: it panics, with our error above its own, and its option panic=
// says what follows.
func (l *lastAct) perform() {
	if l == nil || !l.asked.Load() {
		return
	}
	for {
		// Not to end is all that is left when it fails: the kernel would panic.
		fmt.Fprintln(l.stderr, "error: "+host.EndMachine(l.restart.Load()).Error())
		time.Sleep(time.Minute)
	}
}
