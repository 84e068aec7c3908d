package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// peer is another supervisor, as Debian ships it.
type peer struct {
	name   string
	binary string
	stop   syscall.Signal
	// declare writes its configuration and returns how it is started.
	declare func(folder, service, stamps string, n int) (arguments []string, err error)
}

// allPeers run the same program on the same file of stamps. Those of the s6
// family are given a script per service, as is their custom.
var allPeers = []peer{
	{"s6", "s6-svscan", syscall.SIGTERM, func(folder, service, stamps string, n int) ([]string, error) {
		return []string{"-c", "4000", folder}, runScripts(folder, service, stamps, n)
	}},
	{"runit", "runsvdir", syscall.SIGHUP, func(folder, service, stamps string, n int) ([]string, error) {
		return []string{folder}, runScripts(folder, service, stamps, n)
	}},
	{"supervisor", "supervisord", syscall.SIGTERM, func(folder, service, stamps string, n int) ([]string, error) {
		var text strings.Builder
		fmt.Fprintf(&text, "[supervisord]\nnodaemon=true\nminfds=20000\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s/pid\n", folder)
		for id := range n {
			fmt.Fprintf(&text, "[program:service-%d]\ncommand=%s %s %d\nstartsecs=0\n", id, service, stamps, id)
		}
		path := filepath.Join(folder, "supervisord.conf")
		return []string{"-c", path}, os.WriteFile(path, []byte(text.String()), 0o644)
	}},
}

func runScripts(folder, service, stamps string, n int) error {
	for id := range n {
		one := filepath.Join(folder, fmt.Sprintf("service-%d", id))
		if err := os.Mkdir(one, 0o755); err != nil {
			return err
		}
		script := fmt.Sprintf("#!/bin/sh\nexec %s %s %d\n", service, stamps, id)
		if err := os.WriteFile(filepath.Join(one, "run"), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// peers measures those that are installed, one round each.
func (b *bench) peers(w io.Writer) error {
	fmt.Fprintf(w, "\nPeers, %d services, one round\n", b.n)
	for _, p := range allPeers {
		binary, err := exec.LookPath(p.binary)
		if err != nil {
			fmt.Fprintf(w, "  %-12s not installed (package %s)\n", p.name, p.name)
			continue
		}
		folder := filepath.Join(b.folder, p.name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		floor, err := b.runFloor(folder)
		if err != nil {
			return err
		}
		start, restart, err := b.runPeer(p, binary, filepath.Join(folder, "services"))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		spawn := float64(floor) / float64(b.n)
		fmt.Fprintf(w, "  %-12s start / floor %6.2f   kill -9 to successor / floor spawn %8.2f\n",
			p.name, float64(start)/float64(floor), float64(restart)/spawn)
	}
	return nil
}

func (b *bench) runPeer(p peer, binary, folder string) (start, restart int64, err error) {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return 0, 0, err
	}
	stamps, err := newStamps(folder + ".stamps")
	if err != nil {
		return 0, 0, err
	}
	arguments, err := p.declare(folder, b.service, stamps.path, b.n)
	if err != nil {
		return 0, 0, err
	}
	d := &daemon{folder: folder, stamps: stamps, command: exec.Command(binary, arguments...)}
	d.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: p.stop}
	d.began = monotonic()
	if err := d.command.Start(); err != nil {
		return 0, 0, err
	}
	var processes watched
	defer func() {
		_ = d.command.Process.Signal(p.stop)
		_ = d.wait() // each has an exit code of its own for this
		processes.kill()
		_, _ = processes.gone(patience)
		processes.close()
	}()
	all, err := stamps.next(b.n, patience)
	if err != nil {
		return 0, 0, err
	}
	if processes, err = watch(all); err != nil {
		return 0, 0, err
	}
	settle()
	took, err := d.restarts(all, &processes, 5)
	if err != nil {
		return 0, 0, err
	}
	return last(all) - d.began, median(took), nil
}
