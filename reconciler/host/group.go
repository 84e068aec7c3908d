package host

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// phase is where a replica's group stands.
type phase uint8

const (
	phaseIdle     phase = iota // nothing lives
	phaseStarting              // a worker or the exec stage is at it
	phaseRunning               // Started was told, Exited not
	phaseEnded                 // Exited was told, Emptied not; or left over
)

// group is the host's record of a replica. Host.mu guards it.
type group struct {
	id    reconciler.ReplicaID
	phase phase
	run   uint64
	// in holds the processes of the present run together.
	in grouping
	// ticks is when the main process started: what an adopted one is known by.
	ticks uint64
	// looks and waited count the attempts to identify an adopted main process,
	// and the time in which its parent did not reap it.
	looks  int
	waited time.Duration
	// killed says that cgroup.kill was written: see cgroupTree.prepare.
	killed    bool
	startedAt time.Time
	// pid is the main process's and, without cgroups, the session's number.
	pid int32
	// pidfd is -1 when there is no unreaped main process.
	pidfd      int
	eventsFD   int // cgroup.events while survivors are waited for, or -1
	survivorFD int // pidfd of one survivor, or -1
	// Tokens of the watcher that belong to the descriptors.
	pidfdToken, eventsToken, survivorToken uint64
	stage                                  *stage
}

func newGroup(id reconciler.ReplicaID, in grouping) *group {
	return &group{id: id, in: in, pidfd: -1, eventsFD: -1, survivorFD: -1}
}

// closeAll closes what the group holds. The watcher must have let go.
func (g *group) closeAll() {
	for _, fd := range []*int{&g.pidfd, &g.eventsFD, &g.survivorFD} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
	if g.stage != nil {
		g.stage.pidfd = -1 // it was the group's
		g.stage.close()
		g.stage = nil
	}
}

// grouping holds the processes of a replica together. Its methods do not block
// for longer than a look at /proc takes, except close and forget.
type grouping interface {
	// prepare makes room for a start. It says occupied when something lives
	// in the group, which was killed since the last start or not. The path,
	// unless it is empty, is the cgroup's.
	prepare(id reconciler.ReplicaID, killed bool) (path string, occupied bool, err error)
	// survivors lists what lives in the group; a main process that has ended
	// does not. alive may be true with an empty list: something lives that
	// cannot be seen.
	survivors(g *group) (pids []int32, alive bool)
	// openEvents opens what becomes readable (EPOLLPRI) when the group may be
	// empty; -1 when there is no such thing.
	openEvents(id reconciler.ReplicaID) int
	// reapAfter says that the main process must stay a zombie until the group
	// is empty, because its number names the group.
	reapAfter() bool
	signal(g *group, sig syscall.Signal) error
	kill(g *group) error
	// forget removes what is kept for a replica in whose group nothing lives.
	forget(id reconciler.ReplicaID) error
}

// signalAll sends sig to those of the pids that still belong after a pidfd of
// them was opened: from then on the number cannot be another process's.
func signalAll(pids []int32, sig syscall.Signal, belong func() map[int32]bool) (sent int, err error) {
	const batch = 128 // bounds the descriptors held at a time
	for len(pids) > 0 {
		n := min(batch, len(pids))
		fds := make([]int, n)
		for i, pid := range pids[:n] {
			fd, openErr := unix.PidfdOpen(int(pid), 0)
			if openErr != nil {
				fd = -1
				if openErr != unix.ESRCH && err == nil {
					err = openErr
				}
			}
			fds[i] = fd
		}
		still := belong()
		for i, fd := range fds {
			if fd < 0 {
				continue
			}
			if still[pids[i]] {
				sendErr := unix.PidfdSendSignal(fd, sig, nil, 0)
				if sendErr == nil {
					sent++
				} else if sendErr != unix.ESRCH && err == nil {
					err = sendErr
				}
			}
			_ = unix.Close(fd)
		}
		pids = pids[n:]
	}
	return sent, err
}
