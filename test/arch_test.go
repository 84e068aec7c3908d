package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "svc.d"

// arrows are the packages of ours and what each may import of ours. Arrows
// point one way. A test may import what the package itself may not.
var arrows = map[string][]string{
	"spec":                {},
	"status":              {},
	"watch":               {"spec"},
	"reconciler":          {"spec", "status"},
	"reconciler/host":     {"reconciler", "reconciler/logs", "spec"},
	"reconciler/hosttest": {"reconciler", "spec"},
	"reconciler/api":      {"reconciler", "reconciler/events", "spec", "status", "reconciler/logs/cri", "reconciler/logs/reader"},
	"reconciler/record":   {"reconciler", "spec"},
	"reconciler/probe":    {"reconciler", "spec"},
	"reconciler/events":   {"reconciler", "spec", "status"},
	"reconciler/logs":     {"spec", "reconciler/logs/cri", "reconciler/logs/reader"},
	"reconciler/logs/cri": {},
	// The reader knows files, not how they come to be.
	"reconciler/logs/reader": {"reconciler/logs/cri"},
	"cmd/reconciler": {"spec", "status", "watch", "reconciler", "reconciler/host", "reconciler/api", "reconciler/record", "reconciler/probe",
		"reconciler/events", "reconciler/logs", "reconciler/logs/cri", "reconciler/logs/reader"},
	"test":          {},
	"test/beacon":   {},
	"test/bench":    {"test/lines", "test/world"},
	"test/lines":    {},
	"test/scribe":   {"test/lines"},
	"test/vm":       {"test/world"},
	"test/vm/guest": {"test/world"},
	"test/world":    {},
}

// daemonModules are the modules that may be linked into the daemon: why, and
// what each costs in machine code (go tool nm -size, x86-64). A new dependency
// gets a line here.
var daemonModules = map[string]string{
	"github.com/go-logr/logr":          "the interface that our log is written to; 1 kB",
	"github.com/go-logr/zapr":          "logr on zap; 10 kB",
	"go.uber.org/zap":                  "structured log, JSON and console, without allocations; 155 kB",
	"go.uber.org/multierr":             "comes with zap; 4 kB",
	"github.com/spf13/cobra":           "the command line: sub-commands, help, completion; 64 kB",
	"github.com/spf13/pflag":           "comes with cobra; 23 kB",
	"github.com/coreos/go-systemd/v22": "sd_notify and the watchdog, as systemd has them; 3 kB",
	"golang.org/x/sys":                 "pidfd, epoll, inotify, leases, statfs; 19 kB",
	"golang.org/x/term":                "is this a terminal, and how wide; 1 kB",
	"go.yaml.in/yaml/v3":               "YAML with the position of every value; 202 kB",
}

// testModules are the modules that tests may use besides.
var testModules = map[string]string{
	"github.com/google/go-cmp":                 "differences that can be read",
	"github.com/rogpeppe/go-internal":          "testscript: the end-to-end scripts",
	"github.com/santhosh-tekuri/jsonschema/v6": "a validator that is not ours judges the JSON Schema",
	"golang.org/x/text":                        "comes with jsonschema",
	"golang.org/x/tools":                       "comes with testscript, which reads txtar with it",
	"pgregory.net/rapid":                       "generated inputs that shrink",
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath   string
	Doc          string
	Dir          string
	Standard     bool
	ForTest      string
	Module       *struct{ Path string }
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// ours returns the path within the module, and whether it is one of ours.
func ours(importPath string) (string, bool) {
	path, variant, _ := strings.Cut(importPath, " ") // "svc.d/spec [svc.d/spec.test]"
	_ = variant
	return strings.CutPrefix(path, module+"/")
}

func goList(t *testing.T, arguments ...string) []listed {
	t.Helper()
	command := exec.Command("go", append([]string{"list", "-json=ImportPath,Doc,Dir,Standard,ForTest,Module,Imports,GoFiles,TestGoFiles,XTestGoFiles"}, arguments...)...)
	command.Dir = ".."
	command.Stderr = t.Output()
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var packages []listed
	for decoder := json.NewDecoder(output); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if err := command.Wait(); err != nil {
		t.Fatal("go list", arguments, err)
	}
	return packages
}

func TestPackagesImportOnlyWhatTheArrowsAllow(t *testing.T) {
	for _, p := range goList(t, "./...") {
		path, _ := ours(p.ImportPath)
		allowed, known := arrows[path]
		if !known {
			t.Errorf("package %s is not in the picture: add it to arrows, and to ARCHITECTURE.md", path)
			continue
		}
		for _, i := range p.Imports {
			if imported, ok := ours(i); ok && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s; it may import %v of ours", path, imported, allowed)
			}
		}
	}
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	linked := map[string]bool{}
	for _, p := range goList(t, "-deps", "./cmd/reconciler") {
		if p.Module == nil || p.Module.Path == module {
			continue
		}
		linked[p.Module.Path] = true
		if daemonModules[p.Module.Path] == "" {
			t.Errorf("the daemon links %s of module %s, which has no line in daemonModules", p.ImportPath, p.Module.Path)
		}
	}
	for _, p := range goList(t, "-deps", "-test", "./...") {
		if p.Module == nil || p.Module.Path == module || linked[p.Module.Path] {
			continue
		}
		linked[p.Module.Path] = true
		if testModules[p.Module.Path] == "" {
			t.Errorf("tests link %s of module %s, which has no line in testModules", p.ImportPath, p.Module.Path)
		}
	}
	for _, list := range []map[string]string{daemonModules, testModules} {
		for path := range list {
			if !linked[path] {
				t.Errorf("nothing links module %s any more: take its line away", path)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if p.Doc == "" {
			t.Errorf("package %s has no doc comment", p.ImportPath)
		}
	}
}

func TestNoPackageHasANameThatSaysNothing(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "shared", "types", "base", "core", "lib", "internal", "pkg"}
	for _, p := range goList(t, "./...") {
		for part := range strings.SplitSeq(p.ImportPath, "/") {
			if slices.Contains(empty, part) {
				t.Errorf("%s: the name %q does not say what the package is for", p.ImportPath, part)
			}
		}
	}
}
