package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"svc.d/spec"
)

// archive is a running Files.
type archive struct {
	*testing.T
	f     *Files
	dir   string
	last  *spec.Contents // the newest that was seen
	n     int            // how many were
	reads atomic.Int32
	read  chan struct{} // a file was
}

func watchFiles(t *testing.T, change ...func(*Files)) *archive {
	t.Helper()
	x := &archive{T: t, dir: base(t), f: NewFiles(FilesOptions{Resync: time.Hour}), last: &spec.Contents{},
		read: make(chan struct{}, 1)}
	x.f.reader.opened = func() {
		x.reads.Add(1)
		select {
		case x.read <- struct{}{}:
		default:
		}
	}
	for _, c := range change {
		c(x.f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return x
}

func (x *archive) path(name string) string { return filepath.Join(x.dir, name) }

func (x *archive) want(names ...string) {
	for i, name := range names {
		names[i] = x.path(name)
	}
	x.f.Want(names)
}

func (x *archive) put(name, content string) {
	x.Helper()
	must(x.T, os.MkdirAll(filepath.Dir(x.path(name)), 0o755))
	renameIn(x.T, x.path(name), content)
}

// look waits until more files were read than so many.
func (x *archive) look(n int32) {
	for x.reads.Load() == n {
		<-x.read
	}
}

// next waits for contents.
func (x *archive) next() map[string]spec.Content {
	x.Helper()
	select {
	case x.last = <-x.f.Contents():
		x.n++
		return x.last.Files
	case <-time.After(patience):
		x.Fatalf("nothing came; the last was %v", x.last.Files)
		return nil
	}
}

// until waits until a file is as it should be.
func (x *archive) until(name string, ok func(spec.Content, bool) bool) spec.Content {
	x.Helper()
	for {
		c, there := x.last.Files[x.path(name)]
		if ok(c, there) {
			return c
		}
		x.next()
	}
}

func holds(content string) func(spec.Content, bool) bool {
	return func(c spec.Content, _ bool) bool { return c.Raw == raw(content) }
}

func missing(c spec.Content, there bool) bool { return there && c == spec.Content{} }

func problemOf(part string) func(spec.Content, bool) bool {
	return func(c spec.Content, _ bool) bool { return strings.Contains(c.Problem, part) }
}

func raw(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:16])
}

// still shows that nothing is told but of a last change, which is made now.
func (x *archive) still() {
	x.Helper()
	before := x.last.Files
	x.put("zz", fmt.Sprint(x.n))
	x.f.mu.Lock()
	wanted := append([]string{x.path("zz")}, x.f.wanted...)
	x.f.mu.Unlock()
	x.f.Want(wanted)
	after := x.next()
	for path, c := range before {
		if after[path] != c {
			x.Errorf("%s is %v now, and was %v", path, after[path], c)
		}
	}
	if _, last := after[x.path("zz")]; !last || len(after) != len(before)+1 {
		x.Errorf("something else was told: %v", after)
	}
}

func TestWhatAFileMeans(t *testing.T) {
	big := strings.Repeat("#"+strings.Repeat("x", 1023)+"\n", 1025)
	tests := map[string]struct {
		content, vars string
		problem       string
	}{
		"variables":          {content: "# a\n A=1\nB='2'\n", vars: "A=1\nB=2\n"},
		"nothing":            {},
		"no variables":       {content: "server { }\n", vars: "-", problem: "want NAME=VALUE"},
		"more than a MiB":    {content: big, vars: "-", problem: "larger than 1048576 bytes"},
		"exactly a MiB":      {content: big[:1<<20], vars: ""},
		"one byte above it":  {content: big[:1<<20+1], vars: "-", problem: "larger than"},
		"chunks and some":    {content: strings.Repeat(big, 3), vars: "-", problem: "larger than"},
		"no newline at last": {content: "A=1", vars: "A=1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := watchFiles(t)
			x.put("f", test.content)
			x.want("f")
			c := x.next()[x.path("f")]
			want := ""
			if test.vars != "-" {
				vars, err := spec.ParseEnvFile("", []byte(test.vars))
				must(t, err)
				want = spec.DigestEnv(vars)
			}
			if c.Raw != raw(test.content) || c.Env != want || !strings.Contains(c.Problem, test.problem) || test.problem == "" && c.Problem != "" {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestAChangeOfAFileIsToldWhen(t *testing.T) {
	tests := map[string]struct {
		change func(x *archive)
		want   func(spec.Content, bool) bool
	}{
		"it is written in place": {func(x *archive) {
			must(x.T, os.WriteFile(x.path("d/f"), []byte("new"), 0o644))
		}, holds("new")},
		"another is renamed over it": {func(x *archive) { x.put("d/f", "new") }, holds("new")},
		"it is removed":              {func(x *archive) { must(x.T, os.Remove(x.path("d/f"))) }, missing},
		"its directory is removed":   {func(x *archive) { must(x.T, os.RemoveAll(x.path("d"))) }, missing},
		"its directory is replaced": {func(x *archive) {
			x.put("e/f", "new")
			must(x.T, os.Rename(x.path("d"), x.path("old")))
			must(x.T, os.Rename(x.path("e"), x.path("d")))
		}, holds("new")},
		"its directory is exchanged": {func(x *archive) {
			x.put("e/f", "new")
			exchange(x.T, x.path("d"), x.path("e"))
		}, holds("new")},
		"it becomes a link": {func(x *archive) {
			x.put("e/g", "new")
			relink(x.T, "../e/g", x.path("d/f"))
		}, holds("new")},
		"it becomes a link to nothing": {func(x *archive) { relink(x.T, "nowhere", x.path("d/f")) }, missing},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := watchFiles(t)
			x.put("d/f", "old")
			x.want("d/f")
			x.until("d/f", holds("old"))
			test.change(x)
			x.until("d/f", test.want)
			x.put("d/f", "newest") // it is watched where it is now, too
			x.until("d/f", holds("newest"))
		})
	}
}

func TestTheDigestsStayAndTheProblemIsToldWhen(t *testing.T) {
	tests := map[string]struct {
		spoil   func(t *testing.T, path string)
		problem string
	}{
		"it is a FIFO": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, mkfifo(path))
		}, "it is a FIFO"},
		"it is a directory": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o755))
		}, "it is a directory"},
		"it is a link to a device": {func(t *testing.T, path string) { relink(t, "/dev/zero", path) }, "it is a device"},
		"it is a link to itself":   {func(t *testing.T, path string) { relink(t, "f", path) }, "too many levels"},
		"it is far too large": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".tmp", nil, 0o644))
			must(t, os.Truncate(path+".tmp", maxRawSize+1))
			must(t, os.Rename(path+".tmp", path))
		}, "too large"},
		"its directory is a file": {func(t *testing.T, path string) {
			must(t, os.RemoveAll(filepath.Dir(path)))
			must(t, os.WriteFile(filepath.Dir(path), nil, 0o644))
		}, "not a directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := watchFiles(t)
			x.put("d/f", "A=1")
			x.want("d/f")
			before := x.until("d/f", holds("A=1"))
			test.spoil(t, x.path("d/f"))
			if c := x.until("d/f", problemOf(test.problem)); c.Raw != before.Raw || c.Env != before.Env {
				t.Errorf("its digests are others: %+v, before %+v", c, before)
			}
			must(t, os.RemoveAll(x.path("d")))
			x.put("d/f", "A=1")
			if c := x.until("d/f", func(c spec.Content, _ bool) bool { return c.Problem == "" && c.Raw != "" }); c != before {
				t.Errorf("got %+v, before %+v", c, before)
			}
		})
	}
}

func TestAFileThatWasNeverReadHasAProblemAndNoDigest(t *testing.T) {
	x := watchFiles(t)
	must(t, mkfifo(x.path("f")))
	x.want("f")
	x.f.Want([]string{x.path("f"), "relative"})
	for path, c := range map[string]spec.Content{x.path("f"): x.until("f", problemOf("FIFO")),
		"relative": x.last.Files["relative"]} {
		for c.Problem == "" {
			c = x.next()[path]
		}
		if c.Raw != "" || c.Env != "" {
			t.Errorf("%s: %+v", path, c)
		}
	}
}

func TestAMissingFileIsToldAtOnceAndSeenWhenItIsMade(t *testing.T) {
	x := watchFiles(t)
	x.want("a/b/c/f")
	x.until("a/b/c/f", missing)
	must(t, os.Mkdir(x.path("a"), 0o755))
	x.put("a/b/c/f", "here")
	x.until("a/b/c/f", holds("here"))
}

func TestAFileThatIsOpenForWritingIsReadWhenItIsClosed(t *testing.T) {
	x := watchFiles(t)
	must(t, os.WriteFile(x.path("f"), []byte("old"), 0o644))
	half, err := os.Create(x.path("half"))
	must(t, err)
	x.put("other", "1")
	x.want("f", "half", "other")
	x.until("f", holds("old"))
	if c, there := x.last.Files[x.path("half")]; there {
		t.Errorf("it was read: %+v", c)
	}
	f, err := os.OpenFile(x.path("f"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = f.WriteString("ne")
	must(t, err)
	for i := range 3 { // each is a look at everything
		x.put("other", strings.Repeat("x", i+2))
		x.until("other", holds(strings.Repeat("x", i+2)))
		if c := x.last.Files[x.path("f")]; c.Raw != raw("old") {
			t.Fatalf("it was read: %+v", c)
		}
	}
	_, err = f.WriteString("w")
	must(t, err)
	must(t, f.Close())
	x.until("f", holds("new"))
	must(t, half.Close())
	x.until("half", holds(""))
}

func TestWithoutLeasesAFileOfServicesIsReadAfterTheQuietWindow(t *testing.T) {
	for name, class := range map[string]fsClass{"overlayfs": fsStacked, "an unknown one": fsUnknown} {
		t.Run(name, func(t *testing.T) {
			x := watchFiles(t, func(f *Files) { f.reader.class = func(int) fsClass { return class } })
			must(t, os.WriteFile(x.path("f"), []byte("1"), 0o644))
			x.want("f")
			x.until("f", holds("1"))
			must(t, os.WriteFile(x.path("f"), []byte("2"), 0o644))
			x.until("f", holds("2"))
		})
	}
}

func TestFilesAreLookedAtEveryFewSecondsWhen(t *testing.T) {
	tests := map[string]func(f *Files){
		"they are on a remote file system": func(f *Files) {
			f.reader.class = func(int) fsClass { return fsRemote }
			f.open = func() (notifier, error) { return deaf{}, nil }
		},
		"there is no notifier": func(f *Files) {
			f.open = func() (notifier, error) { return nil, errors.New("not now") }
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := watchFiles(t, func(f *Files) { f.poll = 5 * time.Millisecond }, test)
			x.want("f")
			x.until("f", missing)
			x.put("f", "1")
			x.until("f", holds("1"))
			x.put("f", "2")
			x.until("f", holds("2"))
		})
	}
}
