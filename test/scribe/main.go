// Command scribe is a service that writes. What it writes to its two streams is
// a script (package lines) of which each line can be told from every other, so
// that a test finds out what of it is in the logs.
//
// What it has done it appends to a file, one line for each:
//
//	begin RUN
//	end RUN o 10000 1.5s
//
// and a child of it, which lives on, is a run of its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/test/lines"
)

// orders is what a scribe was told to do.
type orders struct {
	script   lines.Script
	count    map[byte]*int
	rate     int
	chunk    int
	report   string
	progress string
	nonblock bool
	reopen   bool
	user     int
	giant    int64
	child    bool
	stay     bool
	from     string
	until    string
}

func main() {
	o := orders{count: map[byte]*int{'o': new(int), 'e': new(int)}}
	flag.Uint64Var(&o.script.Seed, "seed", 1, "`number` that the script is made of")
	flag.IntVar(&o.script.Longest, "longest", 1000, "the most `bytes` of a line")
	flag.BoolVar(&o.script.Short, "short", false, "write lines of one byte")
	flag.BoolVar(&o.script.Whole, "whole", false, "write lines that all tell their number")
	flag.BoolVar(&o.script.Binary, "binary", false, "write all bytes that there are")
	flag.IntVar(o.count['o'], "stdout", 0, "`lines` to write to standard output")
	flag.IntVar(o.count['e'], "stderr", 0, "`lines` to write to standard error")
	flag.IntVar(&o.rate, "rate", 0, "`lines` a second for each stream; 0 is as fast as it can")
	flag.IntVar(&o.chunk, "chunk", 0, "`bytes` per write(2); 0 is random, 1 is a line for each")
	flag.StringVar(&o.report, "report", "", "append to this `file` what was done")
	flag.StringVar(&o.progress, "progress", "", "keep in this `file`, with the run for its ending, how many lines of standard output were written whole")
	flag.BoolVar(&o.nonblock, "nonblock", false, "set O_NONBLOCK on the streams")
	flag.BoolVar(&o.reopen, "reopen", false, "open /dev/stdout and /dev/stderr anew, and write to those")
	flag.IntVar(&o.user, "user", 0, "become this `user` first")
	flag.String("as", "", "the replica's `name`, for who looks at the command line")
	flag.Int64Var(&o.giant, "giant", 0, "write one line of so many `bytes` to standard output, and nothing else")
	flag.BoolVar(&o.child, "child", false, "leave everything to a child, and end when it has written a thousand lines")
	flag.BoolVar(&o.stay, "stay", false, "sleep at the end until a signal comes")
	flag.StringVar(&o.from, "from", "", "do not write before there is a `file` of that name")
	flag.StringVar(&o.until, "until", "", "write no more, although not all was written, once there is a `file` of that name")
	flag.Parse()
	if err := run(o); err != nil {
		// Standard error is what is judged.
		_ = appendTo(o.report, "error "+err.Error())
		os.Exit(1)
	}
}

func run(o orders) error {
	if o.child {
		return leaveToChild(o)
	}
	name := fmt.Sprintf("%d-%s", os.Getpid(), strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := appendTo(o.report, "begin "+name); err != nil {
		return err
	}
	for o.from != "" && !exists(o.from) {
		time.Sleep(5 * time.Millisecond)
	}
	streams := map[byte]int{'o': 1, 'e': 2}
	if err := prepare(o, streams); err != nil {
		return err
	}
	if o.giant > 0 {
		return writeGiant(o, name, streams['o'])
	}
	var group sync.WaitGroup
	var failed [2]error
	for i, letter := range []byte{'o', 'e'} {
		group.Go(func() {
			s := &stream{orders: o, run: name, letter: letter, fd: streams[letter], count: *o.count[letter]}
			failed[i] = s.write()
		})
	}
	group.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	if o.stay {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		<-signals
	}
	return nil
}

// leaveToChild starts this program once more, which inherits the streams, and
// ends in the middle of what the child writes.
func leaveToChild(o orders) error {
	var arguments []string
	for _, a := range os.Args[1:] {
		if a != "-child" {
			arguments = append(arguments, a)
		}
	}
	command := exec.Command("/proc/self/exe", arguments...)
	command.Args[0] = os.Args[0]
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return err
	}
	for n := 0; n < 1000; time.Sleep(5 * time.Millisecond) {
		names, err := filepath.Glob(fmt.Sprintf("%s.%d-*", o.progress, command.Process.Pid))
		if err != nil {
			return err
		}
		for _, name := range names {
			text, _ := os.ReadFile(name)                         // nothing at first
			n, _ = strconv.Atoi(strings.TrimSpace(string(text))) // likewise
		}
	}
	return nil
}

// prepare does with the streams what programs do with theirs.
func prepare(o orders, streams map[byte]int) error {
	if o.user != 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(o.user), syscall.Setuid(o.user)); err != nil {
			return fmt.Errorf("cannot become user %d: %w", o.user, err)
		}
	}
	for letter, path := range map[byte]string{'o': "/dev/stdout", 'e': "/dev/stderr"} {
		if o.reopen {
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("cannot open %s: %w", path, err)
			}
			streams[letter] = fd
		}
		if err := unix.SetNonblock(streams[letter], o.nonblock); err != nil {
			return fmt.Errorf("cannot set O_NONBLOCK: %w", err)
		}
	}
	return nil
}

// stream is one of the two while it is written.
type stream struct {
	orders
	run    string
	letter byte
	fd     int
	count  int

	ends     []int // where in what was not written yet lines end
	done     int   // lines that were written whole
	progress *os.File
}

func (s *stream) write() error {
	if s.count == 0 {
		return nil
	}
	if s.orders.progress != "" && s.letter == 'o' {
		var err error
		if s.progress, err = os.OpenFile(s.orders.progress+"."+s.run, os.O_WRONLY|os.O_CREATE, 0o666); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(s.script.Seed, uint64(s.letter)))
	began := time.Now()
	var buffer []byte
	for n := range s.count {
		buffer = append(s.script.Append(buffer, s.run, s.letter, n), '\n')
		s.ends = append(s.ends, len(buffer))
		last := n+1 == s.count || n%64 == 0 && s.until != "" && exists(s.until)
		if last || s.due(n, len(buffer), began) {
			rest, err := s.spend(random, buffer, last)
			if err != nil {
				return err
			}
			buffer = buffer[:copy(buffer, rest)]
		}
		if last {
			break
		}
	}
	return appendTo(s.report, fmt.Sprintf("end %s %c %d %v", s.run, s.letter, s.done, time.Since(began)))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// due says whether it is time to write, and waits for it where there is a rate.
func (s *stream) due(n, size int, began time.Time) bool {
	if s.rate == 0 {
		return s.chunk == 1 || size >= max(s.chunk, 32<<10)
	}
	burst := max(1, s.rate/200)
	if (n+1)%burst != 0 {
		return false
	}
	time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(s.rate))))
	return true
}

// spend writes what has gathered in the pieces that were ordered, and returns the
// rest, which is too little for one. All of it goes at the end.
func (s *stream) spend(random *rand.Rand, buffer []byte, all bool) ([]byte, error) {
	for len(buffer) > 0 {
		size := s.chunk
		switch {
		case s.chunk == 0 && random.IntN(4) == 0:
			size = 1 + random.IntN(200)
		case s.chunk == 0:
			size = 1 + random.IntN(64<<10)
		case s.chunk == 1:
			size = s.ends[0]
		}
		if size > len(buffer) && s.chunk > 1 && !all {
			break
		}
		size = min(size, len(buffer))
		if err := writeAll(s.fd, buffer[:size]); err != nil {
			return nil, err
		}
		buffer = buffer[size:]
		s.wrote(size)
	}
	return buffer, nil
}

// wrote takes note of the lines that are written whole.
func (s *stream) wrote(size int) {
	whole := 0
	for i, end := range s.ends {
		s.ends[i] = end - size
		if end <= size {
			whole++
		}
	}
	s.ends = s.ends[:copy(s.ends, s.ends[whole:])]
	s.done += whole
	if s.progress != nil && whole > 0 {
		_, _ = s.progress.WriteAt(fmt.Appendf(nil, "%12d\n", s.done), 0)
	}
}

// writeAll writes all of it, whether the descriptor blocks or not.
func writeAll(fd int, text []byte) error {
	for len(text) > 0 {
		n, err := unix.Write(fd, text)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("cannot write: %w", err)
		}
		text = text[max(n, 0):]
	}
	return nil
}

// writeGiant writes a line that does not end until the very last.
func writeGiant(o orders, run string, fd int) error {
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = 'a' + byte(i%26)
	}
	for left := o.giant; left > 0; {
		part := piece[:min(left, int64(len(piece)))]
		if err := writeAll(fd, part); err != nil {
			return err
		}
		left -= int64(len(part))
	}
	if err := writeAll(fd, []byte{'\n'}); err != nil {
		return err
	}
	return appendTo(o.report, fmt.Sprintf("end %s o 1 0s", run))
}

func appendTo(file, line string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
