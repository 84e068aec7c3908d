package main

import (
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/host"
	"svc.d/reconciler/logs"
	"svc.d/spec"
	"svc.d/status"
)

// Conditions of a service and of the daemon.
const (
	conditionOutputLost    = "OutputLost"
	conditionOutputUnsafe  = "OutputUnsafe"
	conditionOutputStalled = "OutputStalled"
)

const (
	// defaultQuota bounds all logs together when nobody has said how: a tenth of
	// their file system, but no more than this (as journald has it).
	defaultQuota = 4 << 30
	// outputPatience bounds how long a re-exec waits for what is being written.
	outputPatience = time.Second
)

// openOutput begins to take what services write.
func (d *daemon) openOutput() (err error) {
	o := logs.Options{
		StateDir: d.config.stateDir, LogDir: d.config.logDir, Quota: d.logQuota(),
		Log: d.log.WithName("logs"), Guard: d.guard,
	}
	var former []int
	if d.inherited != nil {
		o.Inherited, former = make(map[string][]int, len(d.inherited.Outputs)), d.inherited.Shelved
		for name, fd := range d.inherited.Outputs {
			o.Inherited[name] = []int{fd}
		}
	} else {
		o.Inherited, former = takeDown(d.shelved)
	}
	d.shelf = openShelf(o.Log, former)
	o.Opened, o.Closing = d.shelf.opened, d.shelf.closing
	if d.log.terminal != nil {
		o.Sink = d.log.terminal
	}
	d.output, err = logs.Open(o)
	return err
}

// logQuota is how much room all logs may take.
func (d *daemon) logQuota() int64 {
	if d.settings.logQuota > 0 {
		return int64(d.settings.logQuota)
	}
	var fs unix.Statfs_t
	for dir := d.config.logDir; ; dir = filepath.Dir(dir) {
		if unix.Statfs(dir, &fs) == nil {
			return min(defaultQuota, max(minQuota, int64(fs.Blocks)*fs.Bsize/10))
		}
		if dir == "/" {
			return defaultQuota
		}
	}
}

// minQuota is what logs may take on the smallest of file systems.
const minQuota = 1 << 20

// limitOutput has the limits of logs obeyed that the directory declares.
func (d *daemon) limitOutput(set *spec.Set) {
	limits := make(map[string]logs.Limits, len(set.Services))
	for name, s := range set.Services {
		l := s.Spec.Log
		limits[name] = logs.Limits{
			MaxSize: int64(l.MaxSize), MaxFiles: int(l.MaxFiles), MaxAge: time.Duration(l.MaxAge), Compress: l.Compress,
		}
	}
	d.output.Configure(limits)
}

// outputConditions tell that output cannot be kept as it should.
func (d *daemon) outputConditions() []status.Condition {
	var all []status.Condition
	if err := d.output.Unsafe(); err != nil {
		all = append(all, status.Condition{
			Type: conditionOutputUnsafe, Status: "True", Reason: "NoJournal", LastTransitionTime: d.begun,
			Message: err.Error() + "; a crash of the daemon may lose output that it is about to write",
		})
	}
	if since := d.output.Stalled(); !since.IsZero() {
		all = append(all, status.Condition{
			Type: conditionOutputStalled, Status: "True", Reason: "DiskHangs", LastTransitionTime: since,
			Message: fmt.Sprintf("the file system of %s does not answer: output is not taken, and services wait when their pipes are full", d.config.logDir),
		})
	}
	if n := d.output.SmallPipes(); n > 0 {
		all = append(all, status.Condition{
			Type: host.ConditionDegraded, Status: "True", Reason: "SmallPipes", LastTransitionTime: d.begun,
			Message: fmt.Sprintf("%s for output hold less than 64 KiB, since our user has more than fs.pipe-user-pages-soft allows: "+
				"services that write much wait for us more often", count(n, "pipe")),
		})
	}
	losses := d.output.Losses()
	if len(losses) == 0 {
		return all
	}
	first := losses[0]
	for _, l := range losses[1:] {
		if l.Since.Before(first.Since) {
			first = l
		}
	}
	return append(all, status.Condition{
		Type: conditionOutputLost, Status: "True", Reason: "WriteFailed", LastTransitionTime: first.Since,
		Message: fmt.Sprintf("the output of %s cannot be written to %s: %v; services run on, and it is tried again each second",
			count(len(losses), "replica"), d.config.logDir, first.Err),
	})
}

// lostOutput tells by service what cannot be written.
func (d *daemon) lostOutput() map[string][]status.Condition {
	losses := d.output.Losses()
	if len(losses) == 0 {
		return nil
	}
	all := map[string][]status.Condition{}
	for _, l := range losses {
		all[l.Replica.Service] = append(all[l.Replica.Service], status.Condition{
			Type: conditionOutputLost, Status: "True", Reason: "WriteFailed", LastTransitionTime: l.Since,
			Message: fmt.Sprintf("output of %s: %s", l.Replica, l.String()),
		})
	}
	return all
}
