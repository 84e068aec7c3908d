package main

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// logs measures what logging costs, beside s6-log, which stamps lines as we do,
// and cat, which only copies. The measures of a round follow each other, so that
// each meets the same machine.
func (b *bench) logs(w io.Writer, rounds int) error {
	s6, err := exec.LookPath("s6-log")
	if err != nil {
		return fmt.Errorf("cannot measure logging without s6-log (package s6; -logs=false leaves it out): %w", err)
	}
	var all []logRound
	for i := range rounds {
		r, err := b.logRound(filepath.Join(b.folder, "logs-"+strconv.Itoa(i)), s6)
		if err != nil {
			return err
		}
		all = append(all, r)
		fmt.Fprintf(w, "round %d: MB/s: %.0f, s6-log T %.0f, cat %.0f; a write per line %.0f; %d services %.0f\n", i+1,
			r.ours.rate()/1e6, r.s6.rate()/1e6, r.cat.rate()/1e6, r.lineByLine.rate()/1e6, manyCount, r.many.rate()/1e6)
	}
	ratio := func(of func(logRound) float64) float64 {
		var values []float64
		for _, r := range all {
			values = append(values, of(r))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	show := func(name string, limit float64, most bool, of func(logRound) float64) {
		value := ratio(of)
		bound, held := fmt.Sprintf(">= %.2f", limit), value >= limit
		if most {
			bound, held = fmt.Sprintf("%.2f", limit), value <= limit
		}
		line(w, name, fmt.Sprintf("%.2f", value), bound, held)
	}
	fmt.Fprintf(w, "\nLogging, lines of %d bytes, medians of %d rounds\n", lineSize, len(all))
	show("one service: throughput / s6-log T", 5, false, func(r logRound) float64 { return r.ours.rate() / r.s6.rate() })
	show("one service: throughput / cat", 0.5, false, func(r logRound) float64 { return r.ours.rate() / r.cat.rate() })
	show("one service: processor time / s6-log T", 1, true, func(r logRound) float64 { return r.ours.cpu / r.s6.cpu })
	show(fmt.Sprintf("%d services: throughput / one", manyCount), 0.8, false, func(r logRound) float64 { return r.many.rate() / r.ours.rate() })
	fmt.Fprintf(w, "  %-44s %14.2f\n", "a write per line: throughput / 64 KiB writes", ratio(func(r logRound) float64 { return r.lineByLine.rate() / r.ours.rate() }))
	quiet, busy, err := b.restartsBesideWriters(filepath.Join(b.folder, "logs-restarts"))
	if err != nil {
		return err
	}
	beside := float64(median(busy)) / float64(median(quiet))
	line(w, fmt.Sprintf("kill -9 to successor while %d write / quiet", manyCount), fmt.Sprintf("%.2f", beside), "2.00", beside <= 2)
	return nil
}

func (b *bench) logRound(folder, s6 string) (logRound, error) {
	var r logRound
	var err error
	if r.s6, err = b.pourInto(filepath.Join(folder, "s6"), filepath.Join(folder, "s6", "log", "current"),
		[]string{s6, "n3", "s268435455", "T", "./log"}); err != nil {
		return r, fmt.Errorf("s6-log: %w", err)
	}
	if r.ours, err = b.pour(filepath.Join(folder, "one"), 1, oneTotal, bigWrite); err != nil {
		return r, err
	}
	if r.cat, err = b.pourInto(filepath.Join(folder, "cat"), filepath.Join(folder, "cat", "log"), []string{"cat"}); err != nil {
		return r, fmt.Errorf("cat: %w", err)
	}
	if r.many, err = b.pour(filepath.Join(folder, "many"), manyCount, manyTotal/manyCount, bigWrite); err != nil {
		return r, err
	}
	r.lineByLine, err = b.pour(filepath.Join(folder, "lines"), 1, oneTotal/4, lineSize)
	return r, err
}

// restartsBesideWriters kills services before and while many others write as
// fast as they can.
func (b *bench) restartsBesideWriters(folder string) (quiet, busy []int64, err error) {
	const kills = 15
	w, err := newWriting(folder, manyCount, 0, bigWrite)
	if err != nil {
		return nil, nil, err
	}
	if err := b.declareWriters(w); err != nil {
		return nil, nil, err
	}
	d, all, processes, err := b.begin(folder, 2*kills)
	if err != nil {
		return nil, nil, err
	}
	defer processes.close()
	defer processes.kill()
	first, second := processes[:kills:kills], processes[kills:]
	if _, err := w.stamps.next(w.n, patience); err != nil {
		return nil, nil, d.end(err)
	}
	settle()
	if quiet, err = d.restarts(all[:kills], &first, kills); err != nil {
		return nil, nil, d.end(err)
	}
	if err := unix.Flock(int(w.gate.Fd()), unix.LOCK_UN); err != nil {
		return nil, nil, d.end(err)
	}
	if _, err := w.stamps.next(w.n, patience); err != nil {
		return nil, nil, d.end(err)
	}
	busy, err = d.restarts(all[kills:], &second, kills)
	return quiet, busy, d.end(err)
}
