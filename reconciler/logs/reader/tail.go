package reader

import (
	"errors"
	"os"
	"time"
)

const (
	// firstWindow is how much of the end of the files is looked at first for
	// the last lines. Each further attempt looks at windowGrowth times as much,
	// so that all of them together read little more than the last.
	firstWindow  = 64 << 10
	windowGrowth = 4
	// trustedWindow is how far from the end a line may begin that consists of
	// one entry, and is the first of its stream that was seen, to be taken for
	// whole: further entries of it would have to be before that. A stream that
	// is hardly ever written to would have all files read otherwise.
	trustedWindow = 4 << 20
	// beginTries bounds how often files are rotated away while the place is
	// looked for; then it is read from the beginning.
	beginTries = 10
)

// begin has the source give out the last n of the wanted lines that are there
// now (below zero is all of them), and leaves out what is certainly too early.
// It returns how many lines there are then, or -1 when it was not necessary to
// know.
func (s *source) begin(n int) int {
	if n < 0 && s.filter.since.IsZero() {
		return -1
	}
	for range beginTries {
		list := s.chain.list()
		files, first := s.measure(list)
		changed := false
		for _, at := range places(files, first) {
			var count int
			var ok bool
			if count, ok, changed = s.attempt(list, at, n); ok {
				return count
			}
			if changed {
				break
			}
		}
		if !changed {
			break
		}
	}
	return s.all(n)
}

// all is begin without a place: everything is read.
func (s *source) all(n int) int {
	if n < 0 {
		return -1
	}
	probe := s.probe(newChain(s.chain.dir, s.chain.ordinal, func(error) {}))
	defer probe.chain.close()
	return s.last(probe.survey(true).count, n)
}

// last has the source give out the last n of so many lines.
func (s *source) last(count, n int) int {
	if n < 0 {
		return -1
	}
	s.left = min(n, count)
	s.skip = count - s.left
	return s.left
}

// size is what is known of the content of a file of the list.
type size struct {
	plain bool
	bytes int64
}

// measure tells the sizes, and which file is the first that may hold a line that
// is not too early.
func (s *source) measure(list []entry) (files []size, first int) {
	for i, e := range list {
		info, err := os.Lstat(s.chain.dir + "/" + e.name)
		if err != nil {
			files = append(files, size{})
			continue
		}
		files = append(files, size{!e.zip, info.Size()})
		if e.ours && !e.live && e.key.Before(s.filter.since) {
			first = i + 1
		}
	}
	return files, min(first, max(0, len(list)-1))
}

// place is where reading may begin.
type place struct {
	file   int
	off    int64
	window int64 // to the end of all files, as far as they are not compressed
	start  bool  // nothing is before it
}

// places are where to try to begin, each further from the end than the one
// before: within the files at the end that are not compressed, then at the
// beginning of one, two, four ... further files.
func places(files []size, first int) []place {
	var all []place
	window := int64(firstWindow)
	total := int64(0)
	i := len(files) - 1
	for ; i >= first && files[i].plain; i-- {
		for ; total+files[i].bytes > window; window *= windowGrowth {
			all = append(all, place{file: i, off: total + files[i].bytes - window, window: window})
		}
		total += files[i].bytes
	}
	if i+1 > first && i+1 < len(files) {
		all = append(all, place{file: i + 1, window: total})
	}
	for step := 1; i > first; step *= 2 {
		all = append(all, place{file: i, window: total + files[i].bytes})
		for range min(step, i) {
			total += files[i].bytes
			i--
		}
	}
	if len(files) > 0 {
		all = append(all, place{file: first, window: total, start: true})
	}
	return all
}

// attempt counts what is wanted from a place on. When that is enough, the source
// begins there. again says that the files have changed.
func (s *source) attempt(list []entry, at place, n int) (count int, ok, again bool) {
	e := &list[at.file]
	opened, err := os.OpenFile(s.chain.dir+"/"+e.name, os.O_RDONLY|openFlags, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, true
	}
	if err != nil {
		return 0, false, false // reading will say it
	}
	defer opened.Close()
	probe := s.probe(nil)
	probe.join.cut = !at.start
	began, again := probe.start(s.chain, list, at, opened)
	if !began {
		return 0, false, again
	}
	defer probe.chain.close()
	found := probe.survey(at.window >= trustedWindow)
	if !at.start && !found.enough(n) {
		return 0, false, false
	}
	s.join.cut = probe.join.cut
	if began, again := s.start(s.chain, list, at, opened); !began {
		return 0, false, again
	}
	return s.last(found.count, n), true, false
}

// probe is a source of the same lines, to count them.
func (s *source) probe(c *chain) *source {
	return &source{replica: s.replica, filter: s.filter, follow: s.follow, chain: c, left: -1}
}

// start has the source begin at a place, in a file that is open.
func (s *source) start(model *chain, list []entry, at place, opened *os.File) (began, again bool) {
	e := &list[at.file]
	twin, err := reopen(opened)
	if err != nil {
		return false, false
	}
	f, err := newFile(twin, e.zip, e.live, max(0, at.off-1))
	if err != nil {
		twin.Close()
		return false, false
	}
	c := newChain(model.dir, model.ordinal, model.warn)
	c.keys = model.keys
	for i := range list[:at.file] {
		c.finish(&list[i])
	}
	// It is the one of the list only if nothing was rotated since.
	if e.live && !c.isNext(f) || !e.ours && f.id != e.id {
		f.close()
		return false, true
	}
	if !e.live {
		c.finish(e)
		f.modified = e.key
	}
	if at.off > 0 && !f.skipLine() {
		f.close()
		return false, false
	}
	c.cur, c.began = f, c.floor
	s.chain = c
	return true, false
}

// skipLine goes to the beginning of the next line.
func (f *file) skipLine() bool {
	for {
		_, end, ok, err := f.part()
		if err != nil || !ok {
			return false
		}
		if end {
			return true
		}
	}
}

// survey is what a probe has found.
type survey struct {
	trusting bool // see trustedWindow
	count    int  // wanted lines
	certain  int  // of them, those at the end after which none is doubtful
	doubtful bool // a line was, which may be wanted
	early    bool // it began before what is wanted
}

// enough reports whether the last n lines are certain, or all.
func (v *survey) enough(n int) bool {
	return n >= 0 && v.certain >= n || v.early && !v.doubtful
}

// see looks at a line, which may be wanted or not: with its beginning it might
// be.
func (v *survey) see(l *Line, since time.Time) {
	if l.Time.Before(since) || l.doubt == whole || l.doubt == perhaps && v.trusting {
		return
	}
	v.certain, v.doubtful = -1, true
	if l.More {
		v.certain = 0
	}
}

// survey reads all there is.
func (s *source) survey(trusting bool) *survey {
	v := &survey{trusting: trusting}
	s.seen = v
	for l := s.next(!s.follow); l != nil; l = s.next(!s.follow) {
		if !l.More {
			v.count++
			v.certain++
		}
	}
	v.certain = max(v.certain, 0)
	v.early = !s.join.first.IsZero() && s.join.first.Before(s.filter.since)
	return v
}
