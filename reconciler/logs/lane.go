package logs

import (
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

const (
	// holdFor is how long the head of a line waits for its end; then it is
	// written as a part, so that a prompt can be seen.
	holdFor = time.Second
	// retryAfter is how often a file that could not be written is tried again
	// while nothing is to be written.
	retryAfter = time.Second
	// journalAfter is how often it is tried again to have a journal.
	journalAfter = 10 * time.Second
	// breath is how long output may wait for more to come, and breathBelow how much
	// is enough not to wait.
	breath      = time.Millisecond
	breathBelow = 16 << 10
	// maxOpenFiles bounds the files that are kept open.
	maxOpenFiles = 1024
)

// lane is the goroutine that all output goes through, with its epoll set. It waits
// in a thread of its own: a set that Go's poller waits for would wake a thread at
// each write to a pipe, even while we are at work on it.
type lane struct {
	log    logr.Logger
	logDir string
	sink   Sink
	keeper *keeper
	// closing is told a FIFO that is about to be closed.
	closing func(name string, fd int)
	// stop is called between steps of which a crash must do no harm.
	stop func()
	// writeTo is write(2), on files.
	writeTo func(fd int, b []byte) (int, error)

	epfd  int
	alarm int // eventfd: there is a command
	ended chan struct{}

	// The lane's goroutine owns these.
	journal *journal
	path    string // of the journal
	held    []*pipe
	grown   int
	files   []*file         // that are open, the one longest unused first
	scratch [2]int          // a pipe to look into others with
	peeked  [nonceSize]byte // what was seen
	header  [2][2][]byte    // room for headers, by stream and whether partial
	timer   *time.Timer
	timerAt time.Time
	passed  time.Time // when the last pass began
	taken   int       // bytes that were read in it
	breath  *time.Timer
	hurry   chan struct{} // a command is there

	busy   atomic.Int64          // when the pass began that is under way, ns since 1970; 0: none
	small  atomic.Int32          // pipes that hold less than they should
	unsafe atomic.Pointer[error] // why the journal does not outlive us

	mu       sync.Mutex
	tokens   []entry
	unused   []int32
	commands []func()
	lossy    []*source // whose file could not be written
	closed   bool
	paused   chan struct{}
	resumed  chan struct{}
}

// entry is what an event's token leads to.
type entry struct {
	pipe *pipe // nil: nobody
	fd   int
}

const alarmToken = -1

func openLane(c *Capture, sink Sink) (*lane, error) {
	l := &lane{
		log: c.log, logDir: c.logDir, sink: sink, keeper: c.keeper, closing: func(string, int) {}, stop: func() {}, writeTo: unix.Write,
		ended: make(chan struct{}), hurry: make(chan struct{}, 1),
	}
	var err error
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	if l.alarm, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		token := int32(alarmToken)
		err = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, l.alarm, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: token})
	}
	if err == nil {
		err = unix.Pipe2(l.scratch[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	}
	if err != nil {
		_ = unix.Close(l.epfd)
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	l.path = filepath.Join(c.dir, "journal")
	if l.journal, err = openJournal(l.path); err != nil {
		l.unsafe.Store(&err)
		l.log.Error(err, "Cannot keep a journal of output; a crash of the daemon would lose some")
		l.remind(time.Now().Add(journalAfter))
	}
	return l, nil
}

// add has a pipe read. The caller holds the source's mu.
func (l *lane) add(p *pipe, fd int, inode uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	token := int32(len(l.tokens))
	if n := len(l.unused); n > 0 {
		token = l.unused[n-1]
		l.unused = l.unused[:n-1]
	} else {
		l.tokens = append(l.tokens, entry{})
	}
	l.tokens[token] = entry{p, fd}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: token}); err != nil {
		l.tokens[token] = entry{}
		l.unused = append(l.unused, token)
		return fmt.Errorf("cannot watch a pipe: %w", err)
	}
	p.fd, p.token, p.inode = fd, token, inode
	size := pipeSize
	if is, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil {
		size = is
	}
	p.size.Store(int32(size))
	if size < pipeSize {
		l.small.Add(1)
	}
	return nil
}

// drop lets go of a pipe's descriptor when all that is in it was taken; a line that
// has no end there gets one. The caller holds the source's mu.
func (l *lane) drop(p *pipe) {
	fd, token, small := p.fd, p.token, p.size.Load() < pipeSize
	p.fd, p.token = -1, -1
	l.post(func() {
		if l.drain(p, fd) && p.open.Load() {
			l.flush(p, true)
		}
		l.dropped(p, fd, token, small)
	})
}

func (l *lane) dropped(p *pipe, fd int, token int32, small bool) {
	if fd < 0 {
		return
	}
	l.drain(p, fd)
	if small {
		l.small.Add(-1)
	}
	l.grown -= p.grown
	p.grown = 0
	l.mu.Lock()
	l.tokens[token] = entry{}
	l.unused = append(l.unused, token)
	l.mu.Unlock()
	_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, fd, nil)
	l.closing(p.name(), fd)
	_ = unix.Close(fd)
}

// release writes what the pipes of replicas hold, and lets go of them.
func (l *lane) release(gone []*source) {
	l.do(releasePatience, func() {
		for _, s := range gone {
			l.letGo(s)
		}
	})
}

func (l *lane) letGo(s *source) {
	s.mu.Lock()
	for n := range s.pipes {
		p := &s.pipes[n]
		l.dropped(p, p.fd, p.token, p.size.Load() < pipeSize)
		p.fd, p.token = -1, -1
	}
	s.mu.Unlock()
	l.endLines(s, new(atomic.Bool))
	if s.file != nil {
		l.closeFile(s.file)
	}
	l.forgetLoss(s)
}

// post has f called by the lane's goroutine.
func (l *lane) post(f func()) {
	l.mu.Lock()
	l.commands = append(l.commands, f)
	l.alert()
	l.mu.Unlock()
}

// do is post, and waits until f has been called, for so long at most. It says
// whether f was: if not it will be, unless the goroutine has ended.
func (l *lane) do(most time.Duration, f func()) bool {
	done := make(chan struct{})
	l.post(func() { f(); close(done) })
	patience := time.NewTimer(most)
	defer patience.Stop()
	select {
	case <-done:
		return true
	case <-l.ended:
	case <-patience.C:
	}
	return false
}

func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alert()
}

// alert is wake for who holds mu.
func (l *lane) alert() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
	if l.alarm >= 0 {
		_, _ = unix.Write(l.alarm, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (l *lane) run() {
	defer close(l.ended)
	// A journal that somebody truncates, or whose disk fails, is a fault: one that
	// the guard can handle instead of the end of the process.
	debug.SetPanicOnFault(true)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(l.epfd, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			l.log.Error(err, "Cannot wait for output")
			return
		}
		if !l.pass(events[:n]) {
			return
		}
	}
}

// pass handles events; it says whether to go on.
func (l *lane) pass(events []unix.EpollEvent) bool {
	l.breathe()
	l.busy.Store(time.Now().UnixNano())
	defer l.busy.Store(0)
	for _, e := range events {
		if e.Fd == alarmToken {
			// First, so that who asks from now on is heard.
			var buf [8]byte
			_, _ = unix.Read(l.alarm, buf[:])
		}
		if l.rest(); l.isClosed() {
			return false
		}
		l.handle(e.Fd)
	}
	return true
}

// breathe waits a moment when little came in the last pass, and that was just now:
// whoever writes line by line would have us run for each.
func (l *lane) breathe() {
	if now := time.Now(); l.taken < breathBelow && now.Sub(l.passed) < breath {
		if l.breath == nil {
			l.breath = time.NewTimer(breath)
		} else {
			l.breath.Reset(breath)
		}
		select {
		case <-l.breath.C:
		case <-l.hurry:
		}
	}
	l.passed, l.taken = time.Now(), 0
}

// handle handles one event. Commands come first always: one that was given before
// a process was started is obeyed before what that one writes is read.
func (l *lane) handle(token int32) {
	l.obey()
	if token == alarmToken {
		l.late()
		return
	}
	l.mu.Lock()
	e := l.tokens[token]
	l.mu.Unlock()
	if e.pipe != nil {
		l.take(e.pipe, e.fd)
	}
}

func (l *lane) obey() {
	for {
		l.mu.Lock()
		commands := l.commands
		l.commands = nil
		l.mu.Unlock()
		if len(commands) == 0 {
			return
		}
		for _, f := range commands {
			f()
		}
	}
}

func (l *lane) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
