package logs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// rig is a capture over folders that outlive it.
type rig struct {
	t          *testing.T
	state, log string
	c          *Capture
	written    wakeUp
}

// wakeUp is a sink that tells that something was written.
type wakeUp chan struct{}

func (w wakeUp) Entries(Replica, []byte) {
	select {
	case w <- struct{}{}:
	default:
	}
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, state: t.TempDir(), log: filepath.Join(t.TempDir(), "log"), written: make(wakeUp, 1)}
}

func (r *rig) open(o Options) *Capture {
	r.t.Helper()
	o.StateDir, o.LogDir, o.Log, o.Sink = r.state, r.log, r.logger(), r.written
	c, err := Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.c = c
	r.t.Cleanup(func() { c.Close(false) })
	return c
}

func (r *rig) logger() logr.Logger {
	if !testing.Verbose() {
		return logr.Discard()
	}
	return funcr.New(func(prefix, args string) { fmt.Println(prefix, args) }, funcr.Options{})
}

var web = Replica{"web", 0}

// attach attaches a replica and opens its pipes as a process would.
func (r *rig) attach(id Replica) (out, err *os.File) {
	r.t.Helper()
	if err := r.c.Attach(id, uint32(os.Getuid()), uint32(os.Getgid())); err != nil {
		r.t.Fatal(err)
	}
	stdout, stderr := r.c.Pipes(id)
	open := func(path string) *os.File {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), path)
		r.t.Cleanup(func() { f.Close() })
		return f
	}
	return open(stdout), open(stderr)
}

// read is what a replica has written to a stream, by its files.
func (r *rig) read(id Replica, stream cri.Stream) string {
	r.t.Helper()
	var text strings.Builder
	for _, entry := range r.entries(id) {
		l, ok := cri.Parse(entry)
		if !ok {
			r.t.Fatalf("not an entry: %q", entry)
		}
		if l.Stream != stream || bytes.HasPrefix(l.Text, []byte(lossPrefix)) {
			continue
		}
		text.Write(l.Text)
		if !l.Partial {
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// entries are all of a replica in the order of its files.
func (r *rig) entries(id Replica) [][]byte {
	r.t.Helper()
	dir := filepath.Join(r.log, id.Service)
	var all [][]byte
	for _, f := range r.files(id) {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if errors.Is(err, fs.ErrNotExist) { // it was rotated, or compressed, meanwhile
			return r.entries(id)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if f.Compressed {
			text = []byte(unzip(r.t, filepath.Join(dir, f.Name())))
		}
		for line := range bytes.Lines(text) {
			if line[len(line)-1] == '\n' { // else it is being written
				all = append(all, line)
			}
		}
	}
	return all
}

func unzip(t *testing.T, path string) string {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r *rig) files(id Replica) []cri.File {
	names, _ := os.ReadDir(filepath.Join(r.log, id.Service))
	var files []cri.File
	for _, e := range names {
		if f, ok := cri.ParseName(e.Name()); ok && f.Ordinal == id.Ordinal {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b cri.File) int {
		switch {
		case a.Rotated.IsZero():
			return 1
		case b.Rotated.IsZero():
			return -1
		}
		return a.Rotated.Compare(b.Rotated)
	})
	return files
}

// await waits until a stream's text is as wanted.
func (r *rig) await(id Replica, stream cri.Stream, want string) {
	r.t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got = r.read(id, stream); got == want {
			return
		}
		select {
		case <-r.written:
		case <-time.After(time.Second): // what a crash left is written without a word
		}
	}
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	n = max(0, n-50)
	r.t.Fatalf("from %d on: got %s\nwant %s", n, brief(got[n:]), brief(want[n:]))
}

func brief(text string) string {
	if len(text) > 400 {
		return fmt.Sprintf("%q ... %q (%d bytes)", text[:200], text[len(text)-200:], len(text))
	}
	return fmt.Sprintf("%q", text)
}
