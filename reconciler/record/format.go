package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"syscall"
	"time"

	"svc.d/reconciler"
)

const (
	magic = "reconciler-record"
	// version is of the format. Keys may be added to a version: what is
	// missing has its zero value, what is unknown is passed over. A change that
	// an older program must not misread gets a new version, and decode keeps
	// reading the one before.
	version = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errOtherBoot is of a record that was written before the machine booted.
var errOtherBoot = errors.New("it is of another boot")

// A record is a line for each fact that is not zero: a key, a blank, and a number
// or JSON. That is read in a tenth of the time that one JSON object takes, and a
// thousand are read at a start.

// lines writes keys and values.
type lines struct {
	out []byte
	err error
}

func (l *lines) number(key string, n int64) {
	if n != 0 {
		l.out = append(strconv.AppendInt(append(append(l.out, key...), ' '), n, 10), '\n')
	}
}

func (l *lines) json(key string, value any) {
	data, err := json.Marshal(value)
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("cannot encode %s: %w", key, err)
	}
	l.out = append(append(append(append(l.out, key...), ' '), data...), '\n')
}

func (l *lines) text(key, value string) {
	if value != "" {
		l.json(key, value)
	}
}

type source struct {
	File     string `json:"file"`
	Document int    `json:"document,omitempty"`
	Line     int    `json:"line,omitempty"`
}

type exit struct {
	Code       int32 `json:"code,omitempty"`
	Signal     int32 `json:"signal,omitempty"`
	Unknown    bool  `json:"unknown,omitempty"`
	CoreDumped bool  `json:"coreDumped,omitempty"`
}

type failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Hidden  string `json:"hidden,omitempty"`
}

type ended struct {
	StartedAt int64  `json:"startedAt"`
	EndedAt   int64  `json:"endedAt"`
	Exit      exit   `json:"exit"`
	Asked     bool   `json:"asked,omitempty"`
	Why       string `json:"why,omitempty"`
}

// encode writes a record.
func (s *Store) encode(r *reconciler.Record) ([]byte, error) {
	i, t := &r.Instance, s.clock.stamp
	l := &lines{out: make([]byte, 0, 1024)}
	l.text("boot", s.boot)
	l.text("service", i.ID.Service)
	l.number("ordinal", int64(i.ID.Ordinal))
	l.text("written", time.Now().Format(time.RFC3339Nano)) // for people
	l.number("at", t(r.At))
	l.number("declaredAt", t(r.DeclaredAt))
	l.number("editedAt", t(r.EditedAt))
	l.number("generation", r.Generation)
	l.number("stoppedAt", t(r.StoppedAt))
	l.number("stoppedUntil", t(r.StoppedUntil))
	l.text("stoppedBy", r.StoppedBy)
	l.number("run", int64(i.Run))
	l.number("init", int64(i.Init))
	l.number("pid", int64(i.Pid))
	l.number("startTicks", int64(i.StartTicks))
	for _, moment := range moments(i) {
		l.number(moment.key, t(*moment.at))
	}
	l.text("cause", i.Cause.String())
	l.number("streak", int64(i.Streak))
	l.number("restarts", i.Restarts)
	s.encodeRest(l, r)
	if l.err != nil {
		return nil, fmt.Errorf("cannot write the record of %s: %w", i.ID, l.err)
	}
	return wrap(l.out), nil
}

// encodeRest writes what is not a number.
func (s *Store) encodeRest(l *lines, r *reconciler.Record) {
	i, t := &r.Instance, s.clock.stamp
	if !i.EndedAt.IsZero() {
		l.json("exit", exitOf(i.Exit))
	}
	if i.Failure != nil {
		l.json("failure", failureOf(i.Failure))
	}
	if len(i.Left) > 0 {
		l.json("left", i.Left)
	}
	if len(i.Ends) > 0 {
		var ends []int64
		for _, at := range i.Ends {
			ends = append(ends, t(at))
		}
		l.json("ends", ends)
	}
	if !i.Last.EndedAt.IsZero() {
		l.json("last", s.endedOf(i.Last))
	}
	if i.Exits != nil {
		exits := make([]ended, len(*i.Exits))
		for n, e := range *i.Exits {
			exits[n] = s.endedOf(e)
		}
		l.json("exits", exits)
	}
	if i.Life != nil {
		l.json("life", s.clock.lifeOf(i.Life))
	}
	if r.Want != nil {
		l.json("source", source{r.Want.Source.File, r.Want.Source.Document, r.Want.Source.Line})
		l.json("want", r.Want)
	}
	switch {
	case i.Spec == nil:
	case i.Spec == r.Want:
		l.number("specIsWant", 1)
	default:
		l.json("spec", i.Spec)
	}
}

func (s *Store) endedOf(e reconciler.Ended) ended {
	t := s.clock.stamp
	return ended{t(e.StartedAt), t(e.EndedAt), exitOf(e.Exit), e.Asked, e.Why}
}

func (s *Store) readEnded(e ended) reconciler.Ended {
	t := s.clock.time
	return reconciler.Ended{StartedAt: t(e.StartedAt), EndedAt: t(e.EndedAt), Exit: e.Exit.exit(), Asked: e.Asked, Why: e.Why}
}

// moments are the times of a run with their keys.
func moments(i *reconciler.Instance) [9]struct {
	key string
	at  *time.Time
} {
	return [9]struct {
		key string
		at  *time.Time
	}{
		{"startTakenAt", &i.StartTakenAt}, {"startedAt", &i.StartedAt}, {"stoppingAt", &i.StoppingAt}, {"restAt", &i.RestAt},
		{"killedAt", &i.KilledAt}, {"endedAt", &i.EndedAt}, {"goneAt", &i.GoneAt},
		{"restartAskedAt", &i.RestartAskedAt}, {"startAskedAt", &i.StartAskedAt},
	}
}

func exitOf(e reconciler.Exit) exit { return exit{e.Code, int32(e.Signal), e.Unknown, e.CoreDumped} }

func (e exit) exit() reconciler.Exit {
	return reconciler.Exit{Code: e.Code, Signal: syscall.Signal(e.Signal), Unknown: e.Unknown, CoreDumped: e.CoreDumped}
}
