package watch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// coverage keeps the right directories watched. It belongs to one goroutine.
type coverage struct {
	notifier notifier // nil while there is none
	spots    map[int32]*spot
	covered  map[[2]uint64]*spot // those of this pass, by device and inode
	pass     uint32
	failure  error // why this pass cannot rely on being told
	denied   error // a directory on the way that may not be watched
}

// spot is one directory that is watched.
type spot struct {
	wd    int32
	key   [2]uint64
	mask  uint32
	names map[string]struct{} // the entries that a path leads through
	// manifests are the logical paths of the directory as one of manifests.
	manifests []string
	pass      uint32
}

func newCoverage() *coverage {
	return &coverage{spots: map[int32]*spot{}, covered: map[[2]uint64]*spot{}}
}

// begin starts a pass over everything: what it does not ask for is not
// watched any more at its end.
func (c *coverage) begin() {
	c.pass++
	c.failure, c.denied = nil, nil
	clear(c.covered)
}

func (c *coverage) end() {
	for wd, s := range c.spots {
		if s.pass != c.pass {
			delete(c.spots, wd)
			c.notifier.remove(wd)
		}
	}
	clear(c.covered)
}

// lost forgets everything: there is no notifier any more.
func (c *coverage) lost() {
	c.notifier = nil
	clear(c.spots)
	clear(c.covered)
}

func (c *coverage) watch(p *place, mask uint32, name string, must bool) {
	if s := c.cover(p, mask, must); s != nil && name != "" {
		s.names[name] = struct{}{}
	}
}

// manifests has a directory watched whose manifests are known by the logical
// path of the folder.
func (c *coverage) manifests(p *place, logical string) {
	s := c.cover(p, maskManifests, true)
	if s == nil {
		return
	}
	for _, m := range s.manifests {
		if m == logical {
			return
		}
	}
	s.manifests = append(s.manifests, logical)
}

func (c *coverage) cover(p *place, mask uint32, must bool) *spot {
	if c.notifier == nil {
		return nil
	}
	key := [2]uint64{p.st.Dev, p.st.Ino}
	s := c.covered[key]
	if s != nil && s.mask&mask == mask {
		return s
	}
	wd, err := c.notifier.add(p.fd, mask)
	if err != nil {
		return c.refused(p, key, must, err)
	}
	s = c.spots[wd]
	if s == nil {
		s = &spot{wd: wd, key: key}
		c.spots[wd] = s
	}
	if s.pass != c.pass {
		s.pass, s.mask, s.names, s.manifests = c.pass, 0, map[string]struct{}{}, nil
	}
	s.mask |= mask
	c.covered[key] = s
	return s
}

// refused says what becomes of a directory that cannot be watched. Who may
// not list one may not watch it. That it is moved is then not told, but
// what stands in it is; and a watch from better days still works.
func (c *coverage) refused(p *place, key [2]uint64, must bool, err error) *spot {
	if !errors.Is(err, unix.EACCES) {
		c.failure = explain(p.path, err)
		return nil
	}
	for _, s := range c.spots {
		if s.key == key {
			s.pass = c.pass
			return s
		}
	}
	c.denied = explain(p.path, err)
	if must {
		c.failure = c.denied
	}
	return nil
}

func explain(path string, err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("cannot watch %s: the limit fs.inotify.max_user_watches is reached: %w", path, err)
	}
	return fmt.Errorf("cannot watch %s: %w", path, err)
}
