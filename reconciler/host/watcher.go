package host

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// watcher waits for descriptors, with one epoll set and one goroutine. The set
// itself is waited for by Go's poller, so no thread is blocked in it.
type watcher struct {
	log   logr.Logger
	epfd  int
	file  *os.File
	ended chan struct{} // nil until started
	alarm int           // eventfd: something is in late

	mu      sync.Mutex
	closed  bool
	paused  chan struct{} // closed when the goroutine stands still; nil when it may run
	resumed chan struct{} // closed by resume
	last    uint64
	ready   map[uint64]func()
	late    []func() // their time has come
}

func openWatcher(log logr.Logger) (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // os.NewFile asks
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	w := &watcher{log: log, epfd: fd, file: os.NewFile(uintptr(fd), "epoll"), ready: map[uint64]func(){}}
	if w.alarm, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		_, err = w.add(w.alarm, unix.EPOLLIN, w.callLate)
	}
	if err != nil {
		_ = w.file.Close()
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	return w, nil
}

// after has f called once by the watcher's goroutine, when d has passed. It
// needs no descriptor: it is for those who could not get one.
func (w *watcher) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() { w.soon(f) })
}

// soon has f called once by the watcher's goroutine, after those that were given
// before.
func (w *watcher) soon(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.late = append(w.late, f)
		_, _ = unix.Write(w.alarm, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (w *watcher) callLate() {
	var buf [8]byte
	_, _ = unix.Read(w.alarm, buf[:])
	w.rest() // who has asked meanwhile does not ring again
	w.mu.Lock()
	late := w.late
	w.late = nil
	w.mu.Unlock()
	for _, f := range late {
		f()
	}
}

// add has ready called by the watcher's goroutine as long as fd has one of the
// events. The answer is the token for remove.
func (w *watcher) add(fd int, events uint32, ready func()) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, os.ErrClosed
	}
	w.last++
	token := w.last
	e := unix.EpollEvent{Events: events, Fd: int32(token), Pad: int32(token >> 32)}
	if err := unix.EpollCtl(w.epfd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return 0, fmt.Errorf("cannot watch a descriptor: %w", err)
	}
	w.ready[token] = ready
	return token, nil
}

// remove must precede the closing of fd: a child between fork and exec may hold
// the descriptor's twin, which would keep it in the set.
func (w *watcher) remove(fd int, token uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.ready[token]; !ok || w.closed {
		return
	}
	delete(w.ready, token)
	_ = unix.EpollCtl(w.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

func (w *watcher) start() {
	w.ended = make(chan struct{})
	go w.run()
}

func (w *watcher) run() {
	defer close(w.ended)
	conn, err := w.file.SyscallConn()
	if err != nil {
		w.log.Error(err, "Cannot wait for processes")
		return
	}
	buf := make([]unix.EpollEvent, 64)
	_ = conn.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), buf, 0)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				return false
			}
			for _, e := range buf[:n] {
				w.rest()
				w.call(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
			}
			if w.isClosed() {
				return true
			}
		}
	})
}

func (w *watcher) call(token uint64) {
	w.mu.Lock()
	ready := w.ready[token]
	w.mu.Unlock()
	if ready != nil {
		ready()
	}
}

func (w *watcher) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// pause has the goroutine stand still when it is done with what it is at. still is
// closed then, resumed when it goes on. Nothing is lost: what is ready stays ready.
func (w *watcher) pause() (still, resumed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.paused == nil {
		w.paused, w.resumed = make(chan struct{}), make(chan struct{})
		if w.closed {
			close(w.paused)
		} else {
			_, _ = unix.Write(w.alarm, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		}
	}
	return w.paused, w.resumed
}

func (w *watcher) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.paused != nil {
		close(w.resumed)
		w.paused, w.resumed = nil, nil
	}
}

// rest stands still if that is asked for.
func (w *watcher) rest() {
	w.mu.Lock()
	paused, resumed := w.paused, w.resumed
	w.mu.Unlock()
	if paused != nil {
		close(paused)
		<-resumed
	}
}

// close ends the goroutine and waits for it. Nothing is called afterwards.
func (w *watcher) close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	clear(w.ready)
	w.mu.Unlock()
	w.resume()
	_ = unix.Close(w.alarm)
	_ = w.file.Close()
	if w.ended != nil {
		<-w.ended
	}
}
