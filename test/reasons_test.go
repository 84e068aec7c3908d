package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheReasonsOfEventsAreDocumented: README's table is what the code has.
func TestTheReasonsOfEventsAreDocumented(t *testing.T) {
	reasons := constants(t, "../reconciler/reason.go")
	var want []string
	for name, value := range constants(t, "../reconciler/occurrence.go") {
		if value == "" {
			t.Fatalf("%s has no value", name)
		}
		if ref, ok := strings.CutPrefix(value, "="); ok { // made of a Reason
			value = reasons[ref]
		}
		want = append(want, value)
	}
	// What could not be started is told by why.
	for _, name := range group(t, "../reconciler/reason.go", "Why a start or a check failed") {
		want = append(want, reasons[name])
	}
	want = append(want, reasons["ReasonDaemonized"])
	slices.Sort(want)
	want = slices.Compact(want)

	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Events\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for line := range strings.Lines(section) {
		if cell, ok := strings.CutPrefix(line, "| `"); ok {
			reason, _, _ := strings.Cut(cell, "`")
			got = append(got, reason)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("README's table of events (-code +README)\n%s", diff)
	}
}

// constants are the constants of a file: their text, or "=NAME" of one that is made of
// another.
func constants(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		switch value := v.Values[0].(type) {
		case *ast.BasicLit:
			if all[v.Names[0].Name], err = strconv.Unquote(value.Value); err != nil {
				t.Fatal(err)
			}
		case *ast.CallExpr:
			if of, ok := value.Args[0].(*ast.Ident); ok {
				all[v.Names[0].Name] = "=" + of.Name
			}
		}
		return true
	})
	return all
}

// group are the names of the group of constants whose comment begins so.
func group(t *testing.T, path, comment string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || !strings.HasPrefix(g.Doc.Text(), comment) {
			continue
		}
		for _, s := range g.Specs {
			names = append(names, s.(*ast.ValueSpec).Names[0].Name)
		}
	}
	return names
}
