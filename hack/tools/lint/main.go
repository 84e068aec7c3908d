// Command lint is the vet tool of hack/test: staticcheck's analyzers and the
// check that switches over enums name every member.
//
// It is run by go vet -vettool, which keeps its results in the build cache, so
// that a package that did not change is not looked at again.
package main

import (
	"go/token"

	"github.com/nishanths/exhaustive/passes/exhaustive"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
	"honnef.co/go/tools/unused"
)

// style are the style checks that we hold: error texts, receiver names,
// double imports, and the form of doc comments.
var style = map[string]bool{
	"ST1000": true, "ST1005": true, "ST1008": true, "ST1012": true, "ST1016": true,
	"ST1017": true, "ST1019": true, "ST1020": true, "ST1021": true, "ST1022": true,
}

func main() {
	// A default case says what becomes of all others; a switch without one has
	// to name every member, so that the member of next year is not forgotten.
	must(exhaustive.Analyzer.Flags.Set("d", "true"))
	// Ours alone: nobody lists all of syscall.Errno.
	must(exhaustive.Analyzer.Flags.Set("typeonly", `^svc\.d/`))

	analyzers := []*analysis.Analyzer{exhaustive.Analyzer, nilness.Analyzer, unusedwrite.Analyzer, dead}
	for _, list := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers} {
		for _, a := range list {
			if !a.Doc.NonDefault {
				analyzers = append(analyzers, a.Analyzer)
			}
		}
	}
	for _, a := range stylecheck.Analyzers {
		if style[a.Analyzer.Name] {
			analyzers = append(analyzers, a.Analyzer)
		}
	}
	unitchecker.Main(analyzers...)
}

// dead reports what nothing in its package uses (staticcheck's U1000, which
// hands out its findings as a result instead of reporting them).
var dead = &analysis.Analyzer{
	Name:     "U1000",
	Doc:      "reports unexported things that nothing uses",
	Requires: []*analysis.Analyzer{unused.Analyzer.Analyzer},
	Run: func(pass *analysis.Pass) (any, error) {
		result := pass.ResultOf[unused.Analyzer.Analyzer].(unused.Result)
		for _, object := range result.Unused {
			pass.Reportf(place(pass, object), "%s %s is unused", object.Kind, object.Name)
		}
		return nil, nil
	},
}

// place turns a printed position back into one of the file set.
func place(pass *analysis.Pass, object unused.Object) token.Pos {
	for _, file := range pass.Files {
		if f := pass.Fset.File(file.FileStart); f.Name() == object.Position.Filename {
			return f.LineStart(object.Position.Line) + token.Pos(object.Position.Column-1)
		}
	}
	return token.NoPos
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
