package record

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// run writes what is due until the store is closed.
func (s *Store) run() {
	defer close(s.done)
	var again <-chan time.Time // while something could not be written
	wait := retryFirst
	for {
		select {
		case <-s.more:
		case <-again:
		}
		due, closed := s.take()
		failed, err := s.writeAll(due)
		s.settle(failed, err)
		if closed {
			return
		}
		if err == nil {
			again, wait = nil, retryFirst
			continue
		}
		again, wait = time.After(wait), min(2*wait, retryMost)
	}
}

func (s *Store) take() (due map[reconciler.ReplicaID]*reconciler.Record, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due, s.due = s.due, nil
	s.begun++
	return due, s.closed
}

// writeAll writes records and returns those that could not be written, with the
// reason of the last.
func (s *Store) writeAll(due map[reconciler.ReplicaID]*reconciler.Record) (failed map[reconciler.ReplicaID]*reconciler.Record, why error) {
	for id, r := range due {
		err := s.write(id, r)
		if err == nil {
			delete(due, id)
			continue
		}
		why = err
	}
	return due, why
}

// settle puts back what failed, unless there is something newer, and tells who
// waits.
func (s *Store) settle(failed map[reconciler.ReplicaID]*reconciler.Record, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = s.begun
	for id, r := range failed {
		if _, newer := s.due[id]; !newer {
			if s.due == nil {
				s.due = map[reconciler.ReplicaID]*reconciler.Record{}
			}
			s.due[id] = r
		}
	}
	switch {
	case why == nil && s.trouble != nil:
		s.Log.Info("Records are written again")
		s.trouble, s.since = nil, time.Time{}
	case why != nil && s.trouble == nil:
		s.Log.Info("Cannot write records; a crash now would make services start anew", "message", why.Error())
		s.trouble, s.since = why, time.Now()
	case why != nil:
		s.trouble = why
	}
	if s.settled != nil {
		close(s.settled)
		s.settled = nil
	}
}

func (s *Store) step(at reconciler.Step) {
	if s.Step != nil {
		s.Step(at)
	}
}

// write replaces or removes one record.
func (s *Store) write(id reconciler.ReplicaID, r *reconciler.Record) error {
	name := id.String()
	if r == nil {
		err := unix.Unlinkat(s.dir, name, 0)
		s.step(StepRecordGone)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		return fmt.Errorf("cannot remove the record of %s: %w", name, err)
	}
	s.step(StepRecordDue)
	data, err := s.encode(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	mark := s.mark
	s.mu.Unlock()
	if mark != nil {
		mark(id, data)
	}
	err = s.replace(name, data)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) {
		// The folder was removed. What was in it is lost, but for the marks.
		if err = s.openDir(); err == nil {
			err = s.replace(name, data)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write the record of %s: %w", name, err)
	}
	s.step(StepRecorded)
	return nil
}

// replace writes a file beside the record and renames it. It is not forced to
// the disk: what is of another boot is worth nothing.
func (s *Store) replace(name string, data []byte) error {
	fd, err := unix.Openat(s.dir, newFile, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = writeFull(fd, data)
	err = errors.Join(err, unix.Close(fd))
	if err != nil {
		_ = unix.Unlinkat(s.dir, newFile, 0) // it takes the room that is missing
		return err
	}
	s.step(StepRecordWritten)
	return unix.Renameat(s.dir, newFile, s.dir, name)
}

func writeFull(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		default:
			data = data[n:]
		}
	}
	return nil
}
