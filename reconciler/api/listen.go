package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// SocketName is the name of the socket in the state directory.
const SocketName = "api.sock"

// maxSocketPath is what fits into sun_path of unix(7) with its final zero byte.
const maxSocketPath = 107

// Listen opens the API's socket in stateDir with mode 0600. It replaces one that
// a daemon left behind, so the caller must hold the lock of the directory.
// Closing the listener removes the socket.
func Listen(stateDir string) (net.Listener, error) {
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
	if err := os.Chmod(fresh, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot protect the socket: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		listener.Close()
		return nil, fmt.Errorf("cannot put the socket in place: %w", err)
	}
	return &socket{UnixListener: listener, path: path}, nil
}

// socket removes its name when it is closed.
type socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

func (s *socket) Close() error {
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
