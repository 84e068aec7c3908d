package main

import (
	"svc.d/reconciler/events"
	"svc.d/reconciler/record"
)

// openEvents goes on with what the image before this one told.
func (d *daemon) openEvents() {
	var err error
	if d.revisions, err = record.OpenRevisions(d.config.stateDir, d.app.now()); err != nil {
		d.log.Error(err, "Going on with revisions made of the time")
	}
	var kept []events.Kept
	if d.inherited != nil {
		kept = d.inherited.Events
	}
	d.events = events.NewRing(d.revisions, kept)
}
