package host

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// makeRuntimeDirectories makes directories for a service that runs as who. What is
// there already gets owner and mode. On a remote file system the worker may hang.
func makeRuntimeDirectories(list []spec.RuntimeDirectory, who *identity) *reconciler.Failure {
	for _, d := range list {
		if err := makeRuntimeDirectory(d, who); err != nil {
			const deed = "make the runtime directory "
			if f := explainResources(deed+d.Path, err); f != nil {
				return f
			}
			return failure(reconciler.ReasonDirectoryRefused, "cannot %s%s: %v", deed, d.Path, err)
		}
	}
	return nil
}

// makeRuntimeDirectory goes down by descriptors: part of the way may belong to the
// service's user, who could put a link there at any time and be given what it leads
// to.
func makeRuntimeDirectory(d spec.RuntimeDirectory, who *identity) error {
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	parts := strings.FieldsFunc(d.Path, func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return errors.New("it is the root directory")
	}
	last := len(parts) - 1
	for n, part := range parts[:last] {
		if err := unix.Mkdirat(dir, part, 0o755); err != nil && err != unix.EEXIST && err != unix.EROFS {
			return fmt.Errorf("cannot make /%s: %w", strings.Join(parts[:n+1], "/"), err)
		}
		next, err := enter(dir, part)
		if err != nil {
			return fmt.Errorf("cannot enter /%s: %w", strings.Join(parts[:n+1], "/"), err)
		}
		_ = unix.Close(dir)
		dir = next
	}
	made := unix.Mkdirat(dir, parts[last], 0o700)
	if made != nil && made != unix.EEXIST {
		return made
	}
	fd, err := unix.Openat(dir, parts[last], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return explainEntry(dir, parts[last], err)
	}
	defer func() { _ = unix.Close(fd) }()
	return setOwnerAndMode(fd, who, uint32(d.Mode))
}

// enter opens a directory. It follows a link only of those who may lead us
// anywhere.
func enter(dir int, name string) (int, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW, 0)
	if err == nil {
		return fd, nil
	}
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return -1, err
	}
	if st.Uid != 0 && int(st.Uid) != unix.Geteuid() {
		return -1, fmt.Errorf("it is a symbolic link of user %d", st.Uid)
	}
	return unix.Openat(dir, name, flags, 0)
}

func explainEntry(dir int, name string, err error) error {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return errors.New("it is a symbolic link")
	case unix.S_IFDIR:
		return err
	}
	return errors.New("something else is there")
}

func setOwnerAndMode(fd int, who *identity, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid != who.uid || st.Gid != who.gid {
		if err := unix.Fchown(fd, int(who.uid), int(who.gid)); err != nil {
			return fmt.Errorf("cannot give it to %d:%d: %w", who.uid, who.gid, err)
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil { // a change of the owner clears bits
		return fmt.Errorf("cannot set its mode: %w", err)
	}
	return nil
}

// comes says that a directory will be there when the service starts, though it may
// not be yet.
func comes(dir string, list []spec.RuntimeDirectory) bool {
	for _, d := range list {
		if _, ok := below(strings.TrimSuffix(dir, "/"), d.Path); ok {
			return true
		}
	}
	return false
}
