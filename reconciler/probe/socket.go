package probe

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of quick, made without telling Go's scheduler: they do not wait,
// but a connection on the same machine takes connect(2) some 30 us of work, after 20 of
// which the scheduler takes a thread's place away, to give it back with two more. For a
// thousand probes a second that costs as much again.

// address is where a probe goes.
type address struct {
	family int
	raw    unix.RawSockaddrAny
	length uintptr
}

func newAddress(ip []byte, port int) *address {
	a := &address{}
	network := uint16(port)<<8 | uint16(port)>>8
	if len(ip) == 4 {
		to := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		to.Family, to.Port = unix.AF_INET, network
		copy(to.Addr[:], ip)
		a.family, a.length = unix.AF_INET, unix.SizeofSockaddrInet4
		return a
	}
	to := (*unix.RawSockaddrInet6)(unsafe.Pointer(&a.raw))
	to.Family, to.Port = unix.AF_INET6, network
	copy(to.Addr[:], ip)
	a.family, a.length = unix.AF_INET6, unix.SizeofSockaddrInet6
	return a
}

func rawError(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func socket(family int) (int, error) {
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return int(fd), rawError(e)
}

func (a *address) connect(fd int) error {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), a.length)
	runtime.KeepAlive(a)
	return rawError(e)
}

func write(fd int, data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

func read(fd int, data []byte) (int, error) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

func closeSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// resetAtClose has close send a reset instead of an orderly end.
func resetAtClose(fd int) {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
}
