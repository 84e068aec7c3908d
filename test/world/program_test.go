package world

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func TestTheProgramsDoWhatTheySay(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the programs are written for x86-64")
	}
	folder := t.TempDir()
	marker, sleeper := filepath.Join(folder, "marker"), filepath.Join(folder, "sleeper")
	if err := WriteMarker(marker); err != nil {
		t.Fatal(err)
	}
	if err := WriteMarkingSleeper(sleeper); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(marker).Output(); err != nil || string(output) != "x" {
		t.Errorf("marker: wrote %q, ended with %v", output, err)
	}

	command := exec.Command(sleeper)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	running, err := Running(folder)
	if err != nil || len(running) != 1 || running[0].Pid != command.Process.Pid {
		t.Errorf("running: %v, %v; want process %d", running, err, command.Process.Pid)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	state, err := command.Process.Wait()
	if err != nil || state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("sleeper: ended with %v, %v", state, err)
	}
	if running, err := Running(folder); err != nil || len(running) != 0 {
		t.Errorf("running afterwards: %v, %v", running, err)
	}
}
