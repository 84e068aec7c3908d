package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"svc.d/status"
)

// Selection narrows a list or a watch, in the grammar of Kubernetes' selectors;
// what is empty narrows nothing.
type Selection struct{ Labels, Fields string }

// Objects is a list of objects of any kind, each as it was sent.
type Objects struct {
	Metadata status.ListMeta   `json:"metadata"`
	Items    []json.RawMessage `json:"items"`
}

// List lists the objects of a collection: services, replicas or events.
func (c *Client) List(ctx context.Context, collection string, s Selection) (*Objects, error) {
	return call[Objects](ctx, c, http.MethodGet, collectionPath(collection, s, nil), nil)
}

// Text lists the objects of a collection as people see them: a table with a header, or
// nothing. ok is false when the daemon is of a version that does not know that form, or
// refuses what is asked; List tells why.
func (c *Client) Text(ctx context.Context, collection string, s Selection) (text string, ok bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://reconciler"+collectionPath(collection, s, nil), nil)
	if err != nil {
		return "", false, fmt.Errorf("cannot make the request: %w", err)
	}
	request.Header.Set("Accept", "text/plain")
	response, err := c.http.Do(request)
	if err != nil {
		return "", false, &UnreachableError{Socket: c.socket, Err: unwrapURL(err)}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		return "", false, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return "", false, &UnreachableError{Socket: c.socket, Err: err}
	}
	return string(body), true, nil
}

// Replicas lists replicas, in order of services and ordinals.
func (c *Client) Replicas(ctx context.Context, s Selection) (*status.ReplicaObjectList, error) {
	return call[status.ReplicaObjectList](ctx, c, http.MethodGet, collectionPath("replicas", s, nil), nil)
}

// Events lists events, in order of their last time.
func (c *Client) Events(ctx context.Context, s Selection) (*status.EventList, error) {
	return call[status.EventList](ctx, c, http.MethodGet, collectionPath("events", s, nil), nil)
}

func collectionPath(collection string, s Selection, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	if s.Labels != "" {
		query.Set("labelSelector", s.Labels)
	}
	if s.Fields != "" {
		query.Set("fieldSelector", s.Fields)
	}
	path := "/apis/svc.d/v1/" + collection
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// maxWatchLine is far above the largest object.
const maxWatchLine = 64 << 20

// watchStream is the answer to one watch.
type watchStream struct {
	body   io.ReadCloser
	reader *bufio.Reader
}

// watch asks for all that changes after a revision, with bookmarks.
func (c *Client) watch(ctx context.Context, collection string, s Selection, since string) (*watchStream, error) {
	path := collectionPath(collection, s, url.Values{
		"watch": {"true"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {since},
	})
	body, err := c.stream(ctx, path)
	if err != nil {
		return nil, err
	}
	return &watchStream{body: body, reader: bufio.NewReader(body)}, nil
}

// stream asks for something that may last as long as ctx.
func (c *Client) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://reconciler"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}
	lasting := http.Client{Transport: c.http.Transport} // without a limit of time
	response, err := lasting.Do(request)
	if err != nil {
		return nil, &UnreachableError{Socket: c.socket, Err: unwrapURL(err)}
	}
	if response.StatusCode >= http.StatusBadRequest {
		defer response.Body.Close()
		text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return nil, &UnreachableError{Socket: c.socket, Err: err}
		}
		return nil, failureIn(response, text)
	}
	return response.Body, nil
}

// next is the next event. io.EOF is the stream's end, however it came. An ERROR is
// returned as its failure.
func (s *watchStream) next() (status.WatchEvent, error) {
	var e status.WatchEvent
	line, err := s.line()
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(line, &e); err != nil || e.Type == "" {
		return e, errors.New("cannot watch: the daemon does not answer as it should; if it is of an earlier version, have it load this one with SIGHUP")
	}
	if e.Type == status.WatchError {
		failure := new(status.Failure)
		if err := json.Unmarshal(e.Object, failure); err != nil {
			return e, fmt.Errorf("cannot read the daemon's answer: %w", err)
		}
		return e, failure
	}
	return e, nil
}

func (s *watchStream) line() ([]byte, error) {
	var line []byte
	for {
		part, err := s.reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if json.Valid(line) {
				return line, nil
			}
			return nil, io.EOF // what was cut off is told again by the next watch
		case len(line) > maxWatchLine:
			return nil, errors.New("cannot watch: the daemon's answer has no end")
		}
	}
}

func (s *watchStream) close() { s.body.Close() }

// ExecPlan tells what a command needs that is to run beside a replica.
func (c *Client) ExecPlan(ctx context.Context, replica string) (*status.ExecPlan, error) {
	return call[status.ExecPlan](ctx, c, http.MethodPost, "/apis/svc.d/v1/replicas/"+url.PathEscape(replica)+"/exec", nil)
}
