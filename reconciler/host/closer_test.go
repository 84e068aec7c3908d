package host_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// serveFile is a file system of one file, which it is mounted on: who closes it, or
// opens it when HOST_TEST_SAY is "open", waits until this process ends. It ends when its standard input does, or after a minute,
// whatever becomes of the test.
func serveFile(path string) int {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("test", path, "fuse", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("fd=%d,rootmode=100644,user_id=0,group_id=0", fd))
	}
	if err != nil {
		fmt.Println("cannot mount:", err)
		return 1
	}
	end := func() {
		_ = unix.Unmount(path, unix.MNT_DETACH)
		unix.Exit(0)
	}
	time.AfterFunc(time.Minute, end)
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		end()
	}()
	fmt.Println("mounted")
	answerFuse(fd)
	return 0
}

// answerFuse answers the kernel (include/uapi/linux/fuse.h), but for who closes.
func answerFuse(fd int) {
	const getattr, open, flush, release, forget, initialize, interrupt, headerSize = 3, 14, 25, 18, 2, 26, 36, 40
	little := binary.LittleEndian
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < headerSize {
			return
		}
		var body []byte
		failure := int32(0)
		switch little.Uint32(buf[4:]) {
		case initialize:
			body = make([]byte, 24)
			little.PutUint32(body, 7)
			little.PutUint32(body[4:], 12)
			little.PutUint32(body[20:], 4096)
		case getattr:
			body = make([]byte, 104)
			little.PutUint64(body, 1000)
			little.PutUint64(body[16:], 1)        // inode
			little.PutUint32(body[76:], 0o100644) // mode
			little.PutUint32(body[80:], 1)        // links
			little.PutUint32(body[96:], 4096)     // block size
		case open:
			if os.Getenv("HOST_TEST_SAY") == "open" {
				continue
			}
			body = make([]byte, 16)
		case release:
		case forget, flush, interrupt:
			continue
		default:
			failure = -int32(unix.ENOSYS)
		}
		answer := make([]byte, 16, 16+len(body))
		little.PutUint32(answer, uint32(16+len(body)))
		little.PutUint32(answer[4:], uint32(failure))
		copy(answer[8:16], buf[8:16])
		_, _ = unix.Write(fd, append(answer, body...))
	}
}

// hangingFile is a file whose closing, or opening, hangs until it is released.
func hangingFile(t *testing.T, path, what string) (release func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	said, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{
		Files: []*os.File{in, out, os.Stderr},
		Env:   []string{"HOST_TEST_ACT=serve-file", "HOST_TEST_PATH=" + path, "HOST_TEST_SAY=" + what},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = in.Close(), out.Close()
	var buf [64]byte
	n, _ := said.Read(buf[:])
	_ = said.Close()
	release = func() {
		_ = hold.Close()
		_, _ = p.Wait()
	}
	if got := string(buf[:n]); got != "mounted\n" {
		release()
		t.Skip("needs FUSE: ", got)
	}
	return release
}

// sendHanging is a service that sends a descriptor of a file whose closing hangs, many
// times, to be stored and for nothing.
func sendHanging(path string) int {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for range 10 {
		say("FDSTORE=1\nFDNAME=x", fd, fd)
		say("BARRIER=1", fd)
	}
	say("READY=1")
	for {
		_ = unix.Pause()
	}
}

// TestADescriptorWhoseClosingHangs is not stored, and holds up nobody else: neither
// barriers nor what is to be told. There is no exec meanwhile, which would hang.
func TestADescriptorWhoseClosingHangs(t *testing.T) {
	m := open(t, through["directly"])
	path := m.dir + "/file"
	release := hangingFile(t, path, "close")
	defer release()
	hanging := reconciler.ReplicaID{Service: "hanging"}
	s := notifies(self(t, "send-hanging", spec.EnvVar{Name: "HOST_TEST_PATH", Value: path}))
	m.host.Work() <- reconciler.Work{Verb: reconciler.VerbStart, Replica: hanging, Run: 1, Service: s}
	if e := m.next(); e.Kind != reconciler.EventStarted {
		t.Fatalf("got %+v", e)
	}
	if e := m.next(); e.Kind != reconciler.EventNotified || !e.Notice.Ready {
		t.Fatalf("got %+v: %s", e, m.output())
	}
	for range 3 {
		if got := m.runKeeper("a=one pipe!"); strings.Contains(got, "barrier") {
			t.Error(got)
		}
	}
	if got := m.host.Carry().Stored; len(got[hanging]) > 0 || len(got[web0]) != 6 {
		t.Errorf("stored: %+v", got)
	}
	select {
	case <-m.host.Pause():
		t.Error("the host stands still while closings hang")
	case <-time.After(50 * time.Millisecond):
	}
	m.host.Resume()
	release()
	<-m.host.Pause()
	m.host.Resume()
	if err := m.host.Kill(hanging); err != nil {
		t.Error(err)
	}
	if e := m.next(); e.Kind != reconciler.EventExited || e.Replica != hanging {
		t.Errorf("got %+v", e)
	}
}

// TestWhatIsStored is what cannot hang when it is closed.
func TestWhatIsStored(t *testing.T) {
	dir := t.TempDir()
	must := func(fd int, err error) int {
		t.Helper()
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	file := func(path string, flags int) int { return must(unix.Open(path, flags|unix.O_CLOEXEC, 0o600)) }
	pipe := make([]int, 2)
	if err := unix.Pipe(pipe); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/memfd:x", 0o700); err != nil {
		t.Fatal(err)
	}
	inotify := must(unix.InotifyInit1(unix.IN_CLOEXEC))
	tests := map[string]struct {
		fd   int
		want bool
	}{
		"a pipe":            {pipe[0], true},
		"a FIFO":            {file(dir+"/fifo", unix.O_RDWR), true},
		"a socket":          {must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)), true},
		"a local socket":    {must(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)), true},
		"a packet socket":   {must(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)), false},
		"memory":            {must(unix.MemfdCreate("x", unix.MFD_CLOEXEC)), true},
		"a file":            {file(dir+"/file", unix.O_RDWR|unix.O_CREAT), true},
		"a directory":       {file(dir, unix.O_RDONLY), true},
		"a file of /proc":   {file("/proc/self/mounts", unix.O_RDONLY), true},
		"/dev/null":         {file("/dev/null", unix.O_RDWR), true},
		"/dev/fuse":         {file("/dev/fuse", unix.O_RDWR), false},
		"an eventfd":        {must(unix.Eventfd(0, unix.EFD_CLOEXEC)), true},
		"an epoll set":      {must(unix.EpollCreate1(unix.EPOLL_CLOEXEC)), true},
		"a timer":           {must(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)), true},
		"a process":         {must(unix.PidfdOpen(os.Getpid(), 0)), true},
		"an inotify":        {inotify, false},
		"what is not":       {1 << 20, false},
		"a pseudo-terminal": {file("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := host.CanBeStored(tt.fd, nil); got != tt.want {
				t.Errorf("it can be stored: %v, want %v", got, tt.want)
			}
		})
	}
	if name := "a file that is declared to be remote"; host.CanBeStored(tests["a file"].fd, []string{dir}) {
		t.Error(name)
	}
}

// TestASocketThatLingers for its peer, who does not read, holds up no barrier.
func TestASocketThatLingers(t *testing.T) {
	m := open(t, host.Options{NoCgroups: true})
	t.Setenv("NOTIFY_SOCKET", m.dir+"/state/notify")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var peers []net.Conn
	<-m.host.Pause() // who closes last waits, and that must be the host
	for range 3 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}})
		if err == nil {
			err = unix.SetNonblock(fd, true)
		}
		for block := make([]byte, 1<<20); err == nil; _, err = unix.Write(fd, block) {
		}
		if err != unix.EAGAIN {
			t.Fatal(err)
		}
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 1000}); err != nil {
			t.Fatal(err)
		}
		say("X=1", fd)
		_ = unix.Close(fd)
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, peer)
	}
	m.host.Resume()
	barrier(t)
	if n := m.host.Hanging(); n != 3 {
		t.Errorf("%d closings hang, want 3", n)
	}
	for _, peer := range peers {
		_ = peer.Close()
	}
	until(func() bool { return m.host.Hanging() == 0 })
}

// barrier waits until the host has heard all that was said.
func barrier(t *testing.T) {
	t.Helper()
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	say("BARRIER=1", pipe[1])
	_ = unix.Close(pipe[1])
	if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("barrier: %d, %v", n, err)
	}
	_ = unix.Close(pipe[0])
}

// TestNoMoreIsReceivedThanCanBeClosed: what hangs is bounded, and when it does not any
// more, all is heard.
func TestNoMoreIsReceivedThanCanBeClosed(t *testing.T) {
	m := open(t, host.Options{NoCgroups: true})
	t.Setenv("NOTIFY_SOCKET", m.dir+"/state/notify")
	path := m.dir + "/file"
	release := hangingFile(t, path, "close")
	defer release()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]int, 250)
	for n := range many {
		many[n] = fd
	}
	for range 3 {
		say("X=1", many...)
	}
	until(func() bool { return m.host.Hanging() == 750 })
	say("X=1", many...)
	meanwhile()
	if !waits(t, m.host.Carry().Notify) {
		t.Error("it receives more and more")
	}
	release()
	_ = unix.Close(fd)
	barrier(t)
}
