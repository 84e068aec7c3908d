package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestAProgramThatTellsOfItself has one that speaks systemd's protocol gate another,
// over re-execs and kills of the daemon.
func TestAProgramThatTellsOfItself(t *testing.T) {
	if _, err := os.Stat("/usr/bin/systemd-notify"); err != nil {
		t.Skip("needs the Debian package systemd")
	}
	if refusal, _ := built.cgroups(); refusal != "" {
		t.Skip("needs cgroups: ", refusal)
	}
	f := newFolders(t)
	gate := filepath.Join(f.root, "gate")
	for name, text := range map[string]string{
		"first.yaml": fmt.Sprintf(`apiVersion: svc.d/v1
kind: Service
metadata: {name: first}
spec:
  notify: Systemd
  command: [sh, -c, "systemd-notify --status=warming; while ! [ -e %s ]; do sleep 0.05; done; systemd-notify --ready --status=serving; exec sleep 1000000"]
`, gate),
		"second.yaml": `apiVersion: svc.d/v1
kind: Service
metadata: {name: second}
spec:
  command: [sh, -c, "echo listening on port 80; exec sleep 1000000"]
  readyLogLine: "^listening on port [0-9]+$"
  dependsOn: [{name: first}]
`,
		"silent.yaml": `apiVersion: svc.d/v1
kind: Service
metadata: {name: silent}
spec:
  command: [sleep, "1000000"]
  notify: Systemd
`,
	} {
		if err := f.declare(name, text); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, program(t, built.checked), f)
	waits := func(when string) {
		t.Helper()
		if err := await(func() error {
			services, err := d.services()
			if err != nil {
				return err
			}
			first, second, silent := services["first"].Status, services["second"].Status, services["silent"].Status
			if first.ReadyReplicas != 0 || first.Reason != "NotNotified" || second.Reason != "DependencyUnmet" || second.Replicas != 0 || silent.Reason != "NotNotified" {
				return fmt.Errorf("%+v; %+v; %+v", first, second, silent)
			}
			return nil
		}); err != nil {
			t.Fatal(when, err)
		}
	}
	waits("at first")
	if err := d.reexec(); err != nil {
		t.Fatal(err)
	}
	waits("after a re-exec")
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.becomesReady("first"), d.becomesReady("second")); err != nil {
		t.Fatal(err)
	}
	before, err := d.services()
	if err != nil {
		t.Fatal(err)
	}
	stays := func(after string) {
		t.Helper()
		if err := errors.Join(d.becomesReady("first"), d.becomesReady("second")); err != nil {
			t.Fatal(after, err)
		}
		now, err := d.services()
		if err != nil {
			t.Fatal(err)
		}
		for name := range now {
			if a, b := before[name].Status.ReplicaStatuses[0], now[name].Status.ReplicaStatuses[0]; a.Pid != b.Pid {
				t.Errorf("after %s %s runs as %d, before as %d", after, name, b.Pid, a.Pid)
			}
		}
	}
	if err := d.reexec(); err != nil {
		t.Fatal(err)
	}
	stays("a re-exec")
	if err := d.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.ended
	if err := d.again(); err != nil {
		t.Fatal(err)
	}
	stays("kill -9")
}
