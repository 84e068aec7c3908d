package spec

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object says what may stand in one kind of object of a manifest. It is the
// one table for reading, for what is suggested, and for the schema.
type object[T any] struct {
	fields []field[T]
	// later are the fields that are known but not supported by this version.
	later []string
	// foreign are names that people know from elsewhere.
	foreign []hint
}

// field is one field of the object.
type field[T any] struct {
	name     string
	required bool
	// read sets the field of the object; node is never null.
	read func(d *decoder, node *yaml.Node, to *T)
}

// hint tells what to do about a name.
type hint struct{ name, message string }

// readObject reads node into to. A field that is null is not set, as in
// Kubernetes.
func readObject[T any](d *decoder, node *yaml.Node, o *object[T], to *T) {
	node = resolve(node)
	if node.Kind != yaml.MappingNode && !isNull(node) {
		d.must(node, "an object with the fields "+quoteAll(o.names(), "and"))
		return
	}
	// Bits by index; no object has 64 fields. A field that was misspelt is not
	// reported as missing too.
	var given, set, meant uint64
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := resolve(node.Content[i]), resolve(node.Content[i+1])
		if !d.keyIsText(key) {
			meant = ^uint64(0) // nobody knows what it was to bring
			continue
		}
		at := o.index(key.Value)
		if at < 0 {
			message, misspelt := o.explain(key.Value)
			d.failKey(key, key.Value, message)
			meant |= misspelt
			continue
		}
		if given&(1<<at) != 0 {
			d.failKey(key, key.Value, "is given twice")
			continue
		}
		given |= 1 << at
		if isNull(value) {
			continue
		}
		set |= 1 << at
		d.enter(o.fields[at].name)
		o.fields[at].read(d, value, to)
		d.leave()
	}
	for at := range o.fields {
		if o.fields[at].required && (set|meant)&(1<<at) == 0 {
			d.enter(o.fields[at].name)
			d.add(Problem{Source: Source{Line: node.Line + d.base}, Column: node.Column, Field: d.field(), Message: "is required"})
			d.leave()
		}
	}
}

// keyIsText refuses what cannot name a field.
func (d *decoder) keyIsText(key *yaml.Node) bool {
	switch {
	case key.Kind != yaml.ScalarNode:
		d.must(key, "an object whose keys are text")
		return false
	case key.Tag == "!!merge":
		d.fail(key, "merge keys (<<) are not supported; write the fields out")
		return false
	default:
		return true
	}
}

func (o *object[T]) index(name string) int {
	for i := range o.fields {
		if o.fields[i].name == name {
			return i
		}
	}
	return -1
}

// required lists the names of the fields that must be given.
func (o *object[T]) required() []string {
	var names []string
	for i := range o.fields {
		if o.fields[i].required {
			names = append(names, o.fields[i].name)
		}
	}
	return names
}

func (o *object[T]) names() []string {
	names := make([]string, len(o.fields))
	for i := range o.fields {
		names[i] = o.fields[i].name
	}
	return names
}

// explain says what is wrong with a name that is no field, and which field
// (its bit) was probably meant.
func (o *object[T]) explain(name string) (message string, misspelt uint64) {
	if slices.Contains(o.later, name) {
		return "not supported by this version", 0
	}
	for _, known := range o.foreign {
		if strings.EqualFold(known.name, name) {
			return "unknown field: " + known.message, 0
		}
	}
	meant := suggest(name, append(o.names(), o.later...))
	if meant == "" {
		return "unknown field; allowed are " + quoteAll(o.names(), "and"), 0
	}
	if at := o.index(meant); at >= 0 {
		misspelt = 1 << at
	}
	return "unknown field, did you mean \"" + meant + "\"?", misspelt
}
