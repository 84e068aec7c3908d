package watch

import (
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

// Read reads files and directories once, by the rules of a Watcher for names,
// duplicates and broken files: a file with a problem declares nothing. Files
// that paths name themselves are read whatever their names. Nothing is waited
// for, and nobody is distrusted. It is an error when one of paths does not
// exist or cannot be listed; what is wrong with the content of a file is among the problems of
// the set. Parse is spec.Parse when nil, and must be safe for concurrent use.
func Read(paths []string, recursive bool, parse func(file string, data []byte) spec.File) (*spec.Set, error) {
	if parse == nil {
		parse = spec.Parse
	}
	s := newScanner(parse)
	s.recursive = recursive
	s.reader.class = func(int) fsClass { return fsLocal }
	s.reader.lease = func(int) error { return nil }
	now := time.Now()
	s.begin(now)
	defer s.end()
	for _, path := range paths {
		if err := s.path(path); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", path, err)
		}
	}
	s.tell()
	return s.ledger.publish(now), nil
}

// path reads what one argument names.
func (s *scanner) path(path string) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	p, err := s.reach(full)
	if err == nil {
		s.folder(p, full, nil)
		for _, d := range s.dirs {
			if d.reason != "" {
				return fmt.Errorf("%s", d.message)
			}
		}
		return nil
	}
	if p, err = s.reach(filepath.Dir(full)); err != nil {
		return err
	}
	var st unix.Stat_t
	in, base, err := s.walk.entry(p, filepath.Base(full), &st)
	if err != nil {
		return err
	}
	s.look(in, base, full, &st)
	return nil
}
