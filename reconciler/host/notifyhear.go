package host

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// heard is a message and whom it is of.
type heard struct {
	notifyMessage
	// fds came with it. Who takes one sets it to -1.
	fds []int
	// risky says that others have come whose closing may hang: they are not kept.
	risky bool
	text  []byte // as it was sent, when it has to wait
}

// hear reads messages, at most most of them, as long as no more than so many
// descriptors are to be closed.
func (h *Host) hear(most, toClose int) {
	n := &h.notifier
	for range most {
		if n.fd < 0 {
			return
		}
		if n.closer.behind(toClose) {
			h.deafen(deafFor)
			return
		}
		size, oob, flags, _, err := unix.Recvmsg(n.fd, n.buf[:], n.oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			if !errors.Is(err, unix.EAGAIN) {
				h.log.V(1).Info("Cannot read from the notify socket", "error", err.Error())
			}
			return
		}
		cred, pidfd, fds := readControl(n.oob[:oob])
		fds, risky := n.closer.closeRisky(fds)
		if cred != nil && size <= maxNotifyMessage && flags&unix.MSG_TRUNC == 0 {
			text := n.buf[:size]
			m := heard{notifyMessage: parseNotifyMessage(text), fds: fds, risky: risky}
			if g := h.sender(cred, pidfd); g != nil {
				h.take(g, &m, text)
			} else {
				h.putAside(cred, &m, text)
			}
			fds = m.fds
		}
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
		// Those that nobody has taken, the one of BARRIER=1 among them: by now
		// everything before it was told.
		n.closer.close(fds)
	}
}

// deafen stops reading for a time, and until what was received before is closed. To
// receive without room for descriptors would have the kernel close them here and now,
// and that can take as long as their sender likes: a socket that lingers.
func (h *Host) deafen(d time.Duration) {
	n := &h.notifier
	if n.token == 0 {
		return
	}
	h.watcher.remove(n.fd, n.token)
	n.token = 0
	h.watcher.after(d, h.hearAgain)
}

// hearAgain goes on reading, as soon as it may. The watcher's goroutine calls it.
func (h *Host) hearAgain() {
	n := &h.notifier
	if n.fd < 0 {
		return
	}
	var err error
	if !n.closer.behind(maxToClose) {
		n.token, err = h.watcher.add(n.fd, unix.EPOLLIN, h.listen)
	}
	if err != nil || n.token == 0 {
		h.watcher.after(deafFor, h.hearAgain)
	}
}

// readControl reads what the kernel, and the sender, have put beside a message. A
// number below -1 in the place of pidfd says why there is none.
func readControl(oob []byte) (cred *unix.Ucred, pidfd int, fds []int) {
	pidfd = -1
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, pidfd, nil
	}
	for n := range messages {
		c := &messages[n]
		if c.Header.Level != unix.SOL_SOCKET {
			continue
		}
		switch c.Header.Type {
		case unix.SCM_CREDENTIALS:
			cred, _ = unix.ParseUnixCredentials(c)
		case unix.SCM_RIGHTS:
			more, _ := unix.ParseUnixRights(c)
			fds = append(fds, more...)
		case unix.SCM_PIDFD:
			c.Header.Type = unix.SCM_RIGHTS // it has the same form
			if one, err := unix.ParseUnixRights(c); err == nil && len(one) == 1 {
				pidfd = one[0]
			}
		}
	}
	return cred, pidfd, fds
}
