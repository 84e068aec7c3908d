package api

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is who is at the other end of a connection, as the kernel saw it at
// connect(2) (SO_PEERCRED, unix(7)).
type peer struct {
	uid    uint32
	groups []uint32 // all that it is in
	err    error    // the kernel did not tell; nobody is trusted then
	// crowded says that it came when others like it had all connections.
	crowded bool
}

type peerKey struct{}

// withPeer notes the peer of a connection for its requests.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	p := peerOf(conn)
	if limited, ok := conn.(*limitedConn); ok {
		p.crowded = limited.crowded
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func peerFrom(ctx context.Context) peer {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return peer{err: fmt.Errorf("cannot tell who is asking")}
	}
	return p
}

func peerOf(conn net.Conn) peer {
	if limited, ok := conn.(*limitedConn); ok {
		conn = limited.Conn
	}
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{err: fmt.Errorf("cannot tell who is asking over %T", conn)}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{err: fmt.Errorf("cannot tell who is asking: %w", err)}
	}
	var cred *unix.Ucred
	var groups []uint32
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		if cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); sockErr == nil && cred.Uid != 0 {
			groups = peerGroups(int(fd))
		}
	})
	if err != nil {
		return peer{err: fmt.Errorf("cannot tell who is asking: %w", err)}
	}
	if sockErr != nil {
		return peer{err: fmt.Errorf("cannot tell who is asking: %w", sockErr)}
	}
	return peer{uid: cred.Uid, groups: append(groups, cred.Gid)}
}

// peerGroups are the supplementary groups of a peer, as they were at connect(2)
// (SO_PEERGROUPS, Linux 4.13). Nothing is known of them when the kernel does not tell.
func peerGroups(fd int) []uint32 {
	for size := uint32(64); size <= 1<<16; size *= 4 { // NGROUPS_MAX is 65536
		list := make([]uint32, size)
		length := size * 4
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&length)), 0)
		switch e {
		case 0:
			return list[:length/4]
		case unix.ERANGE:
		default:
			return nil
		}
	}
	return nil
}

// String is how the peer is shown as the author of what it asks for:
// "root (uid 0)".
func (p peer) String() string {
	uid := strconv.FormatUint(uint64(p.uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return fmt.Sprintf("%s (uid %s)", u.Username, uid)
	}
	return "uid " + uid
}
