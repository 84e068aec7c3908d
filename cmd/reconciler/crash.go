package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
)

// crashEnv asks for a crash, for tests: STEP[:N[:panic]] ends the daemon with
// SIGKILL, or panics, when it comes to that step for the Nth time. +STEP means
// only a process image that has taken over from another one.
const crashEnv = host.CrashEnv

// The steps of a re-exec and of the start after it.
const (
	stepTried         reconciler.Step = "tried"          // the successor's trial was passed
	stepHandedOver    reconciler.Step = "handed-over"    // all that the successor needs is written
	stepSignalsHeld   reconciler.Step = "signals-held"   // nothing but exec(2) is left to do
	stepImageBegun    reconciler.Step = "image-begun"    // a process image has the lock
	stepRecordsLoaded reconciler.Step = "records-loaded" // it has read the records
	stepAdopted       reconciler.Step = "adopted"        // it has taken over what lives
	stepListening     reconciler.Step = "listening"      // it listens, and is about to reconcile
)

// crasher returns what is to be told of each step; nil when no crash is asked
// for.
func (a *app) crasher(tookOver bool) (func(reconciler.Step), error) {
	wish, later := strings.CutPrefix(a.env(crashEnv), "+")
	if wish == "" || later && !tookOver {
		return nil, nil
	}
	words := strings.Split(wish, ":")
	nth := int64(1)
	if len(words) > 1 {
		n, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("cannot crash as %s=%q asks: %q is no count", crashEnv, wish, words[1])
		}
		nth = n
	}
	panics := len(words) > 2 && words[2] == "panic"
	var count atomic.Int64
	return func(s reconciler.Step) {
		if string(s) != words[0] || count.Add(1) != nth {
			return
		}
		if panics {
			panic("crash at " + wish)
		}
		host.Crash()
	}, nil
}
