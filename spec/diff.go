package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// EditClass says what an edit of a field does to a running process.
type EditClass string

// The classes, as the tag `edit` of Spec's fields has them.
const (
	// EditRestart: the process must be replaced.
	EditRestart EditClass = "restart"
	// EditLive: takes effect on the running process.
	EditLive EditClass = "live"
)

// Change is one field that differs.
type Change struct {
	// Field is the path as in a manifest: "spec.env[1].value".
	Field string `json:"field"`
	// Old and New are the values as a manifest has them; empty when the field
	// is not there, as an item of a list that became shorter.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Class says what the change does.
	Class EditClass `json:"class"`
}

// Diff returns what changed from a to b, neither nil, in the order of the
// fields; names in a map are in alphabetical order. Where the documents stand
// is no part of it. Any change of class EditRestart means that SameProcess is
// false, and the other way round.
func Diff(a, b *Service) []Change {
	d := &differ{class: EditLive}
	d.walk("metadata", reflect.ValueOf(a.Metadata), reflect.ValueOf(b.Metadata))
	specType := reflect.TypeFor[Spec]()
	before, after := reflect.ValueOf(a.Spec), reflect.ValueOf(b.Spec)
	for i := range specType.NumField() {
		field := specType.Field(i)
		d.class = EditClass(field.Tag.Get("edit"))
		d.walk("spec."+jsonName(field), before.Field(i), after.Field(i))
	}
	return d.changes
}

// differ collects changes. An invalid reflect.Value stands for what is absent.
type differ struct {
	class   EditClass
	changes []Change
}

func (d *differ) walk(path string, a, b reflect.Value) {
	a, b = pointee(a), pointee(b)
	present := a
	if !present.IsValid() {
		present = b
	}
	if !present.IsValid() {
		return
	}
	switch isLeaf := present.Type().Implements(reflect.TypeFor[fmt.Stringer]()); {
	case isLeaf:
		d.leaf(path, a, b)
	case present.Kind() == reflect.Struct:
		for i := range present.NumField() {
			field := present.Type().Field(i)
			if a.IsValid() != b.IsValid() && present.Field(i).IsZero() && strings.Contains(field.Tag.Get("json"), ",omit") {
				continue // not written on the one side, not there on the other
			}
			d.walk(path+pathElement(jsonName(field), false), part(a, func() reflect.Value { return a.Field(i) }), part(b, func() reflect.Value { return b.Field(i) }))
		}
	case present.Kind() == reflect.Slice:
		d.slices(path, a, b)
	case present.Kind() == reflect.Map:
		d.maps(path, a, b)
	default:
		d.leaf(path, a, b)
	}
}

func (d *differ) slices(path string, a, b reflect.Value) {
	lengthA, lengthB := length(a), length(b)
	if lengthA == 0 && lengthB == 0 && a.IsValid() && b.IsValid() && a.IsNil() != b.IsNil() {
		d.add(path, emptyList(a), emptyList(b))
	}
	for i := range max(lengthA, lengthB) {
		var itemA, itemB reflect.Value
		if i < lengthA {
			itemA = a.Index(i)
		}
		if i < lengthB {
			itemB = b.Index(i)
		}
		d.walk(fmt.Sprintf("%s[%d]", path, i), itemA, itemB)
	}
}

func (d *differ) maps(path string, a, b reflect.Value) {
	var names []string
	for _, m := range []reflect.Value{a, b} {
		for i := 0; m.IsValid() && i < m.Len(); i++ {
			names = append(names, m.MapKeys()[i].String())
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		key := reflect.ValueOf(name)
		d.walk(path+pathElement(name, false), part(a, func() reflect.Value { return a.MapIndex(key) }), part(b, func() reflect.Value { return b.MapIndex(key) }))
	}
}

func (d *differ) leaf(path string, a, b reflect.Value) {
	before, after := leafText(a), leafText(b)
	if before != after || a.IsValid() != b.IsValid() {
		d.add(path, before, after)
	}
}

func (d *differ) add(path, before, after string) {
	d.changes = append(d.changes, Change{Field: path, Old: before, New: after, Class: d.class})
}

func leafText(v reflect.Value) string {
	if !v.IsValid() {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// emptyList tells a list that is empty from one that is not given.
func emptyList(v reflect.Value) string {
	if v.IsNil() {
		return ""
	}
	return "[]"
}

func length(v reflect.Value) int {
	if !v.IsValid() {
		return 0
	}
	return v.Len()
}

func part(whole reflect.Value, of func() reflect.Value) reflect.Value {
	if !whole.IsValid() {
		return whole
	}
	return of()
}

func pointee(v reflect.Value) reflect.Value {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		return v.Elem() // of a nil pointer: what is absent
	}
	return v
}

// jsonName is the name of a struct's field in a manifest.
func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}
