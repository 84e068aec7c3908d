package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"svc.d/status"
)

// maxTail bounds what Tail reads, whatever the lines are like.
const maxTail = 64 << 10

// Tail returns the last lines that a replica has written: in its present run, or
// in the one before it. There are none when there is no such run.
func (c *Client) Tail(ctx context.Context, service string, r *status.Replica, previous bool, lines int) ([]string, error) {
	run := "previous=true"
	if !previous {
		run = "sinceTime=" + r.RunSince().UTC().Format(time.RFC3339Nano)
	}
	url := fmt.Sprintf("http://reconciler%s/log?ordinal=%d&tailLines=%d&limitBytes=%d&%s", servicePath(service), r.Ordinal, lines, maxTail, run)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, &UnreachableError{Socket: c.socket, Err: unwrapURL(err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxTail))
	switch {
	case err != nil:
		return nil, &UnreachableError{Socket: c.socket, Err: err}
	case response.StatusCode >= http.StatusBadRequest:
		return nil, failureIn(response, text)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, nil
	}
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n"), nil
}

// Log is what a service has written, by the parameters of the API; with follow it goes
// on. A read fails with io.ErrUnexpectedEOF when the daemon cuts it off. The caller
// closes it.
func (c *Client) Log(ctx context.Context, service string, parameters url.Values) (io.ReadCloser, error) {
	return c.stream(ctx, servicePath(service)+"/log?"+parameters.Encode())
}
