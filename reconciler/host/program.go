package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// defaultPath is the PATH of a service that sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookUp finds name as execvp(3) would: in the directories of path unless it
// has a slash. A relative result counts from dir. Those who ask must be able to
// see what the service's user sees, or try as that user afterwards.
func lookUp(name, path, dir string) (string, *reconciler.Failure) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var denied string
	for d := range splitPath(path) {
		candidate := d + "/" + name
		full := at(dir, candidate)
		var st unix.Stat_t
		if unix.Stat(full, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if unix.Access(full, unix.X_OK) != nil {
			denied = full
			continue
		}
		return candidate, nil
	}
	if name == "" {
		name = `""`
	}
	if denied != "" {
		return "", failure(reconciler.ReasonCommandNotRunnable, "cannot start %s: no permission to execute %s", name, denied)
	}
	return "", failure(reconciler.ReasonCommandNotFound, "cannot start %s: not found in PATH (%s)", name, path)
}

// at is path as seen from the directory dir.
func at(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// valueOf is the value of the variable name in an environment of NAME=VALUE.
func valueOf(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name); ok && strings.HasPrefix(v, "=") {
			return v[1:]
		}
	}
	return ""
}

// examineDir says what is wrong with dir as a working directory; nil is
// nothing.
func examineDir(dir string) *reconciler.Failure {
	const reason = reconciler.ReasonWorkingDirInvalid
	if part, err := firstBroken(dir); err != nil {
		return failure(reason, "cannot enter the working directory %s: %s", dir, explainPath(part, dir, err))
	}
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return failure(reason, "cannot enter the working directory %s: it is no directory", dir)
	}
	if err := unix.Access(dir, unix.X_OK); err != nil {
		return failure(reason, "cannot enter the working directory %s: %v", dir, err)
	}
	return nil
}

// examine says what is wrong with path as a program; nil is nothing that can
// be told without executing it.
func examine(path string) *reconciler.Failure {
	if part, err := firstBroken(path); err != nil {
		reason := reconciler.ReasonCommandNotFound
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			reason = reconciler.ReasonCommandNotRunnable
		}
		return failure(reason, "cannot start %s: %s", path, explainPath(part, path, err))
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return failure(reconciler.ReasonCommandNotFound, "cannot start %s: %v", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return failure(reconciler.ReasonCommandNotRunnable, "cannot start %s: it is a directory", path)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return failure(reconciler.ReasonCommandNotRunnable, "cannot start %s: it is no regular file", path)
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		var fs unix.Statfs_t
		if unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOEXEC != 0 {
			return failure(reconciler.ReasonCommandNotRunnable, "cannot start %s: its file system is mounted noexec", path)
		}
		return failure(reconciler.ReasonCommandNotRunnable, "cannot start %s: no permission to execute it (mode %04o, owner %d:%d)",
			path, st.Mode&0o7777, st.Uid, st.Gid)
	}
	interpreter := interpreterOf(path)
	if interpreter == "" {
		return nil
	}
	if part, err := firstBroken(interpreter); err != nil {
		return failure(reconciler.ReasonCommandNotRunnable, "cannot start %s: its interpreter: %s", path, explainPath(part, interpreter, err))
	}
	return nil
}

// firstBroken is the first part of path that cannot be reached, and why.
func firstBroken(path string) (string, error) {
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		return "", nil
	}
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if err := unix.Stat(path[:i], &st); err != nil {
			return path[:i], err
		}
		if i < len(path) && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return path[:i], unix.ENOTDIR
		}
		if i < len(path) {
			if err := unix.Access(path[:i], unix.X_OK); err != nil {
				return path[:i], err
			}
		}
	}
	return "", nil
}

// interpreterOf is the program that the kernel will load for path: that of the
// #! line, or the loader of a dynamic executable; empty when there is none or
// it cannot be read.
func interpreterOf(path string) string {
	// A lease on the file must not hold us up.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	var head [256]byte
	n, _ := f.ReadAt(head[:], 0)
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if words := bytes.Fields(line); len(words) > 0 {
			return string(words[0])
		}
		return ""
	}
	return elfLoader(f, head[:n])
}

// elfLoader reads the PT_INTERP segment of a 64-bit executable (elf(5)).
func elfLoader(f io.ReaderAt, head []byte) string {
	const headSize, entrySize, typeInterp = 64, 56, 3
	if len(head) < headSize || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return ""
	}
	offset := int64(binary.LittleEndian.Uint64(head[32:]))
	count := int(binary.LittleEndian.Uint16(head[56:]))
	for i := range min(count, 64) {
		var entry [entrySize]byte
		if _, err := f.ReadAt(entry[:], offset+int64(i)*entrySize); err != nil {
			return ""
		}
		if binary.LittleEndian.Uint32(entry[:]) != typeInterp {
			continue
		}
		name := make([]byte, min(binary.LittleEndian.Uint64(entry[32:]), 4096))
		if _, err := f.ReadAt(name, int64(binary.LittleEndian.Uint64(entry[8:]))); err != nil {
			return ""
		}
		return string(bytes.TrimRight(name, "\x00"))
	}
	return ""
}

// splitPath yields the directories of a PATH; an empty one is the working
// directory.
func splitPath(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for dir := range strings.SplitSeq(path, ":") {
			if dir == "" {
				dir = "."
			}
			if !yield(dir) {
				return
			}
		}
	}
}
