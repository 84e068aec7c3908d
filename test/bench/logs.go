package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"svc.d/test/lines"
)

// logSpec keeps rotation out of what is measured: s6-log does not rotate within
// these sizes either.
const logSpec = "log: {maxSize: 256Mi, maxFiles: 3, compress: false}"

const (
	lineSize  = 200
	oneTotal  = 200_000_000 // bytes that the single writer writes
	manyTotal = 400_000_000 // bytes that many write together
	manyCount = 200
	bigWrite  = 64 << 10
)

// poured is what it took to get the lines of writers into files.
type poured struct {
	bytes   int64
	seconds float64 // from the first writer's begin to the last byte in its file
	cpu     float64 // seconds of whoever writes the files
}

func (p poured) rate() float64 { return float64(p.bytes) / p.seconds }

// logRound are the measures of one round, taken one after the other.
type logRound struct {
	ours, lineByLine, many poured
	s6, cat                poured
}

// writing are writers that wait at a gate.
type writing struct {
	folder string
	stamps *stamps
	gate   *os.File
	n      int
	total  int64 // of each
	chunk  int
}

func newWriting(folder string, n int, total int64, chunk int) (*writing, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	stamps, err := newStamps(filepath.Join(folder, "writers"))
	if err != nil {
		return nil, err
	}
	gate, err := os.Create(filepath.Join(folder, "gate"))
	if err != nil {
		return nil, err
	}
	total -= total % lineSize
	return &writing{folder, stamps, gate, n, total, chunk}, unix.Flock(int(gate.Fd()), unix.LOCK_EX)
}

func (w *writing) arguments(id int) []string {
	return []string{w.stamps.path, strconv.Itoa(id), w.gate.Name(), strconv.FormatInt(w.total, 10), strconv.Itoa(w.chunk)}
}

// open lets the writers go as soon as all are there, and returns when the first
// has begun.
func (w *writing) open() (int64, error) {
	if _, err := w.stamps.next(w.n, patience); err != nil {
		return 0, err
	}
	settle()
	if err := w.gate.Close(); err != nil {
		return 0, err
	}
	all, err := w.stamps.next(w.n, patience)
	if err != nil {
		return 0, err
	}
	first := all[0].at
	for _, s := range all {
		first = min(first, s.at)
	}
	return first, nil
}

// arrived waits for the last line of a writer in its file.
func arrived(file string, id int) error {
	mark := fmt.Appendf(nil, "the last line of %d ", id)
	tail := make([]byte, lineSize)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		f, err := os.Open(file)
		if err != nil {
			continue // it is not there yet
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err == nil && size > lineSize {
			_, err = f.ReadAt(tail, size-lineSize)
		}
		_ = f.Close()
		if err == nil && string(tail[:len(mark)]) == string(mark) && tail[lineSize-1] == '\n' {
			return nil
		}
	}
	return fmt.Errorf("cannot see the last line in %s within %v", file, patience)
}

// pour has services write, and makes sure that all of it is in their logs.
func (b *bench) pour(folder string, n int, total int64, chunk int) (poured, error) {
	var p poured
	w, err := newWriting(folder, n, total, chunk)
	if err != nil {
		return p, err
	}
	if err := b.declareWriters(w); err != nil {
		return p, err
	}
	d, err := startDaemon(b.daemon, b.service, folder, 0)
	if err != nil {
		return p, err
	}
	if p, err = d.poured(w); err != nil {
		return p, fmt.Errorf("%w\n%s", d.end(err), d.complaints())
	}
	if err := d.end(nil); err != nil {
		return p, err
	}
	for id := range n {
		seen, err := lines.Read(d.writerLogs(id), 0, func(string, []byte) {})
		if err == nil && seen.Bytes != w.total {
			err = fmt.Errorf("%d bytes of text are in %s, not %d", seen.Bytes, d.writerLogs(id), w.total)
		}
		if err != nil {
			return p, err
		}
	}
	return p, os.RemoveAll(folder)
}

func (d *daemon) writerLogs(id int) string {
	return filepath.Join(d.folder, "logs", fmt.Sprintf("writer-%d", id))
}

func (d *daemon) poured(w *writing) (poured, error) {
	began, err := w.open()
	if err != nil {
		return poured{}, err
	}
	// What it had to do for the starts is behind it: the gate was closed.
	before, err := processorTime(d.pid())
	if err != nil {
		return poured{}, err
	}
	for id := range w.n {
		if err := arrived(filepath.Join(d.writerLogs(id), "0.log"), id); err != nil {
			return poured{}, err
		}
	}
	took := monotonic() - began
	after, err := processorTime(d.pid())
	return poured{w.total * int64(w.n), float64(took) / 1e9, float64(after-before) / 1e9}, err
}

func (b *bench) declareWriters(w *writing) error {
	if err := os.MkdirAll(filepath.Join(w.folder, "manifests"), 0o755); err != nil {
		return err
	}
	for id := range w.n {
		text := fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata:\n  name: writer-%d\nspec:\n  restartPolicy: Never\n  %s\n  command: [%s",
			id, logSpec, b.writer)
		for _, a := range w.arguments(id) {
			text += fmt.Sprintf(", %q", a)
		}
		file := filepath.Join(w.folder, "manifests", fmt.Sprintf("writer-%d.yaml", id))
		if err := os.WriteFile(file, []byte(text+"]\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is what a process has used of the processors, in nanoseconds.
func processorTime(pid int) (int64, error) {
	// clock_getcpuclockid(3): CPUCLOCK_SCHED of the whole process.
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &used); err != nil {
		return 0, fmt.Errorf("cannot read the processor time of %d: %w", pid, err)
	}
	return used.Nano(), nil
}

// pourInto has one writer write into a peer's standard input.
func (b *bench) pourInto(folder, file string, command []string) (poured, error) {
	var p poured
	w, err := newWriting(folder, 1, oneTotal, bigWrite)
	if err != nil {
		return p, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return p, err
	}
	peer, writer := exec.Command(command[0], command[1:]...), exec.Command(b.writer, w.arguments(0)...)
	peer.Stdin, writer.Stdout = read, write
	peer.Stderr, writer.Stderr = os.Stderr, os.Stderr
	peer.Dir = folder
	if command[0] == "cat" {
		output, err := os.Create(file)
		if err != nil {
			return p, err
		}
		defer output.Close()
		peer.Stdout = output
	}
	err = errors.Join(peer.Start(), writer.Start(), read.Close(), write.Close())
	if err != nil {
		return p, err
	}
	began, err := w.open()
	if err != nil {
		return p, err
	}
	if err := arrived(file, 0); err != nil {
		return p, err
	}
	took := monotonic() - began
	if err := errors.Join(writer.Wait(), peer.Wait()); err != nil {
		return p, err
	}
	used := peer.ProcessState.UserTime() + peer.ProcessState.SystemTime()
	return poured{w.total, float64(took) / 1e9, used.Seconds()}, os.RemoveAll(folder)
}
