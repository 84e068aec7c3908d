package api

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// share is how many connections there may be of so many descriptors, and how many of
// them those have who may only look: the most of the descriptors are for services.
func share(descriptors uint64) (most, others int) {
	most = int(min(maxConnections, max(8, descriptors/4)))
	return most, min(maxOthers, max(2, most/4))
}

// descriptors is how many the process may have open.
func descriptors() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}

// limitListener holds at most so many connections open. Further ones wait in the
// kernel's queue; they get their turn because the server's timeouts end what
// does nothing. Those of others than the privileged have a share of them. Beyond that
// a few are taken to be told so, and the rest is closed at once: they do not stand before
// anybody in the queue.
type limitListener struct {
	net.Listener
	slots      chan struct{}
	others     chan struct{}
	crowded    chan struct{}
	privileged func(net.Conn) bool
	closed     chan struct{}
	once       sync.Once
}

func limit(l net.Listener, most, others, crowded int, privileged func(net.Conn) bool) *limitListener {
	return &limitListener{
		Listener: l, slots: make(chan struct{}, most), others: make(chan struct{}, others), crowded: make(chan struct{}, crowded),
		privileged: privileged, closed: make(chan struct{}),
	}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		if l.privileged(conn) {
			return &limitedConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
		}
		select {
		case l.others <- struct{}{}:
			return &limitedConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots; <-l.others })}, nil
		default:
		}
		select {
		case l.crowded <- struct{}{}:
			<-l.slots
			return &limitedConn{Conn: conn, free: sync.OnceFunc(func() { <-l.crowded }), crowded: true}, nil
		default:
			_ = conn.Close()
		}
	}
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// idle waits until no connection is open, for so long at most. The listener must
// be closed, and nobody be in Accept.
func (l *limitListener) idle(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for range cap(l.slots) {
		select {
		case l.slots <- struct{}{}:
		case <-timer.C:
			return
		}
	}
}

type limitedConn struct {
	net.Conn
	free    func()
	crowded bool // it is only told to come again
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}
