package watch

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// What a directory is watched for.
const (
	// maskSelf: it is moved, deleted, or gets other permissions. Each
	// directory on the way is watched so; it costs nothing when others work in it.
	maskSelf = unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ATTRIB
	// maskEntries: an entry on the way, a link or a missing one, may come, go or flip.
	maskEntries = maskSelf | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO
	// maskTarget: a link to a manifest leads here. Writers are noticed when
	// they close; a log that grows beside the manifest does not wake us.
	maskTarget = maskEntries | unix.IN_CLOSE_WRITE
	// maskManifests: manifests stand here. IN_MODIFY is for truncate(2),
	// which opens nothing and so closes nothing.
	maskManifests = maskTarget | unix.IN_MODIFY
)

const (
	maxLinks = 40 // as the kernel's MAXSYMLINKS
	// maxOpened ends the attempts to hold a directory that is replaced all the time.
	maxOpened = 10_000
)

// sentry is told which directories matter; see coverage.
type sentry interface {
	// watch asks to be told of p's entry name, or of the directory itself
	// when name is empty. must says that nothing else would tell.
	watch(p *place, mask uint32, name string, must bool)
}

// place is a directory that was reached and is held open by a walk. It cannot
// be swapped for another one any more.
type place struct {
	fd   int // O_PATH
	path string
	st   unix.Stat_t
}

// walk resolves paths link by link, each directory by an open descriptor of
// the one before, judges what it passes, and tells the sentry what can flip.
// Each entry is resolved once in a walk: all manifests that are reached through
// one link come from the same side of its flip. A walk belongs to one goroutine and must be closed.
type walk struct {
	trust  *trust
	sentry sentry // may be nil
	seen   map[step]*place
	opened []*place
}

type step struct {
	dev, ino uint64
	name     string
}

func newWalk(t *trust, s sentry) *walk {
	return &walk{trust: t, sentry: s, seen: map[step]*place{}}
}

func (w *walk) close() {
	for _, p := range w.opened {
		_ = unix.Close(p.fd)
	}
	w.opened, w.seen = nil, nil
}

// root opens "/".
func (w *walk) root() (*place, error) {
	return w.open(nil, unix.AT_FDCWD, "/", "/")
}

// open opens a directory that is no link.
func (w *walk) open(parent *place, at int, name, shown string) (*place, error) {
	var key step
	if parent != nil {
		key = step{parent.st.Dev, parent.st.Ino, name}
	}
	if p := w.seen[key]; p != nil {
		return p, w.trust.dir(p.path, &p.st)
	}
	for {
		fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		p := &place{fd: fd, path: shown}
		w.opened = append(w.opened, p)
		if err := unix.Fstat(fd, &p.st); err != nil {
			return nil, err
		}
		w.watch(p, maskSelf, "", false)
		// It may have been replaced before it was watched.
		var st unix.Stat_t
		if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, err
		}
		if st.Ino == p.st.Ino && st.Dev == p.st.Dev || len(w.opened) > maxOpened {
			w.seen[key] = p
			return p, w.trust.dir(p.path, &p.st)
		}
	}
}

func (w *walk) watch(p *place, mask uint32, name string, must bool) {
	if w.sentry != nil {
		w.sentry.watch(p, mask, name, must)
	}
}

// dir goes from p along a relative or absolute path to a directory.
func (w *walk) dir(p *place, rel string, links *int) (*place, error) {
	var err error
	if strings.HasPrefix(rel, "/") {
		if p, err = w.root(); err != nil {
			return nil, err
		}
	}
	for name := range strings.SplitSeq(rel, "/") {
		if name == "" || name == "." {
			continue
		}
		if p, err = w.child(p, name, links); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// child goes one step down, or along the link that stands there, or up.
func (w *walk) child(p *place, name string, links *int) (*place, error) {
	if name == ".." {
		return w.open(p, p.fd, "..", path.Dir(p.path))
	}
	key := step{p.st.Dev, p.st.Ino, name}
	if c := w.seen[key]; c != nil {
		return c, w.trust.dir(c.path, &c.st)
	}
	var st unix.Stat_t
	if err := w.stat(p, name, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			w.watch(p, maskEntries, name, true) // until a directory takes its place
		}
		return w.open(p, p.fd, name, path.Join(p.path, name)) // ENOTDIR unless it is one
	}
	target, err := w.follow(p, name, &st, links)
	if err != nil {
		return nil, err
	}
	c, err := w.dir(p, target, links)
	if err == nil {
		w.seen[key] = c
	}
	return c, err
}

// stat looks at an entry, and has it watched when it is missing.
func (w *walk) stat(p *place, name string, st *unix.Stat_t) error {
	err := unix.Fstatat(p.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	// It may have come before it was watched.
	w.watch(p, maskEntries, name, true)
	return unix.Fstatat(p.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
}

// follow reads the link p/name, whose status is st.
func (w *walk) follow(p *place, name string, st *unix.Stat_t, links *int) (string, error) {
	if *links++; *links > maxLinks {
		return "", unix.ELOOP
	}
	w.watch(p, maskEntries, name, true)
	if err := w.trust.link(path.Join(p.path, name), st); err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(p.fd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// entry follows the entry name of p to what is no link: the directory that
// holds it, its name there, and its status. A folder is left for dir.
func (w *walk) entry(p *place, name string, st *unix.Stat_t) (*place, string, error) {
	if err := unix.Fstatat(p.fd, name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, "", err
	}
	for links := 0; st.Mode&unix.S_IFMT == unix.S_IFLNK; {
		target, err := w.follow(p, name, st, &links)
		if err != nil {
			return nil, "", err
		}
		dir, base := parted(target)
		if p, err = w.dir(p, dir, &links); err != nil {
			return nil, "", dangling(err)
		}
		name = base
		w.watch(p, maskTarget, name, true)
		if err := unix.Fstatat(p.fd, name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, "", dangling(err)
		}
	}
	return p, name, nil
}

// parted is the directory that a path leads through last, and the entry of it.
func parted(target string) (dir, base string) {
	dir, base = path.Split(strings.TrimRight(target, "/"))
	if base == "" || base == "." || base == ".." {
		return target, "."
	}
	return dir, base
}

// errDangling is a link to nothing, which is not the same as no link.
var errDangling = errors.New("the link leads to nothing")

func dangling(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return errDangling
	}
	return err
}
