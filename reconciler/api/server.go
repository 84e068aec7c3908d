package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// Limits of the server. Everybody on the machine gets through; who may do no more than
// look has a small share of the connections, so that nobody keeps others out.
const (
	maxConnections = 512
	// maxOthers is how many of them those have who may only look.
	maxOthers = 32
	// maxCrowded is how many beyond those are told to come again; the rest is closed.
	maxCrowded = 32
	// maxBody is far above any request's body.
	maxBody = 64 << 10
	// engineTimeout bounds one question to the loop, which answers in
	// microseconds unless it is in deep trouble.
	engineTimeout = 5 * time.Second
	headerTimeout = 5 * time.Second
	// requestTimeout bounds reading one whole request, and writing one answer.
	requestTimeout = 30 * time.Second
	idleTimeout    = time.Minute
	// closeTimeout is how long answers under way may take at the end.
	closeTimeout = time.Second
)

// Engine is what the API asks. *reconciler.Loop is one.
type Engine interface {
	// Snapshot tells what is so of the named services, or of all.
	Snapshot(ctx context.Context, names ...string) (*reconciler.Snapshot, error)
	// Do carries out a person's wish.
	Do(ctx context.Context, command reconciler.Command) error
	// Changes tells what has changed after a state; it is false when that is too long
	// ago, or none of this engine's.
	Changes(since uint64) (reconciler.Changes, bool)
	// SnapshotSince tells what is so of the services that have changed after a state, or
	// of all: the snapshot says which.
	SnapshotSince(ctx context.Context, since uint64) (*reconciler.Snapshot, error)
}

// Config is what a Server serves.
type Config struct {
	Engine Engine
	Events Events
	// ConfirmPrune lets a held removal happen, and tells what was removed.
	ConfirmPrune func(ctx context.Context) ([]string, error)
	// AccessGroup tells the group whose members may do everything; empty, or a nil
	// function, is none.
	AccessGroup func() spec.ID
	// ExecPlan tells what runs beside a replica needs; nil: nothing can run there.
	ExecPlan func(ctx context.Context, id reconciler.ReplicaID) (*status.ExecPlan, error)
	// Configuration tells what the daemon's configuration is. It may be nil,
	// and tell nil: then there is nothing to tell.
	Configuration func() *status.ConfigurationReport
	// Daemon is what never changes of the daemon's report: its version, pid
	// and directories. The server fills in the rest.
	Daemon  status.Daemon
	Version status.Version
	// Profiles switches those of the daemon itself on.
	Profiles bool
	Log      logr.Logger
}

// Server answers requests. Its methods may be called by any goroutine.
type Server struct {
	config Config
	uid    uint32
	logs   chan struct{} // a slot for each log that is being sent
	// watches has a slot for each watch; feed is what those of services have in common.
	watches  chan struct{}
	feed     feed
	listings *listings
}

// NewServer returns a server for root and the process's own user, at which others may
// look.
func NewServer(config Config) *Server {
	return &Server{
		config: config, uid: uint32(os.Geteuid()), logs: make(chan struct{}, maxLogs),
		watches: make(chan struct{}, maxWatches), feed: feed{engine: config.Engine}, listings: newListings(config.Engine),
	}
}

// Serve answers on the listener until ctx ends, then closes it and returns. It
// returns an error only when the listener fails before that.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(),
		ConnContext: func(c context.Context, conn net.Conn) context.Context {
			return withPeer(context.WithValue(c, endingKey{}, ctx), conn)
		},
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          discard(),
	}
	s.feed.open()
	defer s.feed.close()
	defer s.listings.forget()
	most, others := share(descriptors())
	limited := limit(listener, most, others, min(maxCrowded, others), func(c net.Conn) bool { return s.privileged(peerOf(c)) })
	stop := context.AfterFunc(ctx, func() { limited.Close() })
	err := server.Serve(limited)
	defer server.Close()
	if stop() { // it failed by itself
		return fmt.Errorf("cannot serve the API: %w", err)
	}
	// Not Shutdown: that drops a question which it has read and not answered yet.
	server.SetKeepAlivesEnabled(false)
	limited.idle(closeTimeout)
	return nil
}

// Handler returns the API without the socket. A request is let in only when its
// context tells of a peer that may ask.
func (s *Server) Handler() http.Handler {
	mux := &routes{}
	for _, k := range kinds {
		mux.Handle("GET "+root+k.plural, s.collection(k))
	}
	mux.Handle("GET "+root+"services/{name}", s.answer(s.get))
	mux.Handle("GET "+root+"services/{name}/log", http.HandlerFunc(s.log))
	mux.Handle("GET "+root+"replicas/{name}", ofReplica(s.answer(s.replica)))
	mux.Handle("GET "+root+"replicas/{name}/log", ofReplica(http.HandlerFunc(s.log)))
	mux.Handle("GET "+root+"events/{name}", s.answer(s.event))
	for verb, f := range map[string]func(*http.Request) (any, error){"restart": s.restart, "reload": s.reload, "kill": s.kill} {
		mux.Handle("POST "+root+"services/{name}/"+verb, s.answer(f))
		mux.Handle("POST "+root+"replicas/{name}/"+verb, ofReplica(s.answer(f)))
	}
	mux.Handle("POST "+root+"services/{name}/stop", s.answer(s.stop))
	mux.Handle("POST "+root+"services/{name}/start", s.answer(s.start))
	mux.Handle("POST "+root+"replicas/{name}/exec", s.answer(s.exec))
	mux.Handle("GET /apis/svc.d/v1/daemon", s.answer(s.daemon))
	mux.Handle("GET /apis/svc.d/v1/config", s.answer(s.configuration))
	mux.Handle("POST /apis/svc.d/v1/prune", s.answer(s.prune))
	mux.Handle("GET /version", s.answer(s.version))
	s.discovery(mux)
	s.health(mux)
	s.profiles(mux)
	mux.otherwise = s.unknown(mux)
	mux.Handle("/", mux.otherwise)
	return mux
}

// answer makes a handler of a function that returns what to send: a value for
// JSON, a string for plain text, or an error.
func (s *Server) answer(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.survive(w)
		if failure := s.admit(r); failure != nil {
			writeFailure(w, failure)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		ctx, cancel := context.WithTimeout(r.Context(), engineTimeout)
		defer cancel()
		value, err := f(r.WithContext(ctx))
		if err != nil {
			writeFailure(w, failureOf(err))
			return
		}
		write(w, http.StatusOK, value)
	})
}

// survive keeps a mistake in an answer from ending the daemon silently: it is
// logged with its stack, and the client is told.
func (s *Server) survive(w http.ResponseWriter) {
	mistake := recover()
	if mistake == nil {
		return
	}
	if mistake == http.ErrAbortHandler {
		panic(mistake) // net/http closes the connection
	}
	s.config.Log.Error(fmt.Errorf("%v", mistake), "Request panicked", "stack", string(debug.Stack()))
	writeFailure(w, status.NewFailure(status.FailureInternal, "the daemon made a mistake; see its log"))
}

// failureOf is the failure that an error is sent as.
func failureOf(err error) *status.Failure {
	var failure *status.Failure
	var refusal *reconciler.Refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &failure):
		return failure
	case errors.As(err, &refusal):
		return status.NewFailure(reasonOf(refusal), refusal.Message)
	case errors.Is(err, reconciler.ErrStopped):
		return status.NewFailure(status.FailureUnavailable, err.Error())
	case errors.As(err, &tooLarge):
		return status.NewFailure(status.FailureTooLarge, fmt.Sprintf("the request's body is larger than %d bytes", tooLarge.Limit))
	case errors.Is(err, context.DeadlineExceeded):
		return status.NewFailure(status.FailureTimeout, "the engine did not answer in time")
	case errors.Is(err, context.Canceled):
		return status.NewFailure(status.FailureUnavailable, "the daemon is ending")
	default:
		return status.NewFailure(status.FailureInternal, err.Error())
	}
}

func reasonOf(r *reconciler.Refusal) status.FailureReason {
	switch r.Reason {
	case reconciler.RefusedNotFound:
		return status.FailureNotFound
	case reconciler.RefusedConflict:
		return status.FailureConflict
	default:
		return status.FailureInternal
	}
}

// writeFailure answers with a failure. It says when to come again where that helps.
func writeFailure(w http.ResponseWriter, failure *status.Failure) {
	if failure.Reason == status.FailureTooManyRequests || failure.Reason == status.FailureUnavailable {
		const after = 1
		w.Header().Set("Retry-After", strconv.Itoa(after))
		w.Header().Set("Connection", "close") // which is somebody else's meanwhile
		if failure.Details == nil {
			failure.Details = &status.FailureDetails{}
		}
		failure.Details.RetryAfterSeconds = after
	}
	write(w, failure.Code, failure)
}

// unknown answers what there is no route for.
func (s *Server) unknown(m *routes) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		failure := s.admit(r)
		if failure == nil {
			failure = status.NewFailure(status.FailureNotFound, fmt.Sprintf("there is no %s %s in this API", r.Method, r.URL.Path))
			if methods := m.methods(r); methods != "" {
				w.Header().Set("Allow", methods)
				failure = status.NewFailure(status.FailureMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", r.URL.Path, methods, r.Method))
			}
		}
		writeFailure(w, failure)
	})
}

func (s *Server) version(*http.Request) (any, error) { return &s.config.Version, nil }

// noService cannot be declared: it is no DNS-1123 label.
const noService = "_"

func (s *Server) daemon(r *http.Request) (any, error) {
	snapshot, err := s.config.Engine.Snapshot(r.Context(), noService)
	if err != nil {
		return nil, err
	}
	d := s.config.Daemon
	d.APIVersion, d.Kind = spec.APIVersion, "Daemon"
	describe(&d, snapshot)
	d.Conditions = append(slices.Clip(d.Conditions), s.accessConditions()...)
	if s.sightOf(r) == redacted {
		d.Problems = redactProblems(d.Problems)
	}
	return &d, nil
}

func (s *Server) configuration(*http.Request) (any, error) {
	if s.config.Configuration != nil {
		if report := s.config.Configuration(); report != nil {
			return report, nil
		}
	}
	return nil, status.NewFailure(status.FailureNotFound, "this daemon does not tell its configuration")
}

func (s *Server) prune(r *http.Request) (any, error) {
	removed, err := s.config.ConfirmPrune(r.Context())
	if err != nil {
		return nil, err
	}
	if removed == nil {
		removed = []string{}
	}
	return &status.Prune{APIVersion: spec.APIVersion, Kind: "Prune", Removed: removed}, nil
}
