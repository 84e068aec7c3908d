package logs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

// TestACrashLosesNothing ends the lane at a random step, with what a write may
// have done in part, again and again.
func TestACrashLosesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	limits := map[string]Limits{"web": {MaxSize: 64 << 10}}
	var want [2]strings.Builder
	var pipes [2]*os.File
	r.open(Options{}).Configure(limits)
	pipes[0], pipes[1] = r.attach(web)
	number := 0
	for round := range 300 {
		crash(r.c.lane, random.IntN(20), random.Float64())
		for range random.IntN(30) {
			s := random.IntN(2)
			text := sample(random, &number)
			want[s].WriteString(text)
			pipes[s].WriteString(text)
		}
		if round%3 > 0 { // most rounds end in a crash, if it is not over before
			select {
			case <-r.c.lane.ended:
			case <-time.After(5 * time.Millisecond):
			}
		}
		inherited := abandon(r.c)
		r.open(Options{Inherited: inherited}).Configure(limits)
	}
	for s := range pipes {
		pipes[s].WriteString("the end\n")
		want[s].WriteString("the end\n")
	}
	for s := range pipes {
		r.await(web, cri.Stream(s), want[s].String())
	}
}

// sample is what a program may write at a time, never more than fits into a pipe.
func sample(random *rand.Rand, number *int) string {
	*number++
	line := fmt.Sprintf("%d:", *number)
	switch random.IntN(6) {
	case 0:
		return line
	case 1:
		return line + "\n"
	case 2:
		return line + strings.Repeat("x", random.IntN(600)) + "\n"
	case 3:
		return strings.Repeat(line+"\n", 1+random.IntN(100))
	case 4:
		return strings.Repeat("\n", 1+random.IntN(20))
	default:
		return line + strings.Repeat("y", random.IntN(1500))
	}
}

// crash has the lane end at its nth step from now, or in the midst of the write
// that follows it, of which the kernel has done a part.
func crash(l *lane, n int, part float64) {
	l.do(time.Second, func() {
		l.stop = func() {
			if n--; n < 0 {
				runtime.Goexit()
			}
		}
		l.writeTo = func(fd int, b []byte) (int, error) {
			if n == 0 {
				_, _ = unix.Write(fd, b[:int(part*float64(len(b)))])
				runtime.Goexit()
			}
			return unix.Write(fd, b)
		}
	})
}

// abandon leaves everything as a crash would, but for the descriptors of FIFOs: the
// kernel would close them, and processes keep the FIFOs alive.
func abandon(c *Capture) map[string][]int {
	l := c.lane
	l.mu.Lock()
	l.closed = true
	l.alert()
	l.mu.Unlock()
	l.resume()
	<-l.ended
	if l.timer != nil {
		l.timer.Stop()
	}
	inherited := map[string][]int{}
	for name, fd := range c.Descriptors() {
		inherited[name] = []int{fd}
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	for _, f := range l.files {
		unix.Close(f.fd)
	}
	unix.Close(l.epfd)
	c.keeper.close()
	return inherited
}

// A journal on a disk may be anything after the machine lost power.
func TestADamagedJournalIsPassedOver(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 100 {
		r := newRig(t)
		c := r.open(Options{})
		c.Close(false)
		j, err := openJournal(c.dir + "/journal")
		if err != nil {
			t.Fatal(err)
		}
		for n := range j.mem[:textAt] {
			j.mem[n] = byte(random.Uint32())
		}
		j.Magic, j.Stage, j.Batch, j.Key = journalMagic, uint32(round%4), uint32(random.IntN(2)), (&pipe{of: &source{id: web}}).key()
		j.held[0].Key, j.held[0].Length = j.Key, 7
		j.held[1].Key, j.held[1].Length = j.Key, 9
		if random.IntN(2) == 0 {
			j.Held, j.Announced, j.Length, j.Done = 0, 100, uint32(random.IntN(rawSize)), uint32(random.IntN(100))
			j.Slot, j.OutLength, j.After = int32(random.IntN(heldSlots)), 1, j.Length
		}
		j.close()
		c = r.open(Options{})
		if err := c.Attach(web, uint32(os.Getuid()), uint32(os.Getgid())); err != nil {
			t.Error(err)
		}
		c.Close(false)
	}
}
