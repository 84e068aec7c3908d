package reconciler

import (
	"context"
	"fmt"

	"svc.d/spec"
)

// runRequest asks what a replica runs by.
type runRequest struct {
	replica ReplicaID
	answer  chan runAnswer // buffered
}

type runAnswer struct {
	run     uint64
	service *spec.Service
	err     error
}

// RunOf tells the number of the run of a replica whose main process lives, and what
// it was started from: with an edit that is still to come, not what is declared. The
// error is a *Refusal, ctx's, or ErrStopped. Safe for concurrent use.
func (l *Loop) RunOf(ctx context.Context, id ReplicaID) (run uint64, service *spec.Service, err error) {
	r := runRequest{id, make(chan runAnswer, 1)}
	select {
	case l.runsAsked <- r:
		a := await(l, r.answer, runAnswer{err: ErrStopped})
		return a.run, a.service, a.err
	case <-l.done:
		return 0, nil, ErrStopped
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func (l *Loop) runOf(id ReplicaID) runAnswer {
	n := -1
	r := l.services[id.Service]
	if r != nil {
		n = r.facts.index(id.Ordinal)
	}
	if n < 0 {
		return runAnswer{err: &Refusal{RefusedNotFound, fmt.Sprintf("cannot exec in %s: no such replica", id)}}
	}
	i := &r.facts.Replicas[n]
	if i.stage() != stageLive || i.Spec == nil {
		return runAnswer{err: &Refusal{RefusedConflict, fmt.Sprintf("cannot exec in %s: it does not run", id)}}
	}
	return runAnswer{run: i.Run, service: i.Spec}
}
