package host

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/logs"
	"svc.d/spec"
)

// Kept is what an earlier daemon, or an earlier image of this process, knew.
type Kept struct {
	// Records are of the machine's present boot.
	Records []reconciler.Record
	// Unreadable are the replicas whose records cannot be read.
	Unreadable []reconciler.ReplicaID
	// Decode reads the second copy of a record (see Host.Mark). nil: there is
	// none.
	Decode func(mark []byte) (reconciler.Record, error)
	// Pidfds are of main processes, carried through exec(2). The host owns them.
	// It is nil when there was no image before this one.
	Pidfds map[reconciler.ReplicaID]int
	// Tree is the locked descriptor of our cgroup, carried likewise; 0 is none.
	Tree int
	// Notify is the socket on which services tell of themselves, carried likewise;
	// 0 is none.
	Notify int
	// Stored is what services have given the image before this one to keep, carried
	// likewise. The host owns the descriptors.
	Stored map[reconciler.ReplicaID][]StoredFD
	// Early are messages that the image before this one has read and not told.
	Early map[reconciler.ReplicaID][][]byte
	// Environment is what runs have read from the files of envFrom, as NAME=value
	// lines.
	Environment map[reconciler.ReplicaID][][]byte
}

func (k *Kept) notify() int {
	if k == nil {
		return 0
	}
	return k.Notify
}

// adoption takes over what lives. It is used once, by Open.
type adoption struct {
	h       *Host
	kept    *Kept
	trees   map[reconciler.ReplicaID]*cgroupTree // where the replica has a group
	records map[reconciler.ReplicaID]*reconciler.Record
}

// adopt takes over what an earlier daemon started, finds what it did not write
// down, and removes groups in which nothing lives.
func (h *Host) adopt(kept *Kept) error {
	if kept == nil {
		kept = &Kept{}
	}
	a := &adoption{h: h, kept: kept, trees: map[reconciler.ReplicaID]*cgroupTree{}, records: map[reconciler.ReplicaID]*reconciler.Record{}}
	for n := range kept.Records {
		a.records[kept.Records[n].Instance.ID] = &kept.Records[n]
	}
	for _, t := range h.trees {
		ids, err := t.replicas(&h.leftBehind, h.log)
		if err != nil {
			return err
		}
		t.endCommands(ids, a.goesOn)
		for _, id := range ids {
			// An earlier daemon may have left an empty one elsewhere.
			if first := a.trees[id]; first == nil || a.empty(id, first) {
				a.trees[id] = t
			}
		}
	}
	if h.grouping == grouping(h.sessions) {
		h.endStrayCommands()
	}
	groups := a.identifyAll()
	for id, r := range a.records {
		a.record(id, r, groups[id])
	}
	for id, t := range a.trees {
		if a.records[id] == nil {
			if err := a.unrecorded(id, t); err != nil {
				return err
			}
		}
	}
	a.entered()
	a.strays()
	for _, fd := range kept.Pidfds { // of whom there is no record any more
		_ = unix.Close(fd)
	}
	if kept.Pidfds != nil {
		h.reapInherited()
	}
	h.restoreStored(kept.Stored, func(id reconciler.ReplicaID) bool { return a.records[id] != nil || h.groups[id] != nil })
	h.restoreEarly(kept.Early)
	h.restoreEnvironment(kept.Environment)
	for _, r := range a.records {
		h.unheard(&r.Instance)
		h.restored = append(h.restored, *r)
	}
	h.output.Retain(func(id logs.Replica) bool {
		return a.records[reconciler.ReplicaID(id)] != nil || h.groups[reconciler.ReplicaID(id)] != nil
	})
	return nil
}

// startLag is how much later than a program's first line its start may be noted.
const startLag = 20 * time.Millisecond

// mainOver reports whether a record tells that the main process has ended: what may
// be left is waited for, and no exit is told any more.
func mainOver(i *reconciler.Instance) bool { return !i.EndedAt.IsZero() || i.Detached() }

// carriesOn reports whether the run of a record lasts as long as anything of it
// lives.
func carriesOn(i *reconciler.Instance) bool {
	return i.Spec != nil && i.Spec.Spec.Lifetime == spec.LifetimeGroup
}

// living is a group whose record tells of a main process that had not ended.
type living struct {
	*group
	like    likeness
	carried bool // its descriptor came through exec(2)
}

// identifyAll looks for the main processes that had not ended, on all processors:
// there may be a thousand.
func (a *adoption) identifyAll() map[reconciler.ReplicaID]*living {
	all := map[reconciler.ReplicaID]*living{}
	var unknown []*living
	for id, r := range a.records {
		i := &r.Instance
		if !a.goesOn(id) {
			continue
		}
		l := &living{group: a.group(id, r)}
		l.phase, l.pid, l.ticks = phaseRunning, i.Pid, i.StartTicks
		all[id] = l
		if fd, found := a.carried(id); found {
			l.pidfd, l.carried = fd, true
		} else {
			unknown = append(unknown, l)
		}
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(unknown)) {
		group.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(unknown)); n = next.Add(1) - 1 {
				unknown[n].pidfd, unknown[n].like = a.h.identify(unknown[n].group)
			}
		})
	}
	group.Wait()
	return all
}

// goesOn reports whether a record tells of a main process that had not ended.
func (a *adoption) goesOn(id reconciler.ReplicaID) bool {
	r := a.records[id]
	return r != nil && !r.Instance.StartedAt.IsZero() && !mainOver(&r.Instance) && r.Instance.GoneAt.IsZero()
}

// entered goes on with what people run beside replicas.
func (a *adoption) entered() {
	for id, t := range a.trees {
		all, _ := t.commands(id.String())
		names := slices.DeleteFunc(all, func(name string) bool { return !entered(id, name) })
		if g := a.h.groups[id]; g != nil && g.phase == phaseRunning && g.in == grouping(t) {
			a.h.resumeEntered(g, t, names)
		}
	}
}

// record goes on with what a record tells.
func (a *adoption) record(id reconciler.ReplicaID, r *reconciler.Record, l *living) {
	switch {
	case l != nil:
		a.running(id, r, l)
	case !r.Instance.GoneAt.IsZero() || r.Instance.StartedAt.IsZero() && !mainOver(&r.Instance):
		a.idle(id, r)
	default:
		a.survived(id, r)
	}
}

// running is for a record whose main process had not ended.
func (a *adoption) running(id reconciler.ReplicaID, r *reconciler.Record, l *living) {
	g := l.group
	if i := &r.Instance; l.like != gone && i.Spec != nil && i.Init == 0 && (i.Life == nil || i.Life.LineAt.IsZero()) {
		// Also what was written before the start was noted.
		a.h.awaitLine(g, i.Spec, i.StartedAt.Add(-startLag))
	}
	switch l.like {
	case same:
		if readable(g.pidfd) && !l.carried {
			// It ended before we came: there may have been a run after it.
			if a.marked(id, r.Instance.Run, g.in) {
				_ = unix.Close(g.pidfd)
				return
			}
			a.h.leaderless(g)
		}
		if !readable(g.pidfd) {
			a.h.adopted++
		}
		a.h.unled(g)
		a.h.groups[id] = g
		a.h.watchMain(g)
	case unclear:
		a.h.groups[id] = g
		a.h.watcher.after(0, func() { a.h.identifyAgain(g) })
	case gone:
		if a.marked(id, r.Instance.Run, g.in) {
			return
		}
		a.h.leaderless(g)
		g.pid = 0
		a.h.groups[id] = g
		a.h.watcher.after(0, func() { a.h.mainGone(g) })
	}
}

// survived is for a record whose main process had ended and had left others, and
// for one of something that was found without one.
func (a *adoption) survived(id reconciler.ReplicaID, r *reconciler.Record) {
	g := a.group(id, r)
	if a.marked(id, r.Instance.Run, g.in) {
		return
	}
	g.phase, g.pid, g.ticks, g.killed = phaseEnded, r.Instance.Pid, r.Instance.StartTicks, true
	if fd, found := a.carried(id); found {
		g.pidfd = fd
	} else {
		a.h.leaderless(g)
	}
	a.h.groups[id] = g
	a.h.watcher.after(0, func() { a.h.watchSurvivors(g) })
}

// idle is for a record of which nothing lived.
func (a *adoption) idle(id reconciler.ReplicaID, r *reconciler.Record) {
	t := a.trees[id]
	switch {
	case t == nil:
	case !a.empty(id, t):
		if !a.marked(id, r.Instance.Run, t) {
			a.found(id, t, &a.h.found)
		}
	case grouping(t) == a.h.grouping:
		// Whether it was killed before is not known: see cgroupTree.prepare.
		g := newGroup(id, t)
		g.killed = true
		a.h.groups[id] = g
	default: // nothing is started in a tree of an earlier daemon any more
		if err := t.remove(id.String()); err != nil {
			a.h.log.Error(err, "Kept an empty cgroup")
		}
	}
}

// unrecorded is for a group of which there is no record.
func (a *adoption) unrecorded(id reconciler.ReplicaID, t *cgroupTree) error {
	switch populated, err := t.populated(id.String()); {
	case err != nil:
		return err
	case !populated:
		if err := t.remove(id.String()); err != nil {
			a.h.log.Error(err, "Kept an empty cgroup")
		}
	case a.marked(id, 0, t):
	case a.unreadable(id, t):
		a.found(id, t, &a.h.unclear)
	default:
		a.found(id, t, &a.h.found)
	}
	return nil
}

// unreadable reports whether there is a record of id, or a second copy, that does
// not tell what lives in its group. A second copy may be all there is of a start
// that was not answered: what lives then was started by it.
func (a *adoption) unreadable(id reconciler.ReplicaID, t *cgroupTree) bool {
	for _, one := range a.kept.Unreadable {
		if one == id {
			return true
		}
	}
	data, marked := t.mark(id)
	if !marked || a.kept.Decode == nil {
		return marked
	}
	r, err := a.kept.Decode(data)
	return err != nil || r.Instance.ID != id || !r.Instance.StartedAt.IsZero()
}

// found notes what lives and is not explained.
func (a *adoption) found(id reconciler.ReplicaID, in grouping, list *[]reconciler.ReplicaID) {
	g := newGroup(id, in)
	// Whether it was killed before is not known: see cgroupTree.prepare.
	g.phase, g.killed = phaseEnded, true
	a.h.groups[id] = g
	*list = append(*list, id)
	a.h.watcher.after(0, func() { a.h.watchSurvivors(g) })
}

// marked goes on with the second copy of a record, when that is of a later run
// than the first one and its main process lives. So it is when the first could
// not be written, or was lost.
func (a *adoption) marked(id reconciler.ReplicaID, run uint64, in grouping) bool {
	t, isTree := in.(*cgroupTree)
	if !isTree || a.kept.Decode == nil {
		return false
	}
	data, ok := t.mark(id)
	if !ok {
		return false
	}
	r, err := a.kept.Decode(data)
	i := &r.Instance
	if err != nil || i.ID != id || i.Run <= run || i.StartedAt.IsZero() || mainOver(i) {
		return false
	}
	g := newGroup(id, t)
	g.run, g.pid, g.ticks, g.startedAt, g.carriesOn = i.Run, i.Pid, i.StartTicks, i.StartedAt, carriesOn(i)
	g.read = readBy(i)
	g.speaks = a.h.speaks(i)
	fd, v := a.h.identify(g)
	if v != same {
		return false
	}
	g.phase, g.pidfd, g.killed = phaseRunning, fd, true
	a.h.adopted++
	a.h.groups[id] = g
	a.records[id] = &r
	a.h.watchMain(g)
	return true
}

// group is the host's record for what a record tells.
func (a *adoption) group(id reconciler.ReplicaID, r *reconciler.Record) *group {
	var in grouping = a.h.sessions
	if t := a.trees[id]; t != nil {
		in = t
	}
	g := newGroup(id, in)
	g.run, g.startedAt = r.Instance.Run, r.Instance.StartedAt
	g.carriesOn, g.read = carriesOn(&r.Instance), readBy(&r.Instance)
	g.speaks = a.h.speaks(&r.Instance)
	// Whether somebody killed the group meanwhile is not known.
	g.killed = true
	return g
}

func (a *adoption) empty(id reconciler.ReplicaID, t *cgroupTree) bool {
	populated, err := t.populated(id.String())
	return err == nil && !populated
}

// carried takes the descriptor that came through exec(2).
func (a *adoption) carried(id reconciler.ReplicaID) (int, bool) {
	fd, ok := a.kept.Pidfds[id]
	delete(a.kept.Pidfds, id)
	return fd, ok
}

// Restored are the records as they are to be given to the loop: those of Kept,
// with second copies where these were better.
func (h *Host) Restored() []reconciler.Record { return h.restored }

// Adopted counts the main processes that lived when the host was opened.
func (h *Host) Adopted() int { return h.adopted }

// Found are the replicas in whose group something lived when the host was
// opened that no record explains. When the last of it is gone, Emptied tells,
// with Run 0.
func (h *Host) Found() []reconciler.ReplicaID { return h.found }

// Unclear are the same for replicas whose records cannot be read.
func (h *Host) Unclear() []reconciler.ReplicaID { return h.unclear }
