package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"svc.d/status"
)

// maxAnswer is far above the list of 100,000 services.
const maxAnswer = 1 << 30

// Client asks a daemon. Its methods may be called by any goroutine. An error is
// a *UnreachableError or, when the daemon answered, a *status.Failure.
type Client struct {
	socket string
	http   *http.Client
}

// UnreachableError says that there is no daemon to ask.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error says where the daemon was looked for.
func (e *UnreachableError) Error() string {
	why := e.Err.Error()
	var refused *net.OpError
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		why = "no such socket"
	case e.Silent():
		why = "it takes connections and does not answer"
	case errors.As(e.Err, &refused):
		why = refused.Err.Error()
	}
	return fmt.Sprintf("cannot reach the daemon at %s: %s", e.Socket, why)
}

// Silent says that somebody listens and did not answer in time: a daemon that hangs, or
// is stopped.
func (e *UnreachableError) Silent() bool {
	var late interface{ Timeout() bool }
	return errors.As(e.Err, &late) && late.Timeout()
}

// Unwrap returns what the attempt failed with.
func (e *UnreachableError) Unwrap() error { return e.Err }

// NewClient returns a client for the daemon that uses stateDir. It does not
// connect yet.
func NewClient(stateDir string) *Client {
	socket := filepath.Join(stateDir, SocketName)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		address, release, err := reachable(socket)
		if err != nil {
			return nil, err
		}
		defer release()
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}
	return &Client{
		socket: socket,
		http: &http.Client{
			Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: time.Second},
			Timeout:   requestTimeout,
		},
	}
}

// Services lists every service, in order of names.
func (c *Client) Services(ctx context.Context) (*status.ServiceList, error) {
	return call[status.ServiceList](ctx, c, http.MethodGet, "/apis/svc.d/v1/services", nil)
}

// Service tells of one service.
func (c *Client) Service(ctx context.Context, name string) (*status.Service, error) {
	return call[status.Service](ctx, c, http.MethodGet, servicePath(name), nil)
}

// Restart restarts every replica of a service, or the one of Options.Ordinal.
func (c *Client) Restart(ctx context.Context, name string, options Options) (*status.Service, error) {
	return call[status.Service](ctx, c, http.MethodPost, servicePath(name)+"/restart", &options)
}

// Reload has every replica of a service reload, or the one of Options.Ordinal.
func (c *Client) Reload(ctx context.Context, name string, options Options) (*status.Service, error) {
	return call[status.Service](ctx, c, http.MethodPost, servicePath(name)+"/reload", &options)
}

// Kill sends Options.Signal to the main processes of a service, or to that of the
// replica of Options.Ordinal.
func (c *Client) Kill(ctx context.Context, name string, options Options) (*status.Service, error) {
	return call[status.Service](ctx, c, http.MethodPost, servicePath(name)+"/kill", &options)
}

// Stop stops a service until Start, or until the end that the options give.
func (c *Client) Stop(ctx context.Context, name string, options Options) (*status.Service, error) {
	return call[status.Service](ctx, c, http.MethodPost, servicePath(name)+"/stop", &options)
}

// Start ends a stop.
func (c *Client) Start(ctx context.Context, name string) (*status.Service, error) {
	return call[status.Service](ctx, c, http.MethodPost, servicePath(name)+"/start", nil)
}

// Daemon tells of the daemon and its directory.
func (c *Client) Daemon(ctx context.Context) (*status.Daemon, error) {
	return call[status.Daemon](ctx, c, http.MethodGet, "/apis/svc.d/v1/daemon", nil)
}

// Configuration tells what the daemon's configuration is.
func (c *Client) Configuration(ctx context.Context) (*status.ConfigurationReport, error) {
	return call[status.ConfigurationReport](ctx, c, http.MethodGet, "/apis/svc.d/v1/config", nil)
}

// Prune lets a held removal happen.
func (c *Client) Prune(ctx context.Context) (*status.Prune, error) {
	return call[status.Prune](ctx, c, http.MethodPost, "/apis/svc.d/v1/prune", nil)
}

// Version tells which build the daemon is.
func (c *Client) Version(ctx context.Context) (*status.Version, error) {
	return call[status.Version](ctx, c, http.MethodGet, "/version", nil)
}

func servicePath(name string) string { return "/apis/svc.d/v1/services/" + url.PathEscape(name) }

func call[T any](ctx context.Context, c *Client, method, path string, body any) (*T, error) {
	value := new(T)
	if err := c.do(ctx, method, path, body, value); err != nil {
		return nil, err
	}
	return value, nil
}

// do asks, and fills in value from the answer.
func (c *Client) do(ctx context.Context, method, path string, body, value any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("cannot encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://reconciler"+path, content)
	if err != nil {
		return fmt.Errorf("cannot make the request: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return &UnreachableError{Socket: c.socket, Err: unwrapURL(err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &UnreachableError{Socket: c.socket, Err: err}
	}
	if response.StatusCode >= http.StatusBadRequest {
		return failureIn(response, text)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return nil
}

// unwrapURL takes off net/http's own wording, which names an URL that nobody
// typed.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// failureIn is the failure that an answer holds, or one made of what it says.
func failureIn(response *http.Response, text []byte) error {
	failure := new(status.Failure)
	if json.Unmarshal(text, failure) == nil && failure.Kind == "Status" {
		return failure
	}
	failure = status.NewFailure(status.FailureUnknown, fmt.Sprintf("%s: %s", response.Status, bytes.TrimSpace(text)))
	failure.Code = response.StatusCode
	return failure
}
