package api

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"svc.d/reconciler/logs/reader"
	"svc.d/status"
)

// logQuery is what the parameters of a request for a log say.
type logQuery struct {
	reader     reader.Query // without directory and targets
	ordinal    int32        // or reader.All
	since      time.Time
	timestamps bool
	previous   bool
	prefix     bool
	limit      int64 // of bytes
}

// logParameter reads the value of one parameter. The error says what is allowed.
type logParameter func(q *logQuery, value string, now time.Time) error

// logParameters are Kubernetes' own (PodLogOptions), then ours.
var logParameters = map[string]logParameter{
	"follow":     aSwitch(func(q *logQuery) *bool { return &q.reader.Follow }),
	"previous":   aSwitch(func(q *logQuery) *bool { return &q.previous }),
	"timestamps": aSwitch(func(q *logQuery) *bool { return &q.timestamps }),
	"tailLines": func(q *logQuery, value string, _ time.Time) error {
		n, err := aNumber(value, 0, math.MaxInt32)
		q.reader.Tail = int(n)
		return err
	},
	"limitBytes": func(q *logQuery, value string, _ time.Time) (err error) {
		q.limit, err = aNumber(value, 1, math.MaxInt64)
		return err
	},
	"sinceSeconds": func(q *logQuery, value string, now time.Time) error {
		n, err := aNumber(value, 1, math.MaxInt32)
		q.since = now.Add(-time.Duration(n) * time.Second)
		return err
	},
	"sinceTime": func(q *logQuery, value string, _ time.Time) (err error) {
		if q.since, err = time.Parse(time.RFC3339Nano, value); err != nil {
			return fmt.Errorf("a time as in 2026-01-02T15:04:05Z")
		}
		return nil
	},
	"stream": func(q *logQuery, value string, _ time.Time) error {
		switch value {
		case "All":
		case "Stdout":
			q.reader.Streams = reader.OnlyStdout
		case "Stderr":
			q.reader.Streams = reader.OnlyStderr
		default:
			return fmt.Errorf("one of All, Stdout and Stderr")
		}
		return nil
	},
	"ordinal": func(q *logQuery, value string, _ time.Time) error {
		n, err := aNumber(value, 0, math.MaxInt32)
		q.ordinal = int32(n)
		return err
	},
	"grep": func(q *logQuery, value string, _ time.Time) (err error) {
		if q.reader.Grep, err = regexp.Compile(value); err != nil {
			return fmt.Errorf("a regular expression (RE2)")
		}
		return nil
	},
	"prefix": aSwitch(func(q *logQuery) *bool { return &q.prefix }),
}

// aSwitch is true without a value, too: "?follow".
func aSwitch(of func(*logQuery) *bool) logParameter {
	return func(q *logQuery, value string, _ time.Time) error {
		on, err := strconv.ParseBool(value)
		if err != nil && value != "" {
			return fmt.Errorf("true or false")
		}
		*of(q) = on || value == ""
		return nil
	}
}

func aNumber(value string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("a number from %d to %d", least, most)
	}
	return n, nil
}

// readLogQuery reads the parameters of a request.
func readLogQuery(text string, now time.Time) (*logQuery, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, badRequest("cannot read the parameters: " + err.Error())
	}
	q := &logQuery{reader: reader.Query{Tail: -1}, ordinal: reader.All, limit: math.MaxInt64}
	for _, name := range slices.Sorted(keys(values)) {
		read := logParameters[name]
		if read == nil {
			return nil, badRequest(fmt.Sprintf("there is no parameter %q; there are %s",
				name, strings.Join(slices.Sorted(keys(logParameters)), ", ")))
		}
		if len(values[name]) > 1 {
			return nil, badRequest(fmt.Sprintf("parameter %q is given more than once", name))
		}
		if err := read(q, values[name][0], now); err != nil {
			return nil, badRequest(fmt.Sprintf("parameter %q must be %s, not %q", name, err, values[name][0]))
		}
	}
	return q, q.agree(values)
}

// agree refuses parameters that contradict each other.
func (q *logQuery) agree(values url.Values) error {
	for _, pair := range [][2]string{{"sinceSeconds", "sinceTime"}, {"previous", "sinceSeconds"}, {"previous", "sinceTime"}} {
		if (pair[0] != "previous" || q.previous) && values.Has(pair[0]) && values.Has(pair[1]) {
			return badRequest(fmt.Sprintf("parameters %q and %q exclude each other", pair[0], pair[1]))
		}
	}
	if q.previous && q.reader.Follow {
		return badRequest(`parameters "previous" and "follow" exclude each other`)
	}
	return nil
}

// targets are what is asked for of a service.
func (q *logQuery) targets(s *status.Service) ([]reader.Target, error) {
	name := s.Metadata.Name
	if !q.previous {
		return []reader.Target{{Service: name, Ordinal: q.ordinal, Since: q.since}}, nil
	}
	var targets []reader.Target
	for _, r := range s.Status.ReplicaStatuses {
		since, until, ok := r.PreviousRun()
		if ok && (q.ordinal == reader.All || q.ordinal == r.Ordinal) {
			targets = append(targets, reader.Target{Service: name, Ordinal: r.Ordinal, Since: since, Until: until})
		}
	}
	if len(targets) == 0 {
		return nil, badRequest(fmt.Sprintf("no run of %s has ended yet: there is none before the present one", name))
	}
	return targets, nil
}
