package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"svc.d/test/lines"
	"svc.d/test/world"
)

// scribes are services that write scripts (test/scribe), with a daemon that is
// to put all of it into files. What is in these is judged by package lines.
type scribes struct {
	*torture
	script lines.Script
}

// logRoom is more room for logs than a test needs.
const logRoom = "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\nlog: {quota: 32Gi}\n"

// The logs of services: files that rotate all the time, and ones that never do.
const (
	smallFiles = "log: {maxSize: 2Mi, maxFiles: 1000, compress: true}"
	plainFiles = "log: {maxSize: 2Mi, maxFiles: 1000, compress: false}"
	bigFiles   = "log: {maxSize: 16Gi, maxFiles: 2, compress: false}"
)

func newScribes(t *testing.T, build func() (string, error), script lines.Script) *scribes {
	t.Helper()
	refusal, _ := built.cgroups()
	s := &scribes{newTorture(t, build, refusal == ""), script}
	err := os.Link(program(t, built.scribe), s.root+"/services/scribe")
	for _, folder := range []string{"/reports", "/kept"} {
		// Some of them write as another user.
		err = errors.Join(err, os.Mkdir(s.root+folder, 0o777), os.Chmod(s.root+folder, 0o777))
	}
	if err := errors.Join(err, s.declare("configuration.yaml", logRoom)); err != nil {
		t.Fatal(err)
	}
	return s
}

// writes declares a scribe: log is its field of the spec, more are others.
func (s *scribes) writes(name, log string, more []string, orders ...string) {
	s.t.Helper()
	command := []string{
		s.root + "/services/scribe", "-as", "$(SVC_NAME)-$(SVC_REPLICA)",
		"-report", s.report(name), "-seed", strconv.FormatUint(s.script.Seed, 10), "-longest", strconv.Itoa(s.script.Longest),
	}
	for flag, set := range map[string]bool{"-short": s.script.Short, "-whole": s.script.Whole, "-binary": s.script.Binary} {
		if set {
			command = append(command, flag)
		}
	}
	if err := errors.Join(os.WriteFile(s.report(name), nil, 0o666), os.Chmod(s.report(name), 0o666)); err != nil {
		s.t.Fatal(err)
	}
	text := "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: " + name + "}\nspec:\n  command:"
	for _, word := range append(command, orders...) {
		text += fmt.Sprintf("\n  - %q", word)
	}
	for _, line := range append(more, log, "backoff: {initialDelay: 50ms, maxDelay: 200ms}") {
		text += "\n  " + line
	}
	if err := s.declare(name+".yaml", text+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// once is what a service that writes and ends says.
var once = []string{"restartPolicy: Never"}

func (s *scribes) report(name string) string { return s.root + "/reports/" + name }

// event is a file that scribes wait for; happens makes it.
func (s *scribes) event(name string) string { return s.root + "/services/" + name }

func (s *scribes) happens(name string) {
	s.t.Helper()
	if err := os.WriteFile(s.event(name), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// reported are the lines of a report that begin with the word.
func (s *scribes) reported(name, word string) [][]string {
	data, _ := os.ReadFile(s.report(name)) // not there before the first
	var found [][]string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); fields[0] == word {
			found = append(found, fields)
		}
	}
	return found
}

// written is what the runs of a service have written, by what they say: the ones
// that ended all of it, the ones that were killed so much at least.
func (s *scribes) written(name string) map[byte]map[string]lines.Written {
	written := map[byte]map[string]lines.Written{'o': {}, 'e': {}}
	for _, run := range s.reported(name, "begin") {
		if text, err := os.ReadFile(s.report(name) + ".progress." + run[1]); err == nil {
			n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			written['o'][run[1]] = lines.Written{Lines: n, Killed: true}
		}
	}
	for _, end := range s.reported(name, "end") {
		n, err := strconv.Atoi(end[3])
		if err != nil {
			s.t.Fatal(err)
		}
		written[end[2][0]][end[1]] = lines.Written{Lines: n}
	}
	return written
}

// finished waits until the service has written to so many streams all it will.
// As long as it writes, it is waited for.
func (s *scribes) finished(name string, streams int) {
	s.t.Helper()
	size := func() (sum int64) {
		files, _ := filepath.Glob(s.logs + "/" + name + "/*")
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
	for before := int64(-1); len(s.reported(name, "end")) < streams; {
		if err := await(func() error {
			now := size()
			if failed := s.reported(name, "error"); len(failed) > 0 {
				s.t.Fatalf("%s: %v", name, failed)
			}
			if now == before && len(s.reported(name, "end")) < streams {
				return fmt.Errorf("%s has not ended, and its logs do not grow beyond %d bytes", name, now)
			}
			before = now
			return nil
		}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// judged waits until all that the service wrote is in its files.
func (s *scribes) judged(name string) lines.Seen {
	s.t.Helper()
	return s.judgedIn(s.logs+"/"+name, name)
}

func (s *scribes) judgedIn(folder, name string) (seen lines.Seen) {
	s.t.Helper()
	if err := await(func() (err error) {
		seen, err = lines.Check(folder, 0, s.script, s.written(name))
		return err
	}); err != nil {
		s.t.Error(err)
	}
	return seen
}

// begins waits until the service runs and has written something.
func (s *scribes) begins(name string) {
	s.t.Helper()
	if err := await(func() error {
		if size, err := os.Stat(s.logs + "/" + name + "/0.log"); err != nil || size.Size() == 0 || len(s.reported(name, "begin")) == 0 {
			return fmt.Errorf("%s has not written anything: %v", name, err)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

// TestNoLineIsLostOrDoubledHoweverTheDaemonEnds: twenty services write ten
// thousand lines a second each while the daemon is killed and replaced at random
// moments, and some of them are killed, too.
func TestNoLineIsLostOrDoubledHoweverTheDaemonEnds(t *testing.T) {
	seed := seed(t)
	s := newScribes(t, built.release, lines.Script{Seed: seed, Longest: 200 << 10, Binary: true})
	// They are to write ten thousand lines a second, also when they wait now and
	// then.
	const services, killed, rate = 20, 4, 12_000
	for n := range services {
		name := fmt.Sprintf("scribe%d", n)
		orders := []string{
			"-stdout", "1000000000", "-stderr", "1000000000", "-rate", strconv.Itoa(rate / 2), "-until", s.event("enough"),
		}
		switch n % 4 {
		case 1:
			orders = append(orders, "-chunk", "1") // a line for each call
		case 2:
			orders = append(orders, "-chunk", "65536")
		}
		more := once
		if n < killed {
			more = []string{"restartPolicy: OnFailure"}
			orders = append(orders, "-progress", s.report(name)+".progress")
		}
		s.writes(name, smallFiles, more, orders...)
	}
	s.start()
	for n := range services {
		s.begins(fmt.Sprintf("scribe%d", n))
	}
	random := rand.New(rand.NewPCG(seed, 2))
	for range rounds(10) {
		pace(time.Duration(random.IntN(500)) * time.Millisecond)
		victim := fmt.Sprintf("scribe%d-0", random.IntN(killed))
		if pid := s.pids()[victim]; pid != 0 && random.IntN(2) == 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			// With the daemon, too, its pipe would go: that is the one gap.
			if err := await(func() error {
				if now := s.pids()[victim]; now == 0 || now == pid {
					return fmt.Errorf("%s has the pid %d", victim, now)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		switch random.IntN(3) {
		case 0:
			s.reexecs()
			continue
		case 1: // in the middle of one
			_ = s.daemon.command.Process.Signal(syscall.SIGHUP)
			pace(time.Duration(random.IntN(50)) * time.Millisecond)
		}
		s.kill9()
		pace(time.Duration(random.IntN(100)) * time.Millisecond)
		s.start()
	}
	s.happens("enough")
	for n := range services {
		s.finished(fmt.Sprintf("scribe%d", n), 2)
	}
	s.end()
	s.ended = true
	slowest, all := float64(2*rate), lines.Seen{}
	for n := range services {
		name := fmt.Sprintf("scribe%d", n)
		seen, err := lines.Check(s.logs+"/"+name, 0, s.script, s.written(name))
		if err != nil {
			t.Error(err)
		}
		all.Files, all.Compressed = all.Files+seen.Files, all.Compressed+seen.Compressed
		all.Lines, all.Bytes = all.Lines+seen.Lines, all.Bytes+seen.Bytes
		slowest = min(slowest, 2*s.pace(name))
	}
	t.Logf("%d lines of %d bytes in %d files, %d of them compressed; the slowest service wrote %.0f lines a second",
		all.Lines, all.Bytes, all.Files, all.Compressed, slowest)
	if all.Files < 2*services {
		t.Errorf("there are %d files: they were to rotate", all.Files)
	}
}

// pace is how many lines a second the service wrote to a stream in its last run.
func (s *scribes) pace(name string) float64 {
	slowest := 1e9
	ends := s.reported(name, "end")
	for _, end := range ends[max(0, len(ends)-2):] {
		count, err1 := strconv.ParseFloat(end[3], 64)
		took, err2 := time.ParseDuration(end[4])
		if err := errors.Join(err1, err2); err != nil {
			s.t.Error(err)
		}
		slowest = min(slowest, count/took.Seconds())
	}
	return slowest
}

// TestEveryWayToWriteIsTaken: what programs do with their streams.
func TestEveryWayToWriteIsTaken(t *testing.T) {
	t.Parallel()
	mixed := lines.Script{Seed: seed(t), Longest: 200 << 10}
	ways := map[string]struct {
		script lines.Script
		root   bool
		log    string
		more   []string
		orders []string
	}{
		"as it comes":                {script: mixed},
		"a line for each call":       {script: mixed, orders: []string{"-chunk", "1"}},
		"lines of one byte":          {script: lines.Script{Seed: mixed.Seed, Longest: 100, Short: true}},
		"every byte":                 {script: lines.Script{Seed: mixed.Seed, Longest: 100 << 10, Binary: true}},
		"streams that do not block":  {script: mixed, orders: []string{"-nonblock"}},
		"streams opened anew":        {script: mixed, orders: []string{"-reopen"}},
		"opened by another user":     {script: mixed, root: true, orders: []string{"-reopen", "-user", "65534"}},
		"started as another user":    {script: mixed, root: true, more: []string{"securityContext: {runAsUser: 65534}"}, orders: []string{"-reopen"}},
		"compressed":                 {script: mixed, log: smallFiles},
		"a file for every few lines": {script: mixed, log: "log: {maxSize: 64Ki, maxFiles: 1000, compress: false}"},
	}
	var trials []trial
	for name, way := range ways {
		trials = append(trials, trial{name, func(t *testing.T) {
			need(t, way.root)
			s := newScribes(t, built.checked, way.script)
			log := way.log
			if log == "" {
				log = bigFiles
			}
			s.writes("one", log, slices.Concat(once, way.more), append([]string{"-stdout", "50000", "-stderr", "30000"}, way.orders...)...)
			s.start()
			s.finished("one", 2)
			seen := s.judged("one")
			t.Logf("%+v", seen)
			if way.log != "" && seen.Files < 2 {
				t.Error("nothing was rotated")
			}
		}})
	}
	atOnce(t, trials)
}

// TestALineWithoutAnEndIsKeptWithoutBeingHeld: its parts are in the file in
// order, and the daemon does not gather them.
func TestALineWithoutAnEndIsKeptWithoutBeingHeld(t *testing.T) {
	t.Parallel()
	s := newScribes(t, built.release, lines.Script{})
	size := int64(rounds(1)) << 26 // a gigabyte with RECONCILER_TORTURE=16
	s.writes("giant", bigFiles, once, "-giant", strconv.FormatInt(size, 10))
	s.start()
	s.finished("giant", 1)
	var length int64
	parts, ends, wrong := 0, 0, 0
	if err := await(func() error {
		length, parts, ends, wrong = 0, 0, 0, 0
		_, err := lines.Entries(s.logs+"/giant", 0, func(_ string, partial bool, text []byte) {
			for _, c := range text {
				if c != 'a'+byte(length%(1<<20)%26) {
					wrong++
				}
				length++
			}
			parts++
			if !partial {
				ends++
			}
		})
		if err == nil && ends == 0 {
			err = errors.New("the line has no end")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	most, err := world.StatusValue(s.daemon.pid(), "VmHWM")
	t.Logf("%d parts; the daemon has had %d KiB", parts, most)
	if length != size || ends != 1 || wrong > 0 || err != nil {
		t.Errorf("%d bytes of %d, %d of them wrong, and %d ends of lines, %v", length, size, wrong, ends, err)
	}
	if most > 64<<10 {
		t.Errorf("the daemon has had %d KiB: it must not gather the line", most)
	}
}
