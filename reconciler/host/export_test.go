package host

import (
	"sync"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// WatchOrphans reaps orphans until it is told to stop.
func WatchOrphans(forks *sync.RWMutex, ours func() map[int32]bool) (stop func()) {
	return startReaper(logr.Discard(), forks, ours).close
}

// Children are the children of this process, as the kernel lists them and as all
// processes name their parent.
func Children() (listed, byParent []int32) { return children(), childrenByParent() }

// HangDirectStarts makes workers hang that look for a program which can be
// executed directly, until it is released. It stands for a call to the kernel
// that does not return.
func (h *Host) HangDirectStarts() (release func()) {
	h.programs.mu.Lock()
	return h.programs.mu.Unlock
}

// InstanceOf names a state directory, as the mark of a process does.
func InstanceOf(stateDir string) string { return instanceOf(stateDir) }

// ForkFromWorkers has no thread with descriptors of its own fork, as where the
// kernel gives none.
func (h *Host) ForkFromWorkers() {
	h.spawners.mu.Lock()
	defer h.spawners.mu.Unlock()
	h.spawners.off = true
}

// OccupySpawners has n threads that fork be at it, until they are released. They
// stand for forks that hang.
func (h *Host) OccupySpawners(n int) (release func()) {
	var taken []*spawner
	for range n {
		taken = append(taken, h.spawners.take())
	}
	return func() {
		for _, t := range taken {
			h.spawners.put(t)
		}
	}
}

// CanBeStored says whether a descriptor can be stored where those paths are remote.
func CanBeStored(fd int, remote []string) bool {
	r := newRemotePaths(remote)
	defer r.close()
	return r.kindOf(fd) != kindRisky
}

// HookRuns says whether a hook of the replica has not ended yet.
func (h *Host) HookRuns(id reconciler.ReplicaID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[id]
	return g != nil && g.hook != nil
}

// Hears says whether a process may tell of a run; pidfd is what the kernel has told of
// it, a descriptor or why there is none.
func (h *Host) Hears(pid int32, uid uint32, pidfd int) bool {
	return h.sender(&unix.Ucred{Pid: pid, Uid: uid}, pidfd) != nil
}

// Hanging is how many threads are at closing what may hang.
func (h *Host) Hanging() int {
	_, running := h.notifier.closer.risky.load()
	return running
}
