package cri

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var at = time.Date(2026, 1, 2, 15, 4, 5, 60, time.UTC)

func TestAnEntryIsReadAsItWasWritten(t *testing.T) {
	for _, want := range []Line{
		{Time: at, Text: []byte("hello")},
		{Time: at, Stream: Stderr, Partial: true, Text: []byte(" \x00 \xff F ")},
		{Time: at, Text: []byte{}},
	} {
		header := AppendHeader(nil, want.Time, want.Stream, want.Partial)
		if len(header) != HeaderSize {
			t.Errorf("the header %q has %d bytes, want %d", header, len(header), HeaderSize)
		}
		got, ok := Parse(append(append(header, want.Text...), '\n'))
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%v (-want +got)\n%s", ok, diff)
		}
	}
}

func TestWhatOtherWritersWriteIsRead(t *testing.T) {
	tests := map[string]struct {
		entry string
		ok    bool
	}{
		"a time with a zone":      {"2026-01-02T17:04:05.00000006+02:00 stdout F x", true},
		"more tags":               {"2026-01-02T15:04:05.00000006Z stdout F:later x", true},
		"no text and no space":    {"2026-01-02T15:04:05.00000006Z stdout F", true},
		"another stream":          {"2026-01-02T15:04:05.00000006Z stdin F x", false},
		"another tag":             {"2026-01-02T15:04:05.00000006Z stdout X x", false},
		"no time":                 {"yesterday stdout F x", false},
		"a line of another kind":  {"hello", false},
		"nothing":                 {"", false},
		"the head of an entry":    {"2026-01-02T15:04:05.00000006Z std", false},
		"the head without a tag":  {"2026-01-02T15:04:05.00000006Z stdout", false},
		"the head and half a tag": {"2026-01-02T15:04:05.00000006Z stdout ", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l, ok := Parse([]byte(test.entry))
			if ok != test.ok {
				t.Fatalf("got %v, want %v", ok, test.ok)
			}
			if ok && !l.Time.Equal(at) {
				t.Errorf("got the time %v, want %v", l.Time, at)
			}
		})
	}
}

func TestANameIsReadAsItWasGiven(t *testing.T) {
	for _, want := range []File{{}, {Ordinal: 12, Rotated: at}, {Ordinal: 3, Rotated: at, Compressed: true}} {
		got, ok := ParseName(want.Name())
		if !ok || got != want {
			t.Errorf("%s: got %+v %v, want %+v", want.Name(), got, ok, want)
		}
	}
	for _, name := range []string{"", ".log", "0.log.", "0.log.1", "00.log", "0.log.20260102-150405", "0.logs", "x.log", "-1.log.gz.tmp"} {
		if _, ok := ParseName(name); ok {
			t.Errorf("%q is none of our names", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stdout F text"))
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stdout F"))
	f.Fuzz(func(t *testing.T, entry []byte) {
		l, ok := Parse(entry)
		if bytes.IndexByte(l.Text, '\n') >= 0 {
			return // two entries
		}
		if !ok || l.Time.Year() < 0 || l.Time.Year() > 9999 {
			return
		}
		l.Text = append([]byte{}, l.Text...) // nothing is nothing
		again, ok := Parse(append(AppendHeader(nil, l.Time, l.Stream, l.Partial), l.Text...))
		if diff := cmp.Diff(l, again); !ok || diff != "" {
			t.Errorf("%v (-first +again)\n%s", ok, diff)
		}
	})
}
