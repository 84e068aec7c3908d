package probe

import (
	"golang.org/x/sys/unix"
)

// address is where a probe goes.
type address struct {
	family int
	to     unix.Sockaddr
}

func newAddress(ip []byte, port int) *address {
	if len(ip) == 4 {
		return &address{unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte(ip)}}
	}
	return &address{unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: [16]byte(ip)}}
}

func socket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

func closeSocket(fd int) { _ = unix.Close(fd) }

// resetAtClose has close send a reset instead of an orderly end.
func resetAtClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
