package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long the benchmark waits for anything before it gives up.
const patience = 2 * time.Minute

// daemon is a running reconciler with folders of its own.
type daemon struct {
	folder  string
	state   string // the state directory, on a tmpfs as /run is
	stamps  *stamps
	service string // the program of the services
	binary  string
	extra   string // lines of each manifest's spec
	command *exec.Cmd
	began   int64 // when it was exec'ed
}

// manifest declares service number id.
func (d *daemon) manifest(id int) []byte {
	return fmt.Appendf(nil, `apiVersion: svc.d/v1
kind: Service
metadata:
  name: service-%d
spec:
  command: [%s, %s, "%d"]
%s`, id, d.service, d.stamps.path, id, d.extra)
}

// startDaemon declares n services, and starts the daemon on them.
func startDaemon(binary, service, folder string, n int) (*daemon, error) {
	return startDaemonWith(binary, service, folder, n, "")
}

// startDaemonWith does so with more lines in each manifest's spec.
func startDaemonWith(binary, service, folder string, n int, extra string) (*daemon, error) {
	manifests := filepath.Join(folder, "manifests")
	if err := os.MkdirAll(manifests, 0o755); err != nil {
		return nil, err
	}
	stamps, err := newStamps(filepath.Join(folder, "stamps"))
	if err != nil {
		return nil, err
	}
	d := &daemon{folder: folder, stamps: stamps, service: service, binary: binary, extra: extra}
	if d.state, err = os.MkdirTemp(stateRoot(folder), "reconciler-bench-state-"); err != nil {
		return nil, err
	}
	for id := range n {
		if err := os.WriteFile(filepath.Join(manifests, fmt.Sprintf("service-%d.yaml", id)), d.manifest(id), 0o644); err != nil {
			return nil, err
		}
	}
	return d, d.launch()
}

// stateRoot is a tmpfs where there is one.
func stateRoot(or string) string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return or
}

// launch executes the daemon on its folders.
func (d *daemon) launch() error {
	log, err := os.OpenFile(d.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.command = exec.Command(d.binary, "--dir", filepath.Join(d.folder, "manifests"),
		"--state-dir", d.state, "--log-dir", filepath.Join(d.folder, "logs"))
	d.command.Stdout, d.command.Stderr = log, log
	d.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	d.began = monotonic()
	return d.command.Start()
}

func (d *daemon) pid() int { return d.command.Process.Pid }

// add renames one new manifest into the directory and returns when.
func (d *daemon) add(id int) (int64, error) {
	ready := filepath.Join(d.folder, "next.yaml")
	if err := os.WriteFile(ready, d.manifest(id), 0o644); err != nil {
		return 0, err
	}
	at := monotonic()
	return at, os.Rename(ready, filepath.Join(d.folder, "manifests", fmt.Sprintf("service-%d.yaml", id)))
}

// terminate tells it to stop and returns when; wait waits for its end.
func (d *daemon) terminate() (int64, error) {
	at := monotonic()
	return at, d.command.Process.Signal(syscall.SIGTERM)
}

func (d *daemon) wait() error {
	timer := time.AfterFunc(patience, func() { _ = d.command.Process.Kill() })
	defer timer.Stop()
	defer os.RemoveAll(d.state)
	if err := d.command.Wait(); err != nil {
		return fmt.Errorf("cannot stop the daemon cleanly: %w\n%s", err, d.complaints())
	}
	return nil
}

// said is what its log says of one service.
func (d *daemon) said(id int) string {
	text, err := os.ReadFile(filepath.Join(d.folder, "daemon.log"))
	if err != nil {
		return err.Error()
	}
	var of strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, fmt.Sprintf("%q", fmt.Sprintf("service-%d", id))) {
			of.WriteString(line)
		}
	}
	return of.String()
}

// complaints is the end of its log.
func (d *daemon) complaints() string {
	text, err := os.ReadFile(filepath.Join(d.folder, "daemon.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
