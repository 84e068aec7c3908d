package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"svc.d/test/lines"
)

// buildJudge compiles the readers that are not ours. They are a module of their
// own, which may not be here yet and not to be had.
func buildJudge() (string, error) {
	file := filepath.Join(built.folder, "judge")
	command := exec.Command("go", "build", "-trimpath", "-o", file, ".")
	command.Dir = "../hack/tools/judge"
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build hack/tools/judge: %w\n%s", err, output)
	}
	return file, nil
}

// TestReadersThatAreNotOursMissNothing: they follow a service's files while these
// rotate about every second.
func TestReadersThatAreNotOursMissNothing(t *testing.T) {
	judge := program(t, built.judge)
	for name, test := range map[string]struct {
		script lines.Script
		log    string
		orders []string
		sorted bool
	}{
		// It goes by the name of the active file and may not be slower than the
		// rotation. The reader of kubectl logs -f; lines of any length.
		"kubelet": {
			lines.Script{Longest: 200 << 10}, plainFiles,
			[]string{"-stdout", "80000", "-stderr", "40000", "-rate", "8000"}, false,
		},
		"kubelet, compressed": {
			lines.Script{Longest: 200 << 10}, smallFiles,
			[]string{"-stdout", "80000", "-stderr", "40000", "-rate", "8000"}, false,
		},
		// It reads several files at a time, and mixes the parts of divided lines:
		// what it promises is each line once.
		"collector": {
			lines.Script{Longest: 8000, Whole: true}, plainFiles,
			[]string{"-stdout", "80000", "-stderr", "40000", "-rate", "8000"}, true,
		},
		"collector, at full speed": {
			lines.Script{Longest: 8000, Whole: true}, "log: {maxSize: 64Mi, maxFiles: 1000, compress: false}",
			[]string{"-stdout", "2000000", "-stderr", "1000000"}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.script.Seed = seed(t)
			s := newScribes(t, built.release, test.script)
			s.writes("one", test.log, once, append(test.orders, "-from", s.event("ready"))...)
			s.start()
			log := s.logs + "/one/0.log"
			// A file is made when there is something to write; these readers want to
			// begin before.
			if err := errors.Join(os.MkdirAll(filepath.Dir(log), 0o755), os.WriteFile(log, nil, 0o640)); err != nil {
				t.Fatal(err)
			}
			reader, _, _ := bytes.Cut([]byte(name), []byte{','})
			end := s.reads(judge, string(reader), log)
			s.happens("ready")
			s.finished("one", 2)
			seen := s.judged("one")
			t.Logf("%+v", seen)
			if seen.Files < 3 {
				t.Error("the files were to rotate")
			}
			end()
			for letter, stream := range lines.Streams {
				s.agrees(s.root+"/kept/"+stream, letter, test.sorted)
			}
		})
	}
}

// reads starts a reader, and returns what ends it.
func (s *scribes) reads(judge, reader, log string) (end func()) {
	s.t.Helper()
	command := exec.Command(judge, reader, log, s.root+"/kept")
	command.Stderr = s.t.Output()
	input, err1 := command.StdinPipe()
	output, err2 := command.StdoutPipe()
	if err1 != nil || err2 != nil {
		s.t.Fatal(err1, err2)
	}
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "ready\n" {
		s.t.Fatalf("the reader said %q, %v", line, err)
	}
	return func() {
		_ = input.Close()
		if err := command.Wait(); err != nil {
			s.t.Error("the reader:", err)
		}
	}
}

// agrees judges what a reader has read of a stream.
func (s *scribes) agrees(file string, letter byte, sorted bool) {
	s.t.Helper()
	f, err := os.Open(file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var all [][]byte
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		all = append(all, bytes.TrimSuffix(line, []byte{'\n'}))
	}
	if sorted {
		slices.SortStableFunc(all, func(a, b []byte) int { return lines.Number(a) - lines.Number(b) })
	}
	c := lines.NewChecker(s.script, letter)
	for _, line := range all {
		c.Line(line)
	}
	c.End(s.written("one")[letter])
	if faults := c.String(); faults != "" {
		s.t.Errorf("%s: %s", file, faults)
	}
}
