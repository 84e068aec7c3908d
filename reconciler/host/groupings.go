package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"svc.d/reconciler"
)

// cgroupsFile is where daemons write down which cgroups they used: the next one
// may run elsewhere in the tree, started from another terminal or by another
// supervisor. A line for each; those of another boot do not exist any more.
const cgroupsFile = "cgroups"

// openGroupings opens our cgroup, and those of earlier daemons. Without cgroups
// sessions have to do.
func (h *Host) openGroupings(o Options) error {
	used := readCgroups(o.StateDir)
	h.grouping = h.sessions
	carried := 0
	if o.Kept != nil {
		carried = o.Kept.Tree
	}
	own := ""
	if o.NoCgroups {
		h.degraded("NoCgroups", "cgroups are switched off (--no-cgroups)")
	} else {
		tree, err := h.openOwnTree(o, carried)
		if errors.Is(err, errTreeInUse) {
			return err
		}
		if err != nil {
			h.degraded("CgroupsUnusable", "cgroups cannot be used: "+err.Error())
		} else {
			own = tree.root
			h.grouping = tree
			h.trees = append(h.trees, tree)
		}
	}
	for _, root := range used {
		if root == own {
			continue
		}
		t, err := openCgroupTree(root, false, carried)
		if errors.Is(err, errTreeInUse) {
			return err
		}
		if err == nil { // else it is gone, or was never ours
			h.trees = append(h.trees, t)
		}
	}
	return h.writeCgroups(o.StateDir, used)
}

func (h *Host) openOwnTree(o Options, carried int) (*cgroupTree, error) {
	root, err := cgroupPath(o.StateDir, o.CgroupRoot)
	if err != nil {
		return nil, err
	}
	tree, err := openCgroupTree(root, true, carried)
	if err != nil {
		return nil, err
	}
	if carried == 0 { // else it was tried before
		if err := h.probe(tree); err != nil {
			_ = tree.close()
			return nil, err
		}
	}
	return tree, nil
}

func (h *Host) degraded(reason, why string) {
	h.conditions = append(h.conditions, Condition{
		Type: ConditionDegraded, Reason: reason,
		Message: why + ": a process that makes a session of its own (a daemon does) escapes its service and is neither stopped nor seen; " +
			"what a killed reconciler leaves behind is found as well as it can be",
	})
}

// readCgroups lists the cgroups that earlier daemons used.
func readCgroups(stateDir string) []string {
	data, err := os.ReadFile(filepath.Join(stateDir, cgroupsFile))
	if err != nil {
		return nil
	}
	var roots []string
	for root := range strings.Lines(string(data)) {
		if root = strings.TrimSuffix(root, "\n"); filepath.IsAbs(root) && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// writeCgroups writes down the groups that are open, when they are others than
// before. A daemon that cannot do it finds its way all the same, unless it is
// started elsewhere in the tree.
func (h *Host) writeCgroups(stateDir string, before []string) error {
	var roots []string
	for _, t := range h.trees {
		roots = append(roots, t.root)
	}
	if slices.Equal(roots, before) {
		return nil
	}
	path := filepath.Join(stateDir, cgroupsFile)
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return err
	}
	err := os.WriteFile(path+".new", []byte(strings.Join(append(roots, ""), "\n")), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		h.log.Error(err, "Cannot write down our cgroup; a daemon that is started from elsewhere will not find it")
	}
	return nil
}

// CgroupRoot is the cgroup below which ours is; empty without cgroups.
func (h *Host) CgroupRoot() string {
	if t, ok := h.grouping.(*cgroupTree); ok {
		return filepath.Dir(t.root)
	}
	return ""
}

// Cgroup is the directory of the cgroup of a replica; empty when it has none. Safe for
// concurrent use.
func (h *Host) Cgroup(id reconciler.ReplicaID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := h.groups[id]; g != nil {
		if t, ok := g.in.(*cgroupTree); ok {
			return t.root + "/" + id.String()
		}
	}
	return ""
}
