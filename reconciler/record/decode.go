package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"svc.d/reconciler"
	"svc.d/spec"
)

// unwrap checks what stands around the content.
func unwrap(data []byte) ([]byte, error) {
	line, body, found := bytes.Cut(data, []byte("\n"))
	words := strings.Fields(string(line[:min(len(line), 128)]))
	if !found || len(words) < 2 || words[0] != magic {
		return nil, errors.New("it is no record, or damaged")
	}
	if v, err := strconv.Atoi(words[1]); err != nil || v != version {
		return nil, fmt.Errorf("its format has version %.20q, and this program reads version %d only", words[1], version)
	}
	if len(words) != 4 {
		return nil, errors.New("it is damaged: its first line is")
	}
	sum, err1 := strconv.ParseUint(words[2], 16, 32)
	size, err2 := strconv.Atoi(words[3])
	switch {
	case err1 != nil || err2 != nil || size < 0:
		return nil, errors.New("it is damaged: its first line is")
	case len(body) != size+1:
		return nil, fmt.Errorf("it is damaged: it has %d bytes, not %d", len(body), size+1)
	}
	body = body[:size]
	if crc32.Checksum(body, castagnoli) != uint32(sum) {
		return nil, errors.New("it is damaged: its checksum is wrong")
	}
	return body, nil
}

// reading is a record while it is read.
type reading struct {
	store                  *Store
	r                      reconciler.Record
	boot                   string
	want, spec, specIsWant []byte
	source                 source
}

// decode reads a record. manifests keeps those that were read already: records
// with the same one share it. The error is errOtherBoot, or says what is wrong
// with the record.
func (s *Store) decode(data []byte, manifests map[string]*spec.Service) (reconciler.Record, error) {
	body, err := unwrap(data)
	if err != nil {
		return reconciler.Record{}, err
	}
	d := &reading{store: s}
	for line := range bytes.Lines(body) {
		key, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if err := d.fact(string(key), value); err != nil {
			return reconciler.Record{}, fmt.Errorf("it is damaged: %.40q: %w", key, err)
		}
	}
	if d.boot == "" {
		return reconciler.Record{}, errors.New("it is damaged: it does not say of which boot it is")
	}
	if d.boot != s.boot {
		return reconciler.Record{}, errOtherBoot
	}
	return d.r, d.manifests(manifests)
}

// fact takes in one line. A key that is unknown is of a later program, and passed
// over.
func (d *reading) fact(key string, value []byte) error {
	r, i := &d.r, &d.r.Instance
	switch key {
	case "boot":
		return text(value, &d.boot)
	case "service":
		return text(value, &i.ID.Service)
	case "ordinal":
		return whole(value, &i.ID.Ordinal)
	case "at":
		return d.moment(value, &r.At)
	case "declaredAt":
		return d.moment(value, &r.DeclaredAt)
	case "editedAt":
		return d.moment(value, &r.EditedAt)
	case "generation":
		return whole(value, &r.Generation)
	case "stoppedAt":
		return d.moment(value, &r.StoppedAt)
	case "stoppedUntil":
		return d.moment(value, &r.StoppedUntil)
	case "stoppedBy":
		return text(value, &r.StoppedBy)
	case "want":
		d.want = value
	case "spec":
		d.spec = value
	case "specIsWant":
		d.specIsWant = value
	case "source":
		return json.Unmarshal(value, &d.source)
	default:
		return d.ofRun(key, value)
	}
	return nil
}

// ofRun takes in what is of the run.
func (d *reading) ofRun(key string, value []byte) error {
	i := &d.r.Instance
	for _, m := range moments(i) {
		if m.key == key {
			return d.moment(value, m.at)
		}
	}
	switch key {
	case "run":
		return whole(value, &i.Run)
	case "pid":
		return whole(value, &i.Pid)
	case "init":
		return whole(value, &i.Init)
	case "life":
		var l life
		err := json.Unmarshal(value, &l)
		i.Life = d.store.clock.life(l)
		return err
	case "startTicks":
		return whole(value, &i.StartTicks)
	case "streak":
		return whole(value, &i.Streak)
	case "restarts":
		return whole(value, &i.Restarts)
	case "left":
		return json.Unmarshal(value, &i.Left)
	case "cause":
		var name string
		err := text(value, &name)
		i.Cause = reconciler.CauseNamed(name)
		return err
	case "exit":
		var e exit
		err := json.Unmarshal(value, &e)
		i.Exit = e.exit()
		return err
	case "failure":
		var f failure
		err := json.Unmarshal(value, &f)
		i.Failure = f.failure()
		return err
	case "ends":
		var ends []int64
		err := json.Unmarshal(value, &ends)
		for _, at := range ends {
			i.Ends = append(i.Ends, d.store.clock.time(at))
		}
		return err
	case "last":
		var e ended
		err := json.Unmarshal(value, &e)
		i.Last = d.store.readEnded(e)
		return err
	case "exits":
		return d.exits(value)
	}
	return nil
}

func (d *reading) exits(value []byte) error {
	var exits []ended
	err := json.Unmarshal(value, &exits)
	read := make([]reconciler.Ended, len(exits))
	for n, e := range exits {
		read[n] = d.store.readEnded(e)
	}
	d.r.Instance.Exits = &read
	return err
}

func (d *reading) moment(value []byte, to *time.Time) error {
	var stamp int64
	err := whole(value, &stamp)
	*to = d.store.clock.time(stamp)
	return err
}

func whole[T int32 | int64 | uint64](value []byte, to *T) error {
	n, err := strconv.ParseInt(string(value), 10, 64)
	*to = T(n)
	if err == nil && int64(*to) != n {
		err = errors.New("the number is too large")
	}
	return err
}

func text(value []byte, to *string) error {
	// Most need no unquoting.
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' && !bytes.ContainsAny(value[1:n-1], `\"`) && utf8.Valid(value) {
		*to = string(value[1 : n-1])
		return nil
	}
	return json.Unmarshal(value, to)
}

// manifests reads what was declared and what was started.
func (d *reading) manifests(known map[string]*spec.Service) (err error) {
	r, i := &d.r, &d.r.Instance
	if r.Want, err = manifest(d.want, i.ID.Service, known); err != nil {
		return err
	}
	if r.Want != nil {
		r.Want.Source = spec.Source{File: d.source.File, Document: d.source.Document, Line: d.source.Line}
	}
	if i.Spec, err = manifest(d.spec, i.ID.Service, known); err != nil {
		return err
	}
	if len(d.specIsWant) > 0 {
		i.Spec = r.Want
	}
	if !i.StartTakenAt.IsZero() && i.Spec == nil {
		return errors.New("it is damaged: it does not say what was started")
	}
	return nil
}

// manifest reads what was declared. The service that is returned is not shared
// with anybody but records of the same load.
func manifest(data []byte, name string, known map[string]*spec.Service) (*spec.Service, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if s := known[string(data)]; s != nil {
		return s, nil
	}
	s, err := spec.DecodeService(data)
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	if s.Metadata.Name != name {
		return nil, fmt.Errorf("it is damaged: its manifest is of %.70q", s.Metadata.Name)
	}
	known[string(data)] = s
	return s, nil
}
