package record

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestRevisionsOnlyGrow over daemons on one state directory, whatever the clock says.
func TestRevisionsOnlyGrow(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		then  time.Time // of the second daemon
		spoil func(path string) error
		grows bool
		fails bool
	}{
		"the next daemon starts at the same moment":       {then: now, grows: true},
		"the clock was set back":                          {then: now.Add(-time.Hour), grows: true},
		"the clock goes on":                               {then: now.Add(time.Hour), grows: true},
		"the state directory was emptied, the clock goes": {then: now.Add(time.Hour), spoil: os.Remove, grows: true},
		"the file is damaged: the clock will do": {then: now.Add(time.Hour), grows: true, fails: true, spoil: func(path string) error {
			return os.WriteFile(path, []byte("no number"), 0o600)
		}},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			dir := t.TempDir()
			a, err := OpenRevisions(dir, now)
			if err != nil {
				t.Fatal(err)
			}
			first := a.Next()
			last := first
			for range 3 {
				last = a.Next()
			}
			if last != first+3 || a.Now() != last {
				t.Errorf("after %d come %d, now %d", first, last, a.Now())
			}
			if test.spoil != nil {
				if err := test.spoil(filepath.Join(dir, revisionsFile)); err != nil {
					t.Fatal(err)
				}
			}
			b, err := OpenRevisions(dir, test.then)
			if (err != nil) != test.fails {
				t.Errorf("it is opened with %v", err)
			}
			if next := b.Next(); (next > last) != test.grows {
				t.Errorf("after %d comes %d", last, next)
			}
		})
	}
}

// TestRevisionsAreReservedInTime: a daemon that is killed leaves a file whose number
// is above all that it gave out.
func TestRevisionsAreReservedInTime(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_000_000, 0)
	a, err := OpenRevisions(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	written := func() { // until nobody writes the file any more
		for busy := true; busy; runtime.Gosched() {
			a.mu.Lock()
			busy = a.busy
			a.mu.Unlock()
		}
	}
	skip := func(n uint64) {
		a.mu.Lock()
		a.last += n
		a.mu.Unlock()
	}
	skip(reserved * 3 / 4)
	a.Next() // which has more reserved
	written()
	skip(reserved / 4)
	last := a.Next()
	written()
	b, err := OpenRevisions(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	if next := b.Next(); next <= last {
		t.Errorf("after %d comes %d", last, next)
	}
}
