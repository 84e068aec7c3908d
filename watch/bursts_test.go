package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"svc.d/spec"
)

func TestTwoThousandFilesAtOnceAreReadOnceEach(t *testing.T) {
	const n = 2000
	dir := base(t)
	var mu sync.Mutex
	reads := map[string]int{}
	w := watchWith(t, Options{Dir: dir, Parse: func(file string, data []byte) spec.File {
		mu.Lock()
		defer mu.Unlock()
		reads[file]++
		return spec.Parse(file, data)
	}})
	from := t.TempDir()
	for i := range n {
		must(t, os.WriteFile(filepath.Join(from, "x"), []byte(service(fmt.Sprintf("s%d", i), "1")), 0o644))
		must(t, os.Rename(filepath.Join(from, "x"), w.path(fmt.Sprintf("s%d.yaml", i))))
	}
	w.until("all", func(s *spec.Set) bool { return len(s.Services) == n })
	w.still()
	mu.Lock()
	defer mu.Unlock()
	for file, k := range reads {
		if k > 1 {
			t.Errorf("%s was parsed %d times", file, k)
		}
	}
}

func TestEventsThatWereLostAreMadeUpForByAList(t *testing.T) {
	dir := sub(t, "a", "b", "block")
	in, out := make(chan struct{}), make(chan struct{})
	tap := newTap()
	x := watchWith(t, Options{Dir: dir, Parse: func(file string, data []byte) spec.File {
		f := spec.Parse(file, data)
		if len(f.Services) == 1 && arg(f.Services[0]) == "block" {
			in <- struct{}{}
			<-out
		}
		return f
	}}, tap.install)
	x.write("block.yaml", service("block", "block"))
	<-in
	// Nobody takes events now. Equal ones in a row count as one.
	for range 20_000 {
		must(t, os.Chmod(x.path("a.yaml"), 0o600))
		must(t, os.Chmod(x.path("b.yaml"), 0o600))
	}
	x.write("late.yaml", service("late", "1"))
	close(out)
	x.until("the late one", has("a", "b", "block", "late"))
	select {
	case <-tap.overflow:
	case <-time.After(patience):
		t.Error("no event was lost, so nothing is shown; is fs.inotify.max_queued_events above 40000?")
	}
	x.still()
}

func TestASlowReaderGetsTheNewestSetOnly(t *testing.T) {
	x := watchDir(t, base(t))
	for i := range 50 {
		x.write(fmt.Sprintf("s%d.yaml", i), service(fmt.Sprintf("s%d", i), "1"))
	}
	// ConfirmPrune answers after the list, so all 50 are known now.
	if _, err := x.w.ConfirmPrune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := x.next(); len(s.Services) != 50 {
		t.Errorf("an old set was kept: %s", show(s))
	}
}

func TestAFileCostsLittleMemory(t *testing.T) {
	const n, budget = 3000, 1024 // bytes, beside what spec keeps of a service
	dir := base(t)
	services := make([]*spec.Service, n)
	for i := range services {
		name := fmt.Sprintf("s%d", i)
		services[i] = &spec.Service{Metadata: spec.Metadata{Name: name}}
		must(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(name), 0o644))
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var parsed atomic.Int64
	w, err := New(Options{Dir: dir, Parse: func(string, []byte) spec.File {
		i := parsed.Add(1)
		return spec.File{Services: services[i-1 : i : i]}
	}})
	must(t, err)
	defer w.closeNotifier()
	w.full(time.Now())
	w.settle(time.Now())
	if cost := int(heap()-before) / n; cost > budget {
		t.Errorf("a file costs %d bytes, at most %d are allowed", cost, budget)
	} else {
		t.Logf("a file costs %d bytes", cost)
	}
	runtime.KeepAlive(w)
}

func TestWhenNothingHappensNothingIsDueButTheResync(t *testing.T) {
	dir := sub(t, "a", "b")
	w, err := New(Options{Dir: dir})
	must(t, err)
	defer w.closeNotifier()
	// The files are older than the resolution of their times.
	w.scan.reader.now = func() time.Time { return time.Now().Add(time.Hour) }
	now := time.Now()
	w.full(now)
	w.settle(now)
	if got := w.due(); !got.Equal(now.Add(5 * time.Minute)) {
		t.Errorf("due in %v", got.Sub(now))
	}
	must(t, os.Remove(filepath.Join(dir, "a.yaml")))
	w.happened(<-w.events(), now.Add(time.Second))
	w.settle(now.Add(time.Second))
	if got := w.due(); !got.Equal(now.Add(time.Second + guardDelay)) {
		t.Errorf("after an event due in %v", got.Sub(now))
	}
	w.tick(now.Add(time.Second + guardDelay))
	w.settle(now.Add(time.Second + guardDelay))
	if got := w.due(); !got.Equal(now.Add(2 * time.Second)) {
		t.Errorf("the removal is due in %v", got.Sub(now))
	}
	w.tick(now.Add(2 * time.Second))
	w.settle(now.Add(2 * time.Second))
	if got := w.due(); !got.Equal(now.Add(time.Second + guardDelay + 5*time.Minute)) {
		t.Errorf("afterwards due in %v", got.Sub(now))
	}
	w.tick(w.due())
	if w.lastFull.Before(now.Add(5 * time.Minute)) {
		t.Error("the resync did not list")
	}
}

func BenchmarkRenameIntoAThousand(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%d.yaml", i)), []byte(service(fmt.Sprintf("s%d", i), "1")), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	w, err := New(Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = w.Run(b.Context()) }()
	<-w.Sets()
	tmp := filepath.Join(dir, ".new")
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if err := os.WriteFile(tmp, []byte(service("new", fmt.Sprint(i))), 0o644); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := os.Rename(tmp, filepath.Join(dir, "new.yaml")); err != nil {
			b.Fatal(err)
		}
		for want := fmt.Sprint(i); arg((<-w.Sets()).Services["new"]) != want; {
		}
	}
}

func BenchmarkFullList(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%d.yaml", i)), []byte(service(fmt.Sprintf("s%d", i), "1")), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	w, err := New(Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w.full(epoch)
	}
	w.closeNotifier()
}
