package vm

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Kinds of files as stat(2) tells them.
const (
	modeFolder = 0o040000
	modeFile   = 0o100000
	modeLink   = 0o120000
)

// Archive collects the files of a RAM disk. The folders on the way to a file are
// made by themselves.
type Archive struct {
	entries []entry
	known   map[string]bool
}

type entry struct {
	name string
	mode uint32
	data []byte
}

// Add adds a file of the given content.
func (a *Archive) Add(name string, perm uint32, content string) {
	a.add(entry{clean(name), modeFile | perm, []byte(content)})
}

// AddProgram adds a file of this machine, to be executed.
func (a *Archive) AddProgram(name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("cannot add %s: %w", name, err)
	}
	a.add(entry{clean(name), modeFile | 0o755, data})
	return nil
}

// AddFolder adds a folder, which may be empty.
func (a *Archive) AddFolder(name string) { a.add(entry{clean(name), modeFolder | 0o755, nil}) }

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.add(entry{clean(name), modeLink | 0o777, []byte(target)})
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (a *Archive) add(e entry) {
	if a.known == nil {
		a.known = map[string]bool{"": true}
	}
	if a.known[e.name] {
		// The last one counts, so that a test can replace what every guest has.
		a.entries = slices.DeleteFunc(a.entries, func(old entry) bool { return old.name == e.name })
	} else if folder := path.Dir(e.name); folder != "." && !a.known[folder] {
		a.AddFolder(folder)
	}
	a.known[e.name] = true
	a.entries = append(a.entries, e)
}

// Bytes is the archive as the kernel unpacks it: cpio, "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
func (a *Archive) Bytes() []byte {
	var b bytes.Buffer
	for i, e := range append(slices.Clone(a.entries), entry{name: "TRAILER!!!"}) {
		links := 1
		if e.mode&modeFolder != 0 {
			links = 2
		}
		//              magic  ino  mode uid gid links mtime size  major minor rmajor rminor name check
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			i+1, e.mode, 0, 0, links, 0, len(e.data), 0, 0, 0, 0, len(e.name)+1, 0, e.name)
		pad(&b)
		b.Write(e.data)
		pad(&b)
	}
	return b.Bytes()
}

// pad fills up to a multiple of four.
func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
