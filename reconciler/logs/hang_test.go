package logs

import (
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// hang has the lane hang in the next write until the answer is called.
func hang(t *testing.T, l *lane) (goOn func()) {
	goes := make(chan struct{})
	hangs := make(chan struct{})
	var once atomic.Bool
	if !l.do(time.Second, func() {
		l.writeTo = func(fd int, b []byte) (int, error) {
			if once.CompareAndSwap(false, true) {
				close(hangs)
				<-goes
			}
			return unix.Write(fd, b)
		}
	}) {
		t.Fatal("the lane does not answer")
	}
	return func() {
		<-hangs
		close(goes)
	}
}

func TestADiskThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.open(Options{})
	goOn := hang(t, c.lane)
	defer func() {
		goOn()
		<-c.lane.ended
	}()
	out, _ := r.attach(web)
	io.WriteString(out, "never\n")
	r.attach(Replica{"other", 0})
	closed := make(chan struct{})
	go func() {
		c.Close(true)
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(4 * releasePatience):
		t.Error("Close waits for the disk")
	}
}

// A start does not wait for long; then it is too late to end the line of the run
// before it.
func TestALineOfTheNextRunIsNotEndedLate(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	goOn := hang(t, c.lane)
	io.WriteString(out, "one\n")
	for available(c.sources[web].pipes[cri.Stdout].fd) > 0 {
		runtime.Gosched()
	}
	io.WriteString(out, "two\n")
	out, _ = r.attach(web)
	io.WriteString(out, "new head, ")
	goOn()
	c.lane.do(time.Second, func() {})
	io.WriteString(out, "new tail\n")
	r.await(web, cri.Stdout, "one\ntwo\nnew head, new tail\n")
}

// Truncated under us, a mapped file gives faults. They are panics, which whoever
// runs the lane knows to handle.
func TestAJournalThatIsTruncatedDoesNotEndTheProcess(t *testing.T) {
	r := newRig(t)
	panics := make(chan any, 2)
	c := r.open(Options{Guard: func(run func()) {
		defer func() { panics <- recover() }()
		run()
	}})
	out, _ := r.attach(web)
	if err := os.Truncate(c.dir+"/journal", 0); err != nil {
		t.Fatal(err)
	}
	io.WriteString(out, "kept\n")
	if p := <-panics; p == nil {
		t.Error("the lane ended without a word")
	}
	r.open(Options{})
	r.await(web, cri.Stdout, "kept\n")
}
