package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// Options are the body of a POST to a service. An empty body is no options.
type Options struct {
	// Ordinal limits a restart, a reload or a signal to one replica.
	Ordinal *int32 `json:"ordinal,omitempty"`
	// Signal is what kill sends: a name or a number.
	Signal string `json:"signal,omitempty"`
	// For is the length of a stop, as a Go duration; Until is its end. At most
	// one of them is given.
	For   string    `json:"for,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

func (s *Server) get(r *http.Request) (any, error) {
	service, err := s.find(r)
	if err != nil {
		return nil, err
	}
	return s.show(r, services, serviceObject{service}), nil
}

// find returns the service that the path names.
func (s *Server) find(r *http.Request) (*status.Service, error) {
	name := r.PathValue("name")
	snapshot, err := s.config.Engine.Snapshot(r.Context(), name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(snapshot.Services, func(s status.Service) bool { return s.Metadata.Name == name })
	if i < 0 {
		return nil, notFound("services", name)
	}
	return &snapshot.Services[i], nil
}

// notFound is worded as Kubernetes words it.
func notFound(kind, name string) *status.Failure {
	failure := status.NewFailure(status.FailureNotFound, fmt.Sprintf("%s.%s %q not found", kind, groupName, name))
	failure.Details = &status.FailureDetails{Name: name, Group: groupName, Kind: kind}
	return failure
}

func (s *Server) restart(r *http.Request) (any, error) {
	return s.do(r, func(o Options, command *reconciler.Command) error {
		command.Kind = reconciler.EventRestart
		return o.ofReplicas("a restart", command)
	})
}

func (s *Server) reload(r *http.Request) (any, error) {
	return s.do(r, func(o Options, command *reconciler.Command) error {
		command.Kind = reconciler.EventReload
		return o.ofReplicas("a reload", command)
	})
}

func (s *Server) kill(r *http.Request) (any, error) {
	return s.do(r, func(o Options, command *reconciler.Command) error {
		signal, ok := spec.ParseSignal(o.Signal)
		if !ok {
			return badRequest(fmt.Sprintf("\"signal\" must be a signal such as \"SIGHUP\", not %q", o.Signal))
		}
		command.Signal = signal.Number()
		o.Signal = ""
		return o.ofReplicas("a signal", command)
	})
}

// ofReplicas takes in the options of what is about all replicas or one.
func (o Options) ofReplicas(what string, command *reconciler.Command) error {
	if !o.Until.IsZero() || o.For != "" || o.Signal != "" {
		return badRequest(what + " takes no option but \"ordinal\"")
	}
	if o.Ordinal == nil {
		return nil
	}
	if *o.Ordinal < 0 {
		return badRequest("\"ordinal\" counts from 0")
	}
	command.Ordinal = *o.Ordinal
	return nil
}

func (s *Server) stop(r *http.Request) (any, error) {
	return s.do(r, func(o Options, command *reconciler.Command) error {
		command.Kind = reconciler.EventStop
		if o.Ordinal != nil || o.Signal != "" {
			return badRequest("a stop is of the whole service: it takes no \"ordinal\" and no \"signal\"")
		}
		until, err := o.end(time.Now())
		command.Until = until
		return err
	})
}

func (s *Server) start(r *http.Request) (any, error) {
	return s.do(r, func(o Options, command *reconciler.Command) error {
		command.Kind = reconciler.EventStart
		if o != (Options{}) {
			return badRequest("a start takes no options")
		}
		return nil
	})
}

// do carries out what the path and the body ask for. fill completes the command.
func (s *Server) do(r *http.Request, fill func(Options, *reconciler.Command) error) (any, error) {
	options, err := readOptions(r.Body)
	if err != nil {
		return nil, err
	}
	if id, ok := replicaAsked(r.Context()); ok {
		if options.Ordinal != nil {
			return nil, badRequest("\"ordinal\" is said by the path already")
		}
		options.Ordinal = &id.Ordinal
		if _, err := s.findReplica(r, id); err != nil {
			return nil, err
		}
	}
	service, err := s.find(r)
	if err != nil {
		return nil, err
	}
	command := reconciler.Command{
		Service: service.Metadata.Name,
		Ordinal: -1,
		By:      peerFrom(r.Context()).String(),
	}
	if err := fill(options, &command); err != nil {
		return nil, err
	}
	if err := s.config.Engine.Do(r.Context(), command); err != nil {
		return nil, err
	}
	if id, ok := replicaAsked(r.Context()); ok {
		return s.findReplica(r, id)
	}
	return s.find(r)
}

// end returns when a stop ends; zero is never.
func (o Options) end(now time.Time) (time.Time, error) {
	switch {
	case o.For != "" && !o.Until.IsZero():
		return time.Time{}, badRequest("\"for\" and \"until\" exclude each other")
	case o.For != "":
		d, err := time.ParseDuration(o.For)
		if err != nil || d <= 0 {
			return time.Time{}, badRequest(fmt.Sprintf("\"for\" must be a duration above zero such as \"10m\", not %q", o.For))
		}
		return now.Add(d), nil
	case !o.Until.IsZero() && !o.Until.After(now):
		return time.Time{}, badRequest("\"until\" is in the past")
	default:
		return o.Until, nil
	}
}

func readOptions(body io.Reader) (Options, error) {
	var options Options
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&options)
	if errors.Is(err, io.EOF) {
		return options, nil
	}
	if err == nil && dec.Decode(new(any)) != io.EOF {
		err = errors.New("more than one value")
	}
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return options, badRequest("cannot read the request's body: " + err.Error())
	}
	return options, err
}

func badRequest(message string) *status.Failure {
	return status.NewFailure(status.FailureBadRequest, message)
}
