package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"svc.d/status"
)

// meter reads what replicas use of the machine, from files that anybody may read.
type meter struct {
	proc    string // where proc(5) is mounted
	cgroups string // and cgroup v2; empty: nowhere
}

// usage is what one replica has used up to now, and the memory that it has.
type usage struct {
	cpu    time.Duration
	memory int64 // bytes; -1 unknown
	at     time.Time
	known  bool
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every
// machine that Go runs on.
const clockTick = 10 * time.Millisecond

func newMeter() *meter {
	m := &meter{proc: "/proc"}
	text, _ := os.ReadFile("/proc/self/mountinfo") // without it: no cgroups
	for line := range strings.Lines(string(text)) {
		fields, rest, _ := strings.Cut(line, " - ")
		if f := strings.Fields(fields); strings.HasPrefix(rest, "cgroup2 ") && len(f) > 4 && m.cgroups == "" {
			m.cgroups = f[4]
		}
	}
	return m
}

// measure reads the usage of replicas, in their order.
func (m *meter) measure(replicas []status.ReplicaObject) []usage {
	all := make([]usage, len(replicas))
	var sessions map[int32]usage // one scan for all that have no cgroup
	for i := range replicas {
		r := &replicas[i].Status
		if r.Pid == 0 {
			continue
		}
		if u, ok := m.ofCgroup(r.Cgroup); ok {
			all[i] = u
			continue
		}
		if sessions == nil {
			sessions = m.ofSessions()
		}
		if p, ok := m.process(strconv.Itoa(int(r.Pid))); ok {
			all[i] = sessions[p.session]
		}
	}
	return all
}

// ofCgroup reads the files of a group. Those of the memory controller are there only
// when somebody has enabled it.
func (m *meter) ofCgroup(path string) (usage, bool) {
	if path == "" || m.cgroups == "" {
		return usage{}, false
	}
	dir := path
	if !strings.HasPrefix(path, m.cgroups+"/") {
		dir = filepath.Join(m.cgroups, path)
	}
	stat, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return usage{}, false
	}
	u := usage{at: time.Now(), known: true}
	for line := range bytes.Lines(stat) {
		if value, ok := bytes.CutPrefix(line, []byte("usage_usec ")); ok {
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			u.cpu = time.Duration(n) * time.Microsecond
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "memory.current")); err == nil {
		u.memory, _ = strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		return u, true
	}
	u.memory = m.resident(dir)
	return u, true
}

// resident sums up the memory of the processes in a group and the groups below it.
func (m *meter) resident(dir string) int64 {
	var sum int64
	procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs")) // of a group that has just ended: nothing
	for pid := range strings.FieldsSeq(string(procs)) {
		if p, ok := m.process(pid); ok {
			sum += p.memory
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			sum += m.resident(filepath.Join(dir, e.Name()))
		}
	}
	return sum
}

// process is what /proc/PID/stat tells.
type process struct {
	session int32
	cpu     time.Duration
	memory  int64
}

func (m *meter) process(pid string) (process, bool) {
	text, err := os.ReadFile(filepath.Join(m.proc, pid, "stat"))
	end := bytes.LastIndexByte(text, ')') // the name may hold anything
	if err != nil || end < 0 {
		return process{}, false
	}
	f := strings.Fields(string(text[end+1:])) // from the third field on
	const session, utime, stime, rss = 6 - 3, 14 - 3, 15 - 3, 24 - 3
	if len(f) <= rss {
		return process{}, false
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	return process{
		session: int32(number(session)), cpu: time.Duration(number(utime)+number(stime)) * clockTick,
		memory: number(rss) * int64(os.Getpagesize()),
	}, true
}

// ofSessions sums up all processes by their session.
func (m *meter) ofSessions() map[int32]usage {
	all := map[int32]usage{}
	dir, err := os.Open(m.proc)
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if p, ok := m.process(name); ok {
			u := all[p.session]
			u.cpu, u.memory, u.at, u.known = u.cpu+p.cpu, u.memory+p.memory, time.Now(), true
			all[p.session] = u
		}
	}
	return all
}

// cores is the processor time per time between two measurements, in thousandths of a
// core; -1 when it is not known.
func cores(before, after usage) int64 {
	passed := after.at.Sub(before.at)
	if !before.known || !after.known || passed <= 0 {
		return -1
	}
	// What ended meanwhile takes its time along, where there are no cgroups.
	return max(0, int64((after.cpu-before.cpu)*1000/passed))
}

// screen writes whole pictures onto a terminal, each in the place of the one before.
type screen struct {
	out *bufio.Writer
}

// Terminal sequences (ECMA-48, and xterm's for the alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// sizeOf is the size of a terminal. A serial line has none, which reads as zero.
func sizeOf(terminal *os.File) (width, height int) {
	width, height, err := term.GetSize(int(terminal.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw shows the text, cut to the terminal's size.
func (s *screen) draw(text string, width, height int) error {
	s.out.WriteString(topLeft)
	row := 0
	for line := range strings.Lines(text) {
		if row++; row >= height {
			break
		}
		runes := []rune(strings.TrimSuffix(line, "\n"))
		s.out.WriteString(string(runes[:min(len(runes), width)]) + restOfLine + "\r\n")
	}
	s.out.WriteString(restBelow)
	return s.out.Flush()
}
