package reader

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notifier tells which folders to look at again. It may tell of one in which
// nothing happened.
type notifier struct {
	file *os.File // nil: the kernel has none for us
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	watched map[int32]string  // the folders, by watch descriptor
	news    map[string]change // since it was taken last
	all     bool              // anything may have happened anywhere
}

// change is what happened in a folder.
type change struct {
	names bool // files came, went or were renamed; else they were written to
	gone  bool // the folder itself was removed, or is not watched any more
}

const (
	writeEvents = unix.IN_MODIFY
	nameEvents  = unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE
	goneEvents  = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
)

// pollInterval is how long it waits to look again where it cannot be told.
const pollInterval = 500 * time.Millisecond

func openNotifier() *notifier {
	n := &notifier{
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		watched: map[int32]string{}, news: map[string]change{},
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		close(n.done) // out of instances (fs.inotify.max_user_instances): poll
		return n
	}
	n.file = os.NewFile(uintptr(fd), "inotify")
	go n.read()
	return n
}

func (n *notifier) close() {
	if n.file != nil {
		n.file.Close()
	}
	<-n.done
}

// watch watches a folder. It fails when the folder is not there; and when it can
// be watched no more the folder has to be looked at from time to time.
func (n *notifier) watch(dir string) error {
	if n.file == nil {
		return errors.ErrUnsupported
	}
	conn, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := conn.Control(func(fd uintptr) {
		n.mu.Lock() // an event must not come before its folder is known
		defer n.mu.Unlock()
		var wd int
		wd, err = unix.InotifyAddWatch(int(fd), dir, writeEvents|nameEvents|goneEvents|unix.IN_ONLYDIR)
		if err == nil {
			n.watched[int32(wd)] = dir
		}
	})
	return errors.Join(ctlErr, err)
}

// take returns what happened since it was called last.
func (n *notifier) take() (news map[string]change, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	news, all = n.news, n.all
	n.news, n.all = map[string]change{}, false
	return news, all
}

// wait waits until there is news. It looks at everything when blind says that it
// is not told of everything.
func (n *notifier) wait(ctx context.Context, blind bool) error {
	var timeout <-chan time.Time
	if blind {
		timer := time.NewTimer(pollInterval)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.wake:
	case <-timeout:
		n.mu.Lock()
		n.all = true
		n.mu.Unlock()
	}
	return nil
}

func (n *notifier) read() {
	defer close(n.done)
	buf := make([]byte, 16<<10)
	for {
		k, err := n.file.Read(buf)
		if err != nil || k < unix.SizeofInotifyEvent {
			return
		}
		n.note(buf[:k])
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

func (n *notifier) note(buf []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(buf) >= unix.SizeofInotifyEvent {
		raw := (*unix.InotifyEvent)(unsafe.Pointer(&buf[0]))
		if raw.Mask&unix.IN_Q_OVERFLOW != 0 {
			n.all = true
		}
		if dir, ok := n.watched[raw.Wd]; ok {
			c := n.news[dir]
			c.names = c.names || raw.Mask&(nameEvents|goneEvents|unix.IN_IGNORED) != 0
			c.gone = c.gone || raw.Mask&(goneEvents|unix.IN_IGNORED) != 0
			n.news[dir] = c
			if raw.Mask&unix.IN_IGNORED != 0 {
				delete(n.watched, raw.Wd)
			}
		}
		buf = buf[min(len(buf), unix.SizeofInotifyEvent+int(raw.Len)):]
	}
}
