package test

import (
	"go/ast"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tolerated are the files and functions that are longer than they should be,
// each with the reason.
var tolerated = map[string]string{
	"reconciler/host/process_test.go": "one test after the other of what a process inherits, and what it leaves",
	"reconciler/observe.go:Observe":   "one short case for each kind of event, and nothing else",
}

const (
	aimFileLines     = 250 // what is longer wants a look, and is listed by -v
	maxFileLines     = 400
	maxTestFileLines = 500
	maxFunctionLines = 60
)

func TestTheTopLevelHoldsWhatTheDesignNames(t *testing.T) {
	// What git knows, not what lies about: a build may leave things.
	output, err := exec.Command("git", "-C", "..", "ls-files").Output()
	if err != nil {
		t.Fatal("git ls-files:", err)
	}
	var got []string
	for path := range strings.Lines(string(output)) {
		first, _, isFolder := strings.Cut(strings.TrimSpace(path), "/")
		if isFolder {
			first += "/"
		}
		if !strings.HasPrefix(first, ".") && !slices.Contains(got, first) {
			got = append(got, first)
		}
	}
	slices.Sort(got)
	want := []string{
		"ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "README.md", "cmd/", "go.mod", "go.sum", "hack/",
		"manifests/", "reconciler/", "spec/", "status/", "test/", "watch/",
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("top level (-want +got):\n%s", difference)
	}
}

func TestFilesAndFunctionsAreShortEnoughToRead(t *testing.T) {
	for _, s := range sources(t) {
		lines := s.fset.Position(s.file.FileEnd).Line
		most := maxFileLines
		if s.isTest() {
			most = maxTestFileLines
		}
		switch {
		case lines > most && tolerated[s.path] == "":
			t.Errorf("%s has %d lines, more than %d: split it, or give the reason in tolerated", s.path, lines, most)
		case lines > aimFileLines:
			t.Logf("%s has %d lines; the aim is %d", s.path, lines, aimFileLines)
		}
		for _, declaration := range s.file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || s.isTest() { // a test's table may be long
				continue
			}
			name := s.path + ":" + f.Name.Name
			length := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			if length > maxFunctionLines && tolerated[name] == "" {
				t.Errorf("%s has %d lines, more than %d: split it, or give the reason in tolerated", name, length, maxFunctionLines)
			}
		}
	}
}

func TestNothingPointsOutOfTheRepository(t *testing.T) {
	output, err := exec.Command("git", "-C", "..", "ls-files", "*.md", "manifests", "hack", ".ci").Output()
	if err != nil {
		t.Fatal("git ls-files:", err)
	}
	for path := range strings.Lines(string(output)) {
		path = strings.TrimSpace(path)
		text, err := os.ReadFile("../" + path)
		if err != nil {
			t.Error(err)
		}
		for _, private := range []string{"/work/", "/root/", "/tmp/wt"} {
			if strings.Contains(string(text), private) {
				t.Errorf("%s names %s, which no other machine has", path, private)
			}
		}
	}
}
