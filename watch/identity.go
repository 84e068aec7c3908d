package watch

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// identity tells one version of a file from the next. The zero value is no
// version.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
}

func identify(st *unix.Stat_t) identity {
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// racy says whether the file changed so shortly before it was read at now that
// a further change may carry the same times: the kernel stamps files by a clock
// of up to 10 ms resolution, and others by worse ones. A time in the future, which
// anybody can set, is none that a change now would carry.
func (id identity) racy(now time.Time, window time.Duration) bool {
	near := func(stamp int64) bool {
		age := time.Duration(now.UnixNano() - stamp)
		return -window < age && age < window
	}
	return near(id.mtime) || near(id.ctime)
}

// dirIdentity tells a directory from one that took its place. The time of
// birth is part of it because file systems give an inode number out again at
// once; it is 0 where the file system keeps none. The zero value is none.
type dirIdentity struct {
	dev, ino uint64
	birth    int64
}

// String is what parseDirIdentity reads.
func (id dirIdentity) String() string { return fmt.Sprintf("%d:%d:%d", id.dev, id.ino, id.birth) }

// parseDirIdentity is zero, which is none, for what it cannot read.
func parseDirIdentity(text string) (id dirIdentity) {
	if _, err := fmt.Sscanf(text, "%d:%d:%d", &id.dev, &id.ino, &id.birth); err != nil {
		return dirIdentity{}
	}
	return id
}

func identifyDir(fd int) (dirIdentity, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return dirIdentity{}, err
	}
	id := dirIdentity{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, nil
}
