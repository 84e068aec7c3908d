package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// SocketName is the name of the socket in the state directory.
const SocketName = "api.sock"

// maxSocketPath is what fits into sun_path of unix(7) with its final zero byte.
const maxSocketPath = 107

// Listen opens the API's socket in stateDir, to which everybody can connect: who may
// do what is told by SO_PEERCRED. It replaces one that
// a daemon left behind, so the caller must hold the lock of the directory.
// Closing it removes the socket.
func Listen(stateDir string) (*Socket, error) {
	path := filepath.Join(stateDir, SocketName)
	// The socket gets its final name only when its mode is right and it takes
	// connections: nobody can slip in before, and a client never meets one
	// that refuses.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove a stale socket: %w", err)
	}
	address, release, err := reachable(fresh)
	if err != nil {
		return nil, err
	}
	defer release()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false) // it knows only the first name
	if err := os.Chmod(fresh, 0o666); err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot open the socket to others: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot put the socket in place: %w", err)
	}
	return &Socket{UnixListener: listener, path: path}, nil
}

// Socket is where the API listens. Who connects while nobody serves waits.
type Socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Inherit is the socket that the process image before this one listened on, as
// the descriptor that it carried through exec(2).
func Inherit(stateDir string, fd int) (*Socket, error) {
	file := os.NewFile(uintptr(fd), SocketName)
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the socket: %w", err)
	}
	inherited, ok := listener.(*net.UnixListener)
	if !ok {
		listener.Close()
		return nil, errors.New("cannot take over the socket: the descriptor is of something else")
	}
	s := &Socket{UnixListener: inherited, path: filepath.Join(stateDir, SocketName)}
	// An earlier version let nobody else in. That it is not there is no reason to end.
	if info, err := os.Lstat(s.path); err == nil && info.Mode().Type() == os.ModeSocket {
		_ = os.Chmod(s.path, 0o666)
	}
	return s, nil
}

// Fd is the descriptor for the image that comes after this one. It stays the
// socket's.
func (s *Socket) Fd() (int, error) {
	conn, err := s.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("cannot reach the socket: %w", err)
	}
	number := -1
	err = conn.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}

// Session is a listener on the same socket for one Server.Serve: closing it
// leaves the socket as it is.
func (s *Socket) Session() (net.Listener, error) {
	fd, err := s.Fd()
	if err != nil {
		return nil, err
	}
	// Not File: that would make the socket a blocking one.
	twin, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot share the socket: %w", err)
	}
	file := os.NewFile(uintptr(twin), SocketName)
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("cannot share the socket: %w", err)
	}
	return listener, nil
}

// Close ends the listening and removes the socket.
func (s *Socket) Close() error {
	err := s.UnixListener.Close()
	s.once.Do(func() { os.Remove(s.path) })
	return err
}

// reachable returns an address for a socket's path: the path itself, or, when it
// is longer than an address may be, one through a descriptor of its directory,
// which is valid until release.
func reachable(path string) (address string, release func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	address = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return address, func() { dir.Close() }, nil
}
