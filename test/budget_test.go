package test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"svc.d/test/world"
)

// The budgets of the daemon at rest. Each is a count or a size, so that it holds
// on every machine.
const (
	// The commands for operators (get -w, why, wait, apply, edit, explain, top, exec,
	// completion, templates) and the watches behind them took 0.7 MB of it. None of it is
	// resident at rest: see cmd/reconciler/shrink.go.
	budgetBinary             = 12_500_000 // bytes, stripped
	budgetResident           = 10 * 1024  // KiB
	budgetResidentPerService = 6          // KiB
	budgetDescriptors        = 3          // per silent service
	budgetWakeups            = 5          // in a minute: the Go runtime's own
)

const manyServices = 1000

// idleTime is how long wake-ups are counted.
const idleTime = time.Minute

// sleeper is the manifest of a service that does nothing, of one page.
func sleeper(name, program string) string {
	return fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: %s}\nspec: {command: [%s]}\n---\n", name, program)
}

// measured is the release binary with n services at rest.
func measured(t *testing.T, f folders, n int) *daemon {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the services of this test are written for x86-64")
	}
	program := program(t, built.release)
	f.manifests = quietFolder(t)
	service := f.root + "/sleeper"
	if err := world.WriteSleeper(service); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name := fmt.Sprintf("service-%d", i)
		if err := f.declare(name+".yaml", sleeper(name, service)); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, program, f)
	if err := await(func() error {
		running, err := world.Running(f.root)
		if err == nil && len(running) != n {
			err = fmt.Errorf("%d services run, not %d", len(running), n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	atRest(t, d)
	return d
}

// quietFolder is a folder for manifests. The daemon watches the folders above it
// too, since they can be replaced, and in /tmp there is always something going on.
func quietFolder(t *testing.T) string {
	t.Helper()
	const quiet = "/dev/shm"
	if info, err := os.Stat(quiet); err != nil || !info.IsDir() {
		t.Skipf("needs %s: a place where nobody else makes files", quiet)
	}
	folder, err := os.MkdirTemp(quiet, "reconciler-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

// atRest waits for four seconds in which the daemon does not wake: it looks each three
// whether its start is over.
func atRest(t *testing.T, d *daemon) {
	t.Helper()
	if err := await(func() error {
		before, err := world.VoluntarySwitches(d.pid())
		if err != nil {
			return err
		}
		pace(4 * time.Second)
		after, err := world.VoluntarySwitches(d.pid())
		if err == nil && after != before {
			err = fmt.Errorf("it woke %d times within four seconds", after-before)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestTheBinaryIsSmall(t *testing.T) {
	info, err := os.Stat(program(t, built.release))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > budgetBinary {
		t.Errorf("the stripped binary has %d bytes, more than %d", info.Size(), budgetBinary)
	}
}

// TestAThousandServicesAtRest reads from /proc what the daemon costs.
func TestAThousandServicesAtRest(t *testing.T) {
	empty := measured(t, newFolders(t), 0)
	filesEmpty, err := world.OpenFiles(empty.pid())
	if err != nil {
		t.Fatal(err)
	}
	d := measured(t, newFolders(t), manyServices)

	before, err := world.VoluntarySwitches(d.pid())
	if err != nil {
		t.Fatal(err)
	}
	pace(idleTime)
	after, err := world.VoluntarySwitches(d.pid())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d wake-ups in a minute", after-before)
	if after-before > budgetWakeups {
		t.Errorf("it woke %d times in a minute of idleness, more than %d", after-before, budgetWakeups)
	}

	resident, err := world.StatusValue(d.pid(), "VmRSS")
	if err != nil {
		t.Fatal(err)
	}
	anonymous, err := world.StatusValue(d.pid(), "RssAnon")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB resident with %d services, %d of them its own, the rest the binary's pages", resident, manyServices, anonymous)
	if limit := int64(budgetResident + budgetResidentPerService*manyServices); resident > limit {
		t.Errorf("%d KiB are resident, more than %d", resident, limit)
	}
	if _, err := d.services(); err != nil {
		t.Error(err)
	}
	if resident, err := world.StatusValue(d.pid(), "VmRSS"); err == nil {
		t.Logf("%d KiB after it was asked for all of them once", resident)
	}

	files, err := world.OpenFiles(d.pid())
	if err != nil {
		t.Fatal(err)
	}
	more := len(files) - len(filesEmpty)
	t.Logf("%d descriptors, %d without services", len(files), len(filesEmpty))
	if more > budgetDescriptors*manyServices {
		t.Errorf("%d services have %d descriptors, more than %d each", manyServices, more, budgetDescriptors)
	}
	if zombies, err := world.Zombies(d.pid()); err != nil || zombies > 0 {
		t.Errorf("%d zombies, %v", zombies, err)
	}

	with, without := goroutines(t, d), goroutines(t, empty)
	t.Logf("%d goroutines, %d without services", with, without)
	if with > without {
		t.Errorf("%d goroutines with %d services, %d without: their number must not grow", with, manyServices, without)
	}
}

// goroutines counts them by ending the daemon with SIGABRT, on which the Go
// runtime prints the stack of each. It must be the last thing that is asked: a
// new daemon takes the place of this one and clears away what it left.
func goroutines(t *testing.T, d *daemon) int {
	t.Helper()
	if err := d.command.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	if err := d.wait(); err == nil {
		t.Fatal("the daemon survived SIGABRT")
	}
	text, err := os.ReadFile(d.log)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for stack := range strings.SplitSeq(string(text), "\n\n") {
		// The runtime starts workers of its own when it first collects garbage.
		if strings.HasPrefix(stack, "goroutine ") && !strings.Contains(stack, "created by runtime.") {
			count++
		}
	}
	if count < 2 {
		t.Fatalf("cannot count the goroutines:\n%s", text)
	}
	// What this test has to say of the log has been said; the rest of the log is
	// not to be flooded with it.
	if err := errors.Join(os.WriteFile(d.log+".stacks", text, 0o644), os.Truncate(d.log, 0)); err != nil {
		t.Fatal(err)
	}
	if err := d.again(); err != nil {
		t.Fatal(err)
	}
	return count
}

// again starts the daemon anew in its place, with the directory as it is.
func (d *daemon) again() error {
	d.command = newCommand(d.command.Path, d.command.Args[1:]...)
	return d.launch()
}

// described joins what is not in the other list, for a message about a leak.
func described(now, before []string) string {
	count := map[string]int{}
	for _, target := range now {
		count[target]++
	}
	for _, target := range before {
		count[target]--
	}
	var extra []string
	for target, n := range count {
		if n > 0 {
			extra = append(extra, fmt.Sprintf("%d of %s", n, target))
		}
	}
	return strings.Join(extra, ", ")
}
