package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// revisionsFile holds a number above all that were given out.
	revisionsFile = "revision"
	// reserved is how many numbers are given out before the file is written again.
	reserved = 1 << 20
)

// Revisions gives out numbers that only grow, also over crashes, as long as the state
// directory lives; and beyond that unless the clock is set back: they begin with the
// microseconds since 1970. It implements reconciler.Revisions.
type Revisions struct {
	path string
	mu   sync.Mutex
	last uint64
	most uint64 // what the file says
	busy bool   // somebody writes it
}

// OpenRevisions goes on above what an earlier daemon on the state directory gave out. A
// file that cannot be read is an error that the caller may pass over.
func OpenRevisions(stateDir string, now time.Time) (*Revisions, error) {
	r := &Revisions{path: filepath.Join(stateDir, revisionsFile), last: uint64(max(now.UnixMicro(), 1))}
	data, err := os.ReadFile(r.path)
	if err == nil {
		var before uint64
		if before, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil && before < 1<<62 {
			r.last = max(r.last, before)
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("cannot read the last revision: %w", err)
	}
	r.most = r.last + reserved
	return r, errors.Join(err, r.write(r.most))
}

// Next implements reconciler.Revisions.
func (r *Revisions) Next() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	if r.most-min(r.last, r.most) < reserved/2 && !r.busy {
		r.busy = true
		go r.reserve(r.last + reserved) // the disk may hang
	}
	return r.last
}

// Now implements reconciler.Revisions.
func (r *Revisions) Now() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// reserve notes that numbers up to most may be given out. When that fails the clock
// will do.
func (r *Revisions) reserve(most uint64) {
	_ = r.write(most)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most, r.busy = most, false
}

func (r *Revisions) write(most uint64) error {
	err := os.WriteFile(r.path+newFile, []byte(strconv.FormatUint(most, 10)+"\n"), 0o600)
	if err == nil {
		err = os.Rename(r.path+newFile, r.path)
	}
	if err != nil {
		return fmt.Errorf("cannot write down the last revision: %w", err)
	}
	return nil
}
