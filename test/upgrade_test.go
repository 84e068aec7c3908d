package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"svc.d/test/world"
)

// later are the edits that make a later version of the program: a field more, of
// which a process must be replaced when it is edited, with a default.
var later = []struct{ file, before, after string }{
	{"spec/service.go", "\tMinReadySeconds int32 `json:\"minReadySeconds\" edit:\"live\"`\n",
		"\tMinReadySeconds int32 `json:\"minReadySeconds\" edit:\"live\"`\n\tFlavor string `json:\"flavor\" edit:\"restart\"`\n"},
	{"spec/defaults.go", "\t\tTerminationGracePeriodSeconds: 30,\n", "\t\tTerminationGracePeriodSeconds: 30,\n\t\tFlavor: \"plain\",\n"},
	{"spec/same.go", "\t\t\ta.Lifetime == b.Lifetime\n", "\t\t\ta.Lifetime == b.Lifetime && a.Flavor == b.Flavor\n"},
	{"spec/fields.go", "\t\t{\"minReadySeconds\", false,",
		"\t\t{\"flavor\", false, func(d *decoder, n *yaml.Node, s *Spec) { s.Flavor = d.word(n, []string{\"plain\", \"spicy\"}) }},\n\t\t{\"minReadySeconds\", false,"},
}

// buildLater builds the program of a copy of the sources that was edited.
var buildLater = sync.OnceValues(func() (string, error) {
	folder := filepath.Join(built.folder, "later")
	list, err := exec.Command("git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard", "*.go", "go.mod", "go.sum").Output()
	if err != nil {
		return "", fmt.Errorf("git ls-files: %w", err)
	}
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSpace(path)
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", path))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and git does not know yet
		}
		for _, edit := range later {
			if edit.file == path && strings.Count(string(text), edit.before) != 1 {
				return "", fmt.Errorf("cannot edit %s: it has no %q", path, edit.before)
			} else if edit.file == path {
				text = []byte(strings.Replace(string(text), edit.before, edit.after, 1))
			}
		}
		to := filepath.Join(folder, path)
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o644)); err != nil {
			return "", err
		}
	}
	program := filepath.Join(folder, "reconciler-later")
	command := exec.Command("go", "build", "-o", program, "-ldflags", "-X main.version=v99.0.0", "./cmd/reconciler")
	command.Dir, command.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the later version: %w\n%s", err, output)
	}
	return program, nil
})

// TestAnUpgradeAndADowngradeRestartNothing: of 200 services, by SIGHUP and by a
// crash in between, to a version that knows a field more and back.
func TestAnUpgradeAndADowngradeRestartNothing(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the services of this test are written for x86-64")
	}
	t.Parallel()
	const many = 200
	atOnce(t, tortured("upgrade", built.release, func(w *torture) {
		old, next := w.binary, program(w.t, buildLater)
		w.copied()
		if err := world.WriteMarkingSleeper(w.root + "/services/sleeper"); err != nil {
			w.t.Fatal(err)
		}
		for n := range many {
			text := fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: service-%d}\nspec: {command: [%s/services/sleeper, \"%d\"]}\n", n, w.root, n)
			if err := w.declare(fmt.Sprintf("%d.yaml", n), text); err != nil {
				w.t.Fatal(err)
			}
		}
		w.start()
		if err := await(w.folders.started(many)); err != nil {
			w.t.Fatal(err)
		}
		pids := w.sleepers()
		unchanged := func(after string) {
			w.t.Helper()
			if now := w.sleepers(); !maps.Equal(now, pids) {
				w.t.Errorf("after %s other processes run: %d, %d before", after, len(now), len(pids))
			}
			if err := w.folders.started(len(pids))(); err != nil {
				w.t.Errorf("after %s: %v", after, err)
			}
		}
		w.install(next)
		w.reexecs()
		w.is("v99.0.0")
		unchanged("the upgrade")

		if err := w.declare("spicy.yaml", fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: spicy}\nspec: {flavor: spicy, command: [%s/services/sleeper, spicy]}\n", w.root)); err != nil {
			w.t.Fatal(err)
		}
		if err := await(w.folders.started(many + 1)); err != nil {
			w.t.Fatal(err)
		}
		pids = w.sleepers()
		w.syncs()
		w.kill9()
		w.start()
		w.is("v99.0.0")
		unchanged("a crash of the later version")

		w.install(old)
		w.reexecs()
		w.is("dev")
		unchanged("the downgrade")
		w.kill9()
		w.install(next)
		w.start()
		w.is("v99.0.0")
		unchanged("a crash of the earlier version, and an upgrade by the next start")
	}))
}

// syncs has the daemon write down all it knows: it does before it hands over.
func (w *torture) syncs() { w.reexecs() }

// is checks the version of the daemon that runs.
func (w *torture) is(version string) {
	w.t.Helper()
	answer, err := w.daemon.asks("/version")
	var v struct{ GitVersion string }
	if err := errors.Join(err, json.Unmarshal(answer, &v)); err != nil {
		w.t.Fatal(err)
	}
	if v.GitVersion != version {
		w.t.Fatalf("the daemon is of version %q, not %q", v.GitVersion, version)
	}
}

// sleepers are the processes that run, by pid.
func (w *torture) sleepers() map[int]string {
	running, err := world.Running(w.root + "/services")
	if err != nil {
		w.t.Error(err)
	}
	pids := map[int]string{}
	for _, p := range running {
		pids[p.Pid] = p.Command
	}
	return pids
}
