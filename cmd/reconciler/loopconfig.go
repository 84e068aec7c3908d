package main

import (
	"svc.d/reconciler"
	"svc.d/status"
)

// loopConfig is what the loop needs of the others.
func (d *daemon) loopConfig() reconciler.Config {
	conditions := hostConditions(d.machine, d.app.now())
	return reconciler.Config{
		Host: d.machine, Sets: d.watcher.Sets(), First: d.first, Log: d.log.Logger,
		Restored: d.machine.Restored(), Found: d.machine.Found(), Unclear: d.machine.Unclear(),
		Recorder: d.records, Declared: d.declared, Revisions: d.revisions, Occurred: d.events.Add,
		Cgroup: d.machine.Cgroup,
		Conditions: func() []status.Condition {
			return append(append(d.successor.conditions(), d.recordConditions()...), append(d.outputConditions(), conditions...)...)
		},
		ServiceConditions: d.serviceConditions,
		Prober:            d.prober, Contents: d.files.Contents(),
		Heartbeat: d.notify.heartbeat(), Beat: d.notify.beat, Step: d.step,
		Verify: d.app.env("RECONCILER_VERIFY") == "1",
	}
}
