package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// watched are processes whose end can be waited for without being their parent.
type watched []int // pidfds

func watch(all []stamp) (watched, error) {
	var w watched
	for _, s := range all {
		fd, err := unix.PidfdOpen(s.pid, 0)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("cannot watch process %d: %w", s.pid, err)
		}
		w = append(w, fd)
	}
	return w, nil
}

// gone waits until the last of them has ended, and returns when that was.
func (w watched) gone(within time.Duration) (int64, error) {
	deadline := time.Now().Add(within)
	for _, fd := range w {
		for {
			left := max(0, time.Until(deadline).Milliseconds())
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return 0, err
			}
			if n == 0 {
				return 0, fmt.Errorf("cannot see all processes gone within %v", within)
			}
			break
		}
	}
	return monotonic(), nil
}

// kill ends them all with SIGKILL. One that has ended already is no error.
func (w watched) kill() {
	for _, fd := range w {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

func (w watched) close() {
	for _, fd := range w {
		_ = unix.Close(fd)
	}
}
