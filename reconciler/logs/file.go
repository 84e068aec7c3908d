package logs

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// file is what a replica's output is written to. The lane's goroutine owns it.
type file struct {
	of      *source
	path    string
	fd      int // -1: not open
	device  uint64
	inode   uint64
	size    int64
	first   time.Time // the stamp of its first entry
	rotated time.Time // when the one before was moved out of the way
	used    time.Time
	rest    []byte // of an entry that is in the file in part
	stuck   bool   // it could not be rotated, and that was told
}

// pathOf is where the output of a replica goes.
func (l *lane) pathOf(id Replica) string {
	return filepath.Join(l.logDir, id.Service, cri.File{Ordinal: id.Ordinal}.Name())
}

// ready opens the replica's file for n more bytes. Whatever others have done to
// it: it is the one that has the name now.
func (l *lane) ready(s *source, n int, now time.Time) (*file, error) {
	f := s.file
	if f == nil {
		f = &file{of: s, path: l.pathOf(s.id), fd: -1}
		s.file = f
	}
	f.used = now
	if f.fd >= 0 {
		var st unix.Stat_t
		err := unix.Lstat(f.path, &st)
		if err == nil && st.Ino == f.inode && uint64(st.Dev) == f.device {
			f.size = st.Size
		} else {
			// Somebody else rotates the files, or has removed it.
			if len(f.rest) > 0 {
				_, _ = l.writeAll(f.fd, f.rest)
				f.rest = nil
			}
			l.closeFile(f)
		}
	}
	if err := l.openFile(f, now); err != nil {
		return nil, err
	}
	if l.full(f, n, now) && l.rotate(f, now) {
		if err := l.openFile(f, now); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// full says whether the file is to be rotated before n more bytes.
func (l *lane) full(f *file, n int, now time.Time) bool {
	if f.size == 0 || n == 0 || len(f.rest) > 0 {
		return false
	}
	limit, age := l.maxSize(f.of), f.of.limits.Load().MaxAge
	return limit > 0 && f.size+int64(n) > limit || age > 0 && now.Sub(f.first) >= age
}

// maxSize is the size that a file of the replica may have; 0 is no limit.
func (l *lane) maxSize(s *source) int64 {
	limit, share := s.limits.Load().MaxSize, l.keeper.share()
	if limit == 0 || share > 0 && share < limit {
		return share
	}
	return limit
}

func (l *lane) openFile(f *file, now time.Time) error {
	if f.fd >= 0 {
		return nil
	}
	if len(l.files) >= maxOpenFiles {
		l.closeOldest()
	}
	fd, err := openAppend(f.path)
	if err == unix.EMFILE || err == unix.ENFILE {
		l.closeOldest()
		fd, err = openAppend(f.path)
	}
	if err == unix.ENOENT {
		if e := os.MkdirAll(filepath.Dir(f.path), 0o755); e != nil {
			return e
		}
		fd, err = openAppend(f.path)
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return &os.PathError{Op: "open", Path: f.path, Err: err}
	}
	f.fd, f.device, f.inode, f.size, f.first = fd, uint64(st.Dev), st.Ino, st.Size, now
	l.files = append(l.files, f)
	if f.size == 0 {
		f.rest = nil // it was of a file that is gone
		l.keeper.opened()
		return nil
	}
	var buf [len(cri.Stamp)]byte
	if n, _ := unix.Pread(fd, buf[:], 0); n == len(buf) {
		if at, err := time.Parse(cri.Stamp, string(buf[:])); err == nil {
			f.first = at
		}
	}
	// A machine that lost power may have left the head of an entry.
	if n, _ := unix.Pread(fd, buf[:1], f.size-1); n == 1 && buf[0] != '\n' && len(f.rest) == 0 {
		f.rest = []byte{'\n'}
	}
	return nil
}

// openAppend does not wait for the reader of a FIFO or the end of a lease: that
// is an error.
func openAppend(path string) (int, error) {
	const flags = unix.O_RDWR | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_NONBLOCK
	return unix.Open(path, flags, 0o640)
}

func (l *lane) closeFile(f *file) {
	if f.fd < 0 {
		return
	}
	_ = unix.Close(f.fd)
	f.fd = -1
	for n, other := range l.files {
		if other == f {
			l.files[n] = l.files[len(l.files)-1]
			l.files = l.files[:len(l.files)-1]
			return
		}
	}
}

// closeOldest closes the file that was longest not used.
func (l *lane) closeOldest() {
	var oldest *file
	for _, f := range l.files {
		if oldest == nil || f.used.Before(oldest.used) {
			oldest = f
		}
	}
	if oldest != nil {
		l.closeFile(oldest)
	}
}

// rotate moves the file out of the way; it says whether it could.
func (l *lane) rotate(f *file, now time.Time) bool {
	at := now
	if f.rotated.IsZero() {
		f.rotated = lastRotated(f)
	}
	if !at.After(f.rotated) { // a clock that was set back must not change the order
		at = f.rotated.Add(1)
	}
	var err error
	for range 100 {
		to := filepath.Join(filepath.Dir(f.path), cri.File{Ordinal: f.of.id.Ordinal, Rotated: at}.Name())
		if err = moveAway(f.path, to); !errors.Is(err, unix.EEXIST) {
			break
		}
		at = at.Add(1)
	}
	if err != nil {
		if !f.stuck {
			f.stuck = true
			l.log.Error(err, "Cannot rotate a log; it goes on growing", "service", f.of.id.Service, "replica", f.of.id.String())
		}
		return false
	}
	f.rotated, f.stuck = at, false
	l.closeFile(f)
	l.keeper.rotated(f.of.id)
	return true
}

// lastRotated is when a daemon before us rotated the replica's file.
func lastRotated(f *file) (at time.Time) {
	entries, _ := os.ReadDir(filepath.Dir(f.path))
	for _, e := range entries {
		if other, ok := cri.ParseName(e.Name()); ok && other.Ordinal == f.of.id.Ordinal && other.Rotated.After(at) {
			at = other.Rotated
		}
	}
	return at
}

// expire rotates the replica's file when all that is in it is too old: it is called
// by the keeper, which removes it then.
func (l *lane) expire(id Replica) {
	l.post(func() {
		now := time.Now()
		l.mu.Lock()
		s := l.sourceOf(id)
		l.mu.Unlock()
		if s == nil {
			return
		}
		age := s.limits.Load().MaxAge
		if f, err := l.ready(s, 0, now); err == nil && age > 0 && f.size > 0 && len(f.rest) == 0 && now.Sub(f.first) >= age {
			l.rotate(f, now)
		}
	})
}

// sourceOf finds a replica by its pipes. The caller holds mu.
func (l *lane) sourceOf(id Replica) *source {
	for _, e := range l.tokens {
		if e.pipe != nil && e.pipe.of.id == id {
			return e.pipe.of
		}
	}
	return nil
}

// moveAway is rename(2) that replaces nothing.
func moveAway(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS { // the file system has no such thing
		if _, e := os.Lstat(to); e == nil {
			return unix.EEXIST
		}
		err = unix.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// writeAll writes all of b, or as much as there is room for.
func (l *lane) writeAll(fd int, b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := l.writeTo(fd, b[done:])
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = unix.ENOSPC
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}
