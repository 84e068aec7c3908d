package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// quick makes probes by plain HTTP and TCP to numeric addresses, with sockets of its own: the
// client of net/http takes twice the processor time. All of it is done by the
// pool's dispatcher, so nothing is locked and nobody is woken for a single answer: as
// long as some are awaited, it looks for them after some milliseconds, and then after
// more and more.
type quick struct {
	pool    *Pool
	epoll   int
	timer   *time.Timer
	armed   bool
	pause   time.Duration       // before the next look
	pending map[int32]*question // by descriptor
	answers []reconciler.Event  // still to be told
	scratch []byte
}

const (
	// Services of the same machine answer within the first.
	firstLook = 2 * time.Millisecond
	lastLook  = 100 * time.Millisecond
	// maxAnswer bounds what is kept of an answer that is not whole: of any number of
	// interim answers (100 to 199), too.
	maxAnswer = 2*maxHeader + maxBody
)

// question is a probe that awaits an answer.
type question struct {
	work     reconciler.ProbeWork
	probe    *spec.Probe
	fd       int
	timeout  time.Duration
	deadline time.Time
	request  []byte // still to be written; nil is nothing
	answer   []byte // what has come, when it is not whole
	linked   bool   // the connection stands
}

func openQuick(p *Pool) (*quick, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot take probes into service: %w", err)
	}
	q := &quick{pool: p, epoll: epoll, pending: map[int32]*question{}, scratch: make([]byte, maxBody+4096), timer: time.NewTimer(time.Hour)}
	q.timer.Stop()
	return q, nil
}

// close ends all questions without an answer.
func (q *quick) close() {
	for fd, one := range q.pending {
		delete(q.pending, fd)
		closeSocket(one.fd)
	}
	q.timer.Stop()
	_ = unix.Close(q.epoll)
}

// ask begins a probe, if it is one of this kind.
func (q *quick) ask(w reconciler.ProbeWork, probe *spec.Probe, timeout time.Duration, deadline time.Time) bool {
	var host string
	var request []byte
	switch {
	case probe.HTTPGet != nil && probe.HTTPGet.Scheme == "HTTP":
		if !plain(probe.HTTPGet) {
			return false // the slow way tells what is wrong with it
		}
		host, request = probe.HTTPGet.Host, requestOf(probe.HTTPGet)
	case probe.TCPSocket != nil:
		host = probe.TCPSocket.Host
	default:
		return false
	}
	port, err := portOf(probe)
	if err != nil {
		return false
	}
	to, numeric := numericAddress(host, port)
	if !numeric {
		return false
	}
	fd, err := socket(to.family)
	if err != nil {
		return false // the slow way tells why
	}
	one := &question{work: w, probe: probe, fd: fd, timeout: timeout, deadline: deadline, request: request}
	err = unix.Connect(fd, to.to)
	if (err == nil || err == unix.EINPROGRESS) && request != nil {
		// On the same machine the connection stands by now, though connect does not
		// say so, and takes the request.
		var n int
		if n, err = unix.Write(fd, request); err == nil {
			one.request, one.linked = request[n:], true
		}
	}
	if err != nil && err != unix.EINPROGRESS && err != unix.EAGAIN {
		closeSocket(fd)
		q.pool.group.Go(func() { q.pool.answer(w, failed(refusal(probe, err))) })
		return true
	}
	if !q.add(one) {
		closeSocket(fd)
		return false
	}
	if q.pause = firstLook; !q.armed {
		q.armed = true
		q.timer.Reset(q.pause)
	}
	return true
}

// add awaits what becomes of a question.
func (q *quick) add(one *question) bool {
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
	if len(one.request) > 0 || one.probe.TCPSocket != nil {
		events |= unix.EPOLLOUT
	}
	if unix.EpollCtl(q.epoll, unix.EPOLL_CTL_ADD, one.fd, &unix.EpollEvent{Events: events, Fd: int32(one.fd)}) != nil {
		return false
	}
	q.pending[int32(one.fd)] = one
	return true
}

// look takes in the answers that are here, ends the questions whose time is over, and
// says when to look again.
func (q *quick) look() {
	q.armed = false
	// All at once: who hears them is fast, and would be woken for each.
	defer func() {
		for _, e := range q.answers {
			q.pool.tell(e)
		}
		q.answers = q.answers[:0]
	}()
	var events [64]unix.EpollEvent
	for {
		n, err := unix.EpollWait(q.epoll, events[:], 0)
		for i := range max(n, 0) {
			if one := q.pending[events[i].Fd]; one != nil {
				q.advance(one, events[i].Events)
			}
		}
		if err != unix.EINTR && n < len(events) {
			break
		}
	}
	if len(q.pending) == 0 {
		return
	}
	now := time.Now()
	next := now.Add(q.pause)
	for _, one := range q.pending {
		switch {
		case !one.deadline.After(now):
			q.over(one, late(one.timeout, errLate))
		case one.deadline.Before(next):
			next = one.deadline
		}
	}
	q.pause = min(2*q.pause, lastLook)
	if len(q.pending) > 0 {
		q.armed = true
		q.timer.Reset(max(next.Sub(now), time.Millisecond))
	}
}

// over ends a question with its answer.
func (q *quick) over(one *question, err error) {
	delete(q.pending, int32(one.fd))
	closeSocket(one.fd)
	if errors.Is(err, errRedirected) {
		q.pool.group.Go(func() { q.pool.answer(one.work, q.pool.slow(one.work, one.probe, one.timeout, one.deadline)) })
		return
	}
	q.answers = append(q.answers, answerTo(one.work, failed(err)))
}

// advance does what can be done without waiting.
func (q *quick) advance(one *question, events uint32) {
	if done, err := q.step(one, events); done {
		q.over(one, err)
	}
}

// errRedirected is of an answer that leads elsewhere: net/http knows the rules.
var errRedirected = errors.New("redirected")

func (q *quick) step(one *question, events uint32) (done bool, err error) {
	if !one.linked && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if code, err := unix.GetsockoptInt(one.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			return true, refusal(one.probe, unix.Errno(code))
		}
		one.linked = true
	}
	if one.probe.TCPSocket != nil {
		return one.linked, nil
	}
	if len(one.request) > 0 && one.linked {
		n, err := unix.Write(one.fd, one.request)
		if err != nil && err != unix.EAGAIN {
			return true, fmt.Errorf("cannot ask %s: %w", place(one.probe), err)
		}
		one.request = one.request[max(n, 0):]
		if len(one.request) > 0 {
			return false, nil
		}
		_ = unix.EpollCtl(q.epoll, unix.EPOLL_CTL_MOD, one.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(one.fd)})
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return false, nil
	}
	return q.read(one)
}

// read takes in what has come.
func (q *quick) read(one *question) (done bool, err error) {
	for range 4 { // others wait, too
		n, err := unix.Read(one.fd, q.scratch)
		if err == unix.EAGAIN || err == unix.EINTR {
			return false, nil
		}
		if err != nil {
			return true, fmt.Errorf("cannot read the answer of %s: %w", place(one.probe), err)
		}
		data, eof := q.scratch[:n], n == 0
		if one.answer != nil {
			one.answer = append(one.answer, data...)
			data = one.answer
		}
		r, whole, err := parseResponse(data, eof)
		if err != nil {
			return true, fmt.Errorf("cannot read the answer of %s: %w", place(one.probe), err)
		}
		if whole {
			return true, r.verdict(one.fd)
		}
		if len(data) > maxAnswer {
			return true, fmt.Errorf("cannot read the answer of %s: it is too long", place(one.probe))
		}
		if one.answer == nil {
			one.answer = append(make([]byte, 0, len(data)+512), data...)
		}
	}
	return false, nil
}

// verdict is what an answer means for the probe on fd, which is about to be closed.
func (r *response) verdict(fd int) error {
	// A reset instead of an orderly end: the answer is here, and a thousand closed
	// connections a second would each hold a port for a minute (TIME_WAIT).
	resetAtClose(fd)
	switch {
	case r.status >= 300 && r.status < 400 && r.status != 304:
		return errRedirected
	case r.status >= 200 && r.status < 400:
		return nil
	}
	return badStatus(r.status, r.body)
}

// badStatus is worded as the kubelet words it.
func badStatus(status int, body []byte) error {
	return &outputError{fmt.Sprintf("HTTP probe failed with statuscode: %d", status), printable(body)}
}

// refusal words that no connection came about.
func refusal(probe *spec.Probe, err error) error {
	return fmt.Errorf("cannot connect to %s: %w", place(probe), err)
}

// place is where a probe goes, as it is shown.
func place(probe *spec.Probe) string {
	switch {
	case probe.HTTPGet != nil:
		return hostPort(probe.HTTPGet.Host, probe.HTTPGet.Port)
	case probe.TCPSocket != nil:
		return hostPort(probe.TCPSocket.Host, probe.TCPSocket.Port)
	default:
		return hostPort("", probe.GRPC.Port)
	}
}

// numericAddress is where a probe goes that names no machine.
func numericAddress(host string, port int) (*address, bool) {
	if host == "" {
		return newAddress([]byte{127, 0, 0, 1}, port), true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil || ip.Zone() != "" {
		return nil, false
	}
	return newAddress(ip.AsSlice(), port), true
}

// userAgent names who asks.
const userAgent = "reconciler-probe/1"

// plain reports whether the texts of a probe can be written into a request as they are:
// what was expanded may hold anything.
func plain(h *spec.HTTPGetAction) bool {
	bad := func(text string, least byte) bool {
		return strings.IndexFunc(text, func(r rune) bool { return r < rune(least) || r == 0x7f }) >= 0
	}
	for _, header := range h.HTTPHeaders {
		if bad(header.Name, '!') || bad(header.Value, ' ') {
			return false
		}
	}
	return strings.HasPrefix(h.Path, "/") && !bad(h.Path, '!') && strings.IndexByte(h.Path, '#') < 0
}

// requestOf is the request of a probe.
func requestOf(h *spec.HTTPGetAction) []byte {
	var b strings.Builder
	host, agent, accept := hostPort(h.Host, h.Port), userAgent, "*/*"
	var others strings.Builder
	for _, header := range h.HTTPHeaders {
		switch {
		case strings.EqualFold(header.Name, "Host"):
			host = header.Value
		case strings.EqualFold(header.Name, "User-Agent"):
			agent = header.Value
		case strings.EqualFold(header.Name, "Accept"):
			accept = header.Value
		case strings.EqualFold(header.Name, "Connection"):
		default:
			others.WriteString(header.Name + ": " + header.Value + "\r\n")
		}
	}
	b.WriteString("GET " + h.Path + " HTTP/1.1\r\nHost: " + host + "\r\n")
	for _, header := range [][2]string{{"User-Agent", agent}, {"Accept", accept}} {
		if header[1] != "" {
			b.WriteString(header[0] + ": " + header[1] + "\r\n")
		}
	}
	b.WriteString(others.String() + "Connection: close\r\n\r\n")
	return []byte(b.String())
}
