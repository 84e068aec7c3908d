package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

const (
	// notifySocketName is the file in the state directory.
	notifySocketName = "notify"
	// maxSocketPath is how long the path of a socket may be: sun_path has 108
	// bytes, and programs want a NUL after it (unix(7)).
	maxSocketPath = 107
	// notifyBatch bounds the messages of one wake-up, so that nobody who sends
	// without end keeps the watcher from everything else.
	notifyBatch = 16
	// notifyBacklog is how many messages are read before the end of a main process
	// is told: as many as may wait in the socket where systemd has set
	// net.unix.max_dgram_qlen, whose default is 10.
	notifyBacklog = 512
	// deafFor is how long nothing is read when much is to be closed.
	deafFor = 5 * time.Millisecond
	// maxEarly is how many messages of a process are kept until its start was told,
	// maxEarlyFDs how many descriptors with them: barriers need one each.
	maxEarly, maxEarlyFDs = 64, 256
	// maxNotifyFDs is SCM_MAX_FD, how many descriptors can come with a message.
	maxNotifyFDs = 253
)

// spaceOfSender is the room for what the kernel tells of the sender: SCM_CREDENTIALS
// and SCM_PIDFD.
var spaceOfSender = unix.CmsgSpace(unix.SizeofUcred) + unix.CmsgSpace(4)

// notifier is the socket on which services tell of themselves (sd_notify(3)). All
// have the same: who has sent a message is told by the kernel. Only the watcher's
// goroutine reads it.
type notifier struct {
	path   string
	fd     int       // -1 when there is none
	err    error     // why there is none
	since  time.Time // it is there
	token  uint64
	closer closer
	ration ration

	limbo []unclaimed // Host.mu guards it

	buf [maxNotifyMessage + 1]byte // one more, to tell what is too long
	oob []byte
}

// speaker is who of a run may tell of it.
type speaker struct {
	uid uint32 // of the service
}

// openNotifier makes the socket, or goes on with the one that the image before this
// one has left: what was sent meanwhile waits in it. Without one, only services
// that need it cannot be started.
//
// Over the death of the daemon it is lost, since it is not among what a service
// manager keeps; the next one has the same path.
func (h *Host) openNotifier(stateDir string, carried int) {
	n := &h.notifier
	n.fd, n.closer.kinds = -1, h.remote
	n.oob = make([]byte, spaceOfSender+unix.CmsgSpace(4*maxNotifyFDs))
	if n.err = n.open(stateDir, carried); n.err == nil {
		n.token, n.err = h.watcher.add(n.fd, unix.EPOLLIN, h.listen)
	}
	if n.err != nil {
		n.close()
		h.log.Error(n.err, "Cannot hear services tell of themselves; those with notify: Systemd cannot be started")
	}
}

func (n *notifier) open(stateDir string, carried int) error {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		return fmt.Errorf("cannot find the state directory: %w", err)
	}
	n.path = filepath.Join(abs, notifySocketName)
	if carried > 0 {
		if info, err := os.Lstat(n.path); err == nil && info.Mode().Type() == os.ModeSocket {
			n.fd, n.since = carried, madeAt(info)
			return nil
		}
		_ = unix.Close(carried) // somebody has removed it: nobody can send any more
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return fmt.Errorf("cannot make the state directory: %w", err)
	}
	if n.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("cannot make the notify socket: %w", err)
	}
	if err := unix.SetsockoptInt(n.fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fmt.Errorf("cannot have the notify socket tell who sends: %w", err)
	}
	// Where there is no such thing (before Linux 6.5), a number of a process that
	// has ended could be another's.
	_ = unix.SetsockoptInt(n.fd, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1)
	return n.bind(abs)
}

// bind gives the socket its path. Another socket that has it, of a daemon that
// died, is replaced at once: nobody finds none. The path may be too long for an
// address, the one through /proc is not.
func (n *notifier) bind(dir string) error {
	const temporary = notifySocketName + ".new"
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Unlinkat(fd, temporary, 0); err != nil && err != unix.ENOENT {
		return fmt.Errorf("cannot remove an old notify socket: %w", err)
	}
	address := "/proc/self/fd/" + strconv.Itoa(fd) + "/" + temporary
	if err := unix.Bind(n.fd, &unix.SockaddrUnix{Name: address}); err != nil {
		return fmt.Errorf("cannot bind the notify socket: %w", err)
	}
	// Anybody may send; it is the sender that counts.
	if err := unix.Fchmodat(fd, temporary, 0o666, 0); err != nil {
		return fmt.Errorf("cannot open the notify socket to services: %w", err)
	}
	n.since = stampSocket(fd, temporary)
	if err := unix.Renameat(fd, temporary, fd, notifySocketName); err != nil {
		return fmt.Errorf("cannot put the notify socket in its place: %w", err)
	}
	return nil
}

// close closes the socket. The path stays, for the next daemon to replace.
func (n *notifier) close() {
	if n.fd >= 0 {
		_ = unix.Close(n.fd)
		n.fd = -1
	}
}

// speaks says who may tell of a run; nil is nobody.
func (h *Host) speaks(i *reconciler.Instance) *speaker {
	s := i.Spec
	if s == nil || s.Spec.Notify != spec.NotifySystemd || i.Init > 0 {
		return nil
	}
	who, f := h.accounts.resolve(s.Spec.SecurityContext)
	if f != nil {
		return &speaker{uid: h.uid} // the account was removed since it was started
	}
	return &speaker{uid: who.uid}
}

// prepareNotify lets the process that is to be started tell of itself.
func (h *Host) prepareNotify(g *group, w reconciler.Work, p *plan) *reconciler.Failure {
	var speaks *speaker
	notifies := w.Service.Spec.Notify == spec.NotifySystemd
	if notifies && w.Init == 0 {
		if f := h.notifier.refuses(w.Replica); f != nil {
			return f
		}
		speaks = &speaker{uid: p.who.uid}
		if f := h.passStored(w.Replica, p); f != nil {
			return f
		}
		if p.who.uid != 0 && p.who.uid != h.uid {
			letThrough(filepath.Dir(h.notifier.path))
		}
		p.setEnv("NOTIFY_SOCKET", h.notifier.path)
		if s := w.Service.Spec.WatchdogSeconds; s > 0 {
			// No WATCHDOG_PID: the direct path does not know the number before the
			// fork, and without it the variable is for whoever has it
			// (sd_watchdog_enabled(3)).
			p.setEnv("WATCHDOG_USEC", strconv.FormatInt(int64(s)*time.Second.Microseconds(), 10))
		}
	}
	h.mu.Lock()
	g.speaks = speaks
	if !notifies {
		h.dropStored(w.Replica) // it does not any more
	}
	h.mu.Unlock()
	return nil
}

// letThrough lets other users reach what is in the state directory, whose files
// have modes of their own. They cannot list it.
func letThrough(dir string) {
	const others = 0o001
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&others == 0 {
		_ = os.Chmod(dir, info.Mode()|others)
	}
}

func (n *notifier) refuses(id reconciler.ReplicaID) *reconciler.Failure {
	switch {
	case n.err != nil:
		return failure(reconciler.ReasonStartFailed, "cannot start %s: there is no socket for notify: Systemd: %v", id, n.err)
	case len(n.path) > maxSocketPath:
		return failure(reconciler.ReasonStartFailed, "cannot start %s: the path of the socket for notify: Systemd is longer than %d bytes: %s", id, maxSocketPath, n.path)
	}
	return nil
}

// setEnv sets a variable, in the place of one that the manifest has.
func (p *plan) setEnv(name, value string) {
	prefix := name + "="
	p.env = append(slices.DeleteFunc(p.env, func(e string) bool { return strings.HasPrefix(e, prefix) }), prefix+value)
}

// take does what a message of the group says, now or when the start was told.
func (h *Host) take(g *group, m *heard, text []byte) {
	h.mu.Lock()
	early := g.untold
	if m.store || m.remove {
		h.store(g, m)
	}
	if early && (m.says() || len(m.fds) > 0) {
		if m.onlyStatus() && len(g.early) > 0 {
			// It takes the place of those before, but for the first, which is being told
			// perhaps: who floods us with them must not lose the rest.
			rest := slices.DeleteFunc(g.early[1:], func(e heard) bool { return e.onlyStatus() && len(e.fds) == 0 })
			g.early = g.early[:1+len(rest)]
		}
		if len(g.early) < maxEarly {
			m.text = slices.Clone(text)
			early := *m
			if g.earlyFDs()+len(m.fds) > maxEarlyFDs {
				early.fds = nil // and who has read it closes them
			} else {
				m.fds = nil
			}
			g.early = append(g.early, early)
		}
	}
	h.mu.Unlock()
	if !early {
		h.tell(g, m)
	}
}

// earlyFDs counts the descriptors that are kept with what was said early. The caller
// holds Host.mu.
func (g *group) earlyFDs() (n int) {
	for i := range g.early {
		n += len(g.early[i].fds)
	}
	return n
}

// tellEarly tells what the process has said before its start was told. Then its
// messages are told as they come. What the loop has not taken is kept: it is handed
// to a process image that takes over.
func (h *Host) tellEarly(g *group) {
	h.claimAside(g)
	for {
		h.mu.Lock()
		if len(g.early) == 0 {
			g.untold = false
			h.mu.Unlock()
			return
		}
		m := g.early[0]
		h.mu.Unlock()
		h.tell(g, &m)
		h.mu.Lock()
		if len(g.early) > 0 { // else the host was closed
			g.early = g.early[1:]
			h.notifier.closer.close(m.fds)
		}
		h.mu.Unlock()
	}
}

// allEarly lists what was said and not told, for a successor. The caller holds mu.
func (h *Host) allEarly() map[reconciler.ReplicaID][][]byte {
	all := map[reconciler.ReplicaID][][]byte{}
	for id, g := range h.groups {
		for n := range g.early {
			all[id] = append(all[id], g.early[n].text)
		}
		if g.status != nil {
			all[id] = append(all[id], []byte("STATUS="+*g.status))
		}
	}
	return all
}

// restoreEarly tells what was said to the image before this one, before anything
// that was said since.
func (h *Host) restoreEarly(early map[reconciler.ReplicaID][][]byte) {
	for id, texts := range early {
		g := h.groups[id]
		if g == nil || g.speaks == nil {
			continue
		}
		g.untold = true
		for _, text := range texts {
			g.early = append(g.early, heard{notifyMessage: parseNotifyMessage(text), text: text})
		}
		h.watcher.after(0, func() { h.tellEarly(g) })
	}
}

// dropEarly forgets what was said and not told. The caller holds mu.
func (h *Host) dropEarly(g *group) {
	for n := range g.early {
		h.notifier.closer.close(g.early[n].fds)
	}
	g.early = nil
}

// tell tells the loop what a message says.
func (h *Host) tell(g *group, m *heard) {
	if !m.says() {
		return
	}
	h.mu.Lock()
	e := reconciler.Event{Kind: reconciler.EventNotified, Replica: g.id, Run: g.run, Notice: &m.notice}
	over := g.phase != phaseRunning && g.phase != phaseEnded
	held := !over && h.holdStatus(g, m)
	h.mu.Unlock()
	if held {
		return
	}
	if m.mainPid != 0 && !over {
		ticks, taken := h.takeMain(g, m.mainPid)
		if taken {
			e.Pid, e.StartTicks = m.mainPid, ticks
		} else {
			h.refuseMain(g, m.mainPid)
		}
	}
	if over || *e.Notice == (reconciler.Notice{}) && e.Pid == 0 {
		return
	}
	h.send(e)
}
