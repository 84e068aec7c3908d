package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"svc.d/test/world"
)

// daemon is a running reconciler.
type daemon struct {
	binary   string
	stateDir string
	log      string // the file that its standard output and error are written to
	command  *exec.Cmd
	ended    chan error // of cap 1: what Wait returned
}

// folders are what a daemon of a test works in.
type folders struct{ root, manifests, state, logs string }

// newFolders makes them; every user may enter.
func newFolders(t testing.TB) folders {
	t.Helper()
	root, err := os.MkdirTemp(built.folder, "daemon-")
	if err != nil {
		t.Fatal(err)
	}
	f := folders{root, root + "/manifests", root + "/state", root + "/logs"}
	for path, mode := range map[string]os.FileMode{f.root: 0o755, f.manifests: 0o755} {
		if err := errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// nothingRuns returns an error that names the services' processes, if there are
// any: those whose program lies here, and those that write to their pipes.
func (f folders) nothingRuns() error {
	running, err := world.Running(f.root)
	if err != nil {
		return err
	}
	holding, err := world.Holding(f.state + "/output")
	if err != nil {
		return err
	}
	if all := append(running, holding...); len(all) > 0 {
		return fmt.Errorf("%d processes: %v", len(all), all)
	}
	return nil
}

// newDaemon returns a daemon that is not started yet, with cgroups where they
// can be had.
func newDaemon(binary string, f folders, arguments ...string) *daemon {
	arguments = append([]string{"--dir", f.manifests, "--state-dir", f.state, "--log-dir", f.logs}, arguments...)
	if refusal, _ := built.cgroups(); refusal != "" {
		arguments = append(arguments, "--no-cgroups")
	}
	return &daemon{
		binary: binary, stateDir: f.state, log: filepath.Join(f.root, "daemon.log"),
		command: newCommand(binary, arguments...),
	}
}

// newCommand has the Go runtime print every goroutine when it is told to abort. It
// has no terminal, whoever runs the tests: a SIGHUP means a re-exec.
func newCommand(binary string, arguments ...string) *exec.Cmd {
	command := exec.Command(binary, arguments...)
	command.Env = append(os.Environ(), "GOTRACEBACK=all")
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command
}

// startDaemon starts one that ends with the test, which fails when the daemon
// does not end as it should or leaves a process behind.
func startDaemon(t testing.TB, binary string, f folders, arguments ...string) *daemon {
	t.Helper()
	d := newDaemon(binary, f, arguments...)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(d.log)
			t.Logf("the daemon's log:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	if err := d.launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.terminate(); err != nil {
			t.Error(err)
		}
		if err := f.nothingRuns(); err != nil {
			t.Error("left behind:", err)
		}
	})
	return d
}

// launch starts the daemon and waits until it listens.
func (d *daemon) launch() error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.command.Stdout, d.command.Stderr = log, log
	if err := d.command.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.command.Wait() }()
	refused := error(nil)
	err = await(func() error {
		if refused = d.refused(); refused != nil {
			return nil // it will never answer
		}
		// Not a question: what an answer costs is no matter of the budgets.
		connection, err := net.Dial("unix", d.stateDir+"/api.sock")
		if err != nil {
			return err
		}
		return connection.Close()
	})
	return errors.Join(err, refused)
}

// refused says why the daemon has ended, if it has.
func (d *daemon) refused() error {
	select {
	case err := <-d.ended:
		d.ended <- err
		text, _ := os.ReadFile(d.log)
		return fmt.Errorf("the daemon ended: %v\n%s", err, text)
	default:
		return nil
	}
}

func (d *daemon) pid() int { return d.command.Process.Pid }

const tookOver = "Took over from the image before"

// said counts the lines of the daemon's log with the text.
func (d *daemon) said(text string) int {
	log, _ := os.ReadFile(d.log)
	return strings.Count(string(log), text)
}

// reexec has it execute itself anew and waits until the next image is there.
func (d *daemon) reexec() error {
	before := d.said(tookOver)
	if err := d.command.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	refused := error(nil)
	err := await(func() error {
		if refused = d.refused(); refused != nil {
			return nil
		}
		if d.said(tookOver) == before {
			return errors.New("it has not executed itself anew")
		}
		return nil
	})
	return errors.Join(err, refused)
}

// terminate tells it to stop, and returns an error unless it ends with code 0.
func (d *daemon) terminate() error {
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return d.wait()
}

// wait waits for its end, which is told again to whoever asks again.
func (d *daemon) wait() error {
	select {
	case err := <-d.ended:
		d.ended <- err
		if err != nil {
			return fmt.Errorf("the daemon ended with: %w", err)
		}
		return nil
	case <-time.After(patience):
		return errors.Join(errors.New("the daemon did not end"), d.command.Process.Kill())
	}
}

// report is what the tests read of the daemon's answers.
type report struct {
	Metadata struct {
		Name       string
		Generation int64
	}
	Status struct {
		Replicas, ReadyReplicas, UpdatedReplicas, DesiredReplicas int32

		Phase, Reason, Message string
		Conditions             []struct{ Type, Status, Reason, Message string }
		ReplicaStatuses        []struct {
			Name, Phase, Reason, Message string
			Pid                          int
			RestartCount                 int64
			LastExit                     *struct{ ExitCode int32 }
		}
	}
}

// client runs a client command and returns its standard output.
func (d *daemon) client(arguments ...string) ([]byte, error) {
	command := exec.Command(d.binary, append(arguments, "--state-dir", d.stateDir)...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("reconciler %v: %w: %s", arguments, err, complaint.String())
	}
	return output, nil
}

// services asks for all services by name.
func (d *daemon) services() (map[string]report, error) {
	output, err := d.client("get", "-o", "json")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []report }
	if err := json.Unmarshal(output, &list); err != nil {
		return nil, fmt.Errorf("cannot read the answer of get: %w\n%s", err, output)
	}
	services := map[string]report{}
	for _, r := range list.Items {
		services[r.Metadata.Name] = r
	}
	return services, nil
}

// declare renames a manifest into the directory, as editors and git do.
func (f folders) declare(name, text string) error {
	ready := filepath.Join(f.manifests, "."+name) // a name that is no manifest
	if err := os.WriteFile(ready, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(ready, filepath.Join(f.manifests, name))
}
