package host

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// plan is all that the exec stage has to know.
type plan struct {
	argv, env []string
	dir       string
	umask     int
	rlimits   []rlimit
	who       identity
	// first are the programs of init commands, to be checked with argv.
	first []string
	// read is what was read from the files of envFrom, nil without any; the exec
	// stage does not know it.
	read *readFiles
	// listen is how many descriptors the program gets besides 0 to 2, LISTEN_FDS.
	listen int

	passed   []int // those descriptors, where the stage is started
	reportFD int   // where the stage reports, in the stage
}

// rlimit is one resource limit of setrlimit(2).
type rlimit struct {
	name       string
	resource   int
	soft, hard uint64
}

// encode writes the plan as a row of strings with their lengths: the stage must
// start quickly, and JSON would cost it reflection.
func (p *plan) encode() []byte {
	var b []byte
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	text := func(s string) { number(uint64(len(s))); b = append(b, s...) }
	flag := func(f bool) {
		if f {
			number(1)
		} else {
			number(0)
		}
	}
	for _, list := range [][]string{p.argv, p.env, p.first} {
		number(uint64(len(list)))
		for _, s := range list {
			text(s)
		}
	}
	text(p.dir)
	number(uint64(p.umask))
	number(uint64(len(p.rlimits)))
	for _, l := range p.rlimits {
		text(l.name)
		number(uint64(l.resource))
		number(l.soft)
		number(l.hard)
	}
	text(p.who.name)
	number(uint64(p.who.uid))
	number(uint64(p.who.gid))
	flag(p.who.change)
	flag(p.who.setGroups)
	number(uint64(len(p.who.groups)))
	for _, g := range p.who.groups {
		number(uint64(g))
	}
	number(uint64(p.listen))
	return b
}

// decodePlan is the inverse of encode. ok is false for damaged data.
func decodePlan(b []byte) (p plan, ok bool) {
	ok = true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	count := func() int {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return 0
		}
		return int(n)
	}
	for _, list := range []*[]string{&p.argv, &p.env, &p.first} {
		for range count() {
			*list = append(*list, text())
		}
	}
	p.dir = text()
	p.umask = int(number())
	for range count() {
		p.rlimits = append(p.rlimits, rlimit{name: text(), resource: int(number()), soft: number(), hard: number()})
	}
	p.who.name = text()
	p.who.uid, p.who.gid = uint32(number()), uint32(number())
	p.who.change, p.who.setGroups = number() == 1, number() == 1
	for range count() {
		p.who.groups = append(p.who.groups, uint32(number()))
	}
	p.listen = int(min(number(), maxStored))
	return p, ok && len(p.argv) > 0
}

func readPlan(fd int) (plan, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return plan{}, err
	}
	data := make([]byte, st.Size)
	for n := 0; n < len(data); {
		m, err := unix.Pread(fd, data[n:], int64(n))
		if err != nil {
			return plan{}, err
		}
		if m == 0 {
			return plan{}, errors.New("it is cut short")
		}
		n += m
	}
	p, ok := decodePlan(data)
	if !ok {
		return plan{}, errors.New("it is damaged")
	}
	return p, nil
}

// rlimitNumbers are the names of rlimits in a manifest.
var rlimitNumbers = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE,
	"nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS,
	"rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// planRlimits brings the limits into an order: those that could hurt the stage
// itself come last.
func planRlimits(limits map[string]spec.Rlimit) ([]rlimit, *reconciler.Failure) {
	list := make([]rlimit, 0, len(limits))
	for name, l := range limits {
		number, ok := rlimitNumbers[name]
		if !ok {
			return nil, failure(reconciler.ReasonStartFailed, "cannot set the rlimit %q: no such limit", name)
		}
		list = append(list, rlimit{name: name, resource: number, soft: l.Soft, hard: l.Hard})
	}
	slices.SortFunc(list, func(a, b rlimit) int { return strings.Compare(b.name, a.name) })
	return list, nil
}
