package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"svc.d/test/world"
)

// built are the programs that the tests run, made once and when first asked for.
var built = struct {
	folder  string // for this run of the tests
	checked func() (string, error)
	release func() (string, error)
	beacon  func() (string, error)
	scribe  func() (string, error)
	judge   func() (string, error)
	cgroups func() (string, error) // why the daemon cannot use cgroups here, "" when it can
}{}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "reconciler-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	built.folder = folder
	// The race detector lets every program linger for a second at its end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Other users run what lies here.
	if err := os.Chmod(folder, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	once := func(name, pkg string, flags ...string) func() (string, error) {
		return sync.OnceValues(func() (string, error) {
			file := filepath.Join(folder, name, filepath.Base(pkg))
			return file, world.Build(file, pkg, flags...)
		})
	}
	var checked []string
	if raced {
		checked = []string{"-race"}
	}
	built.checked = once("checked", "svc.d/cmd/reconciler", checked...)
	built.release = once("release", "svc.d/cmd/reconciler", "-trimpath", "-ldflags", "-s -w")
	built.beacon = once("services", "svc.d/test/beacon", "-ldflags", "-s -w")
	built.scribe = once("services", "svc.d/test/scribe", "-ldflags", "-s -w")
	built.judge = sync.OnceValues(buildJudge)
	built.cgroups = sync.OnceValues(probeCgroups)
	return m.Run()
}

// probeCgroups asks the daemon itself: where it cannot use cgroups it says so in
// its log, and does without.
func probeCgroups() (string, error) {
	binary, err := built.checked()
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(built.folder, "probe-")
	if err != nil {
		return "", err
	}
	command := exec.Command(binary, "--dir", folder, "--state-dir", folder+"/state", "--log-dir", folder+"/logs")
	d := &daemon{command: command, stateDir: folder + "/state", binary: binary, log: folder + "/daemon.log"}
	if err := d.launch(); err != nil {
		return "", err
	}
	if err := d.terminate(); err != nil {
		return "", err
	}
	log, err := os.ReadFile(d.log)
	if err != nil {
		return "", err
	}
	_, why, degraded := strings.Cut(string(log), "cgroups cannot be used: ")
	if !degraded {
		return "", nil
	}
	why, _, _ = strings.Cut(why, "\n")
	return why, nil
}

// program returns a built program, or ends the test.
func program(t testing.TB, build func() (string, error)) string {
	t.Helper()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}
