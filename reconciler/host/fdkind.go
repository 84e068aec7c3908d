package host

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fdKind is what the closing of a descriptor can take.
type fdKind uint8

const (
	kindRisky   fdKind = iota // as long as whoever serves it likes, or nobody knows
	kindInstant               // nothing
	kindFile                  // a while, when its blocks are to be freed
)

// anonymous are descriptors without a file whose closing is nothing, as /proc names
// them.
var anonymous = map[string]bool{
	"[eventfd]": true, "[eventpoll]": true, "[timerfd]": true, "[signalfd]": true, "[pidfd]": true,
}

// kindOf tells what the closing of a descriptor can take, and asks no file system for
// it: one that hangs would hang us.
func (r *remotePaths) kindOf(fd int) fdKind {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return kindRisky
	}
	// Nothing that has a path is called so.
	switch what, of, _ := strings.Cut(name, ":"); {
	case what == "pipe", what == "pidfd", what == "anon_inode" && anonymous[of]:
		return kindInstant
	case what == "socket":
		return kindOfSocket(fd)
	case what == "anon_inode" || what == "" || what[0] != '/':
		return kindRisky
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err == nil {
		return kindFile // of memory (memfd_create(2), tmpfs)
	}
	if r == nil || r.lexical(name) || !r.local(mountOf(fd)) {
		return kindRisky
	}
	return kindOnDisk(fd)
}

// kindOfSocket knows the families that hang at most while they linger.
func kindOfSocket(fd int) fdKind {
	const smc = 256 // IPPROTO_SMC waits for its peer
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return kindRisky
	}
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || protocol == smc {
		return kindRisky
	}
	switch family {
	case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
		return kindInstant
	}
	return kindRisky
}

// lingers says that the closing of a socket may wait for its peer (SO_LINGER). Who
// shares it may change that at any time.
func lingers(fd int) bool {
	l, err := unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER)
	return err == nil && l.Onoff != 0 && l.Linger > 0
}

// kindOnDisk is for what has a path on a local file system. Devices have drivers, of
// which some wait for what is behind them; those of memory and pseudo-terminals do not.
func kindOnDisk(fd int) fdKind {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return kindRisky
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return kindInstant
	case unix.S_IFREG, unix.S_IFDIR:
		return kindFile
	case unix.S_IFCHR:
		const memory, firstPTS, lastPTS = 1, 136, 143
		if major := unix.Major(st.Rdev); major == memory || major >= firstPTS && major <= lastPTS {
			return kindInstant
		}
	}
	return kindRisky
}

// mountOf is the number of the mount that a descriptor is on, as /proc tells it; 0 is
// none.
func mountOf(fd int) int {
	data, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if id, ok := bytes.CutPrefix(line, []byte("mnt_id:")); ok {
			n, _ := strconv.Atoi(string(bytes.TrimSpace(id)))
			return n
		}
	}
	return 0
}
