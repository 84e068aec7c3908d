package reader

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// entry is a log file of a replica, as its folder has it.
type entry struct {
	name string
	base string // the name that it has or had before it was compressed
	zip  bool
	live bool // it is the one that is written to
	ours bool // the daemon gave the name
	// key is what files are ordered by: when one of ours was rotated, and when
	// the first entry of another one was written. Since no two overlap in time,
	// that is one order. It is zero for the live file, which comes last.
	key time.Time
	id  inode // of those that are not ours
}

// unreadable are the ends of names of files that hold no log, or that cannot be
// read.
var unreadable = []string{".tmp", ".swp", "~", ".xz", ".bz2", ".zst", ".lz4", ".lzo", ".Z"}

// classify tells what a name says. Names that begin as ours do and go on in
// another way were given by another program that rotates ("0.log.1",
// "0.log-20260102.gz").
func classify(name string) (ordinal int32, e entry, ok bool) {
	e = entry{name: name}
	e.base, e.zip = strings.CutSuffix(name, ".gz")
	if f, ok := cri.ParseName(name); ok && (!f.Compressed || !f.Rotated.IsZero()) {
		e.ours, e.key, e.live = true, f.Rotated, f.Rotated.IsZero()
		return f.Ordinal, e, true
	}
	digits, rest, _ := strings.Cut(name, ".log")
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != digits {
		return 0, entry{}, false
	}
	if len(rest) < 2 || !strings.ContainsRune(".-_", rune(rest[0])) {
		return 0, entry{}, false
	}
	if slices.ContainsFunc(unreadable, func(end string) bool { return strings.HasSuffix(rest, end) }) {
		return 0, entry{}, false
	}
	return int32(n), e, true
}

// arrange puts the files of a replica in order, and leaves out the compressed
// twin of a file that is still there.
func arrange(list []entry) []entry {
	slices.SortFunc(list, func(a, b entry) int {
		switch {
		case a.live != b.live:
			if a.live {
				return 1
			}
			return -1
		case !a.key.Equal(b.key):
			return a.key.Compare(b.key)
		default:
			return strings.Compare(a.name, b.name) // "X" before "X.gz"
		}
	})
	plain := map[string]bool{}
	for _, e := range list {
		plain[e.base] = plain[e.base] || !e.zip
	}
	return slices.DeleteFunc(list, func(e entry) bool { return e.zip && plain[e.base] })
}

// names lists the files of a replica, or of all, and may list others. A file that is renamed while the
// folder is read may be seen by neither name, so it is read until it was the same
// twice, or often enough that each file was seen. A folder that is not there is
// empty.
func names(dir string, ordinal int32) ([]string, error) {
	prefix := "" // a cheap one: most folders have more than one replica
	if ordinal != All {
		prefix = cri.File{Ordinal: ordinal}.Name()
	}
	var before, all []string
	for try := range listTries {
		list, err := namesOnce(dir)
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(name string) bool { return !strings.HasPrefix(name, prefix) })
		slices.Sort(list)
		if try > 0 && slices.Equal(before, list) {
			return list, nil
		}
		before = list
		all = append(all, list...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	// A file and what it was compressed to since are one.
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		if _, compressed := slices.BinarySearch(all, name+".gz"); !compressed {
			return false
		}
		_, there := lstatID(dir + "/" + name)
		return !there
	}), nil
}

// listTries bounds how often a folder is read that never stands still. A file is
// not renamed that often in the time.
const listTries = 4

func namesOnce(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.Readdirnames(-1)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // removed meanwhile
	}
	return list, err
}

// Ordinals are the replicas of a service for which there are files, in order.
func Ordinals(dir, service string) ([]int32, error) {
	list, err := names(dir+"/"+service, All)
	if err != nil {
		return nil, err
	}
	var all []int32
	for _, name := range list {
		if n, _, ok := classify(name); ok {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// keyer finds the keys of files whose name does not tell.
type keyer map[keyed]time.Time

// keyed is a file that does not change any more.
type keyed struct {
	id       inode
	modified unix.Timespec
}

// key completes an entry that is not ours. It fails when the file is gone.
func (k keyer) key(dir string, e *entry) error {
	var st unix.Stat_t
	path := dir + "/" + e.name
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	e.id = inode{st.Dev, st.Ino}
	known := keyed{e.id, st.Mtim}
	var ok bool
	if e.key, ok = k[known]; ok {
		return nil
	}
	e.key = time.Unix(st.Mtim.Unix())
	if f, err := openLog(path, e.zip, false, 0); err == nil {
		if _, err := f.fill(); err == nil {
			if first := f.first(); !first.IsZero() {
				e.key = first
			}
		}
		f.close()
	}
	k[known] = e.key
	return nil
}

func lstatID(path string) (inode, bool) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return inode{}, false
	}
	return inode{st.Dev, st.Ino}, true
}
