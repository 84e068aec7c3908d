package host

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// remotePaths tells what lies on a file system whose server may be dead. The
// table of mounts is asked first, because that touches no file system; statfs
// second, because a link may lead anywhere. A worker may hang in statfs, the
// daemon does not.
type remotePaths struct {
	declared []string

	mu     sync.Mutex
	table  int          // /proc/self/mountinfo; poll tells, once, that it changed
	points []string     // mount points of remote file systems
	locals map[int]bool // mounts of others, by their numbers
}

// remoteTypes are the names of file systems that ask a server or a user's
// process (fuse and its sub-types are known by prefix).
var remoteTypes = map[string]bool{
	"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "smbfs": true, "9p": true, "ceph": true,
	"afs": true, "coda": true, "autofs": true, "lustre": true, "gfs2": true, "ocfs2": true,
	"glusterfs": true, "beegfs": true, "gpfs": true, "orangefs": true, "pvfs2": true, "virtiofs": true, "ncpfs": true,
}

// remoteMagics are the same for statfs(2).
var remoteMagics = map[int64]bool{
	unix.NFS_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true, unix.SMB2_SUPER_MAGIC: true, unix.SMB_SUPER_MAGIC: true,
	unix.V9FS_MAGIC: true, unix.CEPH_SUPER_MAGIC: true, unix.AFS_SUPER_MAGIC: true, unix.AFS_FS_MAGIC: true,
	unix.CODA_SUPER_MAGIC: true, unix.AUTOFS_SUPER_MAGIC: true, unix.FUSE_SUPER_MAGIC: true, unix.OCFS2_SUPER_MAGIC: true,
	0x0bd00bd0: true, // Lustre
	0x01161970: true, // GFS2
	0x47504653: true, // GPFS
	0x19830326: true, // BeeGFS
	0x20030528: true, // OrangeFS
}

func newRemotePaths(declared []string) *remotePaths {
	r := &remotePaths{}
	for _, p := range declared {
		if p != "" {
			r.declared = append(r.declared, filepath.Clean(p))
		}
	}
	// No os.File: Go's poller would eat the notifications. Without the table
	// only statfs is asked.
	r.table, _ = unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	r.readTable()
	return r
}

// readTable lists the remote mount points anew. The caller holds mu.
func (r *remotePaths) readTable() {
	r.points, r.locals = nil, map[int]bool{}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	for _, m := range parseMounts(string(data)) {
		if remoteTypes[m.fsType] || m.fsType == "fuse" || strings.HasPrefix(m.fsType, "fuse.") {
			r.points = append(r.points, m.point)
		} else {
			r.locals[m.id] = true
		}
	}
}

// lexical tells, without touching path's file system, whether path is remote
// unless a link leads elsewhere. A local mount below a remote one counts as
// remote: the way to it leads through the server.
func (r *remotePaths) lexical(path string) bool {
	path = filepath.Clean(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	for _, list := range [][]string{r.declared, r.points} {
		for _, point := range list {
			if _, ok := below(point, path); ok {
				return true
			}
		}
	}
	return false
}

// refresh reads the table again when it has changed. The caller holds mu.
func (r *remotePaths) refresh() {
	if r.table < 0 {
		return
	}
	p := []unix.PollFd{{Fd: int32(r.table), Events: unix.POLLPRI}}
	if n, err := unix.Poll(p, 0); n > 0 && err == nil {
		r.readTable()
	}
}

// local tells whether the mount of that number is known, and asks no server. That of
// another mount namespace is not.
func (r *remotePaths) local(mount int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	return r.locals[mount]
}

// is tells whether path lies on a remote file system. It may hang when a link
// leads to a dead server.
func (r *remotePaths) is(path string) bool {
	if r.lexical(path) {
		return true
	}
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err != unix.EINTR {
			return err == nil && remoteMagics[int64(uint32(st.Type))]
		}
	}
}

// close lets go of the table. Whoever hangs may still ask afterwards.
func (r *remotePaths) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.table >= 0 {
		_ = unix.Close(r.table)
		r.table = -1
	}
}
