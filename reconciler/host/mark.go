package host

import (
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// markName is the extended attribute of a replica's cgroup that holds a second
// copy of its record. It lives as long as the group, which is as long as anything
// in it; the kernel replaces it as a whole (cgroups have them since Linux 5.7).
const markName = "user.reconciler"

// maxMark is what the kernel takes (xattr(7)). A record that is larger has no
// second copy.
const maxMark = 64 << 10

// Mark keeps a second copy of a replica's record with its cgroup. Where there is
// none, nothing is kept. Safe for concurrent use.
func (h *Host) Mark(id reconciler.ReplicaID, record []byte) {
	h.mu.Lock()
	var t *cgroupTree
	if g := h.groups[id]; g != nil {
		t, _ = g.in.(*cgroupTree)
	}
	h.mu.Unlock()
	if t == nil || len(record) > maxMark {
		return
	}
	// What fails here is no loss: the record itself is written next.
	_ = unix.Setxattr(t.root+"/"+id.String(), markName, record, 0)
}

// mark reads what Mark kept.
func (t *cgroupTree) mark(id reconciler.ReplicaID) ([]byte, bool) {
	buf := make([]byte, maxMark)
	n, err := unix.Getxattr(t.root+"/"+id.String(), markName, buf)
	return buf[:max(n, 0)], err == nil
}
