package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler/logs/cri"
)

// shelf is a folder of logs with a keeper that does not run by itself.
type shelf struct {
	*rig
	keeper *keeper
	now    time.Time
}

func newShelf(t *testing.T, quota int64, limits Limits) *shelf {
	s := &shelf{rig: newRig(t), now: time.Now()}
	s.keeper = newKeeper(s.logger(), s.log, quota, func(string) *Limits { return &limits })
	s.keeper.expire = func(Replica) {}
	return s
}

// file puts a file of the replica there, that was rotated so long ago; 0: the one
// that is written to.
func (s *shelf) file(id Replica, ago time.Duration, size int) cri.File {
	s.t.Helper()
	f := cri.File{Ordinal: id.Ordinal}
	at := s.now.Add(-ago)
	if ago > 0 {
		f.Rotated = at
	}
	path := filepath.Join(s.log, id.Service, f.Name())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o640); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		s.t.Fatal(err)
	}
	return f
}

// has compares the files of a replica, the oldest first.
func (s *shelf) has(id Replica, want ...cri.File) {
	s.t.Helper()
	var names, wanted []string
	for _, f := range s.files(id) {
		names = append(names, f.Name())
	}
	for _, f := range want {
		wanted = append(wanted, f.Name())
	}
	if diff := cmp.Diff(wanted, names); diff != "" {
		s.t.Errorf("files (-want +got)\n%s", diff)
	}
}

func TestSoManyFilesAreKept(t *testing.T) {
	s := newShelf(t, 0, Limits{MaxFiles: 3})
	s.file(web, 3*time.Minute, 1)
	b, c := s.file(web, 2*time.Minute, 1), s.file(web, time.Minute, 1)
	active := s.file(web, 0, 1)
	s.keeper.look()
	if next := s.keeper.keep(s.now); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
	s.has(web, b, c, active)
}

func TestADaemonThatHasJustBegunBoundsWhatIsRotatedButDoesNoMore(t *testing.T) {
	other := Replica{"other", 1}
	s := newShelf(t, 0, Limits{MaxFiles: 2, Compress: true})
	s.keeper.begin = s.now.Add(beginAfter)
	a, b := s.file(other, 3*time.Minute, 1), s.file(other, 2*time.Minute, 1)
	s.file(web, 3*time.Minute, 1)
	c := s.file(web, 2*time.Minute, 1)
	s.keeper.look()
	s.keeper.rotated(web)
	if next := s.keeper.keep(s.now); !next.Equal(s.keeper.begin) {
		t.Errorf("the next is due in %v", next.Sub(s.now))
	}
	s.has(web, c)
	s.has(other, a, b)
	s.keeper.keep(s.keeper.begin)
	s.has(other, b)
}

func TestTheQuotaHoldsFromTheBeginning(t *testing.T) {
	s := newShelf(t, 1000, Limits{MaxFiles: 10})
	s.keeper.begin = s.now.Add(beginAfter)
	s.file(web, 2*time.Minute, 600)
	b := s.file(web, time.Minute, 600)
	s.keeper.wrote(1200)
	s.keeper.rotated(web)
	s.keeper.keep(s.now)
	s.has(web, b)
}

func TestFilesThatAreTooOldAreRemoved(t *testing.T) {
	s := newShelf(t, 0, Limits{MaxAge: time.Hour})
	s.file(web, 2*time.Hour, 1)
	b := s.file(web, 50*time.Minute, 1)
	expired := 0
	s.keeper.expire = func(Replica) { expired++ }
	s.keeper.rotated(web)
	if next := s.keeper.keep(s.now); next.Sub(s.now).Round(time.Minute) != 10*time.Minute {
		t.Errorf("the next is due in %v", next.Sub(s.now))
	}
	s.has(web, b)
	active := s.file(web, 0, 1)
	s.now = s.now.Add(61 * time.Minute)
	s.keeper.rotated(web)
	s.keeper.keep(s.now)
	s.has(web, active)
	if expired != 1 {
		t.Errorf("the file that is written to expired %d times", expired)
	}
}

func TestSettledFilesAreCompressedButTheNewest(t *testing.T) {
	s := newShelf(t, 0, Limits{Compress: true})
	a, b := s.file(web, time.Hour, 1000), s.file(web, 40*time.Minute, 1000)
	c, d := s.file(web, 2*time.Second, 1000), s.file(web, time.Second, 1000)
	active := s.file(web, 0, 1)
	// What daemons that died have left.
	left := filepath.Join(s.log, "web", b.Name()+".gz")
	for _, path := range []string{left, left + makingSuffix} {
		if err := os.WriteFile(path, []byte("torn"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	s.keeper.rotated(web)
	if next := s.keeper.keep(s.now); next.Sub(s.now).Round(time.Second) != settleFor-2*time.Second {
		t.Errorf("the next is due in %v", next.Sub(s.now))
	}
	a.Compressed, b.Compressed = true, true
	s.has(web, a, b, c, d, active)
	for _, f := range []cri.File{a, b} {
		path := filepath.Join(s.log, "web", f.Name())
		if text := unzip(t, path); text != strings.Repeat("x", 1000) {
			t.Errorf("%s has %q", f.Name(), text)
		}
		if info, err := os.Stat(path); err != nil || s.now.Sub(info.ModTime()) < 30*time.Minute {
			t.Errorf("%s lost its time: %v %v", f.Name(), info.ModTime(), err)
		}
	}
	if _, err := os.Stat(left + makingSuffix); err == nil {
		t.Error("the half of a file is still there")
	}
}

func TestTheQuotaTakesTheOldestOfAll(t *testing.T) {
	other := Replica{"other", 1}
	s := newShelf(t, 1000, Limits{MaxFiles: 10})
	s.file(other, 3*time.Hour, 300)
	s.file(web, 2*time.Hour, 300)
	b, c := s.file(other, time.Hour, 300), s.file(web, time.Minute, 300)
	active := s.file(web, 0, 300)
	s.keeper.look()
	s.keeper.keep(s.now)
	s.has(web, c, active)
	s.has(other, b)
	if n := s.keeper.bytes.Load(); n != 900 {
		t.Errorf("%d bytes are counted", n)
	}
	if share := newKeeper(s.logger(), s.log, 100<<20, nil).share(); share != 50<<20 {
		t.Errorf("the only file may have %d bytes", share)
	}
}

func TestTheQuotaLeavesSomeRoomAndIsToldOnceInAWhile(t *testing.T) {
	s := newShelf(t, 1000, Limits{})
	var told []string
	s.keeper.log = funcr.New(func(_, args string) { told = append(told, args) }, funcr.Options{})
	at := func(after time.Duration) {
		s.keeper.look()
		s.keeper.keep(s.now.Add(after))
	}
	for n := range 11 {
		s.file(web, time.Duration(20-n)*time.Minute, 100)
	}
	at(0) // 1100 are there, and 900 are left
	if n := s.keeper.bytes.Load(); n != 900 {
		t.Errorf("%d bytes are left", n)
	}
	for n := range 2 {
		s.file(web, time.Duration(9-n)*time.Minute, 100)
	}
	at(time.Second)
	s.file(web, 0, 1100)
	at(2 * tellAfter)
	want := []string{
		`"level"=0 "msg"="Removed old logs to keep the quota" "files"=2 "quota"=1000`,
		`"level"=0 "msg"="Cannot keep the quota of logs: those that are written to take more" "bytes"=1100 "quota"=1000`,
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFilesRotateAndEveryLineIsInOne(t *testing.T) {
	r := newRig(t)
	r.open(Options{}).Configure(map[string]Limits{"web": {MaxSize: 64 << 10}})
	out, _ := r.attach(web)
	var want strings.Builder
	for n := range 20000 {
		fmt.Fprintf(&want, "line %d\n", n)
	}
	if _, err := io.WriteString(out, want.String()); err != nil {
		t.Fatal(err)
	}
	r.await(web, cri.Stdout, want.String())
	files := r.files(web)
	if len(files) < 10 {
		t.Errorf("%d files", len(files))
	}
	for _, f := range files {
		if info, err := os.Stat(filepath.Join(r.log, "web", f.Name())); err != nil || info.Size() > 64<<10 {
			t.Errorf("%s: %v %v", f.Name(), info, err)
		}
	}
}

func TestALiveEditOfTheLimitsIsObeyed(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	line := strings.Repeat("x", 999) + "\n"
	io.WriteString(out, strings.Repeat(line, 100))
	r.await(web, cri.Stdout, strings.Repeat(line, 100))
	if n := len(r.files(web)); n != 1 {
		t.Errorf("%d files without a limit", n)
	}
	c.Configure(map[string]Limits{"web": {MaxSize: 64 << 10}})
	io.WriteString(out, line)
	r.await(web, cri.Stdout, strings.Repeat(line, 101))
	if n := len(r.files(web)); n != 2 {
		t.Errorf("%d files with one", n)
	}
}

func TestWhatIsDueSoonestIsNotPutOff(t *testing.T) {
	s := newShelf(t, 0, Limits{})
	soon, late := s.now.Add(time.Second), s.now.Add(time.Hour)
	if !s.keeper.sooner(late) || !s.keeper.sooner(soon) || s.keeper.sooner(late) || s.keeper.sooner(time.Time{}) {
		t.Errorf("the timer is set to %v", s.keeper.due)
	}
}

// What is left of replicas that were removed is bounded, too.
func TestTheLastFileOfARemovedReplicaIsRemoved(t *testing.T) {
	gone := Replica{"gone", 0}
	s := newShelf(t, 500, Limits{MaxAge: time.Hour})
	s.keeper.attached = func(id Replica) bool { return id == web }
	s.file(gone, 0, 300)
	s.now = s.now.Add(time.Second)
	active := s.file(web, 0, 300)
	s.keeper.look()
	s.keeper.keep(s.now)
	s.has(gone)
	s.has(web, active)
	if n := s.keeper.active.Load(); n != 1 {
		t.Errorf("%d files are written to", n)
	}
	s.file(gone, 0, 100)
	s.now = s.now.Add(61 * time.Minute)
	s.keeper.rotated(gone)
	s.keeper.keep(s.now)
	s.has(gone)
}

func TestAFileThatWasRotatedDoesNotCountForTheShare(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{Quota: 64 << 20})
	c.Configure(map[string]Limits{"web": {MaxSize: 64 << 10}})
	out, _ := r.attach(web)
	text := strings.Repeat(strings.Repeat("x", 999)+"\n", 1000)
	io.WriteString(out, text)
	r.await(web, cri.Stdout, text)
	if n := c.keeper.active.Load(); n != 1 {
		t.Errorf("%d files are written to", n)
	}
}

// The clock was set back, and another daemon runs since.
func TestTheOrderOfFilesOutlivesTheClock(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	limits := map[string]Limits{"web": {MaxSize: 64 << 10}}
	c.Configure(limits)
	out, _ := r.attach(web)
	text := strings.Repeat(strings.Repeat("x", 999)+"\n", 100)
	io.WriteString(out, text)
	r.await(web, cri.Stdout, text)
	c.Close(false)
	dir, first := filepath.Join(r.log, "web"), r.files(web)[0]
	later := cri.File{Rotated: first.Rotated.Add(time.Hour)}
	if err := os.Rename(filepath.Join(dir, first.Name()), filepath.Join(dir, later.Name())); err != nil {
		t.Fatal(err)
	}
	r.open(Options{}).Configure(limits)
	io.WriteString(out, text+"end\n")
	r.await(web, cri.Stdout, text+text+"end\n")
	if files := r.files(web); files[0] != later {
		t.Errorf("the oldest file is %s", files[0].Name())
	}
}
