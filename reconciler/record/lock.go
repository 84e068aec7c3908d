package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockFile = "lock"
	// lockPatience is how long a busy lock is tried again: a child of a daemon
	// that has just died holds a copy of its descriptors until its exec.
	lockPatience = time.Second
	lockPause    = 20 * time.Millisecond
)

// Lock is the right to be the one daemon of a state directory. It ends with
// Release or with the process, however that ends.
type Lock struct {
	file *os.File
}

// HeldError says that another daemon has the state directory.
type HeldError struct {
	StateDir string
	Pid      int // 0 when it is not known
}

// Error names the holder.
func (e *HeldError) Error() string {
	holder := "another daemon"
	if e.Pid != 0 {
		holder = fmt.Sprintf("a daemon with pid %d", e.Pid)
	}
	return fmt.Sprintf("cannot lock %s: %s uses it", e.StateDir, holder)
}

// TakeLock locks an existing state directory with flock(2) on its file "lock",
// which it creates and never removes: a removed file could be locked twice. A
// busy lock is tried again for a second, then the error is a *HeldError.
func TakeLock(ctx context.Context, stateDir string) (*Lock, error) {
	path := filepath.Join(stateDir, lockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		err := flock(file)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || !time.Now().Before(deadline) {
			defer file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, &HeldError{StateDir: stateDir, Pid: holder(file)}
			}
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, context.Cause(ctx))
		case <-time.After(lockPause):
		}
	}
	l := &Lock{file}
	l.sign()
	return l, nil
}

// InheritLock is the lock that was taken by the process image before this one,
// as the descriptor that it carried through exec(2). It stays locked all the
// while, since an flock belongs to the open file.
func InheritLock(fd int) (*Lock, error) {
	syscall.CloseOnExec(fd)
	l := &Lock{os.NewFile(uintptr(fd), lockFile)}
	if err := flock(l.file); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("cannot take over the lock: %w", err)
	}
	return l, nil
}

// Fd is the descriptor for the image that comes after this one. It stays the
// lock's.
func (l *Lock) Fd() int { return int(l.file.Fd()) }

// Release gives the lock up. The file stays.
func (l *Lock) Release() error {
	// An empty file names no holder to whoever is refused from now on.
	truncated := l.file.Truncate(0)
	return errors.Join(truncated, l.file.Close())
}

// sign leaves our pid for the error message of whoever is refused. Nothing is
// decided by it, so it may fail: on a full disk, too, a daemon must get in.
func (l *Lock) sign() {
	if l.file.Truncate(0) == nil {
		_, _ = l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}

func holder(file *os.File) int {
	buf := make([]byte, 32)
	n, _ := file.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return 0
	}
	return pid
}
