package watch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notifier tells that something happened in a directory. It is a seam for the
// tests; inotify is the only real one.
type notifier interface {
	// add watches the directory that fd is open on, for the kinds of mask in
	// addition to what it is watched for already. The same directory always
	// gives the same number, whatever path leads to it.
	add(fd int, mask uint32) (wd int32, err error)
	remove(wd int32)
	// events gives what happened. It is closed when no more will come.
	events() <-chan []event
	close()
}

// event is that something happened to the entry of a directory, or to the
// directory itself when name is empty. What happened is not told: the sequence
// of kinds cannot be trusted, so whoever is told looks.
type event struct {
	wd       int32
	name     string
	overflow bool // some events were lost
	ended    bool // the directory is not watched any more
}

// inotify is the kernel's notifier. It is used directly, not through fsnotify,
// for three reasons. fsnotify watches each directory for every kind, so that a
// log file written beside the manifests' folder would wake us with each line;
// it does not offer IN_CLOSE_WRITE, which tells when a writer is done; and it
// knows directories by path, which says nothing once a path leads elsewhere.
type inotify struct {
	file *os.File
	out  chan []event
	stop chan struct{}
	done chan struct{}
}

func openInotify() (notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot open inotify (fs.inotify.max_user_instances): %w", err)
	}
	n := &inotify{
		file: os.NewFile(uintptr(fd), "inotify"),
		out:  make(chan []event),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	go n.read()
	return n, nil
}

func (n *inotify) add(fd int, mask uint32) (int32, error) {
	// The link in /proc leads to the very directory that is open; a path
	// could lead to another one by now.
	path := "/proc/self/fd/" + strconv.Itoa(fd)
	var wd int
	var err error
	ctlErr := n.control(func(self int) {
		wd, err = unix.InotifyAddWatch(self, path, mask|unix.IN_MASK_ADD|unix.IN_ONLYDIR)
	})
	return int32(wd), errors.Join(ctlErr, err)
}

func (n *inotify) remove(wd int32) {
	_ = n.control(func(self int) {
		// It fails when the directory is gone, and the watch with it.
		_, _ = unix.InotifyRmWatch(self, uint32(wd))
	})
}

// control avoids os.File.Fd, which would make the descriptor blocking.
func (n *inotify) control(f func(fd int)) error {
	c, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) { f(int(fd)) })
}

func (n *inotify) events() <-chan []event { return n.out }

func (n *inotify) close() {
	close(n.stop)
	_ = n.file.Close()
	<-n.done
}

func (n *inotify) read() {
	defer close(n.done)
	defer close(n.out)
	buf := make([]byte, 16<<10)
	for {
		k, err := n.file.Read(buf)
		if err != nil || k < unix.SizeofInotifyEvent {
			return
		}
		select {
		case n.out <- decodeEvents(buf[:k]):
		case <-n.stop:
			return
		}
	}
}

func decodeEvents(buf []byte) []event {
	var list []event
	for len(buf) >= unix.SizeofInotifyEvent {
		raw := (*unix.InotifyEvent)(unsafe.Pointer(&buf[0]))
		end := unix.SizeofInotifyEvent + int(raw.Len)
		if end > len(buf) {
			break
		}
		e := event{
			wd:       raw.Wd,
			name:     unix.ByteSliceToString(buf[unix.SizeofInotifyEvent:end]),
			overflow: raw.Mask&unix.IN_Q_OVERFLOW != 0,
			ended:    raw.Mask&unix.IN_IGNORED != 0,
		}
		if len(list) == 0 || list[len(list)-1] != e {
			list = append(list, e)
		}
		buf = buf[end:]
	}
	return list
}
