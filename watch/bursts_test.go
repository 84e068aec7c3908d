package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"svc.d/spec"
)

func TestTwoThousandFilesAtOnceAreReadOnceEach(t *testing.T) {
	const n = 2000
	dir := base(t)
	reads := map[string]int{}
	w := watchWith(t, Options{Dir: dir, Parse: func(file string, data []byte) spec.File {
		reads[file]++ // only Run's goroutine parses
		return spec.Parse(file, data)
	}})
	from := t.TempDir()
	for i := range n {
		must(t, os.WriteFile(filepath.Join(from, "x"), []byte(service(fmt.Sprintf("s%d", i), "1")), 0o644))
		must(t, os.Rename(filepath.Join(from, "x"), w.path(fmt.Sprintf("s%d.yaml", i))))
	}
	w.until("all", func(s *spec.Set) bool { return len(s.Services) == n })
	w.still()
	for file, k := range reads {
		if k > 1 {
			t.Errorf("%s was parsed %d times", file, k)
		}
	}
}

func TestEventsThatWereLostAreMadeUpForByAList(t *testing.T) {
	dir := sub(t, "a", "b", "block")
	in, out := make(chan struct{}), make(chan struct{})
	tap := &tap{}
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
	x.still()
	if tap.count(func(e event) bool { return e.overflow }) == 0 {
		t.Error("no event was lost, so nothing is shown; is fs.inotify.max_queued_events above 40000?")
	}
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
