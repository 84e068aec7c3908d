package spec

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is what one manifest file says.
type File struct {
	// Services are those of the documents that have no problem.
	Services []*Service
	// Configurations holds at most one: a second one is a problem.
	Configurations []*Configuration
	// Problems are in order of document and line.
	Problems []Problem
	// Ignored are documents of somebody else's API group.
	Ignored []Ignored
}

const (
	// maxProblems bounds what a file that is no manifest at all can report;
	// the rest of it is not read.
	maxProblems = 50
	// maxValueShown bounds the value in a message; a line should hold both.
	maxValueShown = 40
)

// Parser reads manifests under a configuration of the daemon.
type Parser struct {
	// Defaults are what services mean that do not say it themselves: those of
	// Configuration.ServiceDefaults. What is read shares memory with them.
	Defaults Spec
}

// Parse reads one manifest file with the built-in defaults; see Parser.Parse.
func Parse(file string, data []byte) File { return Parser{Defaults: Defaults()}.Parse(file, data) }

// Parse reads one manifest file. The extension of file decides how: .json is
// JSON, an object or an array of objects; everything else is YAML of one or
// many documents. Relative paths inside are resolved against the folder of
// file, so file should be absolute; it is the logical path.
//
// All problems of all documents are reported at once; a document that has one
// yields nothing. Documents that are empty are passed over. Since of the
// problems is left zero. Time and memory are bounded by a small multiple of
// the length of data; how long that may be is for the caller to say. Nothing
// of data is kept. Safe for concurrent use.
//
// Aliases (*name) stand for what they refer to; merge keys (<<) are refused.
// Fields that are null are not set. Words that only YAML 1.1 takes for a truth
// value (yes, on) are text.
func (p Parser) Parse(file string, data []byte) File {
	d := &decoder{file: file, defaults: &p.Defaults}
	if strings.EqualFold(filepath.Ext(file), ".ini") {
		d.failAt(0, 0, iniMessage)
		return d.result
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if line, column, what := findJunk(data); what != "" {
		d.failAt(line, column, what)
		return d.result
	}
	if strings.EqualFold(filepath.Ext(file), ".json") {
		d.parseJSON(data)
	} else {
		d.parseYAML(data)
	}
	// Fields that are missing are noticed after those that are there. The note
	// that problems are not shown stays behind those that are.
	shown := d.result.Problems[:min(len(d.result.Problems), maxProblems)]
	slices.SortStableFunc(shown, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Document, b.Document), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.result
}

// String renders the problem in one line:
// "web.yaml:7:3: spec.comand: unknown field, did you mean "command"?".
func (p Problem) String() string {
	text := printable(p.File)
	if p.Line > 0 {
		text += ":" + strconv.Itoa(p.Line)
		if p.Column > 0 {
			text += ":" + strconv.Itoa(p.Column)
		}
	}
	if p.Field != "" {
		text += ": " + p.Field
	}
	return text + ": " + p.Message
}

// Public is the problem without what it quotes that may be a secret: the values of
// variables and of the headers of probes, and files that are no manifests at all.
func (p Problem) Public() Problem {
	for _, field := range []string{"spec.env", ".httpHeaders"} {
		before, after, found := strings.Cut(p.Field, field)
		if !found || field == "spec.env" && (before != "" || after != "" && after[0] != '[') {
			continue
		}
		element, _, isElement := strings.Cut(after, "]")
		if p.Field = before + field; isElement {
			p.Field += element + "]"
		}
		p.Value, p.Message = "", notShown
		return p
	}
	if p.Field == "" && (p.Value != "" || strings.Contains(p.Message, "anchor")) {
		p.Value, p.Message = "", notShown
	}
	return p
}

const notShown = "is wrong; what it holds is not shown to you"

// printable is a path as it is shown: a name may hold what a terminal obeys.
func printable(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

// String says on one line what is ignored, and what to do about it:
// "web.yaml:1: ignored, since it is apps/v1 Deployment and not svc.d/v1: ...".
func (i Ignored) String() string {
	text := printable(i.File) + ":" + strconv.Itoa(i.Line) + ": ignored"
	if what := strings.TrimSpace(i.APIVersion + " " + i.Kind); what != "" {
		text += ", since it is " + what + " and not " + APIVersion
	}
	if i.Hint != "" {
		text += ": " + i.Hint
	}
	return text
}

// Error returns what String returns.
func (p Problem) Error() string { return p.String() }
