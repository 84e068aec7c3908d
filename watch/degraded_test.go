package watch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

// inner runs one test again in a process that attr describes, and skips when
// that cannot be had.
func inner(t *testing.T, attr *syscall.SysProcAttr, why string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	// Whoever runs it must be able to.
	copied := filepath.Join(openTemp(t), "test")
	data, err := os.ReadFile(self)
	must(t, err)
	must(t, os.WriteFile(copied, data, 0o755))
	must(t, os.Chmod(copied, 0o755))
	c := exec.CommandContext(t.Context(), copied, "-test.run=^"+t.Name()+"$", "-test.v")
	c.Dir = "/"
	c.Env = append(os.Environ(), "WATCH_TEST_INNER=1", "TMPDIR="+openTemp(t))
	c.SysProcAttr = attr
	out, err := c.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINVAL):
		t.Skipf("needs %s: %v", why, err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
}

func isInner() bool { return os.Getenv("WATCH_TEST_INNER") != "" }

// openTemp is a directory that everybody can work in.
func openTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "watch-test")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777|os.ModeSticky))
	return dir
}

func TestADirectoryThatCannotBeListedHoldsEverything(t *testing.T) {
	if os.Getuid() == 0 && !isInner() {
		// Root may list everything.
		inner(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: mallory, Gid: mallory}}, "to become nobody")
		return
	}
	for _, mode := range []os.FileMode{0, 0o100, 0o400} {
		dir := sub(t, "a", "b", "c")
		x := watchDir(t, dir)
		fewer := func(s *spec.Set) bool { return len(s.Services) != 3 }
		must(t, os.Chmod(dir, mode))
		if mode == 0o400 { // can be listed, and nothing in it can be looked at
			x.until("the problems", func(s *spec.Set) bool { return len(s.Problems) == 3 || !noCondition(s) }, fewer)
		} else {
			x.until("the hold", held(ReasonUnreadable), fewer)
		}
		must(t, os.Chmod(dir, 0o755))
		x.until("the end of it", both(noCondition, noProblem), fewer)
		// A parent, too.
		must(t, os.Chmod(filepath.Dir(dir), 0))
		x.until("the hold", held(ReasonUnreadable), fewer)
		must(t, os.Chmod(filepath.Dir(dir), 0o755))
		x.until("the end of it", both(noCondition, noProblem), fewer)
		must(t, os.Chmod(x.path("a.yaml"), 0))
		x.until("the problem", problem("permission denied"), fewer)
		must(t, os.Chmod(x.path("a.yaml"), 0o644))
		x.until("the end of it", noProblem, fewer)
	}
}

// What was out of reach for want of a descriptor makes no event when it is not any more.
func TestADirectoryIsListedAgainWhenThereAreDescriptorsAgain(t *testing.T) {
	if !isInner() { // the limit is the whole process's
		inner(t, nil, "to run itself")
		return
	}
	x := watchWith(t, Options{Dir: sub(t, "a", "b", "c"), Resync: time.Hour, Poll: 5 * time.Millisecond})
	fewer := func(s *spec.Set) bool { return len(s.Services) != 3 }
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}))
	must(t, os.Chtimes(x.path("a.yaml"), time.Time{}, time.Now().Add(time.Hour)))
	x.until("the hold", held(ReasonUnreadable), fewer)
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	x.until("the end of it", both(noCondition, noProblem), fewer)
}

// In a user namespace of its own a process may lower its limits.
func TestWithoutWatchesTheDirectoryIsListedEveryFewSecondsUntilThereAreSome(t *testing.T) {
	if !isInner() {
		inner(t, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}, "user namespaces")
		return
	}
	for _, limit := range []string{"max_inotify_instances", "max_inotify_watches"} {
		t.Run(limit, func(t *testing.T) {
			file := "/proc/sys/user/" + limit
			before, err := os.ReadFile(file)
			must(t, err)
			must(t, os.WriteFile(file, []byte("0"), 0))
			dir := sub(t, "web")
			x := watchWith(t, Options{Dir: dir, Poll: 5 * time.Millisecond})
			if !both(condition(spec.ConditionWatchDegraded, "NotificationFailed"), has("web"))(x.set) {
				t.Fatal(show(x.set))
			}
			fill(t, dir, "api")
			x.until("api", has("web", "api"))
			must(t, os.WriteFile(file, before, 0))
			x.until("the recovery", noCondition)
			x.still()
		})
	}
}

func TestANotifierThatDiesIsOpenedAnew(t *testing.T) {
	dir := sub(t, "web")
	var first notifier
	var refuse atomic.Bool
	x := watchDir(t, dir, func(w *Watcher) {
		w.poll = 5 * time.Millisecond
		w.open = func() (notifier, error) {
			if refuse.Load() {
				return nil, errors.New("not now")
			}
			n, err := openInotify()
			if first == nil {
				first = n
			}
			return n, err
		}
	})
	refuse.Store(true)
	// It dies of an error of read(2).
	must(t, first.(*inotify).file.Close())
	x.until("the condition", condition(spec.ConditionWatchDegraded, "NotificationFailed"))
	fill(t, dir, "api")
	x.until("api", has("web", "api"))
	refuse.Store(false)
	x.until("its end", noCondition)
	x.still()
}

func TestARemoteFileSystemIsListedEveryFewSeconds(t *testing.T) {
	dir := sub(t, "web")
	x := watchWith(t, Options{Dir: dir, Poll: 5 * time.Millisecond}, func(w *Watcher) {
		w.scan.reader.class = func(int) fsClass { return fsRemote }
		w.scan.class = w.scan.reader.class
		w.open = func() (notifier, error) { return deaf{}, nil }
	})
	if !condition(spec.ConditionWatchDegraded, "RemoteFileSystem")(x.set) {
		t.Fatal(show(x.set))
	}
	x.until("web", has("web"))
	fill(t, dir, "api")
	x.until("api", has("web", "api"))
}

// deaf is a notifier that never hears anything, as one is on NFS.
type deaf struct{}

func (deaf) add(fd int, _ uint32) (int32, error) { return int32(fd), nil }
func (deaf) remove(int32)                        {}
func (deaf) events() <-chan []event              { return nil }
func (deaf) close()                              {}
