package api

import (
	"context"
	"net/http"

	"svc.d/reconciler"
	"svc.d/status"
)

// replicaKey leads to the replica that a request names.
type replicaKey struct{}

// ofReplica has a handler for a service answer for one of its replicas.
func ofReplica(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		id, ok := reconciler.ParseReplicaID(name)
		if !ok {
			writeFailure(w, notFound(replicas.plural, name))
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), replicaKey{}, id))
		r.SetPathValue("name", id.Service)
		h.ServeHTTP(w, r)
	})
}

// replicaAsked is the replica that a request names.
func replicaAsked(ctx context.Context) (reconciler.ReplicaID, bool) {
	id, ok := ctx.Value(replicaKey{}).(reconciler.ReplicaID)
	return id, ok
}

// findReplica returns the replica that the path names, with its service.
func (s *Server) findReplica(r *http.Request, id reconciler.ReplicaID) (*status.ReplicaObject, error) {
	snapshot, err := s.config.Engine.Snapshot(r.Context(), id.Service)
	if err != nil {
		return nil, err
	}
	for n := range snapshot.Services {
		if o := replicaIn(&snapshot.Services[n], id); o != nil && snapshot.Services[n].Metadata.Name == id.Service {
			return o, nil
		}
	}
	return nil, notFound(replicas.plural, id.String())
}

func (s *Server) replica(r *http.Request) (any, error) {
	id, _ := replicaAsked(r.Context())
	o, err := s.findReplica(r, id)
	if err != nil {
		return nil, err
	}
	return replicaObject{o}.shown(s.sightOf(r)), nil
}
