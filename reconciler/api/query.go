package api

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"svc.d/status"
)

// query is what the parameters of a list or a watch say.
type query struct {
	selector
	watch     bool
	bookmarks bool
	since     uint64        // of a watch; 0 is from the beginning
	timeout   time.Duration // of a watch; 0 is none
	include   string        // what a row of a table has of its object
}

// queryParameters are those of a list or a watch, as Kubernetes has them.
var queryParameters = map[string]func(q *query, k *kind, value string) error{
	"watch":               func(q *query, _ *kind, value string) error { return readSwitch(value, &q.watch) },
	"allowWatchBookmarks": func(q *query, _ *kind, value string) error { return readSwitch(value, &q.bookmarks) },
	"resourceVersion": func(q *query, _ *kind, value string) (err error) {
		if q.since, err = strconv.ParseUint(value, 10, 64); err != nil && value != "" {
			return fmt.Errorf("parameter %q must be the resourceVersion of a list or an object, not %q", "resourceVersion", value)
		}
		return nil
	},
	"timeoutSeconds": func(q *query, _ *kind, value string) error {
		n, err := aNumber(value, 0, math.MaxInt32)
		if err != nil {
			return fmt.Errorf("parameter %q must be %w, not %q", "timeoutSeconds", err, value)
		}
		q.timeout = time.Duration(n) * time.Second
		return nil
	},
	"includeObject": func(q *query, _ *kind, value string) error {
		if !slices.Contains([]string{"", includeNone, includeMetadata, includeObject}, value) {
			return fmt.Errorf("parameter %q must be None, Metadata or Object, not %q", "includeObject", value)
		}
		q.include = value
		return nil
	},
	// Pages are for larger clusters: as Kubernetes allows, every list is whole, so nobody
	// has a place to continue from, and none is kept of earlier states.
	"limit": func(_ *query, _ *kind, value string) error {
		if _, err := aNumber(value, 0, math.MaxInt64); err != nil {
			return fmt.Errorf("parameter %q must be %w, not %q", "limit", err, value)
		}
		return nil
	},
	"continue": func(_ *query, _ *kind, value string) error {
		if value == "" {
			return nil
		}
		return status.NewFailure(status.FailureExpired, "there is no list to continue: each is whole; list again")
	},
	"resourceVersionMatch": func(_ *query, _ *kind, value string) error {
		switch value {
		case "", "NotOlderThan":
			return nil
		case "Exact":
			return status.NewFailure(status.FailureExpired, "earlier states are not kept; list what is so now")
		}
		return fmt.Errorf("parameter %q must be NotOlderThan or Exact, not %q", "resourceVersionMatch", value)
	},
	"labelSelector": func(q *query, _ *kind, value string) (err error) {
		q.labels, err = parseLabels(value)
		return err
	},
	"fieldSelector": func(q *query, k *kind, value string) (err error) {
		q.fields, err = parseFields(value, k.fields)
		return err
	},
}

// readQuery reads the parameters of a list or a watch of a kind.
func readQuery(text string, k *kind) (*query, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, badRequest("cannot read the parameters: " + err.Error())
	}
	q := &query{}
	for _, name := range slices.Sorted(keys(values)) {
		read := queryParameters[name]
		if read == nil {
			return nil, badRequest(fmt.Sprintf("there is no parameter %q; there are %s",
				name, strings.Join(slices.Sorted(keys(queryParameters)), ", ")))
		}
		if len(values[name]) > 1 {
			return nil, badRequest(fmt.Sprintf("parameter %q is given more than once", name))
		}
		if err := read(q, k, values[name][0]); err != nil {
			if failure := failureOf(err); failure.Reason == status.FailureExpired {
				return nil, failure
			}
			return nil, badRequest(err.Error())
		}
	}
	return q, nil
}

// readSwitch is true without a value, too: "?watch".
func readSwitch(value string, to *bool) error {
	on, err := strconv.ParseBool(value)
	if err != nil && value != "" {
		return fmt.Errorf("a switch must be true or false, not %q", value)
	}
	*to = on || value == ""
	return nil
}
