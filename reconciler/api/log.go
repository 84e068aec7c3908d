package api

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"sync"
	"time"

	"svc.d/reconciler/logs/reader"
	"svc.d/status"
)

const (
	// maxLogs is how many logs are sent at a time. Followers stay, and must
	// leave connections to those who ask or tell something.
	maxLogs = maxConnections / 8
	// stallTimeout is how long a client may leave what was sent to it unread.
	stallTimeout = requestTimeout
)

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// endingKey leads to the context of the Serve that a request came in by.
type endingKey struct{}

// log sends what a service has written, as Kubernetes does for a pod. It may
// last; when the server closes it is cut off, and the client asks again.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	defer s.survive(w)
	q, failure := s.findLog(r)
	if failure != nil {
		writeFailure(w, failure)
		return
	}
	select {
	case s.logs <- struct{}{}:
		defer func() { <-s.logs }()
	default:
		writeFailure(w, status.NewFailure(status.FailureTooManyRequests, "too many logs are being read at this time; try again later"))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := newLogWriter(w, q.limit)
	if ending, ok := r.Context().Value(endingKey{}).(context.Context); ok && q.reader.Follow {
		defer context.AfterFunc(ending, func() { cancel(); out.cut() })()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	printer := reader.NewPrinter(out)
	printer.Timestamps = q.timestamps
	printer.Flush = out.flush
	if q.prefix {
		printer.Prefix = func(r reader.Replica) string { return r.String() + " | " }
	}
	err := out.flush() // the client learns that it is being answered
	if err == nil {
		err = reader.Read(ctx, q.reader, printer)
	}
	if flushed := printer.Idle(); err == nil {
		err = flushed
	}
	if err != nil && !errors.Is(err, errLimit) {
		panic(http.ErrAbortHandler) // so that it is not taken for the end
	}
}

// findLog reads the request, and finds the service.
func (s *Server) findLog(r *http.Request) (*logQuery, *status.Failure) {
	if failure := s.admit(r); failure != nil {
		return nil, failure
	}
	q, err := readLogQuery(r.URL.RawQuery, time.Now())
	if err != nil {
		return nil, failureOf(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), engineTimeout)
	defer cancel()
	service, err := s.find(r.WithContext(ctx))
	if err != nil {
		return nil, failureOf(err)
	}
	if id, ok := replicaAsked(r.Context()); ok {
		if q.ordinal != reader.All {
			return nil, badRequest(`parameter "ordinal" is said by the path already`)
		}
		if replicaIn(service, id) == nil {
			return nil, notFound(replicas.plural, id.String())
		}
		q.ordinal = id.Ordinal
	}
	if q.reader.Targets, err = q.targets(service); err != nil {
		return nil, failureOf(err)
	}
	q.reader.Dir = s.config.Daemon.LogDir
	q.reader.Warn = func(err error) {
		s.config.Log.V(1).Info("Log cannot be read", "service", service.Metadata.Name, "message", err.Error())
	}
	return q, nil
}

// errLimit says that as much was sent as was asked for.
var errLimit = errors.New("the limit of bytes was reached")

// logWriter sends to a client that reads now and then.
type logWriter struct {
	w    http.ResponseWriter
	left int64

	control *http.ResponseController
	mu      sync.Mutex
	ended   bool // nothing is to be waited for any more
}

func newLogWriter(w http.ResponseWriter, limit int64) *logWriter {
	l := &logWriter{w: w, left: limit, control: http.NewResponseController(w)}
	// The request was read; from here on a read is only how net/http notices
	// that the client is gone, and must not end after requestTimeout.
	_ = l.control.SetReadDeadline(time.Time{})
	return l
}

// Write sends at most as much as is left.
func (l *logWriter) Write(text []byte) (int, error) {
	if err := l.allow(); err != nil {
		return 0, err
	}
	n, err := l.w.Write(text[:min(int64(len(text)), l.left)])
	if l.left -= int64(n); err == nil && l.left == 0 {
		err = errLimit
	}
	return n, err
}

// flush has the client see what was written.
func (l *logWriter) flush() error {
	if err := l.allow(); err != nil {
		return err
	}
	err := l.control.Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// allow gives the next write its time.
func (l *logWriter) allow() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return io.ErrClosedPipe
	}
	_ = l.control.SetWriteDeadline(time.Now().Add(stallTimeout)) // a recorder of a test has none
	return nil
}

// cut has a write that waits for the client fail, and those that come.
func (l *logWriter) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	_ = l.control.SetWriteDeadline(time.Unix(1, 0))
}
