package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// manager is a service manager with a descriptor store.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
	stored []shelved
	most   int
}

func newManager(t *testing.T) *manager {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, socket: socket, most: 100}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Cleanup(func() {
		socket.Close()
		for _, q := range m.stored {
			closeFD(q.fd)
		}
	})
	return m
}

// heed does what it was told until now, as systemd does.
func (m *manager) heed() {
	m.t.Helper()
	conn, err := m.socket.SyscallConn()
	if err != nil {
		m.t.Fatal(err)
	}
	// What was sent is there: it need not be waited for.
	if err := conn.Read(func(fd uintptr) bool {
		for m.heedOne(int(fd)) {
		}
		return true
	}); err != nil {
		m.t.Fatal(err)
	}
}

// heedOne is false when there is no message.
func (m *manager) heedOne(socket int) bool {
	m.t.Helper()
	text, rights := make([]byte, 4096), make([]byte, 4096)
	n, oobn, _, _, err := unix.Recvmsg(socket, text, rights, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return false
	}
	fields := map[string]string{}
	for line := range strings.SplitSeq(string(text[:n]), "\n") {
		name, value, _ := strings.Cut(line, "=")
		fields[name] = value
	}
	number, _ := strconv.Atoi(strings.TrimPrefix(fields["FDNAME"], shelfPrefix))
	fds := descriptors(rights[:oobn])
	switch {
	case fields["FDSTORE"] == "1" && fields["FDPOLL"] == "0" && number > 0 && len(fds) == 1:
		if len(m.stored) < m.most {
			m.stored = append(m.stored, shelved{number, fds[0]})
		} else {
			closeFD(fds[0])
		}
	case fields["FDSTOREREMOVE"] == "1" && number > 0 && len(fds) == 0:
		m.stored = slices.DeleteFunc(m.stored, func(q shelved) bool {
			if q.number == number {
				closeFD(q.fd)
			}
			return q.number == number
		})
	case fields["STATUS"] != "":
	default:
		m.t.Errorf("was told %q with %d descriptors", text[:n], len(fds))
	}
	return true
}

// pass returns what a daemon that is started now gets: descriptors of its own.
func (m *manager) pass() []shelved {
	m.t.Helper()
	m.heed()
	var all []shelved
	for _, q := range m.stored {
		fd, err := unix.FcntlInt(uintptr(q.fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, shelved{q.number, fd})
	}
	return all
}

// holds is what a daemon that is started now finds: inodes by name.
func (m *manager) holds() map[string][]uint64 {
	m.t.Helper()
	fds, _ := takeDown(m.pass())
	all := map[string][]uint64{}
	for name, list := range fds {
		for _, fd := range list {
			all[name] = append(all[name], inode(m.t, fd))
			closeFD(fd)
		}
	}
	return all
}

func inode(t *testing.T, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// fifos are pipes by name, and what a manager should hold of them.
type fifos struct {
	t    *testing.T
	fds  map[string]int
	want map[string][]uint64
}

func newFifos(t *testing.T) *fifos {
	f := &fifos{t, map[string]int{}, map[string][]uint64{}}
	t.Cleanup(func() {
		for _, fd := range f.fds {
			closeFD(fd)
		}
	})
	return f
}

func (f *fifos) open(s *shelf, names ...string) {
	f.t.Helper()
	for _, name := range names {
		var pair [2]int
		if err := unix.Pipe2(pair[:], unix.O_CLOEXEC); err != nil {
			f.t.Fatal(err)
		}
		closeFD(pair[1])
		f.fds[name], f.want[name] = pair[0], []uint64{inode(f.t, pair[0])}
		s.opened(name, pair[0])
	}
}

func (f *fifos) close(s *shelf, name string) {
	s.closing(name, f.fds[name])
	closeFD(f.fds[name])
	delete(f.fds, name)
	delete(f.want, name)
}

func (f *fifos) judge(m *manager) {
	f.t.Helper()
	if difference := cmp.Diff(f.want, m.holds()); difference != "" {
		f.t.Fatalf("held (-want +got):\n%s", difference)
	}
}

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("web-%d.stdout", i))
	}
	return all
}

func TestTheServiceManagerHoldsWhatIsOpen(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	s := openShelf(logr.Discard(), nil)
	f.open(s, "web-0.stdout", "web-0.stderr")
	s.renew()
	f.open(s, "db-0.stdout")
	f.judge(m)
	f.judge(m) // looking takes nothing away
	if len(m.stored) != 1 {
		t.Errorf("%d descriptors are stored", len(m.stored))
	}
}

func TestAQueueThatIsFullIsReplaced(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	s := openShelf(logr.Discard(), nil)
	s.renew()
	f.open(s, names(3000)...)
	f.judge(m)
	if len(m.stored) != 1 || m.stored[0].number == 1 {
		t.Errorf("stored are %v", m.stored)
	}
}

func TestWhatIsClosedIsLetGoBeforeLong(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	s := openShelf(logr.Discard(), nil)
	s.renew()
	all := names(500)
	f.open(s, all...)
	for _, name := range all {
		f.close(s, name)
	}
	if n := len(m.holds()); n > shelfWaste {
		t.Errorf("%d are still held", n)
	}
}

func TestTheNewestOfANameComesLast(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	s := openShelf(logr.Discard(), nil)
	s.renew()
	f.open(s, "web-0.stdout")
	old, first := f.fds["web-0.stdout"], f.want["web-0.stdout"][0]
	f.open(s, "web-0.stdout")
	s.closing("web-0.stdout", old) // comes late
	closeFD(old)
	second := f.want["web-0.stdout"][0]
	f.want["web-0.stdout"] = []uint64{first, second}
	f.judge(m)
	s.renew()
	f.want["web-0.stdout"] = []uint64{second}
	f.judge(m)
}

func TestADaemonTakesOverWhatIsHeld(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	s := openShelf(logr.Discard(), nil)
	f.open(s, names(5)...)
	s.renew()
	fds, former := takeDown(m.pass())
	next := openShelf(logr.Discard(), former)
	for name, list := range fds {
		next.opened(name, list[0])
		defer closeFD(list[0])
	}
	f.judge(m) // also while it has done nothing yet
	next.renew()
	f.judge(m)
	if kept := next.kept(); len(m.stored) != 1 || !slices.Equal(kept, []int{m.stored[0].number}) {
		t.Errorf("stored are %v, and known %v", m.stored, kept)
	}
}

func TestAManagerWithoutAStoreIsNotAskedAgain(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	m.most = 0
	s := openShelf(logr.Discard(), nil)
	s.renew()
	m.heed()
	f.open(s, names(3)...)
	s.renew()
	m.most = 1
	if m.heed(); len(m.stored) > 0 || !s.off {
		t.Errorf("stored are %v", m.stored)
	}
}

func TestAManagerThatDoesNotListenHoldsNobodyUp(t *testing.T) {
	m, f := newManager(t), newFifos(t)
	s := openShelf(logr.Discard(), nil)
	s.renew()
	for notifyWith("STATUS=busy") == nil {
	}
	f.open(s, names(1000)...)
	m.heed()
	f.open(s, "db-0.stdout") // has it tried again
	f.judge(m)
}

func TestOnlyQueuesOfOursAreTaken(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	tests := map[string]struct {
		pid, count, names string
		want              []int
	}{
		"none":                      {"", "", "", nil},
		"for another process":       {"1", "1", "output-1", nil},
		"a count that is wrong":     {pid, "2", "output-1", nil},
		"names of others":           {pid, "6", "http:output-:output-x:output-01:output--1:stored", nil},
		"two among others, by turn": {pid, "3", "output-12:http:output-7", []int{7, 12}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LISTEN_PID", test.pid)
			t.Setenv("LISTEN_FDS", test.count)
			t.Setenv("LISTEN_FDNAMES", test.names)
			var got []int
			for _, q := range takeShelved() {
				got = append(got, q.number)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v", got)
			}
			for _, variable := range os.Environ() {
				if strings.HasPrefix(variable, "LISTEN_") {
					t.Errorf("%s is left", variable)
				}
			}
		})
	}
}

// BenchmarkAThousandServicesArePutOnTheShelf is what a start of them all has to
// pay.
func BenchmarkAThousandServicesArePutOnTheShelf(b *testing.B) {
	path := filepath.Join(b.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	defer socket.Close()
	go func() {
		var held []int
		for text, rights := make([]byte, 100), make([]byte, 100); ; {
			_, n, _, _, err := socket.ReadMsgUnix(text, rights)
			if err != nil {
				return
			}
			if held = append(held, descriptors(rights[:n])...); len(held) > 2 {
				closeFD(held[0])
				held = held[1:]
			}
		}
	}()
	b.Setenv("NOTIFY_SOCKET", path)
	all := names(2000)
	for b.Loop() {
		s := openShelf(logr.Discard(), nil)
		s.renew()
		for _, name := range all {
			s.opened(name, 0)
		}
		closeFD(s.socket)
	}
}
