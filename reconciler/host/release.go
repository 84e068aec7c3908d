package host

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// leftPrefix begins the name of a group, beside those of the replicas, of what a
// main process has left to live on: "_left.web-0.1".
const leftPrefix = "_left."

// leftBehind are the groups of what lives on. Nobody kills it.
type leftBehind struct {
	mu     sync.Mutex
	groups []leftGroup
}

type leftGroup struct {
	tree          *cgroupTree
	name, service string
}

// add notes a group by its name. It says whether it is one.
func (l *leftBehind) add(t *cgroupTree, name string) bool {
	rest, ok := strings.CutPrefix(name, leftPrefix)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 {
		return false
	}
	id, ok := reconciler.ParseReplicaID(rest[:dot])
	if !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = append(l.groups, leftGroup{t, name, id.Service})
	return true
}

// LeftBehind lists what main processes of stopScope Main have left and lives on, by
// the name of the service; the first few of each group. Safe for concurrent use.
func (h *Host) LeftBehind() map[string][]reconciler.Process {
	l := &h.leftBehind
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.groups) == 0 {
		return nil
	}
	out := map[string][]reconciler.Process{}
	kept := l.groups[:0]
	for _, g := range l.groups {
		if populated, err := g.tree.populated(g.name); err == nil && !populated || err == unix.ENOENT {
			if g.tree.removeEmpty(g.name) {
				continue
			}
		}
		kept = append(kept, g)
		if pids, unseen := g.tree.members(g.name, 0); len(pids) > 0 || unseen {
			out[g.service] = append(out[g.service], describe(pids)...)
		}
	}
	l.groups = kept
	return out
}

// startRelease takes what a main process has left out of the group. Its emptiness
// is told after the answer.
func (h *Host) startRelease(w reconciler.Work) answer {
	e := reconciler.Event{Kind: reconciler.EventReleased, Replica: w.Replica, Run: w.Run}
	refused := func(format string, args ...any) answer {
		e.Failure = failure(reconciler.ReasonReleaseFailed, "cannot let what "+w.Replica.String()+" has left live on: "+format, args...)
		return answer{event: e}
	}
	h.mu.Lock()
	g := h.groups[w.Replica]
	switch {
	case g == nil || g.phase == phaseIdle:
		h.mu.Unlock()
		return answer{event: e}
	case g.phase != phaseEnded:
		h.mu.Unlock()
		return refused("its main process lives")
	}
	t, ok := g.in.(*cgroupTree)
	if !ok {
		h.mu.Unlock()
		return refused("without cgroups it cannot be told from what comes later")
	}
	g.settling++
	h.mu.Unlock()
	again := func() { h.watcher.soon(func() { h.settled(g) }) }
	pids, err := h.moveOut(t, w.Replica)
	if len(pids) > 0 {
		e.Processes = describe(pids)
	}
	if err != nil {
		a := refused("%v", err)
		a.then = again
		return a
	}
	return answer{event: e, then: again}
}

// moveOut moves what lives in the group of a replica into a new one beside it. Who
// forks meanwhile has children in the old one, so it looks again.
func (h *Host) moveOut(t *cgroupTree, id reconciler.ReplicaID) (moved []int32, err error) {
	const rounds = 1000
	var into string
	procs := -1
	defer func() {
		if procs >= 0 {
			_ = unix.Close(procs)
		}
	}()
	for range rounds {
		pids, unseen := t.own(id.String(), 0)
		switch {
		case len(pids) > 0:
		case unseen:
			return moved, errors.New("some of it cannot be seen")
		default:
			return moved, nil
		}
		if into == "" {
			if into, err = t.makeLeft(id); err != nil {
				return nil, err
			}
			// Before that, somebody who asks would take it for one that is empty by now.
			defer h.leftBehind.add(t, into)
			if procs, err = unix.Openat(t.rootFD, into+"/cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
				return nil, fmt.Errorf("cannot open the cgroup %s: %w", into, err)
			}
		}
		for _, pid := range pids {
			switch err := move(procs, pid); {
			case err == nil:
				moved = append(moved, pid)
			case err != unix.ESRCH: // or it has ended
				return moved, fmt.Errorf("cannot move process %d: %w", pid, err)
			}
		}
	}
	return moved, errors.New("it forks faster than it can be moved")
}

func move(procs int, pid int32) error {
	_, err := unix.Write(procs, strconv.AppendInt(nil, int64(pid), 10))
	return err
}

func (t *cgroupTree) makeLeft(id reconciler.ReplicaID) (string, error) {
	for n := 1; ; n++ {
		name := leftPrefix + id.String() + "." + strconv.Itoa(n)
		made, err := t.make(name)
		if err != nil {
			return "", fmt.Errorf("cannot make the cgroup %s: %w", name, err)
		}
		if made {
			return name, nil
		}
	}
}
