package watch

import (
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

func TestALeaseTellsOfWriters(t *testing.T) {
	for name, dir := range map[string]string{"the disk": base(t), "tmpfs": tmpfs(t)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "x.yaml")
			must(t, os.WriteFile(path, []byte("x"), 0o644))
			defer func() { _ = os.Remove(path) }()
			f, err := os.Open(path)
			must(t, err)
			defer func() { _ = f.Close() }()
			if c := classify(int(f.Fd())); c != fsLocal {
				t.Skipf("needs a local file system, %s is of class %d", dir, c)
			}
			if err := lease(int(f.Fd())); err != nil {
				t.Errorf("nobody writes: %v", err)
			}
			w, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			if err := lease(int(f.Fd())); err != unix.EAGAIN {
				t.Errorf("somebody writes: %v", err)
			}
			must(t, w.Close())
			if err := lease(int(f.Fd())); err != nil {
				t.Errorf("nobody writes any more: %v", err)
			}
			// None is left that would hold a writer up.
			got, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0)
			if err != nil || got != unix.F_UNLCK {
				t.Errorf("the lease is still held: %d %v", got, err)
			}
		})
	}
}

// tmpfs is a directory on one, or an empty name.
func tmpfs(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "watch-test")
	if err != nil {
		t.Skip("needs /dev/shm")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A writer who comes while the lease is held is told of by a signal that
// does no harm, whatever is made of it.
func TestABrokenLeaseDoesNotEndTheProcess(t *testing.T) {
	path := filepath.Join(base(t), "x")
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	f, err := os.Open(path)
	must(t, err)
	defer func() { _ = f.Close() }()
	if err := lease(int(f.Fd())); err != nil {
		t.Skipf("needs leases: %v", err)
	}
	got := make(chan os.Signal, 10)
	signal.Notify(got, unix.SIGIO)
	defer signal.Stop(got)
	must(t, takeLease(int(f.Fd())))
	if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.EAGAIN {
		t.Errorf("opened for writing in spite of the lease: %d %v", fd, err)
	}
	if n, err := unix.FcntlInt(f.Fd(), unix.F_GETSIG, 0); err != nil || unix.Signal(n) != unix.SIGURG {
		t.Errorf("the signal is %v %v", unix.Signal(n), err)
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	must(t, err)
	select {
	case s := <-got:
		t.Errorf("%v came", s)
	default:
	}
}

// quietOf asks a reader whose leases and clock are made up.
func quietOf(class fsClass, leaseErr error, age time.Duration, steady bool) error {
	now := time.Unix(1000, 0)
	r := reader{
		lease:  func(int) error { return leaseErr },
		now:    func() time.Time { return now },
		steady: func(identity) bool { return steady },
	}
	return r.quiet(-1, class, &unix.Stat_t{Mtim: unix.NsecToTimespec(now.Add(-age).UnixNano())})
}

func TestWhetherAFileIsLeftAlone(t *testing.T) {
	const old, fresh = time.Minute, time.Millisecond
	tests := map[string]struct {
		class  fsClass
		lease  error
		age    time.Duration
		steady bool
		want   error
	}{
		"a lease was granted":                      {fsLocal, nil, fresh, false, nil},
		"somebody writes":                          {fsLocal, unix.EAGAIN, old, true, errWriter},
		"a foreign owner, written just now":        {fsLocal, unix.EACCES, fresh, false, errUnquiet},
		"a foreign owner, written long ago":        {fsLocal, unix.EACCES, old, false, nil},
		"no leases, written just now":              {fsLocal, unix.EINVAL, fresh, false, errUnquiet},
		"overlayfs grants falsely":                 {fsStacked, nil, fresh, false, errUnquiet},
		"overlayfs, written long ago":              {fsStacked, nil, old, false, nil},
		"overlayfs, written in the future, steady": {fsStacked, nil, -old, true, nil},
		"NFS says EAGAIN for reasons of its own":   {fsRemote, unix.EAGAIN, old, true, nil},
		"NFS has a clock of its own":               {fsRemote, nil, old, false, errUnquiet},
		"an unknown file system, steady":           {fsUnknown, nil, fresh, true, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := quietOf(test.class, test.lease, test.age, test.steady); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWithoutLeasesAFileIsReadAfterTheQuietWindow(t *testing.T) {
	for name, class := range map[string]fsClass{"overlayfs": fsStacked, "an unknown one": fsUnknown} {
		t.Run(name, func(t *testing.T) {
			x := watchDir(t, base(t), func(w *Watcher) {
				w.scan.reader.class = func(int) fsClass { return class }
			})
			must(t, os.WriteFile(x.path("web.yaml"), []byte(service("web", "1")), 0o644))
			x.until("web", both(hasArg("web", "1"), noProblem))
			x.write("web.yaml", service("web", "2"))
			x.until("the edit", hasArg("web", "2"), lacks("web"))
			x.still()
		})
	}
}

func TestAFileThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	dir := sub(t, "web")
	path := filepath.Join(dir, "web.yaml")
	n := 0
	x := watchDir(t, dir, func(w *Watcher) {
		w.scan.reader.opened = func() {
			if n++; n == 1 {
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
				if err == nil {
					_, _ = f.WriteString(service("web", "2"))
					_ = f.Close()
				}
			}
		}
	})
	x.until("the edit", hasArg("web", "2"), hasArg("web", "1"))
}

func TestAWriterWhoComesWhileAFileIsReadIsWaitedFor(t *testing.T) {
	dir := sub(t, "web")
	path := filepath.Join(dir, "web.yaml")
	var f *os.File
	opened := make(chan struct{})
	x := watchDir(t, dir, func(w *Watcher) {
		w.scan.reader.opened = func() {
			if f == nil {
				f, _ = os.OpenFile(path, os.O_WRONLY, 0)
				close(opened)
			}
		}
	})
	<-opened
	if len(x.set.Services) != 0 {
		t.Fatal(show(x.set))
	}
	must(t, f.Close())
	x.until("web", hasArg("web", "1"))
}

func TestTruncateIsNoticed(t *testing.T) {
	dir := sub(t, "web")
	x := watchDir(t, dir)
	must(t, os.Truncate(x.path("web.yaml"), 0))
	x.until("the problem", problem("declares no service any more"), func(s *spec.Set) bool { return len(s.Services) != 1 })
}
