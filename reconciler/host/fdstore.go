package host

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// maxStored is how many descriptors are kept for a replica.
const maxStored = 512

// StoredFD is a descriptor that a service has given us to keep (FDSTORE=1 of
// sd_notify(3)).
type StoredFD struct {
	Name string `json:"name"`
	FD   int    `json:"fd"`
	// NoPoll says that it is kept, too, when its other end is closed.
	NoPoll bool `json:"noPoll,omitempty"`
}

// storedFD is a descriptor in the store.
type storedFD struct {
	StoredFD
	number uint64 // in the order in which they came
	token  uint64 // of the watcher; 0 is none
}

// fdStore is what is kept for a replica, from one run to the next. Host.mu guards
// it.
//
// It is handed to the next process image, but not to a service manager: after the
// death of the daemon services start without.
type fdStore struct {
	fds  []*storedFD // in the order of kcmp(2)
	told bool        // the log has it that something was refused
}

// store keeps the descriptors that came with a message; those that it takes are -1
// in m then. The caller holds mu.
func (h *Host) store(g *group, m *heard) {
	if m.remove {
		if m.name != "" {
			h.removeStored(g.id, func(s *storedFD) bool { return s.Name == m.name })
		}
		return
	}
	if m.risky && !g.refusedRisky {
		g.refusedRisky = true
		h.log.Info("Refused to store a descriptor whose closing may hang: a file of a remote file system, or nothing that is known",
			"service", g.id.Service, "replica", g.id.Ordinal)
	}
	for n, fd := range m.fds {
		if fd < 0 {
			continue
		}
		if !h.storeOne(g.id, StoredFD{Name: cmp.Or(m.name, defaultStoredName), FD: fd, NoPoll: m.noPoll}) {
			return
		}
		if h.holds(g.id, fd) {
			m.fds[n] = -1
		}
	}
}

// holds says whether the descriptor of that number is in the store.
func (h *Host) holds(id reconciler.ReplicaID, fd int) bool {
	return slices.ContainsFunc(h.stored[id].fds, func(s *storedFD) bool { return s.FD == fd })
}

// storeOne keeps a descriptor, unless the same is kept already: a service that was
// given its own back stores them again. It returns false when there are too many.
// The caller holds mu, or is Open.
func (h *Host) storeOne(id reconciler.ReplicaID, one StoredFD) bool {
	s := h.stored[id]
	if s == nil {
		s = &fdStore{}
		h.stored[id] = s
	}
	at, known := slices.BinarySearchFunc(s.fds, one.FD, func(other *storedFD, fd int) int { return compareFiles(other.FD, fd) })
	if known {
		return true
	}
	if len(s.fds) >= maxStored || h.storedFDs >= mostStored() {
		if !s.told {
			s.told = true
			h.log.Info("Refused to store a descriptor: there are too many", "service", id.Service, "replica", id.Ordinal,
				"stored", len(s.fds), "storedOfAll", h.storedFDs)
		}
		return false
	}
	h.storedFDs++
	h.storedLast++
	kept := &storedFD{StoredFD: one, number: h.storedLast}
	s.fds = slices.Insert(s.fds, at, kept)
	if !one.NoPoll && hangsUp(one.FD) {
		// EPOLLHUP and EPOLLERR are told unasked. What cannot be watched is kept.
		kept.token, _ = h.watcher.add(one.FD, 0, func() { h.evict(id, kept) })
	}
	return true
}

// mostStored is how many descriptors are kept for all replicas.
func mostStored() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur/2, 1<<20))
}

// compareFiles puts what descriptors refer to into an order, 0 for the same. A
// kernel that does not tell has all differ.
func compareFiles(a, b int) int {
	pid := uintptr(os.Getpid())
	const file = 0 // KCMP_FILE
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, file, uintptr(a), uintptr(b), 0)
	switch {
	case errno == 0 && order == 0:
		return 0
	case errno == 0 && order == 1:
		return -1
	}
	return 1
}

// hangsUp says whether to ask when the other end of a descriptor is closed. Of
// others (what watches a file of a file system of the service's own) the answer may
// never come.
func hangsUp(fd int) bool {
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK, unix.S_IFIFO, unix.S_IFCHR:
		return true
	}
	return false
}

// evict removes a descriptor whose other end is closed.
func (h *Host) evict(id reconciler.ReplicaID, gone *storedFD) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.removeStored(id, func(s *storedFD) bool { return s == gone })
}

// removeStored closes those of a replica's descriptors. The caller holds mu.
func (h *Host) removeStored(id reconciler.ReplicaID, which func(*storedFD) bool) {
	s := h.stored[id]
	if s == nil {
		return
	}
	var fds []int
	s.fds = slices.DeleteFunc(s.fds, func(one *storedFD) bool {
		if !which(one) {
			return false
		}
		if one.token != 0 {
			h.watcher.remove(one.FD, one.token)
		}
		fds = append(fds, one.FD)
		return true
	})
	h.storedFDs -= len(fds)
	if len(s.fds) == 0 {
		delete(h.stored, id)
	}
	h.notifier.closer.close(fds)
}

// dropStored closes all of a replica's descriptors. The caller holds mu.
func (h *Host) dropStored(id reconciler.ReplicaID) {
	h.removeStored(id, func(*storedFD) bool { return true })
}

// inOrder lists a replica's descriptors as they came. The caller holds mu.
func (h *Host) inOrder(id reconciler.ReplicaID) []*storedFD {
	s := h.stored[id]
	if s == nil {
		return nil
	}
	fds := slices.Clone(s.fds)
	slices.SortFunc(fds, func(a, b *storedFD) int { return cmp.Compare(a.number, b.number) })
	return fds
}

// passStored has the process that is to be started get what is stored for it
// (sd_listen_fds(3)). The plan gets descriptors of its own: those in the store may
// be closed at any time.
func (h *Host) passStored(id reconciler.ReplicaID, p *plan) *reconciler.Failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, s := range h.inOrder(id) {
		fd, err := unix.FcntlInt(uintptr(s.FD), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			p.closePassed()
			if f := explainResources("start "+id.String()+" with what is stored for it", err); f != nil {
				return f
			}
			return failure(reconciler.ReasonStartFailed, "cannot start %s with what is stored for it: %v", id, err)
		}
		p.passed = append(p.passed, fd)
		names = append(names, s.Name)
	}
	if len(names) > 0 {
		p.listen = len(names)
		p.setEnv("LISTEN_FDS", strconv.Itoa(len(names)))
		p.setEnv("LISTEN_FDNAMES", strings.Join(names, ":"))
	}
	return nil
}

// closePassed closes our copies of what a process was given.
func (p *plan) closePassed() {
	closeAll(p.passed)
	p.passed = nil
}

// takePassed has the exec stage put what its program is to get where that expects
// it, 3 and up, and move what was there out of the way.
func (p *plan) takePassed() *reconciler.Failure {
	if p.listen == 0 {
		return nil
	}
	const first = stageReportFD + 1 // of what was passed
	report, err := unix.FcntlInt(stageReportFD, unix.F_DUPFD_CLOEXEC, first+p.listen)
	if err != nil {
		return failure(reconciler.ReasonStartFailed, "cannot take over %d descriptors: %v", p.listen, err)
	}
	p.reportFD = report
	for n := range p.listen {
		// Downwards: what is overwritten was copied before.
		if err := unix.Dup3(first+n, stagePlanFD+n, 0); err != nil {
			return failure(reconciler.ReasonStartFailed, "cannot take over a descriptor: %v", err)
		}
	}
	for fd := stagePlanFD + p.listen; fd < first+p.listen; fd++ {
		_ = unix.Close(fd)
	}
	p.setEnv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	return nil
}

// allStored lists what is stored, for a successor. The caller holds mu.
func (h *Host) allStored() map[reconciler.ReplicaID][]StoredFD {
	all := make(map[reconciler.ReplicaID][]StoredFD, len(h.stored))
	for id := range h.stored {
		for _, s := range h.inOrder(id) {
			all[id] = append(all[id], s.StoredFD)
		}
	}
	return all
}

// restoreStored goes on with what the image before this one kept. What nobody
// will ever ask for is closed.
func (h *Host) restoreStored(stored map[reconciler.ReplicaID][]StoredFD, known func(reconciler.ReplicaID) bool) {
	for id, fds := range stored {
		for _, one := range fds {
			if !known(id) || h.remote.kindOf(one.FD) == kindRisky || !h.storeOne(id, one) || !h.holds(id, one.FD) {
				h.notifier.closer.close([]int{one.FD})
			}
		}
	}
}
