package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// template is a JSONPath template of kubectl: texts, {paths}, {"quoted"} texts, and
// {range path}...{end}. What an object does not have is printed as nothing.
type template []templatePart

// templatePart is a text, a path, or a range over a path.
type templatePart struct {
	text string
	path path // nil: a text
	body template
	loop bool
}

// parseTemplate reads the template of a flag, such as {.status.phase}. One path may
// do without braces.
func parseTemplate(flag, text string) (template, error) {
	source := text
	if !strings.ContainsAny(text, "{}") {
		source = "{" + withDot(text) + "}"
	}
	r := &templateReader{rest: source}
	t, err := r.template(false)
	if text == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use --%s %q: %w; write a path as in '{.status.phase}'", flag, text, err)
	}
	return t, nil
}

func withDot(path string) string {
	if strings.HasPrefix(path, ".") || strings.HasPrefix(path, "$") || strings.HasPrefix(path, "[") {
		return path
	}
	return "." + path
}

// write writes what the template makes of data.
func (t template) write(w io.Writer, data any) error {
	var out bytes.Buffer
	if err := t.fill(&out, data, data); err != nil {
		return fmt.Errorf("cannot fill in the template: %w", err)
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (t template) fill(out *bytes.Buffer, root, current any) error {
	for i := range t {
		part := &t[i]
		if part.path == nil {
			out.WriteString(part.text)
			continue
		}
		values, err := part.path.follow(root, current)
		if err != nil {
			return err
		}
		for n, v := range values {
			switch {
			case part.loop:
				if err := part.body.fill(out, root, v); err != nil {
					return err
				}
				continue
			case n > 0:
				out.WriteByte(' ')
			}
			out.WriteString(text(v))
		}
	}
	return nil
}

// find returns the values that a path leads to.
func (t template) find(data any) ([]any, error) {
	var found []any
	for i := range t {
		if t[i].path == nil {
			continue
		}
		values, err := t[i].path.follow(data, data)
		if err != nil {
			return nil, fmt.Errorf("cannot follow the path: %w", err)
		}
		found = append(found, values...)
	}
	return found, nil
}

// path is the steps that lead from a value to others.
type path []pathStep

// pathStep is one of them: from each value to those that it leads to. root is what a
// $ within a filter means.
type pathStep func(root, value any) ([]any, error)

// maxValues keeps a path such as ..*..*..* from taking all of the memory.
const maxValues = 1 << 21

func (p path) follow(root, current any) ([]any, error) {
	values := []any{current}
	for _, step := range p {
		var next []any
		for _, v := range values {
			led, err := step(root, v)
			if err != nil {
				return nil, err
			}
			if next = append(next, led...); len(next) > maxValues {
				return nil, errors.New("the path leads to too many values")
			}
		}
		values = next
	}
	return values, nil
}

func toRoot(root, _ any) ([]any, error) { return []any{root}, nil }

func toField(name string) pathStep {
	return func(_, v any) ([]any, error) {
		if m, ok := v.(map[string]any); ok {
			if field, ok := m[name]; ok {
				return []any{field}, nil
			}
		}
		return nil, nil
	}
}

// toAll leads to each element, or field in order of names.
func toAll(_, v any) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case map[string]any:
		var all []any
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, v[k])
		}
		return all, nil
	}
	return nil, nil
}

// toEverything leads to the value itself and all that is in it.
func toEverything(root, v any) ([]any, error) {
	all := []any{v}
	within, _ := toAll(root, v)
	for _, one := range within {
		more, _ := toEverything(root, one)
		all = append(all, more...)
	}
	return all, nil
}

func toElement(n int) pathStep {
	return func(_, v any) ([]any, error) {
		list, ok := v.([]any)
		if !ok {
			return nil, nil
		}
		i := n
		if i < 0 {
			i += len(list)
		}
		if i < 0 || i >= len(list) {
			return nil, fmt.Errorf("there is no element [%d] in a list of %d", n, len(list))
		}
		return list[i : i+1], nil
	}
}

// toElements leads to those from one up to before another, as in [1:3]; from the end
// when they are negative.
func toElements(from, to *int) pathStep {
	return func(_, v any) ([]any, error) {
		list, ok := v.([]any)
		if !ok {
			return nil, nil
		}
		bound := func(n *int, missing int) int {
			switch {
			case n == nil:
				return missing
			case *n < 0:
				return max(0, len(list)+*n)
			}
			return min(*n, len(list))
		}
		first, last := bound(from, 0), bound(to, len(list))
		return list[first:max(first, last)], nil
	}
}

// toEach leads to what each of several paths leads to.
func toEach(paths []path) pathStep {
	return func(root, v any) ([]any, error) {
		var all []any
		for _, p := range paths {
			values, err := p.follow(root, v)
			if err != nil {
				return nil, err
			}
			all = append(all, values...)
		}
		return all, nil
	}
}

// operand is a side of a comparison: a value or a path.
type operand struct {
	value any
	path  path // from the element
}

func (o operand) of(root, element any) (any, bool, error) {
	if o.path == nil {
		return o.value, true, nil
	}
	values, err := o.path.follow(root, element)
	if err != nil || len(values) == 0 {
		return nil, false, err
	}
	return values[0], true, nil
}

// toMatching leads to the elements for which a comparison holds; without an operator,
// those that have the left side.
func toMatching(left operand, operator string, right operand) pathStep {
	return func(root, v any) ([]any, error) {
		elements, _ := toAll(root, v)
		var matching []any
		for _, e := range elements {
			a, has, err := left.of(root, e)
			if err != nil {
				return nil, err
			}
			holds := has
			if has && operator != "" {
				b, hasOther, err := right.of(root, e)
				if err != nil {
					return nil, err
				}
				holds = hasOther && compares(compareValues(a, b), operator)
			}
			if holds {
				matching = append(matching, e)
			}
		}
		return matching, nil
	}
}

func compares(order int, operator string) bool {
	switch operator {
	case "==":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}
