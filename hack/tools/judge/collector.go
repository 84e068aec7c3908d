package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/entry"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator/helper"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator/input/file"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator/parser/container"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
)

// collector lists the active and the rotated files five times a second and knows
// them by their first thousand bytes, whatever their names have become. It joins
// divided lines by the name of the file and not by the stream (createRecombine,
// operator/parser/container/config.go): lines of more than an entry, of two
// streams at a time or over a rotation, it mixes. It reads its files at the same
// time (consume, fileconsumer/file.go), so that the end of one may come after the
// beginning of the next. It needs a file to be there, not compressed, in one of
// its rounds after the rotation.
func collector(ctx context.Context, log string, to output, ready func()) error {
	settings := componenttest.NewNopTelemetrySettings()
	input := file.NewConfig()
	input.Include = []string{log, log + ".*"}
	input.Exclude = []string{log + ".*.gz", log + ".*.tmp"}
	input.StartAt = "beginning"
	input.IncludeFilePath = true
	input.TrimConfig.PreserveLeading, input.TrimConfig.PreserveTrailing = true, true
	parser := container.NewConfig()
	parser.Format = "containerd"
	parser.AddMetadataFromFilePath = false

	first, err1 := input.Build(settings)
	second, err2 := parser.Build(settings)
	last, err3 := newSink(settings, to)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	first.SetOutputIDs([]string{second.ID()}) // without them there are none
	second.SetOutputIDs([]string{last.ID()})
	if err := errors.Join(first.SetOutputs([]operator.Operator{second}), second.SetOutputs([]operator.Operator{last})); err != nil {
		return err
	}
	if err := errors.Join(last.Start(nil), second.Start(nil), first.Start(nil)); err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	// It cannot tell that it has read everything, so it is given a few rounds.
	for before := -1; before != last.count(); time.Sleep(10 * input.PollInterval) {
		before = last.count()
	}
	return errors.Join(first.Stop(), second.Stop(), last.failed)
}

// sink is the end of the pipeline.
type sink struct {
	helper.OutputOperator
	to output

	mutex   sync.Mutex
	entries int
	failed  error
}

func newSink(settings component.TelemetrySettings, to output) (*sink, error) {
	base, err := helper.NewOutputConfig("sink", "sink").Build(settings)
	return &sink{OutputOperator: base, to: to}, err
}

func (s *sink) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.entries
}

func (s *sink) ProcessBatch(ctx context.Context, entries []*entry.Entry) error {
	for _, e := range entries {
		_ = s.Process(ctx, e) // which keeps its errors
	}
	return nil
}

func (s *sink) Process(_ context.Context, e *entry.Entry) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.entries++
	stream, ok1 := e.Attributes["log.iostream"].(string)
	text, ok2 := e.Body.(string)
	if w := s.to[stream]; ok1 && ok2 && w != nil {
		_, err := w.WriteString(text + "\n")
		s.failed = errors.Join(s.failed, err)
	} else {
		s.failed = errors.Join(s.failed, fmt.Errorf("cannot read entry %v: %v", e.Attributes, e.Body))
	}
	return nil
}
