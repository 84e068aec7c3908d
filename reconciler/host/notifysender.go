package host

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// sender is the group whose run a process may tell of; nil is none. What the
// kernel tells of the process counts, and nothing that is in the message.
func (h *Host) sender(cred *unix.Ucred, pidfd int) *group {
	g := h.groupOfProcess(cred.Pid)
	if g == nil {
		return nil
	}
	// A process that was reaped has lost its number, perhaps to one of another
	// service. Before Linux 6.16 there is no pidfd of it.
	if pidfd == -int(unix.ESRCH) || pidfd == -int(unix.EINVAL) {
		return nil
	}
	if pidfd >= 0 && unix.PidfdSendSignal(pidfd, 0, nil, 0) == unix.ESRCH {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.mayTell(g, cred.Uid) {
		return nil
	}
	return g
}

// mayTell says whether somebody of that user may tell of the run. The caller holds
// mu.
func (h *Host) mayTell(g *group, uid uint32) bool {
	return g.speaks != nil && g.phase != phaseIdle && g.run != 0 && (uid == 0 || uid == h.uid || uid == g.speaks.uid)
}

// unclaimed is a message of a session that may be of a start whose number is not
// known yet.
type unclaimed struct {
	heard
	session int32
	uid     uint32
}

// putAside keeps a message of which nobody knows whose it is, while a process
// without cgroup is being started: it may have said something, and ended, before
// whoever has forked it knows its number.
func (h *Host) putAside(cred *unix.Ucred, m *heard, text []byte) {
	if h.grouping != grouping(h.sessions) {
		return // the cgroup tells in any case
	}
	s, seen := readStat(cred.Pid)
	h.mu.Lock()
	defer h.mu.Unlock()
	limbo := &h.notifier.limbo
	if !seen || !h.startsUngrouped() || len(*limbo) >= maxEarly {
		return
	}
	m.text = slices.Clone(text)
	aside, held := *m, len(m.fds)
	for n := range *limbo {
		held += len((*limbo)[n].fds)
	}
	if held > maxEarlyFDs {
		aside.fds = nil // and who has read it closes them
	} else {
		m.fds = nil
	}
	*limbo = append(*limbo, unclaimed{heard: aside, session: s.session, uid: cred.Uid})
}

// dropAside forgets what was put aside, unless somebody may claim it yet. The caller
// holds mu.
func (h *Host) dropAside() {
	if h.startsUngrouped() {
		return
	}
	for n := range h.notifier.limbo {
		h.notifier.closer.close(h.notifier.limbo[n].fds)
	}
	h.notifier.limbo = nil
}

// startsUngrouped says whether a process without cgroup is being started. The
// caller holds mu.
func (h *Host) startsUngrouped() bool {
	for _, g := range h.groups {
		if g.phase == phaseStarting && g.speaks != nil && g.in == grouping(h.sessions) {
			return true
		}
	}
	return false
}

// claimAside takes what was put aside and is of the group, whose number is known by
// now. Nothing stays aside when nothing is being started.
func (h *Host) claimAside(g *group) {
	h.mu.Lock()
	var mine []unclaimed
	limbo := &h.notifier.limbo
	starts := h.startsUngrouped()
	*limbo = slices.DeleteFunc(*limbo, func(m unclaimed) bool {
		switch {
		case g.in == grouping(h.sessions) && m.session == g.pid && h.mayTell(g, m.uid):
			mine = append(mine, m)
		case starts:
			return false
		default:
			h.notifier.closer.close(m.fds)
		}
		return true
	})
	h.mu.Unlock()
	for n := range mine {
		h.take(g, &mine[n].heard, mine[n].text)
		h.notifier.closer.close(mine[n].fds)
	}
}

// groupOfProcess is the group that a process is in, by its cgroup or, for a group that has
// none, by its session or mark. Who has ended and is not reaped is in it still.
func (h *Host) groupOfProcess(pid int32) *group {
	if pid <= 0 || int(pid) == os.Getpid() {
		return nil
	}
	if name, ok := cgroupOf(pid); ok {
		for _, t := range h.trees {
			id, ok := t.replicaAt(name)
			if !ok {
				continue
			}
			h.mu.Lock()
			g := h.groups[id]
			if g != nil && g.in != grouping(t) {
				g = nil
			}
			h.mu.Unlock()
			return g
		}
	}
	return h.ungroupedOf(pid)
}

// ungroupedOf is groupOf for replicas without cgroups. Nobody can join a session;
// the mark is what a process says of itself.
func (h *Host) ungroupedOf(pid int32) *group {
	s, seen := readStat(pid)
	if !seen {
		return nil
	}
	h.mu.Lock()
	any := false
	for _, g := range h.groups {
		if _, isTree := g.in.(*cgroupTree); isTree || g.phase == phaseIdle {
			continue
		}
		any = true
		if g.in == grouping(h.sessions) && g.pid == s.session && g.pid != 0 && !g.reused() {
			h.mu.Unlock()
			return g
		}
	}
	h.mu.Unlock()
	if !any {
		return nil
	}
	id, by := h.markOf(pid)
	if by == unmarked {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[id]
	if g != nil {
		if _, isTree := g.in.(*cgroupTree); isTree {
			return nil
		}
	}
	return g
}

// cgroupOf is the cgroup v2 group of a process, as the kernel names it for us.
func cgroupOf(pid int32) (string, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/cgroup")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(strings.TrimSuffix(name, "\n"), " (deleted)"), true
		}
	}
	return "", false
}

// replicaAt is the replica whose group the one of that name is, or is below of.
func (t *cgroupTree) replicaAt(name string) (reconciler.ReplicaID, bool) {
	if t.name == "" {
		return reconciler.ReplicaID{}, false
	}
	rest, ok := below(t.name, name)
	if !ok || len(rest) < 2 {
		return reconciler.ReplicaID{}, false
	}
	first, _, _ := strings.Cut(rest[1:], "/")
	return reconciler.ParseReplicaID(first)
}

// cgroupName is what /proc/PID/cgroup calls the group in that directory; empty when
// it is in no tree that is mounted.
func cgroupName(mountinfo, dir string) string {
	name, longest := "", -1
	for _, m := range parseMounts(mountinfo) {
		if m.fsType != "cgroup2" || len(m.point) < longest {
			continue
		}
		if rest, ok := below(m.point, dir); ok { // of two at one place, the later is on top
			name, longest = path.Join(m.root, rest), len(m.point)
		}
	}
	return name
}
