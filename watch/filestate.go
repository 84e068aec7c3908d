package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

const (
	// maxRawSize bounds what is read of a file to know it from the next version.
	maxRawSize = 64 << 20
	// maxEnvSize is as for the start of a process: far more than execve takes.
	maxEnvSize = 1 << 20
)

// fileState is what is known of one file of Files. Its methods decide; time enters
// as a value.
type fileState struct {
	known   bool // content is of it
	content spec.Content
	id      identity  // of what was read; zero when it is not as it was read
	recheck time.Time // when what was read must be looked at once more; zero: never
	gone    time.Time // since when it is missing although content says something else
	making  making
}

// making is that a file is open for writing, or was written to just now.
type making struct {
	since   time.Time // zero: it is not
	version identity  // that must stay as it is for the quiet window
	steady  time.Time // since when it does
}

// fileSeen is what a look at one file showed.
type fileSeen struct {
	kind    sightingKind
	id      identity // of sightRead and sightUnquiet
	racy    bool
	class   fsClass // of its directory, when that was reached
	content spec.Content
	why     string
}

// take takes in what was seen; it says whether that changes what is to be told.
func (s *fileState) take(saw fileSeen, now time.Time) (changed bool) {
	if saw.kind != sightUnchanged {
		s.id, s.recheck = identity{}, time.Time{}
	}
	if saw.kind != sightGone {
		s.gone = time.Time{}
	}
	if saw.kind != sightWriter && saw.kind != sightUnquiet {
		s.making = making{}
	}
	switch saw.kind {
	case sightUnchanged, sightSame:
	case sightGone:
		if s.content.Raw == "" {
			return s.is(spec.Content{})
		}
		if s.gone.IsZero() {
			s.gone = now
		}
		if now.Sub(s.gone) >= removalDelay {
			s.gone = time.Time{}
			return s.is(spec.Content{})
		}
	case sightRead:
		s.id = saw.id
		if saw.racy {
			s.recheck = now.Add(coarseness(saw.class))
		}
		return s.is(saw.content)
	case sightUnreadable:
		return s.is(withProblem(s.content, saw.why))
	case sightWriter, sightUnquiet:
		return s.wait(saw, now)
	}
	return false
}

func (s *fileState) is(c spec.Content) (changed bool) {
	changed = !s.known || s.content != c
	s.known, s.content = true, c
	return changed
}

// coarseness is more than the resolution of file times.
func coarseness(class fsClass) time.Duration {
	if class == fsLocal || class == fsStacked {
		return guardDelay
	}
	return racyRemote
}

// wait notes that a file cannot be read yet.
func (s *fileState) wait(saw fileSeen, now time.Time) (changed bool) {
	m := &s.making
	if m.since.IsZero() {
		m.since = now
	}
	if saw.kind == sightWriter || m.version != saw.id || m.steady.IsZero() {
		m.version, m.steady = saw.id, now
	}
	if now.Sub(m.since) < writerPatience {
		return false
	}
	if saw.kind == sightWriter {
		return s.is(withProblem(s.content, "it is open for writing since "+m.since.UTC().Format(time.RFC3339)+
			" and is read when its writer closes it"))
	}
	return s.is(withProblem(s.content, "it is written to again and again since "+m.since.UTC().Format(time.RFC3339)))
}

// quiet says whether a version was seen unchanged for the quiet window.
func (s *fileState) quiet(id identity, now time.Time) bool {
	m := &s.making
	return !m.since.IsZero() && m.version == id && now.Sub(m.steady) >= quietWindow
}

// due is when to look at the file although nothing happens; zero for never. The end
// of writing is told, mostly, so that it is looked for ever more seldom.
func (s *fileState) due(now time.Time) time.Time {
	due := s.recheck
	if !s.gone.IsZero() {
		due = earlier(due, s.gone.Add(removalDelay))
	}
	if m := &s.making; !m.since.IsZero() {
		due = earlier(due, now.Add(max(quietWindow, now.Sub(m.since))))
		if end := m.since.Add(writerPatience); now.Before(end) {
			due = earlier(due, end)
		}
	}
	return due
}

// inDoubt says whether the file is likely to be another one in a moment.
func (s *fileState) inDoubt(now time.Time) bool {
	return !s.gone.IsZero() || !s.making.since.IsZero() && now.Sub(s.making.since) < settleMost
}

// see looks at the file at a path, and reads it when it is not as it was.
func (f *Files) see(w *walk, name string, before *fileState, now time.Time) (saw fileSeen) {
	unreadable := func(err error) fileSeen {
		return fileSeen{kind: sightUnreadable, class: saw.class, why: "cannot read it: " + err.Error()}
	}
	if !strings.HasPrefix(name, "/") {
		return unreadable(errors.New("its path is not absolute"))
	}
	var st unix.Stat_t
	dir, base := parted(name)
	links := 0
	p, err := w.dir(nil, dir, &links)
	if err == nil {
		saw.class = f.reader.class(p.fd)
		f.coverage.watch(p, maskTarget, base, true) // before the look, so nothing is missed
		p, base, err = w.entry(p, base, &st)
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, errDangling):
		saw.kind = sightGone
		return saw
	case err != nil:
		return unreadable(err)
	case before.id != (identity{}) && before.id == identify(&st) && (before.recheck.IsZero() || now.Before(before.recheck)):
		saw.kind = sightUnchanged
		return saw
	}
	saw.class = f.reader.class(p.fd) // a link may lead to another file system
	if err := regular(&st); err != nil {
		return unreadable(err)
	}
	sum := sha256.New()
	r := f.reader
	r.sum = sum
	r.steady = func(id identity) bool { return before.quiet(id, now) }
	r.check = func(opened *unix.Stat_t) error {
		saw.id = identify(opened)
		return nil
	}
	got, err := r.read(p.fd, base)
	switch {
	case errors.Is(err, unix.ENOENT):
		saw.kind = sightGone
	case errors.Is(err, errWriter):
		saw.kind = sightWriter
	case errors.Is(err, errUnquiet):
		saw.kind = sightUnquiet
	case err != nil:
		return unreadable(err)
	default:
		saw.kind, saw.id, saw.racy = sightRead, got.id, got.racy
		saw.content = contentOf(name, got, hex.EncodeToString(sum.Sum(nil)[:16]))
	}
	return saw
}

// contentOf is what a version of a file means.
func contentOf(name string, v version, digest string) spec.Content {
	c := spec.Content{Raw: digest}
	if v.id.size > maxEnvSize {
		c.Problem = fmt.Sprintf("it is larger than %d bytes", maxEnvSize)
		return c
	}
	vars, err := spec.ParseEnvFile(name, v.data)
	if err != nil {
		c.Problem = err.Error()
		return c
	}
	c.Env = spec.DigestEnv(vars)
	return c
}

// withProblem is the content, of which there is something to tell.
func withProblem(c spec.Content, why string) spec.Content {
	c.Problem = why
	return c
}
