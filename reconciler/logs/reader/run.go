package reader

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
)

// run is one Read. Its fields are touched by the caller's goroutine only.
type run struct {
	query   Query
	sink    Sink
	folders map[string]*folder // by service
	order   []*folder          // as in the query
	merge   merge
	notify  *notifier // nil without follow
	skip    int       // lines that are left out still
	// dirWatched says that we are told of new folders.
	dirWatched bool
}

// folder is what is read of one service.
type folder struct {
	path    string
	targets []Target
	sources map[int32]*source
	watched bool
}

// target says how a replica is to be read, and whether at all.
func (f *folder) target(ordinal int32) (Target, bool) {
	i := slices.IndexFunc(f.targets, func(t Target) bool { return t.Ordinal == ordinal || t.Ordinal == All })
	if i < 0 {
		return Target{}, false
	}
	return f.targets[i], true
}

func (r *run) run(ctx context.Context) error {
	for _, t := range r.query.Targets {
		f := r.folders[t.Service]
		if f == nil {
			f = &folder{path: r.query.Dir + "/" + t.Service, sources: map[int32]*source{}}
			r.folders[t.Service] = f
			r.order = append(r.order, f)
		}
		f.targets = append(f.targets, t)
	}
	if r.query.Follow {
		r.notify = openNotifier()
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil || !r.query.Follow {
		return err
	}
	r.skip = 0
	for _, f := range r.order {
		for _, s := range f.sources {
			s.skip, s.left = 0, -1
		}
	}
	r.refresh(true)
	for {
		if err := r.drain(ctx); err != nil {
			return err
		}
		if err := r.sink.Idle(); err != nil {
			return err
		}
		if err := r.notify.wait(ctx, r.blind()); err != nil {
			return err
		}
		r.refresh(false)
	}
}

func (r *run) close() {
	for _, f := range r.order {
		for _, s := range f.sources {
			s.chain.close()
		}
	}
	if r.notify != nil {
		r.notify.close()
	}
}

func (r *run) warn(err error) {
	if r.query.Warn != nil {
		r.query.Warn(err)
	}
}

// begin finds the sources and where each begins.
func (r *run) begin(ctx context.Context) error {
	total := 0
	for _, f := range r.order {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.watch(f)
		fresh, err := r.find(f)
		if err != nil {
			return err
		}
		for _, s := range fresh {
			if count := s.begin(r.query.Tail); count > 0 {
				total += count
			}
			r.poll(s)
		}
	}
	if r.query.Tail >= 0 {
		r.skip = max(0, total-r.query.Tail)
	}
	return nil
}

// find makes sources of the replicas of a folder that have none yet.
func (r *run) find(f *folder) (fresh []*source, err error) {
	service := f.targets[0].Service
	ordinals, err := Ordinals(r.query.Dir, service)
	if err != nil {
		return nil, fmt.Errorf("cannot read the logs of %s: %w", service, err)
	}
	for _, n := range ordinals {
		t, wanted := f.target(n)
		if f.sources[n] != nil || !wanted {
			continue
		}
		s := &source{
			replica: Replica{service, n}, follow: r.query.Follow, left: -1,
			filter: filter{r.query.Streams, r.query.Grep, t.Since, t.Until},
			chain:  newChain(f.path, n, r.warn),
		}
		f.sources[n] = s
		fresh = append(fresh, s)
	}
	return fresh, nil
}

// watch has the notifier tell of a folder, and of the one that it is in: a folder
// that is removed does not tell so itself while a file of it is open.
func (r *run) watch(f *folder) {
	if r.notify == nil {
		return
	}
	if !r.dirWatched {
		r.dirWatched = r.notify.watch(r.query.Dir) == nil
	}
	if !f.watched {
		f.watched = r.notify.watch(f.path) == nil
	}
}

// blind reports whether something can happen of which we are not told.
func (r *run) blind() bool {
	return !r.dirWatched && slices.ContainsFunc(r.order, func(f *folder) bool { return !f.watched })
}

// refresh looks at what happened; all is everything.
func (r *run) refresh(all bool) {
	news, lost := r.notify.take()
	all = all || lost
	if c, ok := news[r.query.Dir]; ok {
		r.dirWatched = r.dirWatched && !c.gone
		all = all || c.names
	}
	for _, f := range r.order {
		c, ok := news[f.path]
		if !ok && !all {
			continue
		}
		if c.gone || all {
			f.watched = false // it may be another one by now
		}
		r.watch(f)
		if c.names || all {
			if _, err := r.find(f); err != nil {
				r.warn(err)
			}
			for _, s := range f.sources {
				s.chain.look = true
			}
		}
		for _, n := range sortedKeys(f.sources) {
			r.poll(f.sources[n])
		}
	}
}

func sortedKeys(sources map[int32]*source) []int32 {
	var all []int32
	for n := range sources {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// poll puts the next line of a source into the merge, unless it has one there.
func (r *run) poll(s *source) {
	if s.merging {
		return
	}
	if l := s.next(!r.query.Follow); l != nil {
		s.merging = true
		heap.Push(&r.merge, head{l, s})
	}
}

// lookEvery is after how many lines a follow looks whether others have news, so
// that one that writes without end does not hide them.
const lookEvery = 1 << 10

// drain gives out what is there.
func (r *run) drain(ctx context.Context) error {
	for n := 1; len(r.merge) > 0; n++ {
		if n%lookEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.query.Follow && r.skip == 0 {
				r.refresh(false)
			}
		}
		h := &r.merge[0]
		if err := r.give(h.line); err != nil {
			return err
		}
		if l := h.source.next(!r.query.Follow); l != nil {
			h.line = l
			heap.Fix(&r.merge, 0)
		} else {
			h.source.merging = false
			heap.Pop(&r.merge)
		}
	}
	return ctx.Err()
}

func (r *run) give(l *Line) error {
	if r.skip > 0 {
		if !l.More {
			r.skip--
		}
		return nil
	}
	return r.sink.Line(l)
}

// merge is a heap of sources, with the earliest line first.
type merge []head

type head struct {
	line   *Line
	source *source
}

func (m merge) Len() int { return len(m) }

func (m merge) Less(i, j int) bool {
	a, b := m[i].line, m[j].line
	if c := a.Time.Compare(b.Time); c != 0 {
		return c < 0
	}
	if a.Service != b.Service {
		return a.Service < b.Service
	}
	return a.Ordinal < b.Ordinal
}

func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

// Push and Pop are for container/heap.
func (m *merge) Push(x any) { *m = append(*m, x.(head)) }

// Pop removes the last one.
func (m *merge) Pop() any {
	last := len(*m) - 1
	h := (*m)[last]
	*m = (*m)[:last]
	return h
}
