package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"svc.d/reconciler/logs/cri"
	"svc.d/test/world"
)

const (
	leakServices = 500
	leakRounds   = 20
)

// TestTenThousandStartsLeaveNothingBehind edits 500 services 20 times. Half of
// them end at once, half are stopped and replaced. Each start writes one byte to
// the service's log, so that they can be counted.
func TestTenThousandStartsLeaveNothingBehind(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the services of this test are written for x86-64")
	}
	f := newFolders(t)
	marker, sleeper := f.root+"/marker", f.root+"/sleeper"
	for _, err := range []error{world.WriteMarker(marker), world.WriteMarkingSleeper(sleeper)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	declare := func(round string, replicas int) {
		t.Helper()
		var text strings.Builder
		for i := range leakServices {
			program, policy := sleeper, "Always"
			if i%2 == 0 {
				program, policy = marker, "Never"
			}
			fmt.Fprintf(&text, "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: service-%d}\n"+
				"spec: {replicas: %d, restartPolicy: %s, command: [%s, %q]}\n---\n", i, replicas, policy, program, round)
		}
		if err := f.declare("all.yaml", text.String()); err != nil {
			t.Fatal(err)
		}
	}

	d := startDaemon(t, program(t, built.release), f)
	atRest(t, d)
	before, err := world.OpenFiles(d.pid())
	if err != nil {
		t.Fatal(err)
	}
	var group string // of one replica
	for round := range leakRounds {
		declare(fmt.Sprintf("round-%d", round), 1)
		if err := await(f.started((round + 1) * leakServices)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if group == "" {
			group = groupOf(t, f)
		}
	}
	declare("the end", 0)
	if err := await(f.nothingRuns); err != nil {
		t.Fatal(err)
	}
	if err := f.started(leakRounds * leakServices)(); err != nil {
		t.Error(err)
	}
	atRest(t, d)

	after, err := world.OpenFiles(d.pid())
	if err != nil {
		t.Fatal(err)
	}
	if len(after) > len(before) {
		t.Errorf("%d descriptors, %d before: %s", len(after), len(before), described(after, before))
	}
	if zombies, err := world.Zombies(d.pid()); err != nil || zombies > 0 {
		t.Errorf("%d zombies, %v", zombies, err)
	}
	if _, err := os.Stat(group); group != "" && err == nil {
		t.Errorf("the cgroup %s is left", group)
	}
	fresh := startDaemon(t, program(t, built.release), newFolders(t))
	atRest(t, fresh)
	if now, fresh := goroutines(t, d), goroutines(t, fresh); now > fresh {
		t.Errorf("%d goroutines after %d starts, %d in a fresh daemon", now, leakRounds*leakServices, fresh)
	}
}

// started returns a check that so many starts have left their byte, no fewer and
// no more.
func (f folders) started(want int) func() error {
	return func() error {
		logs, err := filepath.Glob(f.logs + "/*/0.log")
		if err != nil {
			return err
		}
		var sum int64
		for _, path := range logs {
			text, err := textOf(path)
			if err != nil {
				return err
			}
			sum += int64(len(strings.ReplaceAll(text, "\n", "")))
		}
		if sum != int64(want) {
			return fmt.Errorf("%d starts, not %d", sum, want)
		}
		return nil
	}
}

// textOf is what services have written, by a file of their log.
func textOf(path string) (string, error) {
	entries, err := os.ReadFile(path)
	var text strings.Builder
	for entry := range bytes.Lines(entries) {
		l, ok := cri.Parse(entry)
		text.Write(l.Text)
		if ok && !l.Partial {
			text.WriteByte('\n')
		}
	}
	return text.String(), err
}

// groupOf returns the cgroup of one of the services, "" without cgroups.
func groupOf(t *testing.T, f folders) string {
	t.Helper()
	if refusal, err := built.cgroups(); err != nil || refusal != "" {
		return ""
	}
	running, err := world.Running(f.root)
	if err != nil || len(running) == 0 {
		t.Fatalf("nothing runs: %v", err)
	}
	own, err := world.Cgroup(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range running {
		group, err := world.Cgroup(p.Pid)
		if err != nil {
			continue // one that has just ended
		}
		if group == own {
			t.Errorf("service %v shares our cgroup %s", p, own)
		}
		return group
	}
	t.Fatal("no process that runs has a cgroup")
	return ""
}
