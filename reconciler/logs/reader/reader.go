// Package reader reads what services have written, from the files that package
// cri describes. It needs no daemon: it goes by the files alone, those that were
// rotated and compressed by the daemon or by somebody else included.
//
// An entry that is no entry of the format, such as plain text of another
// writer, is shown as it is. Its time is that of the entry before it or, where
// there is none, that of the file.
//
// Where that saves reading (Tail, Since), times are taken to go forward within a
// replica. Lines of one replica are given out in the order of its files always.
package reader

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"svc.d/reconciler/logs/cri"
)

// All stands for every replica of a service.
const All int32 = -1

// Replica is one process of a service.
type Replica struct {
	Service string
	Ordinal int32
}

// String is the replica's name, such as "web-0".
func (r Replica) String() string { return fmt.Sprintf("%s-%d", r.Service, r.Ordinal) }

// Target is what to read: one replica, or all of a service (All) for which there
// are files. In a follow these are also the ones that come later.
type Target struct {
	Service string
	Ordinal int32
	// Since and Until bound the times of lines: at Since or later, and before
	// Until. Zero is no bound.
	Since, Until time.Time
}

// Streams says which streams of a process are read. Text that is no entry
// counts as of stdout.
type Streams uint8

// What can be chosen.
const (
	BothStreams Streams = iota
	OnlyStdout
	OnlyStderr
)

// Query is what is asked for.
type Query struct {
	Dir     string // the log directory
	Targets []Target
	Streams Streams
	// Grep leaves out lines that it does not match; nil is none. Of a line that
	// is given out in pieces it looks at the first.
	Grep *regexp.Regexp
	// Tail leaves out all but the last so many lines of what is there, over all
	// targets; below zero it is all lines.
	Tail int
	// Follow goes on with what comes.
	Follow bool
	// Warn is told of files that cannot be read, and passed over. It may be nil.
	Warn func(error)
}

// Line is one line that a process wrote. One that is longer than MaxPiece comes
// in pieces.
type Line struct {
	Replica
	Time   time.Time // of the line's first entry
	Stream cri.Stream
	Text   []byte // without the newline
	Rest   bool   // it goes on where the line of the stream before it left off
	More   bool   // it goes on with the next line of the stream

	kind  kind
	doubt doubt
}

// doubt is whether a line may lack its beginning, because reading began in the
// middle.
type doubt uint8

const (
	whole    doubt = iota
	perhaps        // it begins with the first entry of its stream that was seen
	probably       // so it does, and has several entries
)

// MaxPiece bounds the text of one Line, in bytes, up to one entry.
const MaxPiece = 1 << 20

// Sink takes what is read. An error from it ends the reading and is returned.
type Sink interface {
	// Line takes one line. Its text is valid until Line returns.
	Line(*Line) error
	// Idle is told that there is nothing more for now.
	Idle() error
}

// Read gives the lines that the query asks for to the sink: merged by time, and
// in the order in which they were written within a replica. A file that is not
// there has no lines. Without Follow it returns when it is through, with it only
// with an error, which is ctx's when ctx ended.
//
// A follow gives out every line once, whatever becomes of the files meanwhile, but
// for what was deleted or cut off before it was read. It merges only what is
// there at a time. The beginning of a line that has not ended yet is held back.
func Read(ctx context.Context, q Query, sink Sink) error {
	r := &run{query: q, sink: sink, folders: map[string]*folder{}}
	defer r.close()
	return r.run(ctx)
}
