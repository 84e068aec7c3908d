package reader

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

const (
	// bufferSize holds every entry that is written by the daemon; of longer ones
	// it holds the head.
	bufferSize = 2 * cri.MaxText
	// headSize is how much of a file's beginning tells it from others. With
	// its first stamp it is another one for each file that has stamps.
	headSize = 128
)

// errTruncated says that a file does not hold what was read of it any more.
var errTruncated = errors.New("it was truncated")

// inode is which file a file is, as long as it is open or has a name.
type inode struct{ device, number uint64 }

// file is one log file that is being read. What it is known by is its inode and,
// for the time when it will have been copied or compressed, the content that was
// read.
type file struct {
	os   *os.File // nil: nothing more comes, there is only what is in the buffer
	id   inode
	zip  *gzip.Reader // nil for plain text
	live bool         // it was opened under the name that is written to
	// modified is the time of text that has none.
	modified time.Time

	buf  []byte
	r, w int // what is read and not yet given out
	// start and off are the part of the content that was read, sum its hash.
	start, off int64
	sum        maphash.Hash
	head       []byte
}

// openFlags have it follow no link, and not wait for a FIFO, that somebody has put
// there.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK

// openLog opens a file by name, for reading from start.
func openLog(path string, zipped, live bool, start int64) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	opened, err := newFile(f, zipped, live, start)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return opened, nil
}

// newFile reads an open file, which is its own from then on, from start.
func newFile(f *os.File, zipped, live bool, start int64) (*file, error) {
	var st unix.Stat_t
	if err := fstat(f, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("it is no regular file")
	}
	n := &file{os: f, id: inode{st.Dev, st.Ino}, live: live, modified: time.Unix(st.Mtim.Unix()), start: start, off: start}
	if zipped {
		z, err := gzip.NewReader(io.NewSectionReader(f, 0, math.MaxInt64))
		switch {
		case errors.Is(err, io.EOF): // empty
			n.os = nil
			return n, f.Close()
		case err != nil:
			return nil, err
		}
		n.zip = z
		return n, nil
	}
	if start > 0 {
		n.head = make([]byte, headSize)
		k, err := f.ReadAt(n.head, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		n.head = n.head[:k]
	}
	return n, nil
}

func fstat(f *os.File, st *unix.Stat_t) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := conn.Control(func(fd uintptr) { err = unix.Fstat(int(fd), st) })
	return errors.Join(ctlErr, err)
}

// reopen is the same file once more.
func reopen(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	number := -1
	ctlErr := conn.Control(func(fd uintptr) { number, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(ctlErr, err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(number), f.Name()), nil
}

func (f *file) close() {
	if f != nil && f.os != nil {
		f.os.Close()
	}
}

// part returns the next part of an entry: up to its newline (end), or as much of
// it as fits into the buffer. ok is false when there is none for now. The text
// is valid until the next call.
func (f *file) part() (text []byte, end, ok bool, err error) {
	if f.fresh() {
		f.reset()
	}
	looked := f.r
	for {
		if i := bytes.IndexByte(f.buf[looked:f.w], '\n'); i >= 0 {
			text = f.buf[f.r : looked+i]
			f.r = looked + i + 1
			return text, true, true, nil
		}
		if f.r == 0 && f.w == bufferSize {
			f.r = f.w
			return f.buf[:f.w], false, true, nil
		}
		looked = f.w - f.r // of the buffer after the next fill
		n, err := f.fill()
		if err != nil || n == 0 {
			return nil, false, false, err
		}
	}
}

// fresh reports whether all that was read of the file that is written to is still
// in the buffer.
func (f *file) fresh() bool {
	return f != nil && f.live && f.zip == nil && f.start == 0 && f.r == 0 && f.off == int64(f.w)
}

// reset has a fresh file be read once more: it may have been cut off and written
// to since, which the beginning of a stamp alone does not tell.
func (f *file) reset() {
	f.off, f.w, f.head = 0, 0, nil
	f.sum.Reset()
}

// torn returns what stands after the last newline, and takes it.
func (f *file) torn() []byte {
	text := f.buf[f.r:f.w]
	f.r = f.w
	return text
}

// fill reads on. 0 is that there is nothing more for now.
func (f *file) fill() (n int, err error) {
	if f.os == nil {
		return 0, nil
	}
	if f.buf == nil {
		f.buf = make([]byte, bufferSize)
	}
	f.w = copy(f.buf, f.buf[f.r:f.w])
	f.r = 0
	into := f.buf[f.w:]
	if f.zip != nil {
		n, err = f.zip.Read(into)
	} else {
		n, err = f.os.ReadAt(into, f.off)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if f.live && f.off > 0 {
		// Looked at after the read: what was read is of the file that the
		// content before it is of.
		if cut, err := f.truncated(); err != nil || cut {
			return 0, errors.Join(err, errTruncated)
		}
	}
	if f.off == int64(len(f.head)) && len(f.head) < headSize {
		f.head = append(f.head, into[:min(n, headSize-len(f.head))]...)
	}
	f.sum.Write(into[:n])
	f.w += n
	f.off += int64(n)
	return n, nil
}

// truncated reports whether the content is not the one any more that was read.
// Its size alone does not tell: it may have grown again.
func (f *file) truncated() (bool, error) {
	var st unix.Stat_t
	if err := fstat(f.os, &st); err != nil {
		return false, err
	}
	f.modified = time.Unix(st.Mtim.Unix())
	if st.Size < f.off {
		return true, nil
	}
	var now [headSize]byte
	n, err := f.os.ReadAt(now[:len(f.head)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return !bytes.Equal(now[:n], f.head), nil
}

// grown reports whether there is more to read.
func (f *file) grown() bool {
	if f == nil || f.os == nil || !f.live {
		return false
	}
	var st unix.Stat_t
	return fstat(f.os, &st) == nil && st.Size > f.off
}

// first is the stamp of the first entry, or zero.
func (f *file) first() time.Time { return firstStamp(f.head) }

func firstStamp(head []byte) time.Time {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	entry, _ := cri.Parse(line)
	return entry.Time
}

// isIn reports whether another file begins with what was read of this one, and
// returns it so that reading goes on in it where it left off.
func (f *file) isIn(path string, zipped bool) (*file, bool) {
	if f.off == 0 {
		return nil, false // nothing is known of it
	}
	other, err := openLog(path, zipped, false, 0)
	if err != nil {
		return nil, false
	}
	if !other.repeats(f) {
		other.close()
		return nil, false
	}
	other.buf = append(make([]byte, 0, bufferSize), f.buf[f.r:f.w]...)
	other.r, other.w = 0, len(other.buf)
	other.buf = other.buf[:bufferSize]
	return other, true
}

// repeats reads as much as was read of f, and compares.
func (f *file) repeats(of *file) bool {
	f.sum.SetSeed(of.sum.Seed())
	f.buf = make([]byte, bufferSize)
	for f.off < of.off {
		into := f.buf[:min(int64(bufferSize), of.off-f.off)]
		if f.off < of.start {
			into = into[:min(int64(len(into)), of.start-f.off)]
		}
		var n int
		var err error
		switch {
		case f.os == nil:
			return false
		case f.zip != nil:
			n, err = f.zip.Read(into)
		default:
			n, err = f.os.ReadAt(into, f.off)
		}
		if n == 0 && err != nil {
			return false
		}
		if f.off < headSize {
			f.head = append(f.head, into[:min(n, headSize-len(f.head))]...)
			if k := min(len(f.head), len(of.head)); !bytes.Equal(f.head[:k], of.head[:k]) {
				return false
			}
		}
		if f.off >= of.start {
			f.sum.Write(into[:n])
		}
		f.off += int64(n)
	}
	f.start = of.start
	return f.sum.Sum64() == of.sum.Sum64()
}
