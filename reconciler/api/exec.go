package api

import (
	"fmt"
	"net/http"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// exec tells what somebody needs who runs a command beside a replica. Nothing is run
// by the daemon.
func (s *Server) exec(r *http.Request) (any, error) {
	name := r.PathValue("name")
	id, ok := reconciler.ParseReplicaID(name)
	if !ok {
		return nil, notFound("replicas", name)
	}
	if s.config.ExecPlan == nil {
		return nil, status.NewFailure(status.FailureNotFound, fmt.Sprintf("cannot exec in %s: this daemon cannot do it", name))
	}
	plan, err := s.config.ExecPlan(r.Context(), id)
	if err != nil {
		return nil, err
	}
	plan.APIVersion, plan.Kind, plan.Replica = spec.APIVersion, "ExecPlan", name
	s.config.Log.Info("Person asked", "service", id.Service, "replica", id.Ordinal, "verb", "exec", "by", peerFrom(r.Context()).String())
	return plan, nil
}
