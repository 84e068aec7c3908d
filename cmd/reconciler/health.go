package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"svc.d/reconciler/probe"
	"svc.d/spec"
	"svc.d/status"
	"svc.d/watch"
)

// openProber takes probes into service.
func (d *daemon) openProber() (err error) {
	d.prober, err = probe.New(probe.Config{Exec: d.machine.Exec, Environment: d.machine.Environment, Log: d.log.WithName("probe")})
	return err
}

// watchFiles begins to watch the files that services name.
func (d *daemon) watchFiles(ctx context.Context, group *sync.WaitGroup) {
	d.files = watch.NewFiles(watch.FilesOptions{Resync: d.settings.resync, Log: d.log.WithName("files")})
	group.Go(func() {
		d.guard(func() {
			if err := d.files.Run(ctx); err != nil {
				d.log.Error(err, "Watcher of files ended; changes of envFrom and reload.files are not followed any more")
			}
		})
	})
}

// namedFiles are those whose content matters to a service that runs.
func namedFiles(set *spec.Set) []string {
	var paths []string
	for _, s := range set.Services {
		for _, from := range s.Spec.EnvFrom {
			paths = append(paths, from.File)
		}
		if s.Spec.Reload != nil {
			paths = append(paths, s.Spec.Reload.Files...)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// serviceConditions are those that no event tells of.
func (d *daemon) serviceConditions() map[string][]status.Condition {
	all := d.lostOutput()
	for name, processes := range d.machine.LeftBehind() {
		if all == nil {
			all = map[string][]status.Condition{}
		}
		var shown []string
		for _, p := range processes {
			shown = append(shown, status.Process(p).String())
		}
		all[name] = append(all[name], status.Condition{
			Type: "LeftBehind", Status: "True", Reason: "StopScopeMain",
			Message: "live on from earlier runs: " + strings.Join(shown, ", "),
		})
	}
	return all
}
