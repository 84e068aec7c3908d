package watch

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFileSize is far above any manifest; what is larger is a mistake, and
	// parsing it would take a second.
	maxFileSize = 4 << 20
	// quietWindow is how long a file must have been left alone where no lease
	// can tell whether somebody is writing.
	quietWindow = 50 * time.Millisecond
	// racyLocal and racyRemote are how coarse the times of a file may be.
	racyLocal  = 20 * time.Millisecond
	racyRemote = 2 * time.Second
)

// errWriter is that somebody has the file open for writing, errUnquiet that it was
// written to just now.
var (
	errWriter  = errors.New("open for writing")
	errUnquiet = errors.New("written to just now")
)

// fsClass says what can be known about writers on a file system.
type fsClass uint8

const (
	// fsLocal: a lease tells about every writer.
	fsLocal fsClass = iota + 1
	// fsStacked: a lease may be granted although somebody writes; file times are
	// by our clock.
	fsStacked
	// fsUnknown: nothing is known.
	fsUnknown
	// fsRemote: others write without the kernel noticing.
	fsRemote
)

// classify goes by the magic numbers of statfs(2).
func classify(fd int) fsClass {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fsUnknown
	}
	return classOf(int64(st.Type))
}

func classOf(magic int64) fsClass {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.F2FS_SUPER_MAGIC, unix.RAMFS_MAGIC, magicBcachefs, magicZFS:
		return fsLocal
	case unix.OVERLAYFS_SUPER_MAGIC:
		return fsStacked
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.FUSE_SUPER_MAGIC, magicLustre, magicGPFS:
		return fsRemote
	}
	return fsUnknown
}

// Not in linux/magic.h, or not in x/sys.
const (
	magicBcachefs = 0xca451a4e
	magicZFS      = 0x2fc12fc1
	magicLustre   = 0x0bd00bd0
	magicGPFS     = 0x47504653
)

// lease asks whether somebody has the file open for writing. It takes a read
// lease and drops it at once: a writer who comes meanwhile waits for
// microseconds.
func lease(fd int) error {
	if err := takeLease(fd); err != nil {
		return err
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	return err
}

// takeLease has a broken lease told by SIGURG, not by SIGIO: that ends a
// process that has not arranged for it, as ours between execve and the start
// of the runtime. Dropping a lease undoes the choice.
func takeLease(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETSIG, int(unix.SIGURG)); err != nil {
		return err
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	return err
}

// reader reads whole versions of files. steady says whether this version has
// been seen unchanged for the quiet window.
type reader struct {
	lease  func(fd int) error
	class  func(fd int) fsClass
	now    func() time.Time
	steady func(id identity) bool
	check  func(st *unix.Stat_t) error
	// limit is the most bytes that a file may have. Of them the first keep are given
	// back; all go to sum, unless it is nil.
	limit, keep int64
	sum         io.Writer
	// opened is called between the opening and the reading: a seam for tests.
	opened func()
}

// version is what a file held while nobody wrote to it.
type version struct {
	data []byte // its head
	id   identity
	racy bool // a later change may have the same identity
}

// read reads the regular file name in the directory at, which was looked at
// before: opening a FIFO or a device may have effects. Errors are errWriter,
// errUnquiet, *refusal, or of the system.
func (r *reader) read(at int, name string) (version, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return version{}, err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return version{}, err
	}
	if err := regular(&st); err != nil {
		return version{}, err
	}
	if err := r.check(&st); err != nil {
		return version{}, err
	}
	if st.Size > r.limit {
		return version{}, fmt.Errorf("it is too large: %d bytes, at most %d are read", st.Size, r.limit)
	}
	class := r.class(fd)
	if err := r.quiet(fd, class, &st); err != nil {
		return version{}, err
	}
	if r.opened != nil {
		r.opened()
	}
	now := r.now()
	data, size, err := r.content(fd, st.Size)
	if err != nil {
		return version{}, err
	}
	if size != st.Size {
		return version{}, errUnquiet
	}
	return r.confirm(fd, class, &st, version{data: data, id: identify(&st)}, now)
}

// confirm looks once more: what was read is one version only when nothing
// changed meanwhile and nobody began to write.
func (r *reader) confirm(fd int, class fsClass, before *unix.Stat_t, v version, now time.Time) (version, error) {
	var after unix.Stat_t
	if err := unix.Fstat(fd, &after); err != nil {
		return version{}, err
	}
	if identify(&after) != identify(before) {
		return version{}, errUnquiet
	}
	if class == fsLocal && errors.Is(r.lease(fd), unix.EAGAIN) {
		return version{}, errWriter
	}
	window := racyRemote
	if class == fsLocal || class == fsStacked {
		window = racyLocal
	}
	v.racy = v.id.racy(now, window)
	return v, nil
}

func (r *reader) quiet(fd int, class fsClass, st *unix.Stat_t) error {
	if class == fsLocal {
		switch err := r.lease(fd); {
		case err == nil:
			return nil
		case errors.Is(err, unix.EAGAIN):
			return errWriter
		}
	}
	if class == fsLocal || class == fsStacked {
		if r.now().UnixNano()-st.Mtim.Nano() >= int64(quietWindow) {
			return nil
		}
	}
	if r.steady(identify(st)) {
		return nil
	}
	return errUnquiet
}

func regular(st *unix.Stat_t) error {
	kind := "something else"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFIFO:
		kind = "a FIFO"
	case unix.S_IFSOCK:
		kind = "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		kind = "a device"
	case unix.S_IFDIR:
		kind = "a directory"
	}
	return fmt.Errorf("it is %s, not a regular file", kind)
}

// content reads to the end of a file of a size; one byte more than that shows
// growth.
func (r *reader) content(fd int, size int64) (head []byte, read int64, err error) {
	const chunk = 128 << 10
	head = make([]byte, 0, min(size, r.keep)+1)
	buf := head[:cap(head)]
	for read <= size {
		n, err := unix.Read(fd, buf[:min(int64(len(buf)), size+1-read)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, 0, err
		case n == 0:
			return head, read, nil
		}
		if r.sum != nil {
			_, _ = r.sum.Write(buf[:n])
		}
		read += int64(n)
		if len(head) < cap(head) {
			head = head[:len(head)+n]
			buf = head[len(head):cap(head)]
		}
		if len(buf) == 0 {
			buf = make([]byte, min(chunk, size+1))
		}
	}
	return head, read, nil
}
