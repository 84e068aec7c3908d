// Package cri is the format of log files that Kubernetes' container runtimes
// write, one line of text each:
//
//	2026-01-02T15:04:05.000000000Z stdout F text
//
// The tag is F at the end of a line of output and P where it goes on in the
// next entry of the same stream. Text is kept byte for byte; only a newline
// cannot be in it. (KEP-0008 and kubelet's pkg/kubelet/kuberuntime/logs.)
package cri

import (
	"bytes"
	"time"
)

// Stream is where a process has written a line to.
type Stream uint8

// The streams of a process.
const (
	Stdout Stream = iota
	Stderr
)

// String returns "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

const (
	// Stamp is the layout of the time, which is always UTC: a stamp has the
	// same length always, and stamps sort as the times do.
	Stamp = "2006-01-02T15:04:05.000000000Z"
	// HeaderSize is the length of what stands before the text.
	HeaderSize = len(Stamp) + len(" stdout F ")
	// MaxText is the longest text of one entry that is written, in bytes;
	// container runtimes have the same. Readers take longer ones, too.
	MaxText = 16 << 10
)

// AppendHeader appends what stands before the text, HeaderSize bytes.
func AppendHeader(b []byte, t time.Time, s Stream, partial bool) []byte {
	b = t.UTC().AppendFormat(b, Stamp)
	b = append(b, ' ')
	b = append(b, s.String()...)
	if partial {
		return append(b, " P "...)
	}
	return append(b, " F "...)
}

// Line is one entry.
type Line struct {
	Time    time.Time
	Stream  Stream
	Partial bool   // the line of output goes on in the next entry of the stream
	Text    []byte // of what was parsed; without the newline
}

// Parse takes one entry apart, with or without its newline. It accepts what
// other writers of the format do: any RFC 3339 time, and more than one tag
// with colons between.
func Parse(entry []byte) (Line, bool) {
	entry = bytes.TrimSuffix(entry, []byte{'\n'})
	stamp, rest, ok1 := bytes.Cut(entry, []byte{' '})
	stream, rest, ok2 := bytes.Cut(rest, []byte{' '})
	tags, text, _ := bytes.Cut(rest, []byte{' '})
	if !ok1 || !ok2 {
		return Line{}, false
	}
	l := Line{Text: text}
	var err error
	if l.Time, err = time.Parse(time.RFC3339Nano, string(stamp)); err != nil {
		return Line{}, false
	}
	switch string(stream) {
	case "stdout":
	case "stderr":
		l.Stream = Stderr
	default:
		return Line{}, false
	}
	tag, _, _ := bytes.Cut(tags, []byte{':'})
	switch string(tag) {
	case "F":
	case "P":
		l.Partial = true
	default:
		return Line{}, false
	}
	return l, true
}
