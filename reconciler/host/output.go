package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// openOutput opens the file to which the replica's output is appended. It
// belongs to the service's user, because programs reopen /dev/stdout.
func (h *Host) openOutput(id reconciler.ReplicaID, who *identity) (int, *reconciler.Failure) {
	path := h.logDir + "/" + id.Service + "/" + strconv.Itoa(int(id.Ordinal)) + ".log"
	fd, err := openAppend(path)
	if err == unix.ENOENT {
		dir := filepath.Dir(path)
		if unix.Mkdir(dir, 0o755) != nil {
			if e := os.MkdirAll(dir, 0o755); e != nil {
				return -1, outputFailure(path, e)
			}
		}
		fd, err = openAppend(path)
	}
	if err != nil {
		return -1, outputFailure(path, err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("it is no regular file")
	}
	if err == nil && who.change && (st.Uid != who.uid || st.Gid != who.gid) {
		err = unix.Fchown(fd, int(who.uid), int(who.gid))
		if err == unix.EPERM {
			err = nil // without root; the start will tell
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, outputFailure(path, err)
	}
	return fd, nil
}

// openAppend does not wait for the reader of a FIFO or the end of a lease: that
// is an error.
func openAppend(path string) (int, error) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NOCTTY
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, false); err != nil { // the service's programs do not expect it
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func outputFailure(path string, err error) *reconciler.Failure {
	switch err {
	case unix.ENXIO:
		err = fmt.Errorf("it is no regular file")
	case unix.EWOULDBLOCK:
		err = fmt.Errorf("somebody holds a lease on it")
	}
	if f := explainResources("open the log file "+path, err); f != nil {
		return f
	}
	return failure(reconciler.ReasonLogUnwritable, "cannot open the log file %s: %v", path, err)
}
