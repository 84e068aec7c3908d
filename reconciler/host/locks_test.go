package host

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// bare is a host with a watcher that stands still.
func bare(t *testing.T) *Host {
	t.Helper()
	w, err := openWatcher(logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return &Host{watcher: w}
}

// TestWhoIsToldOfAHookFindsItsCommandGone: who starts or forgets the replica then is not
// refused.
func TestWhoIsToldOfAHookFindsItsCommandGone(t *testing.T) {
	h := bare(t)
	g := newGroup(reconciler.ReplicaID{Service: "web"}, nil)
	over := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			h.mu.Lock()
			if len(g.answers) > 0 && g.busy() {
				t.Error("the answer is there, and the command, too")
			}
			h.mu.Unlock()
			select {
			case <-over:
				return
			default:
			}
		}
	})
	for range 5000 {
		c := newCommand("a hook")
		h.mu.Lock()
		c.group, g.hook, g.answers = g, c, nil
		g.commands = map[*command]struct{}{c: {}}
		h.commands.Add(1)
		h.mu.Unlock()
		h.hookEnded(c, reconciler.Work{}, nil)
	}
	close(over)
	wait.Wait()
}

// TestTheEndOfOutputFindsWhatIsToBeForgotten: it may come before whoever has the output
// read knows under which token.
func TestTheEndOfOutputFindsWhatIsToBeForgotten(t *testing.T) {
	h := bare(t)
	c := newCommand("a probe")
	c.out = newExcerpt(100)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(pipe[1])
	var err error
	if c.pidfd, err = unix.PidfdOpen(os.Getpid(), 0); err != nil {
		t.Fatal(err)
	}
	c.pipe = pipe[0]
	defer c.closeAll()
	c.mu.Lock() // as who reads it does
	done := make(chan error, 1)
	go func() { done <- h.watchCommand(c) }()
	for range 1000 { // it must not get on
		runtime.Gosched()
	}
	h.watcher.mu.Lock()
	watched := len(h.watcher.ready) - 1 // the alarm
	h.watcher.mu.Unlock()
	if watched > 0 {
		t.Error("it is watched, and who reads it cannot know its token")
	}
	c.mu.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.drain(c, 1)
	if h.watcher.mu.Lock(); len(h.watcher.ready) != 2 || c.pipe >= 0 {
		t.Errorf("%d are watched, want the alarm and the process", len(h.watcher.ready))
	}
	h.watcher.mu.Unlock()
}

// TestASenderWithoutADescriptor: the kernel says why there is none, in its place.
func TestASenderWithoutADescriptor(t *testing.T) {
	for name, want := range map[string]int{"it was reaped": -int(unix.ESRCH), "before Linux 6.16": -int(unix.EINVAL), "there is one": 7} {
		t.Run(name, func(t *testing.T) {
			pidfd := unix.UnixRights(want)
			pidfd[12] = 4 // cmsg_type SCM_PIDFD, on a machine that has the low byte first
			oob := append(unix.UnixRights(3, 4), pidfd...)
			if _, got, fds := readControl(oob); got != want || len(fds) != 2 {
				t.Errorf("got %d, and %v", got, fds)
			}
		})
	}
}
