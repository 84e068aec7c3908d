package logs

import (
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// holder holds FIFOs open as systemd does: descriptors of its own, in the order in
// which they were opened.
type holder struct {
	t     *testing.T
	mu    sync.Mutex
	fds   map[string][]int
	names []string // that are open
}

func (h *holder) opened(name string, fd int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	dup, err := dupCloexec(fd)
	if err != nil {
		h.t.Error(err)
	}
	h.fds[name] = append(h.fds[name], dup)
	h.names = append(h.names, name)
}

func (h *holder) closing(name string, fd int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := pipeInode(fd); err != nil {
		h.t.Errorf("%s is closed already: %v", name, err)
	}
	if n := slices.Index(h.names, name); n >= 0 {
		h.names = slices.Delete(h.names, n, n+1)
	}
}

// held opens a capture that a holder looks on.
func (r *rig) held() *holder {
	r.t.Helper()
	h := &holder{t: r.t, fds: map[string][]int{}}
	r.open(Options{Opened: h.opened, Closing: h.closing})
	return h
}

func TestOpenAndClosingPipesAreTold(t *testing.T) {
	r := newRig(t)
	h := r.held()
	r.attach(web)
	r.attach(web)
	if want := []string{"web-0.stdout", "web-0.stderr"}; !slices.Equal(h.names, want) {
		t.Errorf("opened are %v", h.names)
	}
	r.c.Release(web)
	if len(h.names) > 0 {
		t.Errorf("open after the release are %v", h.names)
	}
}

// TestWhatAServiceLeftInItsPipesIsWritten: it has ended while there was no daemon.
func TestWhatAServiceLeftInItsPipesIsWritten(t *testing.T) {
	tests := map[string]func(r *rig){
		"and its pipes are there":   func(*rig) {},
		"and nobody knows it now":   func(*rig) {},
		"and its pipes are removed": func(r *rig) { r.removePipes() },
		"and others are in their place": func(r *rig) {
			r.removePipes()
			for _, path := range r.pipes() {
				if _, err := makePipe(path, true, uint32(os.Getuid()), uint32(os.Getgid())); err != nil {
					r.t.Fatal(err)
				}
			}
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			h := r.held()
			out, err := r.attach(web)
			r.c.Close(false)
			io.WriteString(out, "last\nwords")
			io.WriteString(err, "why\n")
			out.Close()
			err.Close()
			prepare(r)
			c := r.open(Options{Inherited: h.fds})
			if name == "and nobody knows it now" {
				c.Retain(func(Replica) bool { return false })
				r.await(web, cri.Stdout, "last\nwords\n")
				r.await(web, cri.Stderr, "why\n")
				if n := len(c.Descriptors()); n > 0 {
					t.Errorf("%d descriptors are open", n)
				}
				return
			}
			out, _ = r.attach(web)
			io.WriteString(out, "next\n")
			r.await(web, cri.Stdout, "last\nwords\nnext\n")
			r.await(web, cri.Stderr, "why\n")
		})
	}
}

func TestOfTwoPipesTheOneAtThePathIsTaken(t *testing.T) {
	r := newRig(t)
	h := r.held()
	old, _ := r.attach(web)
	r.removePipes()
	out, _ := r.attach(web)
	inode, err := pipeInode(r.c.Descriptors()["web-0.stdout"])
	if err != nil {
		t.Fatal(err)
	}
	r.c.Close(false)
	io.WriteString(old, "old\n")
	io.WriteString(out, "new\n")
	h.fds["web-0.stdout"] = append(h.fds["web-0.stdout"], h.fds["web-0.stdout"]...)
	for n, fd := range h.fds["web-0.stdout"][2:] { // the same, stored once more
		if h.fds["web-0.stdout"][2+n], err = dupCloexec(fd); err != nil {
			t.Fatal(err)
		}
	}
	c := r.open(Options{Inherited: h.fds})
	r.await(web, cri.Stdout, "old\nnew\n")
	now, err := pipeInode(c.Descriptors()["web-0.stdout"])
	if err != nil || now != inode {
		t.Errorf("another one is open: %v", err)
	}
}

func TestDescriptorsUnderOtherNamesAreClosed(t *testing.T) {
	r := newRig(t)
	var all []int
	for range 3 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fd, err := dupCloexec(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fd)
	}
	c := r.open(Options{Inherited: map[string][]int{"web-0.stdout": all[:1], "web-00.stdout": all[1:2], "../x": all[2:]}})
	if difference := cmp.Diff(map[string]int{}, c.Descriptors()); difference != "" {
		t.Error(difference)
	}
	for _, fd := range all {
		if target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); target == "/dev/null" {
			t.Errorf("descriptor %d is open", fd)
		}
	}
}

func (r *rig) pipes() []string {
	stdout, stderr := r.c.Pipes(web)
	return []string{stdout, stderr}
}

func (r *rig) removePipes() {
	r.t.Helper()
	for _, path := range r.pipes() {
		if err := os.Remove(path); err != nil {
			r.t.Fatal(err)
		}
	}
}

func dupCloexec(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }
