package logs

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// lossSlots bounds how many replicas' losses are known by themselves at a time.
const lossSlots = 256

// lossSlot counts what could not be written of one replica since the last time
// that its file told.
type lossSlot struct {
	Key   key // of the replica's stdout; empty: free
	Lines uint64
	Bytes uint64
	Since int64 // ns since 1970
	Error int32 // errno of the first failure
	_     int32
}

// Loss is output of one replica that is not in its file, because the file cannot
// be written.
type Loss struct {
	Replica Replica
	Since   time.Time
	Lines   uint64 // lines that were dropped; one that has not ended counts when it ends
	Bytes   uint64
	Err     error // why
}

// String is the sentence for people, and the text of the line that tells of the
// loss in the log itself.
func (l *Loss) String() string {
	return fmt.Sprintf("%d lines (%d bytes) were dropped since %s: %v", l.Lines, l.Bytes, l.Since.UTC().Format(time.RFC3339), l.Err)
}

// lossOf finds the slot of a replica; when it has none, and add says so, it gets
// one. nil: all are taken.
func (j *journal) lossOf(k *key, add bool) *lossSlot {
	var free *lossSlot
	for n := range j.losses {
		l := &j.losses[n]
		switch {
		case l.Key == *k:
			return l
		case l.Key == key{} && free == nil:
			free = l
		}
	}
	if !add || free == nil {
		return nil
	}
	*free = lossSlot{Key: *k}
	return free
}

// count adds to what was lost.
func (l *lossSlot) count(lines, bytes int) {
	atomic.AddUint64(&l.Lines, uint64(lines))
	atomic.AddUint64(&l.Bytes, uint64(bytes))
}

// lossReport tells what was lost of a replica that has lost something.
func (s *source) lossReport() Loss {
	return Loss{
		Replica: s.id, Since: time.Unix(0, s.loss.Since), Err: unix.Errno(s.loss.Error),
		Lines: atomic.LoadUint64(&s.loss.Lines), Bytes: atomic.LoadUint64(&s.loss.Bytes),
	}
}
