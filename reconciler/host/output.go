package host

import (
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/logs"
)

// openOutput makes the pipes ready for a process of the replica. The process can
// read them, too: as long as it lives nobody who writes gets a SIGPIPE, daemon or
// not. Who forks opens them, so that they are of its table.
func (h *Host) openOutput(id reconciler.ReplicaID, who *identity) (stdout, stderr output, f *reconciler.Failure) {
	uid, gid := h.uid, h.gid
	if who.change {
		uid, gid = who.uid, who.gid
	}
	if err := h.output.Attach(logs.Replica(id), uid, gid); err != nil {
		return output{}, output{}, outputFailure(id, err)
	}
	const flags = unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NOCTTY
	out, errs := h.output.Pipes(logs.Replica(id))
	return output{out, flags}, output{errs, flags}, nil
}

func outputFailure(id reconciler.ReplicaID, err error) *reconciler.Failure {
	if f := explainResources("open the pipes for the output of "+id.String(), err); f != nil {
		return f
	}
	return failure(reconciler.ReasonOutputRefused, "cannot open the pipes for the output of %s: %v", id, err)
}

// outputs are what a process has as its standard output and error.
type outputs struct{ stdout, stderr int }

// openOutputs opens both here, for an exec stage.
func openOutputs(id reconciler.ReplicaID, stdout, stderr output) (o outputs, f *reconciler.Failure) {
	var err error
	if o.stdout, err = stdout.open(); err != nil {
		return o, outputFailure(id, err)
	}
	if o.stderr, err = stderr.open(); err != nil {
		_ = unix.Close(o.stdout)
		return o, outputFailure(id, err)
	}
	return o, nil
}

func (o outputs) close() {
	_ = unix.Close(o.stdout)
	_ = unix.Close(o.stderr)
}
