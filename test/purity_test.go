package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outside are the packages through which a program touches the machine.
var outside = []string{
	"os", "os/exec", "os/signal", "os/user", "net", "net/http", "syscall", "io/ioutil", "log", "log/slog",
	"golang.org/x/sys/unix", "runtime/debug", "math/rand", "crypto/rand",
}

// pure are the packages that decide and do not act, with what each may use of
// the outside all the same: of these packages, only the names given.
var pure = map[string]map[string]func(name string) bool{
	"spec":       {"syscall": isSignal},
	"status":     {},
	"reconciler": {"syscall": isSignal},
}

// isSignal tells the names of signals, which are no calls.
func isSignal(name string) bool { return name == "Signal" || strings.HasPrefix(name, "SIG") }

// clocks are the functions of package time that read a clock or start one.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// processCalls start or signal a process. Only the host may.
var processCalls = map[string][]string{
	"os":                    {"StartProcess", "FindProcess"},
	"syscall":               {"ForkExec", "StartProcess", "Kill", "Wait4", "Exec"},
	"golang.org/x/sys/unix": {"Kill", "Tgkill", "PidfdSendSignal", "PidfdOpen", "Wait4", "Waitid", "Exec"},
}

// mayStart are the files besides those of the host that start a process, and why.
var mayStart = map[string]string{
	"cmd/reconciler/editor.go": "a person's editor, in the foreground of a command",
}

// source is one parsed file of ours.
type source struct {
	pkg, path string // "reconciler", "reconciler/loop.go"
	file      *ast.File
	fset      *token.FileSet
	imports   map[string]string // local name -> import path
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// uses calls visit for each use of a name of an imported package.
func (s source) uses(visit func(at token.Position, importPath, name string)) {
	ast.Inspect(s.file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok {
			if path := s.imports[x.Name]; path != "" {
				visit(s.fset.Position(selector.Pos()), path, selector.Sel.Name)
			}
		}
		return true
	})
}

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, p := range goList(t, "./...") {
		path, _ := ours(p.ImportPath)
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			s := source{pkg: path, path: path + "/" + name, fset: token.NewFileSet(), imports: map[string]string{}}
			file, err := parser.ParseFile(s.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			s.file = file
			for _, i := range file.Imports {
				imported, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				local := imported[strings.LastIndex(imported, "/")+1:]
				if i.Name != nil {
					local = i.Name.Name
				}
				s.imports[local] = imported
			}
			all = append(all, s)
		}
	}
	return all
}

func TestWhatDecidesDoesNotTouchTheMachine(t *testing.T) {
	for _, s := range sources(t) {
		excepted, isPure := pure[s.pkg]
		if !isPure || s.isTest() {
			continue
		}
		for _, path := range s.imports {
			if slices.Contains(outside, path) && excepted[path] == nil {
				t.Errorf("%s imports %s: package %s decides and must not touch the machine", s.path, path, s.pkg)
			}
		}
		s.uses(func(at token.Position, path, name string) {
			if may := excepted[path]; may != nil && !may(name) {
				t.Errorf("%s: %s.%s: package %s decides and must not touch the machine", at, path, name, s.pkg)
			}
		})
	}
}

func TestOnlyTheLoopReadsTheClock(t *testing.T) {
	for _, s := range sources(t) {
		_, isPure := pure[s.pkg]
		inLoop := s.pkg == "reconciler" && strings.HasPrefix(filepath.Base(s.path), "loop")
		if !isPure || inLoop || s.isTest() {
			continue
		}
		s.uses(func(at token.Position, path, name string) {
			if path == "time" && slices.Contains(clocks, name) {
				t.Errorf("%s: time.%s: time is an argument here; only the loop reads the clock", at, name)
			}
		})
	}
}

func TestOnlyTheHostStartsAndSignalsProcesses(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "reconciler/host" || strings.HasPrefix(s.pkg, "test") || s.isTest() || mayStart[s.path] != "" {
			continue
		}
		s.uses(func(at token.Position, path, name string) {
			if path == "os/exec" || slices.Contains(processCalls[path], name) {
				t.Errorf("%s: %s.%s: only reconciler/host may start and signal processes", at, path, name)
			}
		})
	}
}

func TestNoPackageDoesWorkInInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, declaration := range s.file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: work that nobody asked for", s.fset.Position(f.Pos()))
			}
		}
	}
}

// mayPoll are the files that look again after a while, because the world that
// they judge sends no event. In a synctest bubble Sleep does not wait.
var mayPoll = []string{"test/await_test.go", "reconciler/host/host_test.go"}

func TestNoTestWaitsByTheClock(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest() || slices.Contains(mayPoll, s.path) || s.imports["synctest"] != "" {
			continue
		}
		s.uses(func(at token.Position, path, name string) {
			if path == "time" && name == "Sleep" {
				t.Errorf("%s: time.Sleep: wait for the event instead", at)
			}
		})
	}
}
