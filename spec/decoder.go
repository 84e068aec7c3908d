package spec

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// decoder walks the nodes of a file once and notes what is wrong on its way.
type decoder struct {
	file     string
	defaults *Spec // of services
	result   File

	doc     int            // the document's number, from 1
	base    int            // lines before the piece that is read
	service string         // the document's metadata.name, when it has one
	failed  bool           // the document has a problem
	lines   map[string]int // of the services by name, once there are two
	path    []step
}

// step is one element of a field's path: a name, or an index.
type step struct {
	name  string
	index int // when name is empty
}

func (d *decoder) enter(name string) { d.path = append(d.path, step{name: name}) }
func (d *decoder) enterItem(i int)   { d.path = append(d.path, step{index: i}) }
func (d *decoder) leave()            { d.path = d.path[:len(d.path)-1] }

// field renders the path: spec.env[0].name, metadata.labels["a/b"].
func (d *decoder) field() string {
	var text strings.Builder
	for _, step := range d.path {
		if step.name == "" {
			text.WriteString("[" + strconv.Itoa(step.index) + "]")
			continue
		}
		text.WriteString(pathElement(step.name, text.Len() == 0))
	}
	return text.String()
}

// pathElement renders a name as part of a path.
func pathElement(name string, first bool) string {
	name = truncate(name)
	for _, c := range name {
		if c >= utf8.RuneSelf || !isLowerAlnum(byte(c|0x20)) && c != '-' && c != '_' {
			return "[" + strconv.Quote(name) + "]"
		}
	}
	if first {
		return name
	}
	return "." + name
}

// fail reports a problem of the field that the decoder is in, at node.
func (d *decoder) fail(node *yaml.Node, message string) {
	d.add(Problem{
		Source: Source{Line: node.Line + d.base}, Column: node.Column,
		Field: d.field(), Value: valueOf(node), Message: message,
	})
}

// must reports that node is not what it must be, and what it is.
func (d *decoder) must(node *yaml.Node, what string) {
	message := "must be " + what
	if value := valueOf(node); value != "" {
		message += ", not " + value
	}
	d.fail(node, message)
}

// failKey reports a problem with a field's name.
func (d *decoder) failKey(key *yaml.Node, name, message string) {
	d.enter(name)
	d.add(Problem{
		Source: Source{Line: key.Line + d.base}, Column: key.Column,
		Field: d.field(), Message: message,
	})
	d.leave()
}

// failAt reports a problem of the file as a whole.
func (d *decoder) failAt(line, column int, message string) {
	d.service = ""
	d.add(Problem{Source: Source{Line: line}, Column: column, Message: message})
}

// full tells whether what else is wrong is not reported any more.
func (d *decoder) full() bool { return len(d.result.Problems) > maxProblems }

func (d *decoder) add(p Problem) {
	d.failed = true
	p.File, p.Document, p.Service = d.file, d.doc, d.service
	switch count := len(d.result.Problems); {
	case count < maxProblems:
		d.result.Problems = append(d.result.Problems, p)
	case count == maxProblems:
		d.result.Problems = append(d.result.Problems, Problem{
			Source: p.Source, Message: "there are more problems in this file, which are not shown",
		})
	}
}

// valueOf renders a node for a message.
func valueOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.ScalarNode:
		switch node.Tag {
		case "!!int", "!!float", "!!bool", "!!null":
			return shorten(node.Value)
		}
		return quote(node.Value)
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return valueOf(resolve(node))
	case yaml.DocumentNode:
		return ""
	default:
		return ""
	}
}

// quote renders text for a message: shortened, and in one line.
func quote(text string) string { return strconv.Quote(truncate(text)) }

// shorten is quote without the quotes; what does not print is left out.
func shorten(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, truncate(text))
}

func truncate(text string) string {
	// Counted in bytes first: most texts are short.
	if len(text) <= maxValueShown || utf8.RuneCountInString(text) <= maxValueShown {
		return text
	}
	return string([]rune(text)[:maxValueShown-1]) + "…"
}

// resolve follows an alias (*name) to what it stands for. One step is enough:
// the library points an alias at a node that is none.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// isText tells whether a scalar is text to a person: a date is, too.
func isText(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && (node.Tag == "!!str" || node.Tag == "!!timestamp" || node.Tag == "!!merge")
}

// text reads a string that a system call can take: without NUL.
func (d *decoder) text(node *yaml.Node) (string, bool) {
	node = resolve(node)
	switch {
	case node.Kind != yaml.ScalarNode, isNull(node):
		d.must(node, "text")
		return "", false
	case node.Style&yaml.TaggedStyle != 0 && !isText(node):
		d.fail(node, "must be text without the tag "+quote(node.Tag))
		return "", false
	case !isText(node):
		d.fail(node, "must be text: put "+shorten(node.Value)+" in quotes")
		return "", false
	case strings.IndexByte(node.Value, 0) >= 0:
		d.fail(node, "must not hold a NUL byte")
		return "", false
	}
	return node.Value, true
}

// whole reads a whole number.
func (d *decoder) whole(node *yaml.Node, r bounds) (int64, bool) {
	node = resolve(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!int" {
		// Base 10 only: what 010 means differs from reader to reader.
		if number, err := strconv.ParseInt(node.Value, 10, 64); err == nil && number >= r.min && number <= r.max && !padded(node.Value) {
			return number, true
		}
	}
	d.must(node, r.String())
	return 0, false
}

func padded(digits string) bool { return len(digits) > 1 && digits[0] == '0' }

// truth reads true or false.
func (d *decoder) truth(node *yaml.Node, to *bool) {
	node = resolve(node)
	switch value := strings.ToLower(node.Value); {
	case node.Kind != yaml.ScalarNode || node.Tag != "!!bool" || value != "true" && value != "false":
		d.must(node, "true or false")
	default:
		*to = value == "true"
	}
}

// list returns the items of a list; example shows how one is written.
func (d *decoder) list(node *yaml.Node, example string) []*yaml.Node {
	node = resolve(node)
	if node.Kind != yaml.SequenceNode {
		d.must(node, "a list, as in "+example)
		return nil
	}
	return node.Content
}

// bounds are the whole numbers that a field may take, both ends included.
type bounds struct{ min, max int64 }

// String says it for a message: "a whole number from 0 to 1000".
func (b bounds) String() string {
	return "a whole number from " + strconv.FormatInt(b.min, 10) + " to " + strconv.FormatInt(b.max, 10)
}
