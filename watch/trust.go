package watch

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// trust says whose manifests are obeyed. A nil *trust obeys everybody's.
type trust struct {
	owners []uint32 // root is always one
}

// refusal is why something is not trusted, with the command that mends it.
type refusal struct {
	path, why, mend string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s is not trusted: %s; to mend it: %s", r.path, r.why, r.mend)
}

const othersWrite = 0o022

func (t *trust) owns(uid uint32) bool { return uid == 0 || slices.Contains(t.owners, uid) }

// dir judges a directory on the way to a manifest. Whoever can write to it can
// put another entry in the place of the next one, unless it is sticky: then
// only the entry's own owner can, and the entry is judged by itself.
func (t *trust) dir(path string, st *unix.Stat_t) error {
	switch {
	case t == nil:
		return nil
	case !t.owns(st.Uid):
		return foreign(path, st.Uid, "chown root "+path)
	case st.Mode&othersWrite != 0 && st.Mode&unix.S_ISVTX == 0:
		return writable(path, st.Mode)
	}
	return nil
}

// link judges a symbolic link: in a sticky directory anybody can make one that
// points to a file of root.
func (t *trust) link(path string, st *unix.Stat_t) error {
	if t == nil || t.owns(st.Uid) {
		return nil
	}
	return foreign(path, st.Uid, "chown -h root "+path)
}

// file judges an opened manifest that stands in a folder. In a sticky folder that others
// can write to, a second link may be somebody else's: any file of root can be
// linked there when fs.protected_hardlinks is off.
func (t *trust) file(path string, st *unix.Stat_t, folder string, in *unix.Stat_t) error {
	switch {
	case t == nil:
		return nil
	case !t.owns(st.Uid):
		return foreign(path, st.Uid, "chown root "+path)
	case st.Mode&othersWrite != 0:
		return writable(path, st.Mode)
	case st.Nlink > 1 && in.Mode&othersWrite != 0:
		return &refusal{path: path, mend: "chmod go-w " + folder,
			why: fmt.Sprintf("it has %d hard links and others can link files into its folder", st.Nlink)}
	}
	return nil
}

func foreign(path string, uid uint32, mend string) error {
	return &refusal{path: path, mend: mend,
		why: fmt.Sprintf("user %d owns it, who is neither root nor named by --trust-owner", uid)}
}

func writable(path string, mode uint32) error {
	return &refusal{path: path, mend: "chmod go-w " + path,
		why: fmt.Sprintf("others than its owner can write to it (mode %04o)", mode&0o7777)}
}
