package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// reapInherited reaps, when they end, the children of our process that no record tells
// of: those that the image before this one had and could not hand over. Nobody
// else would, and they would stay zombies as long as we live. It is called before
// anything is started.
func (h *Host) reapInherited() {
	known := map[int32]bool{}
	for _, g := range h.groups {
		known[g.pid] = true
	}
	// Before the first start they are all of the first thread.
	list, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil {
		return // the kernel has no such file (CONFIG_PROC_CHILDREN)
	}
	for word := range bytes.FieldsSeq(list) {
		pid, err := strconv.ParseInt(string(word), 10, 32)
		if err == nil && !known[int32(pid)] {
			h.reapOne(int(pid))
		}
	}
}

// reapOne reaps one child when it ends.
func (h *Host) reapOne(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	var token uint64
	token, err = h.watcher.add(fd, unix.EPOLLIN, func() {
		if _, ended, _ := waitExit(fd, unix.WEXITED|unix.WNOHANG); ended {
			h.watcher.remove(fd, token)
			_ = unix.Close(fd)
		}
	})
	if err != nil {
		_ = unix.Close(fd)
	}
}
