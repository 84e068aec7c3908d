package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// shelf has systemd hold the FIFOs of services open, so that what a service has
// written before it ended waits for the next daemon.
//
// It does not give each to the descriptor store (sd_notify(3)): systemd compares
// each with all that it has, names all in one variable, which the kernel limits to
// 128 KiB, and cannot start us when they are more than our soft limit of open
// files. It gives systemd one socket, and the FIFOs lie in that one's queue as
// SCM_RIGHTS (unix(7)): one system call for each, and none for systemd.
//
// What was put into a queue is not taken out; when it is full, or more than half
// of it is of no use any more, another takes its place. One that is lost, with its
// daemon, is looked into without being emptied: there is always one in systemd's
// hands that has everything.
type shelf struct {
	log logr.Logger

	mu     sync.Mutex
	open   map[string]int // what is to be kept. Others own the descriptors
	gone   int            // how many in the queue are of no use
	socket int            // whose peer, with the queue, systemd has; -1: none
	number int            // of the queue
	former []int          // numbers of queues that systemd may have besides
	off    bool           // nobody keeps anything for us
	worse  bool           // the log says that it is not as it should be
}

const (
	// scmMost is SCM_MAX_FD, how many descriptors a message can have.
	scmMost = 253
	// shelfRoom is how much memory a queue may take besides what is in it when it
	// is made: about 300 FIFOs, one by one.
	shelfRoom = 256 << 10
	// shelfWaste is how many useless descriptors are never worth a new queue.
	shelfWaste = 64
	// shelfMessage is the longest message: names of services have 63 bytes at most.
	shelfMessage = 64 << 10

	shelfPrefix = "output-"
)

// openShelf returns nil, which keeps nothing, when there is no service manager.
// former are the queues of daemons before this one.
func openShelf(log logr.Logger, former []int) *shelf {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	s := &shelf{log: log, open: map[string]int{}, socket: -1, former: former}
	for _, n := range former {
		s.number = max(s.number, n)
	}
	return s
}

// opened has a FIFO kept until it is closing.
func (s *shelf) opened(name string, fd int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, replaced := s.open[name]; replaced {
		s.gone++
	}
	s.open[name] = fd
	if s.socket < 0 {
		return // renew comes, or never
	}
	err := send(s.socket, name, fd)
	switch err {
	case nil:
	case unix.EPIPE, unix.ECONNRESET:
		s.off = true
		closeFD(s.socket)
		s.socket = -1
		s.complain(errors.New("the service manager has closed what it was to keep: FileDescriptorStoreMax= of the unit is missing or too small"))
	default: // it is full
		s.renewLocked()
	}
}

// closing must come before the descriptor is closed.
func (s *shelf) closing(name string, fd int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[name] != fd {
		return
	}
	delete(s.open, name)
	if s.gone++; s.gone > shelfWaste+len(s.open) && s.socket >= 0 {
		s.renewLocked()
	}
}

// renew gives systemd a queue with all that is open, in place of those it has.
func (s *shelf) renew() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewLocked()
}

func (s *shelf) renewLocked() {
	if s.off {
		return
	}
	socket, queue, err := s.fill()
	if err != nil {
		s.complain(err)
		return
	}
	defer closeFD(queue)
	number := s.number + 1
	if err := notifyWith(fmt.Sprintf("FDSTORE=1\nFDNAME=%s%d\nFDPOLL=0", shelfPrefix, number), queue); err != nil {
		closeFD(socket)
		s.complain(fmt.Errorf("cannot tell the service manager: %w", err))
		return
	}
	s.worse = false
	if s.socket >= 0 {
		closeFD(s.socket)
		s.former = append(s.former, s.number)
	}
	s.socket, s.number, s.gone = socket, number, 0
	s.former = slices.DeleteFunc(s.former, func(n int) bool {
		return notifyWith(fmt.Sprintf("FDSTOREREMOVE=1\nFDNAME=%s%d", shelfPrefix, n)) == nil
	})
}

// fill makes a queue with all that is open.
func (s *shelf) fill() (socket, queue int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, -1, err
	}
	room := shelfRoom
	for name := range s.open {
		room += 2 * len(name)
	}
	if unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, room) // as much as may be
	}
	names, fds := make([]string, 0, scmMost), make([]int, 0, scmMost)
	put := func() {
		if err == nil && len(fds) > 0 {
			err = send(pair[0], strings.Join(names, "\n"), fds...)
		}
		names, fds = names[:0], fds[:0]
	}
	for name, fd := range s.open {
		names, fds = append(names, name), append(fds, fd)
		if len(fds) == scmMost {
			put()
		}
	}
	put()
	if err != nil {
		closeFD(pair[0])
		closeFD(pair[1])
		return -1, -1, fmt.Errorf("cannot put %d descriptors into a queue: %w", len(s.open), err)
	}
	return pair[0], pair[1], nil
}

// complain tells why the last FIFOs are not kept, once. The next one has it tried
// again, unless the shelf is off.
func (s *shelf) complain(err error) {
	if s.worse {
		return
	}
	s.worse = true
	s.log.Info("Pipes of services are not kept by the service manager; output may be lost of a service that ends while there is no daemon", "message", err.Error())
}

// kept are the numbers of the queues that systemd may have.
func (s *shelf) kept() []int {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == 0 {
		return s.former
	}
	return append([]int{s.number}, s.former...)
}

// send sends at once or not at all.
func send(socket int, text string, fds ...int) error {
	for {
		err := unix.Sendmsg(socket, []byte(text), unix.UnixRights(fds...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// shelved is a queue that systemd kept for us while there was no daemon.
type shelved struct{ number, fd int }

// takeShelved finds the queues among the descriptors that systemd has passed to
// us (sd_listen_fds(3)), by number, and takes the variables away: they are for
// nobody else. What else was passed is left alone.
func takeShelved() []shelved {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) || count != strconv.Itoa(len(names)) {
		return nil
	}
	var all []shelved
	for i, name := range names {
		digits, ours := strings.CutPrefix(name, shelfPrefix)
		number, err := strconv.Atoi(digits)
		if ours && err == nil && number > 0 && strconv.Itoa(number) == digits {
			fd := 3 + i
			unix.CloseOnExec(fd)
			all = append(all, shelved{number, fd})
		}
	}
	slices.SortFunc(all, func(a, b shelved) int { return cmp.Compare(a.number, b.number) })
	return all
}

// takeDown returns what lies in the queues, by name and the newest last, and lets
// go of them. It stays in them: systemd has them, too, until renew.
func takeDown(queues []shelved) (fds map[string][]int, numbers []int) {
	fds = map[string][]int{}
	for _, q := range queues {
		numbers = append(numbers, q.number)
		look(q.fd, fds)
		closeFD(q.fd)
	}
	return fds, numbers
}

func look(queue int, fds map[string][]int) {
	// Each MSG_PEEK goes on where the one before it ended (socket(7)).
	if unix.SetsockoptInt(queue, unix.SOL_SOCKET, unix.SO_PEEK_OFF, 0) != nil {
		return
	}
	text, rights := make([]byte, shelfMessage), make([]byte, unix.CmsgSpace(4*scmMost))
	for {
		n, oobn, _, _, err := unix.Recvmsg(queue, text, rights, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		names, got := strings.Split(string(text[:n]), "\n"), descriptors(rights[:oobn])
		for i, fd := range got {
			if len(got) == len(names) {
				fds[names[i]] = append(fds[names[i]], fd)
			} else {
				closeFD(fd)
			}
		}
	}
}

// descriptors are those that came with a message.
func descriptors(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var all []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}
