package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// manifestMode is the mode of a new manifest: nobody but its owner may write to it,
// or the daemon would not trust it.
const manifestMode = 0o644

// refuseLinked refuses a directory that is reached by a symbolic link: git-sync and
// its like let the link point elsewhere with the next sync.
func refuseLinked(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("cannot write manifests: %w; make the directory first", err)
	}
	if real != filepath.Clean(dir) {
		return fmt.Errorf("cannot write into %s: a symbolic link leads there (it is %s now), as git-sync has it, and the next sync would undo it; "+
			"change the manifests where they come from", dir, real)
	}
	return nil
}

// writeManifest puts a file into the daemon's directory, whole and at once. The owner
// and mode of one that was there are kept: the daemon trusts them.
func writeManifest(path string, text []byte, mode fs.FileMode) (err error) {
	defer func() {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; do it as the user that %s belongs to", err, filepath.Dir(path))
		}
	}()
	before, err := replaceable(path)
	if err != nil {
		return err
	}
	if before != nil {
		mode = before.Mode().Perm()
	}
	// Neither the daemon nor anybody else takes this name for a manifest.
	fresh, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("cannot write a manifest: %w", err)
	}
	defer os.Remove(fresh.Name()) // when it has not got its name
	defer fresh.Close()
	if before != nil {
		if err := sameOwner(fresh, before); err != nil {
			return err
		}
	}
	for _, step := range []func() error{
		func() error { _, err := fresh.Write(text); return err },
		func() error { return fresh.Chmod(mode) },
		fresh.Sync, fresh.Close,
		func() error { return os.Rename(fresh.Name(), path) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("cannot write a manifest: %w", err)
		}
	}
	return nil
}

// sameOwner gives a file the owner of another one.
func sameOwner(file *os.File, as fs.FileInfo) error {
	stat, ok := as.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() && int(stat.Gid) == os.Getegid() {
		return nil
	}
	if err := file.Chown(int(stat.Uid), int(stat.Gid)); err != nil && os.Geteuid() == 0 {
		return fmt.Errorf("cannot keep the owner of %s: %w", as.Name(), err)
	}
	return nil // who is not root cannot give files away
}

// replaceable tells of the file that is to be replaced; nil when there is none.
func replaceable(path string) (fs.FileInfo, error) {
	before, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot write a manifest: %w", err)
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("cannot write %s: it is a symbolic link, and what it leads to is somebody else's; change the manifest there", path)
	case !before.Mode().IsRegular():
		return nil, fmt.Errorf("cannot write %s: it is no regular file; move it away", path)
	}
	return before, nil
}
