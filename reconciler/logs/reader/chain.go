package reader

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"svc.d/reconciler/logs/cri"
)

// chain reads the files of one replica as if they were one, which others rename,
// copy, compress and delete meanwhile. What it goes by:
//
//   - A file that is open keeps its inode number, whatever its name. So the
//     file that was written to, and is being read, is known again.
//   - When its inode has no name any more, it was deleted or compressed: a
//     compressed file that begins with what was read is the same.
//   - The daemon gives no name twice: those that were seen (done) are over.
//   - Others number their files anew each time, but the first stamp in a file
//     stays: those up to floor are over.
type chain struct {
	dir     string
	ordinal int32
	warn    func(error)

	cur *file
	// then is what to read when cur has been read to its end once more: before
	// then was there, cur may have been written to.
	then *file
	// before is the file before cur. A writer that has not noticed yet that
	// its file was renamed goes on writing to it.
	before *file
	// within is the file whose entry the last part was a part of.
	within *file
	// look says that the folder may have another file.
	look  bool
	done  map[string]bool // by entry.base
	floor time.Time
	began time.Time // floor when cur was begun: files up to there are not of it
	keys  keyer
}

func newChain(dir string, ordinal int32, warn func(error)) *chain {
	return &chain{dir: dir, ordinal: ordinal, warn: warn, look: true, done: map[string]bool{}, keys: keyer{}}
}

func (c *chain) close() {
	c.cur.close()
	c.then.close()
	c.before.close()
}

// part is a part of an entry.
type part struct {
	text []byte
	end  bool
	torn bool // it has no newline, and nobody goes on with it
	time time.Time
}

// next returns the next part; ok is false when there is none for now. Its text is
// valid until the next call.
func (c *chain) next() (p part, ok bool) {
	for {
		if c.before.grown() && c.within != c.cur {
			if p, ok := c.from(c.before); ok {
				return p, true
			}
		}
		// Before a file that is written to is begun, the folder tells whether
		// another one was copied from it and comes first.
		if c.cur != nil && (c.then != nil || !c.look || !c.cur.fresh()) {
			if p, ok := c.from(c.cur); ok {
				return p, true
			}
			if c.then != nil {
				return c.leave(), true
			}
		}
		if !c.look {
			return part{}, false
		}
		next := c.advance()
		switch {
		case next == nil && c.cur.fresh():
			c.look = false // and goes on with it
		case next == nil:
			c.look = false
			return part{}, false
		case c.cur == nil:
			c.cur, c.began = next, c.floor
		default:
			c.then = next
		}
	}
}

// from takes the next part out of a file.
func (c *chain) from(f *file) (part, bool) {
	text, end, ok, err := f.part()
	if ok {
		c.within = nil
		if !end {
			c.within = f
		}
		return part{text: text, end: end, time: f.modified}, true
	}
	switch {
	case errors.Is(err, errTruncated):
		c.truncated(f)
	case err != nil:
		c.warn(fmt.Errorf("cannot read the log of %d in %s to its end: %w", c.ordinal, c.dir, err))
		f.close()
		f.os = nil
	}
	return part{}, false
}

// leave goes to the next file, and returns what is torn at the end of this one.
func (c *chain) leave() part {
	p := part{text: c.cur.torn(), end: true, torn: true, time: c.cur.modified}
	c.before.close()
	c.before, c.cur, c.then, c.within = c.cur, c.then, nil, nil
	c.began = c.floor
	return p
}

// rest returns what is torn at the end of the last file.
func (c *chain) rest() part {
	if c.cur == nil {
		return part{end: true, torn: true}
	}
	return part{text: c.cur.torn(), end: true, torn: true, time: c.cur.modified}
}

// truncated puts in the place of a file that was cut off the copy that was made
// of it before, if there is one, from where reading left off. What the file holds
// now is then a file like others.
func (c *chain) truncated(f *file) {
	if f != c.cur {
		f.close()
		f.os = nil
		return
	}
	c.pass(f.first())
	ghost := &file{buf: f.buf, r: f.r, w: f.w, modified: f.modified, head: f.head}
	c.cur, c.look = ghost, true
	for _, e := range slices.Backward(c.list()) {
		if e.ours || e.live || !e.key.After(c.began) {
			continue
		}
		if twin, ok := f.isIn(c.dir+"/"+e.name, e.zip); ok {
			c.cur = twin
			c.pass(e.key)
			break
		}
	}
	f.close()
}

// pass says that files of others up to a key are over.
func (c *chain) pass(key time.Time) {
	if key.After(c.floor) {
		c.floor = key
	}
}

// list returns the files of the replica, in order.
func (c *chain) list() []entry {
	all, err := names(c.dir, c.ordinal)
	if err != nil {
		c.warn(fmt.Errorf("cannot list the logs in %s: %w", c.dir, err))
		return nil
	}
	var list []entry
	there := map[string]bool{}
	for _, name := range all {
		ordinal, e, ok := classify(name)
		if !ok || ordinal != c.ordinal {
			continue
		}
		if !e.ours && c.keys.key(c.dir, &e) != nil {
			continue // gone by now
		}
		there[e.base] = true
		list = append(list, e)
	}
	for base := range c.done {
		if !there[base] {
			delete(c.done, base)
		}
	}
	return arrange(list)
}

// over reports whether a file was read or passed over.
func (c *chain) over(e *entry) bool {
	switch {
	case e.live:
		return false
	case e.ours:
		return c.done[e.base]
	case c.before != nil && e.id == c.before.id:
		return true
	default:
		return !e.key.After(c.floor)
	}
}

// finish says that a file is over.
func (c *chain) finish(e *entry) {
	switch {
	case e.live:
	case e.ours:
		c.done[e.base] = true
	default:
		c.pass(e.key)
	}
}

func (c *chain) firstUnread(list []entry) *entry {
	for i := range list {
		if !c.over(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// advanceTries bounds how often the next file may be gone when it is opened.
const advanceTries = 100

// advance opens the file after cur; nil is that there is none.
func (c *chain) advance() *file {
	for range advanceTries {
		list := c.list()
		if c.isLast(list) {
			return nil
		}
		e := c.firstUnread(list)
		if e == nil {
			return nil
		}
		f, err := c.open(e)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			c.warn(err)
			c.finish(e)
			if e.live {
				return nil
			}
			continue
		}
		if e.live && !c.isNext(f) {
			f.close()
			continue
		}
		c.finish(e)
		return f
	}
	return nil
}

// open opens a file of the list. One that was compressed since is not there: it
// must be listed again, to be known again.
func (c *chain) open(e *entry) (*file, error) {
	f, err := openLog(c.dir+"/"+e.name, e.zip, e.live, 0)
	if err == nil && !e.live {
		f.modified = e.key
	}
	return f, err
}

// isNext reports whether a file that was opened as the one that is written to is
// the next one. It is not when files were rotated between list and open.
func (c *chain) isNext(f *file) bool {
	list := c.list()
	if c.isLast(list) {
		return false // cur came back
	}
	e := c.firstUnread(list)
	if e == nil {
		return true // renamed, and not there again yet: caught on its way
	}
	id, ok := lstatID(c.dir + "/" + e.name)
	return ok && id == f.id
}

// isLast finds cur in the list, and reports whether it is still the one that is
// written to: then nothing comes after it. If it has got another name, that one is
// over from now on.
func (c *chain) isLast(list []entry) bool {
	cur := c.cur
	if cur == nil || !cur.live {
		return false
	}
	if cur.fresh() {
		cur.reset()
		_, _ = cur.fill() // to know it by; an error comes again
	} else {
		c.pass(cur.first())
	}
	at := slices.IndexFunc(list, func(e entry) bool {
		if e.zip || e.ours && c.done[e.base] {
			return false
		}
		id, ok := lstatID(c.dir + "/" + e.name)
		return ok && id == cur.id
	})
	if at < 0 {
		at = c.twin(list)
	}
	switch {
	case at < 0: // deleted
		return false
	case c.overtaken(list[:at]):
		// It is opened again, and read in its turn.
		cur.close()
		c.cur = &file{modified: cur.modified}
		return false
	case !list[at].live:
		c.finish(&list[at])
		return false
	default:
		for i := range list[:at] {
			c.finish(&list[i])
		}
		return true
	}
}

// overtaken reports whether cur, of which nothing was given out yet, was written
// to, copied and cut off unseen: then there is a file before it.
func (c *chain) overtaken(before []entry) bool {
	e := c.firstUnread(before)
	if e == nil || !c.cur.fresh() {
		return false
	}
	if c.cur.off < int64(len(cri.Stamp)) {
		return true // too little to compare by
	}
	twin, ok := c.cur.isIn(c.dir+"/"+e.name, e.zip)
	if ok {
		twin.close()
	}
	return !ok
}

// twin finds what cur, which has no name any more, was compressed to.
func (c *chain) twin(list []entry) int {
	return slices.IndexFunc(list, func(e entry) bool {
		if !e.zip || c.over(&e) {
			return false
		}
		twin, ok := c.cur.isIn(c.dir+"/"+e.name, true)
		if ok {
			twin.close()
		}
		return ok
	})
}
