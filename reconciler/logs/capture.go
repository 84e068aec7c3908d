// Package logs takes what services write and puts it into files: completely,
// stamped, rotated and bounded, whoever dies. Package cri has the format.
//
// Each replica has two FIFOs, for stdout and stderr, in the state directory. The
// service holds them open for reading and writing, so that it never gets a
// SIGPIPE and goes on while there is no daemon, until 64 KiB or more wait. One
// goroutine reads all of them; there is none for a service, and no buffer.
//
// What was taken from a pipe and is not in a file yet is in a journal, a mapped
// file (see journal). Thus a daemon that is killed loses no line, and its
// successor writes none a second time and none torn.
package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// Replica names whose output it is; it is shown as "web-0".
type Replica struct {
	Service string
	Ordinal int32
}

// String returns the service's name, a hyphen and the ordinal.
func (r Replica) String() string { return r.Service + "-" + strconv.Itoa(int(r.Ordinal)) }

func parseReplica(name string) (Replica, bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return Replica{}, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	r := Replica{name[:i], int32(n)}
	return r, err == nil && n >= 0 && r.String() == name
}

// Limits bound the files of one service. See spec.Log.
type Limits struct {
	MaxSize  int64         // bytes of one file; 0: no limit
	MaxFiles int           // of one replica; 0: no limit
	MaxAge   time.Duration // 0: no limit
	Compress bool
}

// Sink gets what is written into the files, besides. It is called by the
// goroutine that all output goes through: it must not block, and not keep the
// entries, which are whole CRI lines of one replica.
type Sink interface {
	Entries(r Replica, entries []byte)
}

// Options say how to take output.
type Options struct {
	// StateDir is the daemon's state directory: the FIFOs and the journal are
	// in "output" below it.
	StateDir string
	// LogDir is where files go: <LogDir>/<service>/<ordinal>.log.
	LogDir string
	// Quota bounds the bytes of all files below LogDir; 0: no limit.
	Quota int64
	// Inherited are descriptors of FIFOs that an earlier image, or systemd, kept
	// open, by their names (see Capture.Descriptors), the newest last. The capture
	// owns them. Of one that is not the FIFO at its path any more, what it holds is
	// taken.
	Inherited map[string][]int
	// Opened is told each FIFO that the capture has opened or inherited, and
	// Closing each one before it is closed, unless Close does it. They must not
	// call the capture. Both may be nil.
	Opened, Closing func(name string, fd int)
	// Sink may be nil.
	Sink Sink
	// Guard runs what goroutines of the capture do, and handles a panic in it;
	// nil runs it as it is.
	Guard func(run func())
	Log   logr.Logger
}

// Capture takes the output of all replicas. Its methods may be called by any
// goroutine.
type Capture struct {
	log    logr.Logger
	dir    string // of the FIFOs
	logDir string
	lane   *lane
	keeper *keeper

	opened func(name string, fd int)
	guard  func(run func())

	mu        sync.Mutex
	closed    bool
	sources   map[Replica]*source
	inherited map[string][]int
	limits    map[string]*Limits // by service

	searches  sync.WaitGroup
	searching chan struct{} // held by the search that is under way
}

const (
	// endPatience bounds how long a start waits for the lines of the run before it.
	endPatience = 100 * time.Millisecond
	// releasePatience bounds how long a removal waits for a disk that hangs.
	releasePatience = 5 * time.Second
)

// defaultLimits are of a service whose limits are not known yet: nothing of it
// may be removed.
var defaultLimits = Limits{}

// Open begins to take output: first that of which an earlier daemon left
// something, in the journal or in a FIFO. It fails only when the folder of the
// FIFOs, or an epoll set, cannot be made.
func Open(o Options) (*Capture, error) {
	stateDir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the state directory: %w", err)
	}
	c := &Capture{
		log: o.Log, dir: filepath.Join(stateDir, "output"), logDir: o.LogDir,
		opened: o.Opened, sources: map[Replica]*source{}, inherited: o.Inherited, limits: map[string]*Limits{},
		searching: make(chan struct{}, 1), guard: o.Guard,
	}
	if c.opened == nil {
		c.opened = func(string, int) {}
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of pipes: %w", err)
	}
	if real, err := filepath.EvalSymlinks(c.dir); err == nil {
		c.dir = real // as the kernel names what processes have open
	}
	c.keeper = newKeeper(c.log, o.LogDir, o.Quota, c.limitsOf)
	if c.lane, err = openLane(c, o.Sink); err != nil {
		return nil, err
	}
	if o.Closing != nil {
		c.lane.closing = o.Closing
	}
	c.lane.recover(c.source)
	c.attachAll()
	if c.guard == nil {
		c.guard = func(run func()) { run() }
	}
	c.keeper.expire, c.keeper.attached = c.lane.expire, c.attached
	go c.guard(c.keeper.run)
	go c.guard(c.lane.run)
	return c, nil
}

// ReplicaOf tells whose pipe the path is of.
func (c *Capture) ReplicaOf(path string) (Replica, bool) {
	name, ours := strings.CutPrefix(path, c.dir+"/")
	id, _, ok := parsePipeName(name)
	return id, ours && ok
}

// Release ends what is kept for a replica of which nothing lives: what its pipes
// hold is written, then they are removed. Its files stay.
func (c *Capture) Release(id Replica) { c.release([]Replica{id}) }

func (c *Capture) release(ids []Replica) {
	c.mu.Lock()
	var gone []*source
	for _, id := range ids {
		if s := c.sources[id]; s != nil {
			gone = append(gone, s)
			s.awaited.cancel()
			delete(c.sources, id)
		}
	}
	c.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	c.lane.release(gone)
	for _, s := range gone {
		stdout, stderr := c.Pipes(s.id)
		_ = unix.Unlink(stdout)
		_ = unix.Unlink(stderr)
	}
}

// Retain releases every replica but those of which keep is true.
func (c *Capture) Retain(keep func(Replica) bool) {
	c.mu.Lock()
	var gone []Replica
	for id := range c.sources {
		if !keep(id) {
			gone = append(gone, id)
		}
	}
	c.mu.Unlock()
	c.release(gone)
}

// Configure sets the limits of all services that are declared. Pipes of those that
// are not keep the limits that they have; of their files the quota decides.
func (c *Capture) Configure(limits map[string]Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.limits
	c.limits = make(map[string]*Limits, len(limits))
	for name, l := range limits {
		if old := before[name]; old != nil && *old == l {
			c.limits[name] = old
		} else {
			c.limits[name] = &l
		}
	}
	for id, s := range c.sources {
		l := c.limits[id.Service]
		if l == nil {
			continue
		}
		// There may be too many files now. The keeper's first look is at all anyway.
		if before := s.limits.Swap(l); before != l && before != &defaultLimits {
			c.keeper.rotated(id)
		}
	}
}

// limitsOf are those of a service; nil: nothing is known of it.
func (c *Capture) limitsOf(service string) *Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits[service]
}

// attached says whether anybody may still write for the replica.
func (c *Capture) attached(id Replica) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sources[id] != nil
}

// Descriptors are the open FIFOs by name, for who takes over. They stay the
// capture's, and none is opened or closed as long as nobody calls Attach or
// Release.
func (c *Capture) Descriptors() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]int, 2*len(c.sources))
	for _, s := range c.sources {
		s.mu.Lock()
		for n := range s.pipes {
			if p := &s.pipes[n]; p.fd >= 0 {
				all[p.name()] = p.fd
			}
		}
		s.mu.Unlock()
	}
	return all
}

// Pause has the lane stand still; the answer is closed when it does. What is
// written meanwhile waits in the pipes. To replace the process without it is
// safe, as a crash is.
func (c *Capture) Pause() <-chan struct{} { return c.lane.pause() }

// Resume ends a pause.
func (c *Capture) Resume() { c.lane.resume() }

// Unsafe says why a crash of the daemon would lose output; nil: it would not.
func (c *Capture) Unsafe() error {
	if why := c.lane.unsafe.Load(); why != nil {
		return *why
	}
	return nil
}

// stallAfter is when a pass that does not end counts as a disk that hangs.
const stallAfter = 5 * time.Second

// Stalled is since when nothing is taken from the pipes, because a call to the file
// system does not come back; zero: that is not so.
func (c *Capture) Stalled() time.Time {
	if since := c.lane.busy.Load(); since != 0 && time.Since(time.Unix(0, since)) > stallAfter {
		return time.Unix(0, since)
	}
	return time.Time{}
}

// SmallPipes counts those that hold less than 64 KiB: a user without privileges who
// has more than 1,024 pipes gets such (pipe(7), pipe-user-pages-soft).
func (c *Capture) SmallPipes() int { return int(c.lane.small.Load()) }

// Losses are what could not be written and is not in the files, by replica.
func (c *Capture) Losses() []Loss { return c.lane.lossList() }

// Close writes what is in the pipes, with unfinished lines, unless the services
// live on, and ends. The FIFOs stay.
func (c *Capture) Close(final bool) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	var all []*source
	for _, s := range c.sources {
		all = append(all, s)
		s.awaited.cancel()
	}
	c.mu.Unlock()
	if final {
		c.lane.release(all)
	}
	c.lane.close()
	c.keeper.close()
	c.endSearches()
}
