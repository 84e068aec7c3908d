package reconciler

import (
	"container/heap"
	"time"

	"svc.d/spec"
)

// dueHeap orders records by the time when they want to be asked again.
type dueHeap []*record

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = int32(i), int32(j)
}

// Push and Pop are container/heap's; use place and remove.
func (h *dueHeap) Push(x any) {
	r := x.(*record)
	r.place = int32(len(*h))
	*h = append(*h, r)
}

func (h *dueHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	r.place = -1
	return r
}

// put places r by its due time, which must not be zero.
func (h *dueHeap) put(r *record) {
	if r.place < 0 {
		heap.Push(h, r)
		return
	}
	heap.Fix(h, int(r.place))
}

// remove takes r out, if it is in.
func (h *dueHeap) remove(r *record) {
	if r.place >= 0 {
		heap.Remove(h, int(r.place))
	}
}

// earlier is the earlier of two times of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// turns is when a replica that runs counts otherwise without an event: as available, or
// as one that does not get ready. Nothing is done then, but it is shown.
func turns(want *spec.Service, i *Instance, now time.Time) time.Time {
	ready, _ := i.ready()
	due := ready.Add(minReady(want))
	if ready.IsZero() {
		due = i.StartedAt.Add(time.Duration(want.Spec.ProgressDeadlineSeconds) * time.Second)
	}
	if now.Before(due) {
		return due
	}
	return time.Time{}
}
