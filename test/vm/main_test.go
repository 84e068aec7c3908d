package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/test/world"
)

// needEnv makes it a failure when a guest cannot be booted. Without it the tests
// say what is missing and are skipped.
const needEnv = "RECONCILER_NEED_VM"

// built makes the programs that run in the guests, once and when first asked for.
var built struct {
	daemon, beacon, guest func() (string, error)
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "reconciler-vm-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	once := func(pkg string) func() (string, error) {
		return sync.OnceValues(func() (string, error) {
			file := filepath.Join(folder, filepath.Base(pkg))
			return file, world.Build(file, pkg, "-trimpath", "-ldflags", "-s -w")
		})
	}
	built.daemon, built.beacon, built.guest = once("svc.d/cmd/reconciler"), once("svc.d/test/beacon"), once("svc.d/test/vm/guest")
	return m.Run()
}

// parts are what guests are made of, or the test is skipped.
func parts(t *testing.T, find func() (Parts, error)) Parts {
	t.Helper()
	p, err := find()
	if err != nil {
		if os.Getenv(needEnv) == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return p
}

// guest is a machine of a test.
type guest struct {
	*Machine
	t       *testing.T
	tellers []string // commands that print what a failure wants to know
}

// addBuilt adds a program of ours.
func (a *Archive) addBuilt(t *testing.T, name string, build func() (string, error)) {
	t.Helper()
	file, err := build()
	if err == nil {
		err = a.AddProgram(name, file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ramDisk is what every guest of ours has: the daemon and its services.
func ramDisk(t *testing.T, p Parts) *Archive {
	t.Helper()
	file, err := built.guest()
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Base(file)
	if err != nil {
		t.Fatal(err)
	}
	a.addBuilt(t, "/bin/reconciler", built.daemon)
	a.addBuilt(t, "/srv/beacon", built.beacon)
	return a
}

// boot starts a guest that ends with the test. A test that fails tells what the
// guest said.
func boot(t *testing.T, p Parts, a *Archive, disks []Disk, arguments string, tellers ...string) *guest {
	t.Helper()
	m, err := p.Boot(t.TempDir(), a, disks, arguments)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{m, t, tellers}
	t.Cleanup(func() {
		if t.Failed() {
			g.tell()
		}
		m.PowerLoss()
	})
	return g
}

func (g *guest) tell() {
	for _, command := range g.tellers {
		output, err := g.Run(command)
		g.t.Logf("%s: %v\n%s", command, err, tail(output))
		if errors.Is(err, ErrSilent) {
			break // it will not answer the others either
		}
	}
	g.t.Logf("console:\n%s", tail(g.Console()))
}

func tail(text string) string { return text[max(0, len(text)-12_000):] }

// sh runs the command in the guest, and ends the test when it fails. What it
// printed comes without blanks around it.
func (g *guest) sh(format string, arguments ...any) string {
	g.t.Helper()
	return g.did(g.Run(fmt.Sprintf(format, arguments...)))
}

// await waits until the command succeeds in the guest.
func (g *guest) await(format string, arguments ...any) string {
	g.t.Helper()
	return g.did(g.Await(fmt.Sprintf(format, arguments...)))
}

func (g *guest) did(output string, err error) string {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(output)
}

// off waits until the guest has switched itself off.
func (g *guest) off() {
	g.t.Helper()
	if err := g.WaitOff(); err != nil {
		g.t.Fatal(err)
	}
}

// reboots waits for the greeting after a reboot.
func (g *guest) reboots() {
	g.t.Helper()
	if _, err := g.Greeting(); err != nil {
		g.t.Fatal(err)
	}
}

// services are the processes of the services, and what they have recorded.
// Nothing has happened to any service while they stay the same.
type services struct{ Running, Records []string }

func (g *guest) services() services {
	g.t.Helper()
	return services{lines(g.sh("guest running /srv")), lines(g.sh("cat /records"))}
}

func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// untouched judges that nothing has happened to any service.
func (g *guest) untouched(before services) {
	g.t.Helper()
	if difference := cmp.Diff(before, g.services()); difference != "" {
		g.t.Errorf("services (-before +after):\n%s", difference)
	}
}
