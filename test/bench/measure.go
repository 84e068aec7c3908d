package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// bench is what all rounds share.
type bench struct {
	daemon, service, floor string // programs
	writer, target         string
	folder                 string
	n                      int // services
	kills, adds            int // per round
}

// round is what one round measured, in nanoseconds.
type round struct {
	floor     int64 // exec of the spawn loop to the last one running
	start     int64 // exec of the daemon to the last one running
	restart   []int64
	restart10 []int64 // the same with 10 services
	add       []int64
	gone      int64 // SIGTERM to the last service gone
	exited    int64 // SIGTERM to the daemon gone
	gaps      []int64
	adopted   int64 // exec of a daemon after kill -9 to all services adopted
}

func (b *bench) round(number int) (round, error) {
	var r round
	folder := filepath.Join(b.folder, strconv.Itoa(number))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return r, err
	}
	// Nothing is removed before the end: ext4 looks for an inode that was not
	// freed in the last minutes, which makes the next round's new files dear.
	var err error
	if r.floor, err = b.runFloor(filepath.Join(folder, "floor")); err != nil {
		return r, err
	}
	if err := b.many(filepath.Join(folder, "many"), &r); err != nil {
		return r, err
	}
	return r, b.few(filepath.Join(folder, "few"), &r)
}

// runFloor starts the services from a loop that does nothing else.
func (b *bench) runFloor(folder string) (int64, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	stamps, err := newStamps(filepath.Join(folder, "stamps"))
	if err != nil {
		return 0, err
	}
	began := monotonic()
	floor := exec.Command(b.floor, strconv.Itoa(b.n), b.service, stamps.path)
	// A file and no pipe: the services inherit it and outlive the floor, and
	// Run would wait for the last of them to close a pipe.
	floor.Stderr = os.Stderr
	if err := floor.Run(); err != nil {
		return 0, fmt.Errorf("cannot run the floor: %w", err)
	}
	all, err := stamps.next(b.n, patience)
	if err != nil {
		return 0, err
	}
	processes, err := watch(all)
	if err != nil {
		return 0, err
	}
	defer processes.close()
	processes.kill()
	_, err = processes.gone(patience)
	return last(all) - began, err
}

// many measures everything that is asked of b.n services.
func (b *bench) many(folder string, r *round) error {
	d, all, processes, err := b.begin(folder, b.n)
	if err != nil {
		return err
	}
	defer processes.close()
	defer processes.kill()
	r.start = last(all) - d.began
	settle()

	if r.restart, err = d.restarts(all, &processes, b.kills); err != nil {
		return d.end(err)
	}
	if r.gaps, err = d.reexecs(3); err != nil {
		return d.end(err)
	}
	if r.adopted, err = d.crash(b.n); err != nil {
		return d.end(err)
	}
	if r.add, err = d.additions(b.n, &processes, b.adds); err != nil {
		return d.end(err)
	}
	asked, err := d.terminate()
	if err != nil {
		return d.end(err)
	}
	last, err := processes.gone(patience)
	if err != nil {
		return d.end(err)
	}
	r.gone = last - asked
	err = d.wait()
	r.exited = monotonic() - asked
	return err
}

// few measures restarts among 10 services.
func (b *bench) few(folder string, r *round) error {
	d, all, processes, err := b.begin(folder, 10)
	if err != nil {
		return err
	}
	defer processes.close()
	defer processes.kill()
	settle()
	r.restart10, err = d.restarts(all, &processes, 10)
	return d.end(err)
}

// begin starts a daemon and waits until its services run.
func (b *bench) begin(folder string, n int) (*daemon, []stamp, watched, error) {
	d, err := startDaemon(b.daemon, b.service, folder, n)
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := d.stamps.next(n, patience)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w\n%s", d.end(err), d.complaints())
	}
	processes, err := watch(all)
	if err != nil {
		return nil, nil, nil, d.end(err)
	}
	return d, all, processes, nil
}

// end stops the daemon. It returns the error it was given, if any.
func (d *daemon) end(err error) error {
	_, _ = d.terminate()
	if stopped := d.wait(); err == nil {
		err = stopped
	}
	return err
}

// settle lets what follows a start come to rest.
func settle() { time.Sleep(time.Second) }

// restarts kills services, each once, since only the first restart is immediate,
// and returns how long each took to run again.
func (d *daemon) restarts(all []stamp, processes *watched, count int) ([]int64, error) {
	var took []int64
	for _, victim := range rand.Perm(len(all))[:min(count, len(all))] {
		began := monotonic()
		(*processes)[victim : victim+1].kill()
		again, err := d.next(all[victim].id, processes)
		if err != nil {
			return nil, err
		}
		took = append(took, again-began)
	}
	return took, d.nothingElse()
}

// additions renames new manifests into the directory, one after the other.
func (d *daemon) additions(first int, processes *watched, count int) ([]int64, error) {
	var took []int64
	for id := first; id < first+count; id++ {
		began, err := d.add(id)
		if err != nil {
			return nil, err
		}
		runs, err := d.next(id, processes)
		if err != nil {
			return nil, err
		}
		took = append(took, runs-began)
	}
	return took, d.nothingElse()
}

// next waits for service id to run, and for no other.
func (d *daemon) next(id int, processes *watched) (int64, error) {
	seen, err := d.stamps.next(1, patience)
	if err != nil {
		return 0, err
	}
	if seen[0].id != id {
		return 0, fmt.Errorf("service %d was started when only %d was to be:\n%s", seen[0].id, id, d.said(seen[0].id))
	}
	more, err := watch(seen)
	*processes = append(*processes, more...)
	return seen[0].at, err
}

// nothingElse makes sure that no other service was touched.
func (d *daemon) nothingElse() error {
	settle()
	extra, err := d.stamps.unread()
	if err == nil && extra > 0 {
		err = fmt.Errorf("%d services were started that nobody asked for", extra)
	}
	return err
}

func median(values []int64) int64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
