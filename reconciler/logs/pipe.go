package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

const (
	// pipeMode lets the service's user do everything, and anybody else who was
	// given the descriptor write: a program that changes its user may still open
	// /dev/stdout again. The folder is closed to all others.
	pipeMode = 0o622
	// pipeSize is the kernel's default (pipe(7)). A pipe that was seen almost full
	// gets grownSize, and wideSize when it was again, as long as all together have
	// grown by less than grownMost, or half of it.
	pipeSize  = 64 << 10
	grownSize = 256 << 10
	wideSize  = 1 << 20
	grownMost = 64 << 20
)

// source is a replica whose output is taken.
type source struct {
	id     Replica
	limits atomic.Pointer[Limits]
	mu     sync.Mutex // guards the descriptors
	// await is the line that is waited for; nil: none. awaited is it, too, from the
	// time when it is asked for; Capture.mu guards that.
	await   atomic.Pointer[await]
	awaited *await
	pipes   [2]pipe // by cri.Stream
	// before says that a daemon before us took its output: whether the last line
	// has ended is in the file alone. mu guards it.
	before bool
	// file and loss belong to the lane's goroutine.
	file *file
	loss *lossSlot
}

// pipe is a FIFO of a replica. source.mu guards fd and token; the lane's goroutine
// owns the rest.
type pipe struct {
	of     *source
	stream cri.Stream
	fd     int
	inode  uint64
	token  int32
	size   atomic.Int32 // it may be another FIFO by now than the one that the lane reads
	grown  int          // what of lane.grown is its
	slot   int32        // of its unfinished line in the journal, or -1
	since  time.Time
	// open says that the last entry, or what is held, has no end yet.
	open atomic.Bool
}

// pipeName is the name of a FIFO in the folder, and its key in the journal.
func pipeName(id Replica, s cri.Stream) string { return id.String() + "." + s.String() }

// parsePipeName is the inverse of pipeName.
func parsePipeName(name string) (Replica, cri.Stream, bool) {
	base, stream, _ := strings.Cut(name, ".")
	id, ok := parseReplica(base)
	switch stream {
	case "stdout":
		return id, cri.Stdout, ok
	case "stderr":
		return id, cri.Stderr, ok
	}
	return id, cri.Stdout, false
}

func (p *pipe) name() string { return pipeName(p.of.id, p.stream) }

func (p *pipe) key() (k key) {
	copy(k[:len(k)-1], p.name())
	return k
}

func (k *key) String() string {
	name, _, _ := strings.Cut(string(k[:]), "\x00")
	return name
}

// makePipe makes the FIFO at path unless it is there, and gives it to the user.
// inode is what was there, or 0. It most likely is nothing when it is new.
func makePipe(path string, isNew bool, uid, gid uint32) (inode uint64, err error) {
	var st unix.Stat_t
	err = unix.ENOENT
	if !isNew {
		err = unix.Lstat(path, &st)
	}
	if err == unix.ENOENT {
		err = unix.Mkfifo(path, pipeMode)
		if err == unix.ENOENT {
			if e := os.MkdirAll(filepath.Dir(path), 0o700); e != nil {
				return 0, e
			}
			err = unix.Mkfifo(path, pipeMode)
		}
		if err == nil {
			st.Uid, st.Gid, st.Mode = uint32(unix.Geteuid()), uint32(unix.Getegid()), unix.S_IFIFO
		} else if err == unix.EEXIST {
			err = unix.Lstat(path, &st)
		}
	}
	if err != nil {
		return 0, &os.PathError{Op: "make", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return 0, &os.PathError{Op: "use", Path: path, Err: errors.New("it is no FIFO")}
	}
	if st.Uid != uid || st.Gid != gid {
		// Without root there is only one user, and the start will tell.
		if err := unix.Lchown(path, int(uid), int(gid)); err != nil && err != unix.EPERM {
			return 0, &os.PathError{Op: "chown", Path: path, Err: err}
		}
	}
	if st.Mode&0o777 != pipeMode {
		if err := unix.Chmod(path, pipeMode); err != nil && err != unix.EPERM {
			return 0, &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	return st.Ino, nil
}

// openPipe opens the daemon's end. It can write, too: without a writer a pipe
// would tell of its end for ever.
func openPipe(path string) (int, uint64, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	inode, err := pipeInode(fd)
	if err != nil {
		_ = unix.Close(fd)
		return -1, 0, fmt.Errorf("cannot use %s: %w", path, err)
	}
	return fd, inode, nil
}

func pipeInode(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return 0, errors.New("it is no FIFO")
	}
	return st.Ino, nil
}

// available is how many bytes wait in the pipe, at least: only we read.
func available(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ) // FIONREAD, ioctl_tty(2)
	if err != nil {
		return 0
	}
	return n
}
