package watch

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

// maxDepth bounds how deep folders of manifests are followed.
const maxDepth = 32

// scanner looks at directories and files and tells a ledger what it saw.
type scanner struct {
	ledger    *ledger
	coverage  *coverage // nil when nothing is watched
	trust     *trust    // nil when everybody is trusted
	recursive bool
	parse     func(file string, data []byte) spec.File
	reader    reader
	class     func(fd int) fsClass // of a folder
	seed      maphash.Seed
	remote    string // a directory of this pass on a remote file system

	// The present pass.
	walk *walk
	now  time.Time
	dirs []dirSighting
	seen []func() sighting // not made, or not told to the ledger yet
}

func newScanner(parse func(string, []byte) spec.File) *scanner {
	return &scanner{
		ledger: newLedger(),
		parse:  parse,
		seed:   maphash.MakeSeed(),
		class:  classify,
		reader: reader{lease: lease, class: classify, now: time.Now, limit: maxFileSize, keep: maxFileSize},
	}
}

func (s *scanner) begin(now time.Time) {
	var guard sentry
	if s.coverage != nil {
		guard = s.coverage
	}
	s.now, s.dirs = now, nil
	s.walk = newWalk(s.trust, guard)
}

func (s *scanner) end() {
	s.tell()
	s.walk.close()
	s.walk = nil
}

// full lists a directory, and looks at every file whose identity changed.
func (s *scanner) full(dir string, now time.Time) {
	s.begin(now)
	defer s.end()
	s.ledger.pass++
	s.ledger.again = false
	s.remote = ""
	if s.coverage != nil {
		s.coverage.begin()
	}
	if p, err := s.reach(dir); err != nil {
		s.dirs = append(s.dirs, notListed(dir, err))
	} else {
		s.folder(p, dir, nil)
	}
	s.tell()
	s.ledger.listed(s.dirs, now)
	if s.coverage != nil {
		s.coverage.end()
	}
}

// one looks at the entry name of a folder. It says false when only a full
// list can tell.
func (s *scanner) one(dir, name string, now time.Time) bool {
	s.begin(now)
	defer s.end()
	p, err := s.reach(dir)
	if err != nil || s.ledger.blind() {
		return false
	}
	return s.entry(p, dir, name)
}

func (s *scanner) reach(dir string) (*place, error) {
	links := 0
	return s.walk.dir(nil, dir, &links)
}

// folder lists one directory and, with recursive, those in it.
func (s *scanner) folder(p *place, logical string, above []step) {
	if s.coverage != nil {
		s.coverage.manifests(p, logical) // before the list, so nothing is missed
	}
	d := dirSighting{path: logical, empty: true}
	var err error
	if d.id, err = identifyDir(p.fd); err != nil {
		s.dirs = append(s.dirs, notListed(logical, err))
		return
	}
	names, err := list(p.fd)
	if err != nil {
		s.dirs = append(s.dirs, notListed(logical, err))
		return
	}
	if s.remote == "" && s.class(p.fd) == fsRemote {
		s.remote = logical
	}
	above = append(above, step{dev: p.st.Dev, ino: p.st.Ino})
	for _, name := range names {
		if !s.candidate(name) {
			continue
		}
		if s.entry(p, logical, name) {
			d.empty = d.empty && !isManifest(name)
			continue
		}
		if s.recursive && !isHidden(name) {
			d.empty = false
			s.subfolder(p, logical, name, above)
		}
	}
	s.dirs = append(s.dirs, d)
}

func (s *scanner) candidate(name string) bool {
	return isManifest(name) || s.recursive && !isHidden(name)
}

func (s *scanner) subfolder(p *place, logical, name string, above []step) {
	sub := path.Join(logical, name)
	links := 0
	c, err := s.walk.child(p, name, &links)
	switch {
	case errors.Is(err, unix.ENOTDIR):
	case err != nil:
		s.dirs = append(s.dirs, notListed(sub, err))
	case slices.Contains(above, step{dev: c.st.Dev, ino: c.st.Ino}):
		s.see(sighting{path: sub, kind: sightUnreadable, why: "the link leads to a folder that it stands in"})
	case len(above) >= maxDepth:
		s.see(sighting{path: sub, kind: sightUnreadable, why: fmt.Sprintf("folders are nested deeper than %d", maxDepth)})
	default:
		s.folder(c, sub, above)
	}
}

// entry looks at one file. It says false when the entry is a folder or leads to one,
// or is no manifest.
func (s *scanner) entry(p *place, logical, name string) bool {
	var st unix.Stat_t
	in, base, err := s.walk.entry(p, name, &st)
	if !isManifest(name) {
		return err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR
	}
	file := path.Join(logical, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		if e := s.ledger.files[file]; e != nil {
			s.see(sighting{path: file, kind: sightGone})
		}
	case err != nil:
		s.see(sighting{path: file, kind: sightUnreadable, why: "cannot read it: " + err.Error()})
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return false
	default:
		s.look(in, base, file, &st)
	}
	return true
}

// see notes a sighting for tell.
func (s *scanner) see(v sighting) {
	s.seen = append(s.seen, func() sighting { return v })
}

// look has tell look at a file.
func (s *scanner) look(in *place, base, file string, st *unix.Stat_t) {
	found := *st
	s.seen = append(s.seen, func() sighting {
		v, data := s.file(in, base, file, &found)
		if v.kind == sightRead {
			v.file = s.parse(file, data)
		}
		return v
	})
}

// tell looks at the files that were listed, on all processors, since a cold
// start reads a thousand of them while nothing runs yet; then the ledger sees
// them in the order of the list. What a look depends on is only what was known
// of that one file before.
func (s *scanner) tell() {
	sightings := make([]sighting, len(s.seen))
	var next atomic.Int64
	look := func() {
		for n := next.Add(1) - 1; n < int64(len(s.seen)); n = next.Add(1) - 1 {
			sightings[n] = s.seen[n]()
		}
	}
	var others sync.WaitGroup
	for range min(runtime.NumCPU(), len(s.seen)) - 1 {
		others.Go(look)
	}
	look()
	others.Wait()
	for _, v := range sightings {
		s.ledger.see(v, s.now)
	}
	s.seen = nil
}

// file reads one file when it is not as it was. With sightRead comes what is to
// be parsed.
func (s *scanner) file(in *place, base, file string, st *unix.Stat_t) (sighting, []byte) {
	e := s.ledger.files[file]
	v := sighting{path: file, kind: sightUnchanged}
	if e != nil && !e.racy && !e.gone && e.id == identify(st) {
		return v, nil
	}
	unreadable := func(err error) sighting {
		return sighting{path: file, kind: sightUnreadable, why: "cannot read it: " + err.Error()}
	}
	if err := regular(st); err != nil {
		return unreadable(err), nil
	}
	r := s.reader
	r.steady = func(id identity) bool { return s.ledger.steady(file, id, s.now) }
	r.check = func(opened *unix.Stat_t) error {
		v.id = identify(opened)
		return s.trust.file(path.Join(in.path, base), opened, in.path, &in.st)
	}
	got, err := r.read(in.fd, base)
	switch {
	case errors.Is(err, unix.ENOENT):
		v.kind = sightGone
		return v, nil
	case errors.Is(err, errWriter):
		v.kind = sightWriter
		return v, nil
	case errors.Is(err, errUnquiet):
		v.kind = sightUnquiet
		return v, nil
	case err != nil:
		return unreadable(err), nil
	}
	v.id, v.racy, v.hash = got.id, got.racy, max(1, maphash.Bytes(s.seed, got.data))
	if e != nil && !e.gone && e.hash == v.hash {
		v.kind = sightSame
		return v, nil
	}
	v.kind = sightRead
	return v, got.data
}

// list gives the names in a directory, sorted.
func list(at int) ([]string, error) {
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func notListed(dir string, err error) dirSighting {
	d := dirSighting{path: dir, reason: ReasonUnreadable, message: fmt.Sprintf("cannot list %s: %v", dir, err)}
	var r *refusal
	switch {
	case errors.As(err, &r):
		d.reason = ReasonNotTrusted
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errDangling):
		d.reason = ReasonMissing
	}
	return d
}
