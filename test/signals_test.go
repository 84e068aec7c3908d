package test

import (
	"bufio"
	"os/exec"
	"syscall"
	"testing"
)

// TestALogReaderThatGoesAwayDoesNotEndTheDaemon: its writes to the log's pipe
// raise SIGPIPE until the very end.
func TestALogReaderThatGoesAwayDoesNotEndTheDaemon(t *testing.T) {
	binary := program(t, built.checked)
	f := newFolders(t)
	arguments := []string{"--dir", f.manifests, "--state-dir", f.state, "--log-dir", f.logs}
	if refusal, _ := built.cgroups(); refusal != "" {
		arguments = append(arguments, "--no-cgroups")
	}
	c := exec.Command(binary, arguments...)
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(log).ReadString('\n'); err != nil {
		t.Errorf("read %q: %v", line, err)
	}
	log.Close()
	// Who answers has its signals in hand.
	if err := await(func() error { return exec.Command(binary, "get", "--state-dir", f.state).Run() }); err != nil {
		t.Error(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the daemon ended with %v, want exit code 0", err)
	}
}
