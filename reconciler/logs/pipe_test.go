package logs

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// Without it a service would fill its pipe and then wait for ever.
func TestAnInheritedPipeThatHasNoNameIsRead(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	stdout, stderr := c.Pipes(web)
	for _, path := range []string{stdout, stderr} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	inherited := map[string][]int{}
	for name, fd := range c.Descriptors() {
		kept, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		inherited[name] = []int{kept}
	}
	c.Close(false)
	r.open(Options{Inherited: inherited})
	io.WriteString(out, "old\n")
	r.await(web, cri.Stdout, "old\n")
	out, _ = r.attach(web)
	io.WriteString(out, "new\n")
	r.await(web, cri.Stdout, "old\nnew\n")
}

// A process opens what has the name: a folder that was copied back has another.
func TestAPipeThatWasReplacedIsLetGo(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	stdout, _ := c.Pipes(web)
	io.WriteString(out, "old\n")
	r.await(web, cri.Stdout, "old\n")
	if err := os.Rename(stdout, stdout+".away"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(stdout, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = r.attach(web)
	io.WriteString(out, "new\n")
	r.await(web, cri.Stdout, "old\nnew\n")
}

func TestThePipesThatGoGiveBackTheirRoom(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	text := strings.Repeat(strings.Repeat("x", 999)+"\n", 4000)
	io.WriteString(out, text)
	r.await(web, cri.Stdout, text)
	c.Release(web)
	c.lane.do(time.Second, func() {
		if c.lane.grown != 0 {
			t.Errorf("%d bytes are missing", c.lane.grown)
		}
	})
}
