package host

import (
	"fmt"
	"slices"
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
	// awaitsLine says that a line of its output is looked for.
	awaitsLine bool
	// lineSeen says that it was, and is still to be told.
	lineSeen bool
	// pid is the main process's and, without cgroups, the session's number.
	pid int32
	// pidfd is -1 when there is no unreaped main process.
	pidfd      int
	eventsFD   int // cgroup.events while survivors are waited for, or -1
	survivorFD int // pidfd of one survivor, or -1
	// Tokens of the watcher that belong to the descriptors.
	pidfdToken, eventsToken, survivorToken uint64
	stage                                  *stage
	// carriesOn says that the run lasts as long as anything of it lives.
	carriesOn bool
	// read is what the run has read from the files of envFrom; nil without any.
	read *readFiles

	// hook is the one that was taken last and has not ended; commands are all that
	// run beside the main process or were just killed, stuck those that do not go.
	hook            *command
	commands, stuck map[*command]struct{}
	// turn is held by the one that asks file systems for the group: see apart.
	turn chan struct{}
	// answers are of hooks that have ended, and are not told yet.
	answers []reconciler.Event
	// settling counts who is at what lives in it, and has it looked at afterwards: a
	// worker that takes it out, commands that are being ended.
	settling int
	// closed says that no command may be started beside the processes: the last one
	// has ended, whether that was told or not.
	closed bool
	// afterCommands is called when there are no commands any more.
	afterCommands func()
	// speaks is who may tell of the run with sd_notify(3); nil is nobody. untold
	// says that Started was not told yet: early is what was said by then.
	speaks *speaker
	untold bool
	// refusedMain says that the log has it that a MAINPID= was refused.
	refusedMain bool
	// refusedRisky says the same of a descriptor that was not stored.
	refusedRisky bool
	early        []heard
	// status is the newest one that is not told yet, until statusDue; nil is none.
	status    *string
	statusDue time.Time
}

func newGroup(id reconciler.ReplicaID, in grouping) *group {
	return &group{id: id, in: in, pidfd: -1, eventsFD: -1, survivorFD: -1, turn: make(chan struct{}, 1)}
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

// signalRest signals the one that has taken the place of a main process that has
// ended: whose parent is none of the others. When that is not exactly one, it is
// all of them.
func (g *group) signalRest(sig syscall.Signal) error {
	pids, _ := g.in.survivors(g)
	var first []int32
	for _, pid := range pids {
		if s, ok := readStat(pid); ok && !slices.Contains(pids, s.parent) {
			first = append(first, pid)
		}
	}
	if len(first) != 1 {
		first = pids
	}
	_, err := signalAll(first, sig, func() map[int32]bool {
		set := map[int32]bool{}
		now, _ := g.in.survivors(g)
		for _, pid := range now {
			set[pid] = true
		}
		return set
	})
	if err != nil {
		return fmt.Errorf("cannot signal what carries on of %s: %w", g.id, err)
	}
	return nil
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
