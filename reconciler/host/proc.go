package host

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
)

// maxProcesses is how many processes of a group are described: enough to tell
// what it is, and a fork bomb does not fill the records.
const maxProcesses = 16

// procStat is what we need of /proc/PID/stat (proc_pid_stat(5)).
type procStat struct {
	comm       string
	state      byte
	parent     int32
	session    int32
	flags      uint64
	threads    uint64
	startTicks uint64
}

// ended says that all threads have ended. The state is the first thread's.
func (s *procStat) ended() bool { return (s.state == 'Z' || s.state == 'X') && s.threads <= 1 }

// exiting says that the process is on its way out or a zombie.
func (s *procStat) exiting() bool {
	const pfExiting = 0x4 // PF_EXITING of the kernel's sched.h
	return s.flags&pfExiting != 0 || s.state == 'Z' || s.state == 'X'
}

func readStat(pid int32) (procStat, bool) {
	var path [32]byte
	p := strconv.AppendInt(append(path[:0], "/proc/"...), int64(pid), 10)
	fd, err := unix.Open(string(append(p, "/stat"...)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return procStat{}, false
	}
	var buf [1024]byte
	n, _ := unix.Read(fd, buf[:])
	_ = unix.Close(fd)
	return parseStat(buf[:max(n, 0)])
}

func parseStat(data []byte) (s procStat, ok bool) {
	// The name may hold blanks and parentheses; the last ")" ends it.
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return s, false
	}
	s.comm = string(data[open+1 : end])
	field := 3
	for f := range bytes.FieldsSeq(data[end+1:]) {
		switch field {
		case 3:
			s.state = f[0]
		case 4:
			n, err := strconv.ParseInt(string(f), 10, 32)
			if err != nil {
				return s, false
			}
			s.parent = int32(n)
		case 6:
			n, err := strconv.ParseInt(string(f), 10, 32)
			if err != nil {
				return s, false
			}
			s.session = int32(n)
		case 9:
			n, err := strconv.ParseUint(string(f), 10, 64)
			if err != nil {
				return s, false
			}
			s.flags = n
		case 20:
			n, err := strconv.ParseUint(string(f), 10, 64)
			if err != nil {
				return s, false
			}
			s.threads = n
		case 22:
			n, err := strconv.ParseUint(string(f), 10, 64)
			s.startTicks = n
			return s, err == nil
		}
		field++
	}
	return s, false
}

// describe looks up the first few of pids. Those that have ended since are
// told by number alone.
func describe(pids []int32) []reconciler.Process {
	ps := make([]reconciler.Process, 0, min(len(pids), maxProcesses))
	for _, pid := range pids[:min(len(pids), maxProcesses)] {
		p := reconciler.Process{Pid: pid}
		if s, ok := readStat(pid); ok {
			p.Name, p.State = s.comm, string(s.state)
		}
		// Only root may read it, and only while the process sleeps is it set.
		if c, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/wchan"); err == nil && string(c) != "0" {
			p.WaitChannel = string(c)
		}
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		ps = append(ps, reconciler.Process{}) // of another pid namespace
	}
	return ps
}
