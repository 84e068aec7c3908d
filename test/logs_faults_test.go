package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"svc.d/test/lines"
)

// steady are the orders of a scribe that writes until it is enough.
func (s *scribes) steady(more ...string) []string {
	return append([]string{"-stdout", "1000000000", "-stderr", "1000000000", "-rate", "2000", "-until", s.event("enough")}, more...)
}

// TestWhatIsWrittenWhileNoDaemonIsThereIsKept: services that go on, and one that
// writes more than a pipe holds. (What one has written that ends meanwhile is kept
// by a service manager that keeps descriptors, and by nobody else.)
func TestWhatIsWrittenWhileNoDaemonIsThereIsKept(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"killed", "left"} {
		t.Run(way, func(t *testing.T) {
			s := newScribes(t, built.checked, lines.Script{Seed: seed(t), Longest: 4000})
			s.writes("many", bigFiles, once, "-stdout", "20000", "-stderr", "20000", "-from", s.event("gone"), "-progress", s.report("many")+".progress")
			s.writes("steady", bigFiles, once, s.steady()...)
			s.start()
			s.begins("steady")
			s.settles(anyPid("many-0", "steady-0"))
			if way == "killed" {
				s.kill9()
			} else {
				if err := s.daemon.command.Process.Signal(syscall.SIGQUIT); err != nil {
					t.Fatal(err)
				}
				if err := s.daemon.wait(); err != nil {
					t.Error(err)
				}
				s.daemon = nil
			}
			s.happens("gone")
			if err := await(func() (err error) {
				if len(s.written("many")['o']) == 0 {
					err = errors.New("it has written nothing")
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			s.start()
			s.finished("many", 2)
			s.happens("enough")
			s.finished("steady", 2)
			for _, name := range []string{"many", "steady"} {
				s.judged(name)
			}
		})
	}
}

// TestAChildThatLivesOnIsReadToItsEnd: what it has written before it was killed
// is there.
func TestAChildThatLivesOnIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	s := newScribes(t, built.checked, lines.Script{Seed: seed(t), Longest: 1000})
	s.writes("parent", bigFiles, nil, s.steady("-child", "-progress", s.report("parent")+".progress")...)
	s.start()
	if err := await(func() error {
		if len(s.written("parent")['o']) < 2 {
			return errors.New("there are no two children yet that wrote")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.end() // what still lives is stopped
	s.ended = true
	s.judged("parent")
}

// keep gives a file of the log another name, beside those that a test has kept:
// what is written to it later will be in it, whatever becomes of its first name.
func (s *scribes) keep(name string) {
	s.t.Helper()
	files, err := filepath.Glob(s.logs + "/" + name + "/0.log*")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		kept := s.root + "/kept/" + filepath.Base(file)
		if filepath.Base(file) == "0.log" {
			kept += "." + time.Now().UTC().Format("20060102-150405.000000000")
		}
		if err := os.Link(file, kept); err != nil && !errors.Is(err, os.ErrExist) {
			s.t.Fatal(err)
		}
	}
}

// TestAFileThatSomebodyElseTakesAwayIsMadeAnew: nothing is lost but what was in
// what was deleted, which a link keeps for the test.
func TestAFileThatSomebodyElseTakesAwayIsMadeAnew(t *testing.T) {
	t.Parallel()
	log := func(s *scribes) string { return s.logs + "/one/0.log" }
	ways := map[string]func(s *scribes) error{
		"renamed":            func(s *scribes) error { return os.Rename(log(s), log(s)+"-20260102") },
		"deleted":            func(s *scribes) error { return os.Remove(log(s)) },
		"its folder deleted": func(s *scribes) error { return os.RemoveAll(s.logs + "/one") },
		"all logs deleted":   func(s *scribes) error { return os.RemoveAll(s.logs) },
		"its folder renamed": func(s *scribes) error { return os.Rename(s.logs+"/one", s.root+"/away") },
	}
	var trials []trial
	for name, take := range ways {
		trials = append(trials, trial{name, func(t *testing.T) {
			s := newScribes(t, built.checked, lines.Script{Seed: seed(t), Longest: 1000})
			s.writes("one", bigFiles, once, s.steady()...)
			s.start()
			for range 3 {
				s.begins("one")
				s.keep("one")
				if err := take(s); err != nil {
					t.Fatal(err)
				}
				_ = os.RemoveAll(s.root + "/away")
			}
			s.begins("one")
			s.happens("enough")
			s.finished("one", 2)
			// The daemon has written all of it when it has ended.
			s.end()
			s.ended = true
			s.keep("one")
			s.judgedIn(s.root+"/kept", "one")
		}})
	}
	atOnce(t, trials)
}

// TestAFileThatIsTruncatedGoesOn: copytruncate of logrotate loses what came
// between its two steps, and nothing else.
func TestAFileThatIsTruncatedGoesOn(t *testing.T) {
	t.Parallel()
	s := newScribes(t, built.checked, lines.Script{Seed: seed(t), Longest: 1000})
	s.writes("one", bigFiles, once, s.steady()...)
	s.start()
	s.begins("one")
	if err := os.Truncate(s.logs+"/one/0.log", 0); err != nil {
		t.Fatal(err)
	}
	s.begins("one")
	s.happens("enough")
	s.finished("one", 2)
	s.end()
	s.ended = true
	for letter, stream := range lines.Streams {
		c := lines.NewChecker(s.script, letter)
		if _, err := lines.Read(s.logs+"/one", 0, func(name string, text []byte) {
			if name == stream {
				c.Line(text)
			}
		}); err != nil {
			t.Error(err)
		}
		c.End(s.written("one")[letter])
		if c.Gaps > 1 || c.Doubled+c.Torn+c.Reordered+c.Elsewhere > 0 {
			t.Errorf("%s: %v", stream, c)
		}
	}
}

// lostHere is the line that tells how many are missing in its place.
var lostHere = regexp.MustCompile(`^reconciler: (\d+) lines \(\d+ bytes\) were dropped since .*$`)

// accounted waits until, in each stream, the lines that are there and those that
// the log says are missing are all that were written.
func (s *scribes) accounted(name string) {
	s.t.Helper()
	var missing int
	if err := await(func() error {
		missing = 0
		told, lost := 0, 0
		checkers := map[string]*lines.Checker{}
		for letter, stream := range lines.Streams {
			checkers[stream] = lines.NewChecker(s.script, letter)
		}
		_, err := lines.Read(s.logs+"/"+name, 0, func(stream string, text []byte) {
			if m := lostHere.FindSubmatch(text); m != nil && lines.Number(text) < 0 {
				n, _ := strconv.Atoi(string(m[1]))
				told += n
				return
			}
			checkers[stream].Line(text)
		})
		for letter, stream := range lines.Streams {
			c := checkers[stream]
			c.End(s.written(name)[letter])
			lost += c.Lost
			if c.Doubled+c.Torn+c.Reordered+c.Elsewhere > 0 {
				err = errors.Join(err, fmt.Errorf("%s: %v", stream, c))
			}
		}
		missing = lost
		if lost != told {
			err = errors.Join(err, fmt.Errorf("%d lines are lost, and the log tells of %d", lost, told))
		}
		return err
	}); err != nil {
		s.t.Error(err)
	}
	s.t.Logf("%d lines are missing", missing)
	if missing == 0 {
		s.t.Error("nothing is missing: there was room all the time")
	}
}

// complains waits until the service has, or has not, a condition about its output.
func (s *scribes) complains(name string, want bool) {
	s.t.Helper()
	if err := await(func() error {
		services, err := s.daemon.services()
		if err != nil {
			return err
		}
		found := false
		for _, c := range services[name].Status.Conditions {
			found = found || c.Status == "True" && c.Type == "OutputLost"
		}
		if found != want {
			return fmt.Errorf("a condition about the output is there: %v; %+v", found, services[name].Status.Conditions)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
}

// TestAFullDiskStopsNoServiceAndItsLossIsCounted: and a read-only one.
func TestAFullDiskStopsNoServiceAndItsLossIsCounted(t *testing.T) {
	t.Parallel()
	need(t, true, "mount", "umount")
	mount := func(s *scribes, arguments ...string) {
		s.t.Helper()
		if output, err := exec.Command("mount", append(arguments, s.logs)...).CombinedOutput(); err != nil {
			s.t.Fatalf("cannot mount: %v: %s", err, output)
		}
	}
	ways := map[string]struct{ before, mend func(s *scribes) }{
		"full": {
			func(s *scribes) {
				mount(s, "-t", "tmpfs", "-o", "size=256m", "tmpfs")
				if output, err := exec.Command("fallocate", "-l", "255m", s.logs+"/filler").CombinedOutput(); err != nil {
					s.t.Fatalf("cannot fill the disk: %v: %s", err, output)
				}
			},
			func(s *scribes) {
				if err := os.Remove(s.logs + "/filler"); err != nil {
					s.t.Fatal(err)
				}
			},
		},
		"read-only": {
			func(s *scribes) { mount(s, "-t", "tmpfs", "-o", "size=256m,ro", "tmpfs") },
			func(s *scribes) { mount(s, "-o", "remount,rw", "tmpfs") },
		},
	}
	var trials []trial
	for name, way := range ways {
		trials = append(trials, trial{name, func(t *testing.T) {
			s := newScribes(t, built.checked, lines.Script{Seed: seed(t), Longest: 1000, Whole: true})
			if err := os.Mkdir(s.logs, 0o755); err != nil {
				t.Fatal(err)
			}
			way.before(s)
			t.Cleanup(func() {
				s.end()
				s.ended = true
				if output, err := exec.Command("umount", s.logs).CombinedOutput(); err != nil {
					t.Errorf("cannot unmount: %v: %s", err, output)
				}
			})
			progress := s.report("one") + ".progress"
			s.writes("one", bigFiles, once, s.steady("-progress", progress)...)
			s.start()
			pids := s.settles(anyPid("one-0"))
			s.complains("one", true)
			lines := s.writtenSoFar("one")
			if err := await(func() error {
				if s.writtenSoFar("one") < lines+5000 {
					return errors.New("it does not write on")
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			way.mend(s)
			s.complains("one", false)
			if err := s.exactly(pids)(); err != nil {
				t.Error(err)
			}
			s.happens("enough")
			s.finished("one", 2)
			s.accounted("one")
		}})
	}
	atOnce(t, trials)
}

func (s *scribes) writtenSoFar(name string) int {
	sum := 0
	for _, w := range s.written(name)['o'] {
		sum += w.Lines
	}
	return sum
}
