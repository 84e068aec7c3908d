package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"svc.d/spec"
)

// As the kubelet mounts a ConfigMap.
func TestFilesBehindALinkThatFlipsChangeAsOne(t *testing.T) {
	x := watchFiles(t)
	put := func(n int) {
		version := fmt.Sprintf("..2026_%d", n)
		for _, name := range []string{"tls.crt", "tls.key"} {
			x.put(filepath.Join(version, name), name+strconv.Itoa(n))
		}
		relink(t, version, x.path("..data"))
	}
	put(0)
	for _, name := range []string{"tls.crt", "tls.key"} {
		must(t, os.Symlink("..data/"+name, x.path(name)))
	}
	x.want("tls.crt", "tls.key")
	x.until("tls.key", holds("tls.key0"))
	for n := 1; n <= 5; n++ {
		put(n)
		must(t, os.RemoveAll(x.path(fmt.Sprintf("..2026_%d", n-1))))
		files := x.next()
		for _, name := range []string{"tls.crt", "tls.key"} {
			if files[x.path(name)].Raw != raw(name+strconv.Itoa(n)) {
				t.Fatalf("version %d, %s: %+v", n, name, files)
			}
		}
	}
}

// As git-sync does it.
func TestFilesBelowADirectoryThatIsALinkFlip(t *testing.T) {
	x := watchFiles(t)
	put := func(n int) {
		x.put(fmt.Sprintf("trees/%d/conf/f", n), strconv.Itoa(n))
		relink(t, fmt.Sprintf("trees/%d", n), x.path("now"))
	}
	put(0)
	x.want("now/conf/f")
	x.until("now/conf/f", holds("0"))
	put(1)
	x.until("now/conf/f", holds("1"))
	must(t, os.RemoveAll(x.path("trees/0")))
	x.put("trees/1/conf/f", "edit")
	x.until("now/conf/f", holds("edit"))
}

func TestABurstIsToldAsOne(t *testing.T) {
	x := watchFiles(t)
	x.put("crt", "1")
	x.put("key", "1")
	x.want("crt", "key")
	x.until("key", holds("1"))
	// The key is being written while the certificate is there already.
	key, err := os.OpenFile(x.path("key"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	reads := x.reads.Load()
	x.put("crt", "2")
	x.look(reads)
	_, err = key.WriteString("2")
	must(t, err)
	must(t, key.Close())
	if files := x.next(); files[x.path("crt")].Raw != raw("2") || files[x.path("key")].Raw != raw("2") {
		t.Errorf("got %+v", files)
	}
	// As editors do that keep what was there.
	must(t, os.Rename(x.path("key"), x.path("key~")))
	reads = x.reads.Load()
	x.put("crt", "3")
	x.look(reads)
	must(t, os.WriteFile(x.path("key"), []byte("3"), 0o644))
	if files := x.next(); files[x.path("crt")].Raw != raw("3") || files[x.path("key")].Raw != raw("3") {
		t.Errorf("got %+v", files)
	}
}

func TestASteadyStreamOfChangesIsToldAllTheSame(t *testing.T) {
	x := watchFiles(t)
	x.put("a", "")
	x.want("a", "b")
	x.until("b", missing)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(x.path("a.tmp"), []byte(strconv.Itoa(n)), 0o644)
				_ = os.Rename(x.path("a.tmp"), x.path("a"))
			}
		}
	})
	must(t, os.WriteFile(x.path("b"), []byte("b"), 0o644))
	x.until("b", holds("b"))
	close(stop)
	writer.Wait()
}

func TestNothingIsToldOfAFileWhen(t *testing.T) {
	tests := map[string]func(x *archive){
		"it is touched":                 func(x *archive) { must(x.T, os.Chtimes(x.path("f"), epoch, epoch)) },
		"its mode changes":              func(x *archive) { must(x.T, os.Chmod(x.path("f"), 0o600)) },
		"it is written with the same":   func(x *archive) { must(x.T, os.WriteFile(x.path("f"), []byte("A=1"), 0o644)) },
		"it is replaced by its like":    func(x *archive) { x.put("f", "A=1") },
		"it becomes a link to its like": func(x *archive) { x.put("h", "A=1"); relink(x.T, "h", x.path("f")) },
		"others beside it change":       func(x *archive) { x.put("other", "x") },
		"it is gone for a moment": func(x *archive) {
			must(x.T, os.Remove(x.path("f")))
			x.put("f", "A=1")
		},
		"two services name it": func(x *archive) { x.want("f", "g", "f") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			x := watchFiles(t)
			x.put("f", "A=1")
			x.put("g", "1")
			x.want("f", "g")
			x.until("g", holds("1"))
			change(x)
			x.still()
		})
	}
}

func TestTwoThousandFilesAreReadOnceEach(t *testing.T) {
	const n = 2000
	x := watchFiles(t, func(f *Files) {
		f.reader.now = func() time.Time { return time.Now().Add(time.Hour) } // none was written just now
	})
	var names []string
	for i := range n {
		name := fmt.Sprintf("d%d/f%d", i%700, i)
		x.put(name, strconv.Itoa(i))
		names = append(names, name)
	}
	x.want(slices.Concat(names, names)...)
	files := x.next()
	if len(files) != n {
		t.Fatalf("%d of them came", len(files))
	}
	for i := range n {
		if c := files[x.path(fmt.Sprintf("d%d/f%d", i%700, i))]; c.Raw != raw(strconv.Itoa(i)) {
			t.Errorf("the file %d is %+v", i, c)
		}
	}
	x.put("d7/f7", "other")
	x.until("d7/f7", holds("other"))
	if reads := int(x.reads.Load()); reads != n+1 {
		t.Errorf("%d reads", reads)
	}
}

// counted tells how many directories a notifier watches, at most.
type counted struct {
	notifier
	mu     sync.Mutex
	spots  map[int32]bool
	closed bool
}

func (c *counted) add(fd int, mask uint32) (int32, error) {
	wd, err := c.notifier.add(fd, mask)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spots[wd] = true
	return wd, err
}

func (c *counted) remove(wd int32) {
	c.notifier.remove(wd)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.spots, wd)
}

func (c *counted) close() {
	c.notifier.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func TestWatchesAreHeldForWantedFilesOnly(t *testing.T) {
	var opened []*counted
	var mu sync.Mutex
	x := watchFiles(t, func(f *Files) {
		f.open = func() (notifier, error) {
			n, err := openInotify()
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, &counted{notifier: n, spots: map[int32]bool{}})
			return opened[len(opened)-1], err
		}
	})
	x.f.Want(nil)
	for _, d := range []string{"a", "b", "c"} {
		x.put(d+"/f", d)
	}
	x.want("a/f", "b/f", "c/f")
	x.next()
	mu.Lock()
	first := opened[0]
	mu.Unlock()
	all := first.count()
	x.want("a/f")
	if files := x.next(); len(files) != 1 {
		t.Errorf("got %v", files)
	}
	if n := first.count(); n != all-2 {
		t.Errorf("%d directories are watched, of %d before", n, all)
	}
	x.put("b/f", "nobody")
	x.f.Want(nil)
	if files := x.next(); len(files) != 0 {
		t.Errorf("got %v", files)
	}
	first.mu.Lock()
	closed := first.closed
	first.mu.Unlock()
	if !closed {
		t.Error("the notifier is there, and nothing is wanted")
	}
	x.want("a/f")
	x.until("a/f", holds("a"))
	mu.Lock()
	defer mu.Unlock()
	if len(opened) != 2 {
		t.Errorf("%d notifiers were opened", len(opened))
	}
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spots)
}

func TestWhenNothingIsWantedNothingIsDue(t *testing.T) {
	f := NewFiles(FilesOptions{})
	f.open = func() (notifier, error) { t.Error("it was opened"); return deaf{}, nil }
	f.Want([]string{})
	if f.adopt() || !f.due().IsZero() {
		t.Error("there is something to do")
	}
}

func TestAFileThatBecomesUnreadableKeepsItsDigests(t *testing.T) {
	if os.Getuid() == 0 && !isInner() {
		// Root may read everything.
		inner(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: mallory, Gid: mallory}}, "to become nobody")
		return
	}
	x := watchFiles(t)
	x.put("d/f", "A=1")
	x.want("d/f")
	before := x.until("d/f", holds("A=1"))
	well := func(c spec.Content, _ bool) bool { return c == before }
	for _, what := range []string{"d/f", "d"} {
		must(t, os.Chmod(x.path(what), 0))
		if c := x.until("d/f", problemOf("permission denied")); c.Raw != before.Raw || c.Env != before.Env {
			t.Errorf("its digests are others: %+v, before %+v", c, before)
		}
		must(t, os.Chmod(x.path(what), 0o755))
		x.until("d/f", well)
	}
}

func TestAFileThatIsHeldOpenForWritingIsAProblemInTheEnd(t *testing.T) {
	var s fileState
	at := epoch
	s.take(fileSeen{kind: sightRead, content: spec.Content{Raw: "1", Env: "2"}}, at)
	changed, looks := false, 0
	for !changed {
		changed = s.take(fileSeen{kind: sightWriter}, at)
		if !s.due(at).After(at) {
			t.Fatal("it is looked at without end")
		}
		at = s.due(at)
		looks++
	}
	if s.content.Raw != "1" || s.content.Env != "2" || s.content.Problem == "" {
		t.Errorf("got %+v", s.content)
	}
	if looks > 20 {
		t.Errorf("it was looked at %d times in %v", looks, writerPatience)
	}
	s.take(fileSeen{kind: sightRead, content: spec.Content{Raw: "3"}}, at)
	if s.content != (spec.Content{Raw: "3"}) || !s.due(at).IsZero() {
		t.Errorf("got %+v, due %v", s.content, s.due(at))
	}
}

func TestFilesOutliveTheirNotifier(t *testing.T) {
	var first notifier
	x := watchFiles(t, func(f *Files) {
		f.open = func() (notifier, error) {
			n, err := openInotify()
			if first == nil {
				first = n
			}
			return n, err
		}
	})
	x.put("f", "1")
	x.want("f")
	x.until("f", holds("1"))
	must(t, first.(*inotify).file.Close()) // it dies of an error of read(2)
	x.put("f", "2")
	x.until("f", holds("2"))
	x.put("f", "3")
	x.until("f", holds("3"))
}

func TestEventsThatWereLostHaveFilesLookedAt(t *testing.T) {
	f := NewFiles(FilesOptions{})
	f.paths = []string{"/x"}
	f.happened([]event{{wd: 99, name: "x"}}, epoch)
	if !f.due().IsZero() {
		t.Error("an event of nobody counts")
	}
	f.happened([]event{{wd: -1, overflow: true}}, epoch)
	if got := f.due(); !got.Equal(epoch.Add(settleFor)) {
		t.Errorf("due at %v", got)
	}
	f.happened([]event{{overflow: true}}, epoch.Add(settleMost))
	if got := f.due(); !got.Equal(epoch.Add(settleMost)) {
		t.Errorf("due at %v", got)
	}
}
