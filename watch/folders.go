package watch

import (
	"slices"
	"strings"
	"time"
)

// Reasons of the condition DirectoryHeld.
const (
	// ReasonMissing: there is no such directory.
	ReasonMissing = "Missing"
	// ReasonUnreadable: the directory cannot be listed.
	ReasonUnreadable = "Unreadable"
	// ReasonNotTrusted: others can change what stands in the directory.
	ReasonNotTrusted = "NotTrusted"
	// ReasonReplaced: another directory, which is empty, took its place.
	ReasonReplaced = "Replaced"
)

// dirTrouble is why a directory cannot be taken for what it is.
type dirTrouble struct {
	reason, message string
	since           time.Time
	id              dirIdentity // of the empty one, for ReasonReplaced
}

// dirSighting is what one look at a directory showed. An empty reason means
// that it was listed.
type dirSighting struct {
	path            string
	id              dirIdentity
	empty           bool // it holds no manifest, and no folder that may
	reason, message string
}

// listed takes in a full list, after the sightings of its files, which carry
// the present pass. A file that was not seen is gone, unless its directory is held.
func (l *ledger) listed(dirs []dirSighting, now time.Time) {
	seen := map[string]bool{}
	for _, d := range dirs {
		seen[d.path] = true
		l.seeDir(d, now)
	}
	for path := range l.dirs {
		// While something of it is in force, one that comes back empty is held.
		if !seen[path] && !l.holds(path) && !l.anyBelow(path) {
			delete(l.dirs, path)
		}
	}
	for path := range l.held {
		if !seen[path] && !l.holdsAbove(path) {
			delete(l.held, path)
		}
	}
	// In the order of paths, so that the same happens each time.
	var lost []string
	for path, e := range l.files {
		if e.pass != l.pass && !e.gone && !l.holds(path) {
			lost = append(lost, path)
		}
	}
	slices.Sort(lost)
	for _, path := range lost {
		l.lose(l.files[path], now)
	}
}

func (l *ledger) seeDir(d dirSighting, now time.Time) {
	known := l.dirs[d.path]
	reason, message := d.reason, d.message
	if reason == "" && d.empty && known != (dirIdentity{}) && known != d.id && l.anyBelow(d.path) {
		reason = ReasonReplaced
		message = "another directory, which is empty, took the place of " + d.path
	}
	if reason == "" {
		l.dirs[d.path] = d.id
		delete(l.held, d.path)
		return
	}
	if reason == ReasonMissing && (known != (dirIdentity{}) || l.anyBelow(d.path)) {
		// Whatever comes in its place is another one, even where the file
		// system gives the same number again.
		l.dirs[d.path] = dirIdentity{ino: ^uint64(0)}
	}
	since := now
	if old, ok := l.held[d.path]; ok && old.reason == reason {
		since = old.since
	}
	l.held[d.path] = dirTrouble{reason: reason, message: message, since: since, id: d.id}
}

// holds says whether a path lies in a directory that is held, or is one.
func (l *ledger) holds(path string) bool {
	_, itself := l.held[path]
	return itself || l.holdsAbove(path)
}

func (l *ledger) holdsAbove(path string) bool {
	for dir := range l.held {
		if below(path, dir) {
			return true
		}
	}
	return false
}

// anyBelow says whether a directory provides something.
func (l *ledger) anyBelow(dir string) bool {
	for _, h := range l.services {
		if below(h.by.path, dir) {
			return true
		}
	}
	return l.tenure.by != nil && below(l.tenure.by.path, dir)
}

// blind says that some directory is held: what is missing may be there.
func (l *ledger) blind() bool { return len(l.held) > 0 }

// unreadable says that some directory is held since it cannot be listed.
func (l *ledger) unreadable() bool {
	for _, t := range l.held {
		if t.reason == ReasonUnreadable {
			return true
		}
	}
	return false
}

// below says whether a logical path lies in a directory.
func below(file, dir string) bool {
	return strings.HasPrefix(file, dir) && (strings.HasSuffix(dir, "/") || strings.HasPrefix(file[len(dir):], "/"))
}
