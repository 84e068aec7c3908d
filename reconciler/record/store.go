package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

const (
	recordsDir = "records"
	// newFile is what a record is called until it is complete. There is one
	// writer, so one name is enough.
	newFile = ".new"
	// syncPatience bounds how long somebody waits for what was told before.
	syncPatience = 2 * time.Second
	// retryFirst and retryMost space the attempts to write what could not be.
	retryFirst, retryMost = 250 * time.Millisecond, 10 * time.Second
)

// The steps of a write.
const (
	StepRecordDue     reconciler.Step = "record-due"     // a record is about to be written
	StepRecordWritten reconciler.Step = "record-written" // it is complete, under another name
	StepRecorded      reconciler.Step = "recorded"       // it has taken the place of the one before
	StepRecordGone    reconciler.Step = "record-gone"    // a record was removed
)

// Options say how to open a Store.
type Options struct {
	// StateDir exists, and nobody else writes to it.
	StateDir string
	// ReadOnly changes nothing, not even what is of another boot.
	ReadOnly bool
	// Step is told of the steps of each write; nil is nobody.
	Step func(reconciler.Step)
	Log  logr.Logger
}

// Store keeps records. It implements reconciler.Recorder; what it is told is
// written by a goroutine of its own, the latest of each replica. Its methods are
// safe for concurrent use.
type Store struct {
	Options
	path  string
	dir   int // of the records; -1 when there is none. The writer's own after Load.
	clock clock
	boot  string

	mu      sync.Mutex
	mark    func(id reconciler.ReplicaID, data []byte)
	due     map[reconciler.ReplicaID]*reconciler.Record // nil: to be removed
	begun   uint64                                      // attempts of the writer
	ended   uint64
	closed  bool
	trouble error     // why the latest could not be written
	since   time.Time // of trouble
	settled chan struct{}
	more    chan struct{}
	done    chan struct{}
}

var _ reconciler.Recorder = (*Store)(nil)

// Open makes the folder for records when it is missing, unless ReadOnly.
func Open(o Options) (*Store, error) {
	s := &Store{
		Options: o, path: filepath.Join(o.StateDir, recordsDir), dir: -1,
		more: make(chan struct{}, 1), done: make(chan struct{}),
	}
	var err error
	if s.clock, err = newClock(); err != nil {
		return nil, err
	}
	if s.boot, err = bootID(); err != nil {
		return nil, err
	}
	err = s.openDir()
	if errors.Is(err, os.ErrNotExist) && o.ReadOnly {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if o.ReadOnly {
		close(s.done)
		return s, nil
	}
	go s.run()
	return s, nil
}

// openDir opens the folder, and makes it when it is missing: somebody may have
// removed it.
func (s *Store) openDir() error {
	if s.dir >= 0 {
		_ = unix.Close(s.dir)
		s.dir = -1
	}
	if !s.ReadOnly {
		if err := os.Mkdir(s.path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("cannot make the folder for records: %w", err)
		}
	}
	fd, err := unix.Open(s.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the folder for records %s: %w", s.path, err)
	}
	s.dir = fd
	return nil
}

// SetMark has every record handed to mark, too, from now on: the second copy.
// mark must not block for long.
func (s *Store) SetMark(mark func(id reconciler.ReplicaID, data []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark = mark
}

// Record implements reconciler.Recorder.
func (s *Store) Record(r reconciler.Record) { s.put(r.Instance.ID, &r) }

// Forget implements reconciler.Recorder.
func (s *Store) Forget(id reconciler.ReplicaID) { s.put(id, nil) }

func (s *Store) put(id reconciler.ReplicaID, r *reconciler.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.due == nil {
		s.due = map[reconciler.ReplicaID]*reconciler.Record{}
	}
	s.due[id] = r
	s.wake()
}

func (s *Store) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// Sync implements reconciler.Recorder.
func (s *Store) Sync() error {
	timer := time.NewTimer(syncPatience)
	defer timer.Stop()
	s.mu.Lock()
	next := s.begun + 1
	s.mu.Unlock()
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			return errors.New("cannot keep records: the daemon has stopped")
		case len(s.due) == 0 && s.begun == s.ended:
			s.mu.Unlock()
			return nil
		case s.ended >= next: // everything was tried since we came
			defer s.mu.Unlock()
			return s.trouble
		}
		s.wake()
		if s.settled == nil {
			s.settled = make(chan struct{})
		}
		settled := s.settled
		s.mu.Unlock()
		select {
		case <-settled:
		case <-timer.C:
			return errors.New("cannot write records: the file system does not answer")
		}
	}
}

// Trouble says since when and why records cannot be written; nil when they can.
func (s *Store) Trouble() (since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, s.trouble
}

// Close writes what is due, unless that fails, and ends.
func (s *Store) Close() error {
	if s.ReadOnly {
		return s.closeDir()
	}
	err := s.Sync()
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.wake()
	s.mu.Unlock()
	if already {
		return nil
	}
	<-s.done
	return errors.Join(err, s.closeDir())
}

func (s *Store) closeDir() error {
	if s.dir < 0 {
		return nil
	}
	fd := s.dir
	s.dir = -1
	return unix.Close(fd)
}
