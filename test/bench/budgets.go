package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"svc.d/test/world"
)

// usage is what the daemon costs when nothing happens.
type usage struct {
	resident int64 // KiB
	files    int
	threads  int64
	switches int64 // in the time it was watched
}

// budgets prints what the daemon costs at rest, without and with services. The
// same limits are held by the tests in package test.
func (b *bench) budgets(w io.Writer, idle time.Duration) error {
	info, err := os.Stat(b.daemon)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nAt rest\n")
	line(w, "binary, stripped", fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), "12.5 MB", info.Size() <= 12.5e6)
	empty, err := b.use(filepath.Join(b.folder, "empty"), 0, 0)
	if err != nil {
		return err
	}
	full, err := b.use(filepath.Join(b.folder, "full"), b.n, idle)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  %-44s %10.1f MiB\n", "resident, no service", float64(empty.resident)/1024)
	limit := int64(10*1024 + 6*b.n)
	line(w, fmt.Sprintf("resident, %d services", b.n), fmt.Sprintf("%.1f MiB", float64(full.resident)/1024),
		fmt.Sprintf("%.1f MiB", float64(limit)/1024), full.resident <= limit)
	if b.n > 0 {
		fmt.Fprintf(w, "  %-44s %10.1f KiB\n", "resident per service", float64(full.resident-empty.resident)/float64(b.n))
		perService := float64(full.files-empty.files) / float64(b.n)
		line(w, "descriptors per service", fmt.Sprintf("%.2f", perService), "3", perService <= 3)
	}
	fmt.Fprintf(w, "  %-44s %10d\n", "threads", full.threads)
	if idle > 0 {
		line(w, fmt.Sprintf("wake-ups in %v", idle), fmt.Sprint(full.switches), "5 a minute", full.switches <= int64(5*max(1, idle.Minutes())))
	}
	return nil
}

func (b *bench) use(folder string, n int, idle time.Duration) (usage, error) {
	var u usage
	d, err := startDaemon(b.daemon, b.service, folder, n)
	if err != nil {
		return u, err
	}
	if n > 0 {
		if _, err := d.stamps.next(n, patience); err != nil {
			return u, d.end(err)
		}
	}
	time.Sleep(8 * time.Second) // it looks each three seconds whether its start is over, and gives back what that took
	before, err := world.VoluntarySwitches(d.pid())
	if err != nil {
		return u, d.end(err)
	}
	time.Sleep(idle)
	after, err := world.VoluntarySwitches(d.pid())
	if err != nil {
		return u, d.end(err)
	}
	u.switches = after - before
	if u.resident, err = world.StatusValue(d.pid(), "VmRSS"); err != nil {
		return u, d.end(err)
	}
	if u.threads, err = world.StatusValue(d.pid(), "Threads"); err != nil {
		return u, d.end(err)
	}
	open, err := world.OpenFiles(d.pid())
	u.files = len(open)
	return u, d.end(err)
}
