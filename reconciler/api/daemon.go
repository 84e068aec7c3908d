package api

import (
	"io"
	"log"
	"slices"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// describe fills in what a snapshot tells of the daemon and its directory.
func describe(d *status.Daemon, snapshot *reconciler.Snapshot) {
	d.StoppingSince = snapshot.Stopping
	d.Conditions = snapshot.Conditions
	if snapshot.Set == nil {
		d.Conditions = append(slices.Clip(d.Conditions), status.Condition{
			Type: "Starting", Status: "True", Reason: "DirectoryUnread",
			Message: "the directory has not been read yet", LastTransitionTime: d.StartedAt,
		})
		return
	}
	if c := snapshot.Set.Configuration; c != nil {
		d.Configuration = c.Source.File
	}
	for _, p := range snapshot.Set.Problems {
		d.Problems = append(d.Problems, Problem(p))
	}
	for _, i := range snapshot.Set.Ignored {
		d.Ignored = append(d.Ignored, status.Ignored{
			File: i.File, Document: i.Document, Line: i.Line,
			APIVersion: i.APIVersion, Kind: i.Kind, Hint: i.Hint,
		})
	}
}

// Problem is a spec.Problem as it is reported.
func Problem(p spec.Problem) status.Problem {
	return status.Problem{
		File: p.File, Document: p.Document, Line: p.Line, Column: p.Column,
		Field: p.Field, Value: p.Value, Message: p.Message, Service: p.Service, Since: p.Since,
	}
}

// discard silences net/http's own complaints about clients that misbehave: they
// are of no use to an operator, and a client could fill the log with them.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }
