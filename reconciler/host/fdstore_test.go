package host_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// keepDescriptors is a service that prints what it was given and stores what
// HOST_TEST_STORE says: words NAME=CONTENT are files in memory, "pipe" is the
// writing end of a pipe whose other end is closed, "pipe!" the same with FDPOLL=0,
// "-NAME" removes, and a number stores as many that are called "many".
func keepDescriptors() int {
	listen, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if listen > 0 && os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		fmt.Println("LISTEN_PID is", os.Getenv("LISTEN_PID"), "and not", os.Getpid())
	}
	var names []string
	if listen > 0 {
		names = strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	}
	for n, name := range names {
		var content [100]byte
		size, _ := unix.Pread(3+n, content[:], 0)
		flags, err := unix.FcntlInt(uintptr(3+n), unix.F_GETFD, 0)
		if n < 5 {
			fmt.Println("given", name, string(content[:max(size, 0)]), flags, err)
		}
	}
	if listen > 5 {
		fmt.Println("given", listen)
	}
	if n := len(names); n > 0 && n != listen {
		fmt.Println(n, "names for", listen)
	}
	for word := range strings.FieldsSeq(os.Getenv("HOST_TEST_STORE")) {
		if err := keep(word); err != nil {
			fmt.Println(word, err)
		}
	}
	// Its barrier is the last of the descriptors that the host closes.
	var barrier [2]int
	if err := unix.Pipe(barrier[:]); err != nil {
		fmt.Println(err)
	}
	say("BARRIER=1", barrier[1])
	_ = unix.Close(barrier[1])
	if n, err := unix.Read(barrier[0], make([]byte, 1)); n != 0 || err != nil {
		fmt.Println("barrier:", n, err)
	}
	say("READY=1")
	unix.Exit(0)
	return 0
}

func keep(word string) error {
	name, content, isFile := strings.Cut(word, "=")
	if count, err := strconv.Atoi(word); err == nil {
		for count > 0 {
			var fds []int
			for range min(count, 250) {
				fd, err := unix.Eventfd(0, 0)
				if err != nil {
					return err
				}
				fds = append(fds, fd)
			}
			say("FDSTORE=1\nFDNAME=many", fds...)
			count -= len(fds)
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
		return nil
	}
	switch {
	case isFile:
		fd, err := unix.MemfdCreate("stored", 0)
		if err != nil {
			return err
		}
		_, _ = unix.Write(fd, []byte(content))
		say("FDSTORE=1\nFDNAME="+name, fd)
	case word == "again": // what it was given
		say("FDSTORE=1\nFDNAME=again", 3)
	case name[0] == '-':
		say("FDSTOREREMOVE=1\nFDNAME=" + name[1:])
	default:
		var pipe [2]int
		if err := unix.Pipe(pipe[:]); err != nil {
			return err
		}
		_ = unix.Close(pipe[0])
		poll := "\n"
		if word == "pipe!" {
			poll = "\nFDPOLL=0\n"
		}
		say("FDSTORE=1"+poll+"FDNAME="+word, pipe[1])
	}
	return nil
}

// say sends a message with descriptors.
func say(text string, fds ...int) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		err = unix.Sendmsg(fd, []byte(text), unix.UnixRights(fds...), &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}, 0)
		_ = unix.Close(fd)
	}
	if err != nil {
		fmt.Println("cannot send", text, err)
	}
}

func keeper(t *testing.T, store string) *spec.Service {
	t.Helper()
	return notifies(self(t, "keep", spec.EnvVar{Name: "HOST_TEST_STORE", Value: store}))
}

// runKeeper runs it to its end and answers what it has printed.
func (m *machine) runKeeper(store string) string {
	m.t.Helper()
	before := len(m.output())
	m.start(keeper(m.t, store))
	m.wantNotices(reconciler.Notice{Ready: true})
	m.want(reconciler.EventExited)
	return m.output()[before:]
}

func TestStoredDescriptorsAreHandedToTheNextStart(t *testing.T) {
	tests := map[string]struct {
		store []string // by the runs before
		want  string
	}{
		"none":                           {[]string{""}, ""},
		"one":                            {[]string{"a=one"}, "given a one 0 <nil>\n"},
		"some, in their order":           {[]string{"b=two a=one c=three"}, "given b two 0 <nil>\ngiven a one 0 <nil>\ngiven c three 0 <nil>\n"},
		"they stay":                      {[]string{"a=one", "", "b=two"}, "given a one 0 <nil>\ngiven b two 0 <nil>\n"},
		"the same is kept once":          {[]string{"a=one", "again"}, "given a one 0 <nil>\n"},
		"two of a name":                  {[]string{"a=one a=two"}, "given a one 0 <nil>\ngiven a two 0 <nil>\n"},
		"without a name":                 {[]string{"=one"}, "given stored one 0 <nil>\n"},
		"what was removed is gone":       {[]string{"a=one b=two a=three", "-a"}, "given b two 0 <nil>\n"},
		"what hangs up is gone":          {[]string{"pipe a=one"}, "given a one 0 <nil>\n"},
		"what is not looked at is not":   {[]string{"pipe! a=one"}, "given pipe!  0 <nil>\ngiven a one 0 <nil>\n"},
		"not more than are kept for one": {[]string{"a=one 600"}, "given a one 0 <nil>\n" + strings.Repeat("given many  0 <nil>\n", 4) + "given 512\n"},
	}
	forBoth(t, func(t *testing.T, m *machine) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				m := &machine{t: t, host: m.host, logs: m.logs, dir: m.dir, run: m.run + 100}
				fds, _ := census(t)
				for _, store := range tt.store {
					m.runKeeper(store)
				}
				if diff := cmp.Diff(tt.want, m.runKeeper("")); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				m.offer(reconciler.VerbForget, nil)
				m.want(reconciler.EventForgotten)
				until(func() bool { now, _ := census(t); return now <= fds })
			})
		}
	})
}

func TestWhatDoesNotNotifyAnyMoreIsGivenNothing(t *testing.T) {
	m := open(t, through["directly"])
	m.runKeeper("a=one")
	s := self(t, "describe")
	if diff := cmp.Diff("fd 0 null\nfd 1 web-0.stdout\nfd 2 web-0.stderr\n", m.runToEnd(s)); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}
	if got := m.runKeeper(""); got != "" {
		t.Errorf("it was kept: %s", got)
	}
}

func TestStoredDescriptorsAndUmaskAndDirectory(t *testing.T) {
	m := open(t, through["directly"])
	m.runKeeper("a=one b=two")
	s := notifies(shell("umask; pwd; ulimit -n; cat /proc/self/fd/4; for n in 0 1 2 3 4 5 6 7 8; do [ -e /proc/$$$$/fd/$n ] && printf '%s ' $n; done; echo; echo $LISTEN_FDNAMES; [ $LISTEN_PID = $$$$ ] && echo own"))
	s.Spec.SecurityContext.Umask, s.Spec.WorkingDir = 0o027, "/usr"
	s.Spec.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 16, Hard: 16}}
	m.start(s)
	m.want(reconciler.EventExited)
	if diff := cmp.Diff("0027\n/usr\n16\ntwo0 1 2 3 4 \na:b\nown\n", m.output()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAStartThatFailsSaysSoAlsoWithStoredDescriptors(t *testing.T) {
	m := open(t, through["directly"])
	m.runKeeper("a=one b=two c=three")
	m.offer(reconciler.VerbStart, notifies(web("/no/such/program")))
	if f := m.want(reconciler.EventStartFailed).Failure; f.Reason != reconciler.ReasonCommandNotFound {
		t.Errorf("got %+v", f)
	}
	if got := m.runKeeper(""); strings.Count(got, "given") != 3 {
		t.Errorf("it was given %s", got)
	}
}

// TestWhatIsStoredIsCarried to the process image that takes over, with the socket
// and what waits in it.
func TestWhatIsStoredIsCarried(t *testing.T) {
	forBoth(t, func(t *testing.T, m *machine) {
		m.runKeeper("a=one b=two pipe!")
		s := notifies(self(t, "say-later", spec.EnvVar{Name: "HOST_TEST_PATH", Value: m.dir + "/go"}))
		if err := unix.Mkfifo(m.dir+"/go", 0o600); err != nil {
			t.Fatal(err)
		}
		e := m.start(s)
		<-m.host.Pause()
		c := m.host.Carry()
		if len(c.Stored[web0]) != 3 || c.Notify <= 0 {
			t.Fatalf("carried %+v", c)
		}
		if err := os.WriteFile(m.dir+"/go", []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
		until(func() bool { return waits(t, c.Notify) })
		kept := &host.Kept{Records: []reconciler.Record{recordOf(s, e)}, Notify: again(t, c.Notify), Stored: map[reconciler.ReplicaID][]host.StoredFD{}}
		for id, fds := range c.Stored {
			for _, one := range fds {
				one.FD = again(t, one.FD)
				kept.Stored[id] = append(kept.Stored[id], one)
			}
		}
		kept.Stored[reconciler.ReplicaID{Service: "gone"}] = []host.StoredFD{{Name: "x", FD: again(t, 0)}}
		kept.Early = map[reconciler.ReplicaID][][]byte{web0: {[]byte("STATUS=early")}, {Service: "gone"}: {[]byte("READY=1")}}
		m.reopen(host.Options{Kept: kept})
		m.run = e.Run
		m.wantNotices(reconciler.Notice{Status: "early", HasStatus: true}, reconciler.Notice{Ready: true})
		m.end()
		m.run++
		want := "given a one 0 <nil>\ngiven b two 0 <nil>\ngiven pipe!  0 <nil>\n"
		if diff := cmp.Diff(want, m.runKeeper("")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if len(m.host.Carry().Stored) != 1 {
			t.Error("it keeps what nobody asks for any more")
		}
	})
}

// waits says whether a message waits in the socket.
func waits(t *testing.T, socket int) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}, 0)
	if err != nil && err != unix.EINTR {
		t.Fatal(err)
	}
	return n > 0
}

// again is the same under another number, as it is over exec(2), which does not
// close it as the end of a host does.
func again(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
