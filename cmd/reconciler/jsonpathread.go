package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// templateReader reads a template from left to right.
type templateReader struct {
	rest  string
	depth int
}

// maxTemplateDepth bounds ranges within ranges, and filters within filters.
const maxTemplateDepth = 20

// errUnclosed is kubectl's word for it.
var errUnclosed = errors.New("unclosed action: a } is missing")

// template reads up to the end, or to the {end} of a range.
func (r *templateReader) template(inRange bool) (template, error) {
	t := template{}
	for r.rest != "" {
		text, after, found := strings.Cut(r.rest, "{")
		if text != "" {
			t = append(t, templatePart{text: text})
		}
		if r.rest = after; !found {
			break
		}
		r.space()
		if r.take("end") {
			if r.space(); !r.take("}") {
				return nil, errUnclosed
			}
			if !inRange {
				return nil, errors.New("there is an {end} without a {range}")
			}
			return t, nil
		}
		part, err := r.action()
		if err != nil {
			return nil, err
		}
		t = append(t, part)
	}
	if inRange {
		return nil, errors.New("a {range} has no {end}")
	}
	return t, nil
}

// action reads what stands between braces.
func (r *templateReader) action() (part templatePart, err error) {
	if strings.HasPrefix(r.rest, `"`) || strings.HasPrefix(r.rest, "'") {
		part.text, err = r.quoted()
	} else {
		part.loop = r.take("range ")
		part.path, err = r.path()
	}
	if err != nil {
		return part, err
	}
	if r.space(); !r.take("}") {
		if r.rest == "" {
			return part, errUnclosed
		}
		return part, fmt.Errorf("%q is not understood after a path", shortened(r.rest))
	}
	if part.loop {
		if r.depth++; r.depth > maxTemplateDepth {
			return part, errors.New("it has too many ranges within one another")
		}
		part.body, err = r.template(true)
		r.depth--
	}
	return part, err
}

// path reads steps, as many as there are.
func (r *templateReader) path() (path, error) {
	r.space()
	p := path{}
	switch {
	case r.take("$"):
		p = append(p, toRoot)
	case r.take("@"):
	case !strings.HasPrefix(r.rest, ".") && !strings.HasPrefix(r.rest, "["):
		return nil, fmt.Errorf("%q is no path: it begins with a dot", shortened(r.rest))
	}
	for {
		switch {
		case r.take(".."):
			p = append(p, toEverything)
			if strings.HasPrefix(r.rest, "[") {
				continue
			}
			step, err := r.field()
			if err != nil {
				return nil, err
			}
			p = append(p, step)
		case strings.HasPrefix(r.rest, ".["):
			r.take(".")
		case r.take("."):
			if end := strings.TrimLeft(r.rest, " "); end == "" || strings.ContainsAny(end[:1], "})=!<>,]") {
				return p, nil // {.} is the value itself
			}
			step, err := r.field()
			if err != nil {
				return nil, err
			}
			p = append(p, step)
		case r.take("["):
			step, err := r.brackets()
			if err != nil {
				return nil, err
			}
			p = append(p, step)
		default:
			return p, nil
		}
	}
}

// field reads a name, in which \ takes the meaning from what follows it.
func (r *templateReader) field() (pathStep, error) {
	if r.take("*") {
		return toAll, nil
	}
	var name strings.Builder
	for i := 0; ; i++ {
		if i < len(r.rest) && r.rest[i] == '\\' && i+1 < len(r.rest) {
			i++
		} else if i == len(r.rest) || strings.IndexByte(".[]{}()=!<>,'\" \t\n", r.rest[i]) >= 0 {
			r.rest = r.rest[i:]
			break
		}
		name.WriteByte(r.rest[i])
	}
	if name.Len() == 0 {
		return nil, errors.New("the name of a field is missing after a dot")
	}
	return toField(name.String()), nil
}

// brackets reads what stands after a [.
func (r *templateReader) brackets() (pathStep, error) {
	r.space()
	if r.take("?(") {
		return r.filter()
	}
	if r.take("*") {
		return toAll, r.close()
	}
	var each []path
	for {
		r.space()
		step, err := r.subscript()
		if err != nil {
			return nil, err
		}
		each = append(each, step)
		if r.space(); !r.take(",") {
			break
		}
	}
	return toEach(each), r.close()
}

func (r *templateReader) close() error {
	if r.space(); !r.take("]") {
		return errors.New("unclosed bracket: a ] is missing, or what stands in it is not understood")
	}
	return nil
}

// subscript reads a number, a slice, or a quoted name, which may be a path.
func (r *templateReader) subscript() (path, error) {
	if strings.HasPrefix(r.rest, `"`) || strings.HasPrefix(r.rest, "'") {
		quote := r.rest[:1]
		name, after, found := strings.Cut(r.rest[1:], quote)
		if !found {
			return nil, errors.New("unclosed quote in a bracket")
		}
		r.rest = after
		inner := &templateReader{rest: withDot(name)}
		p, err := inner.path()
		if err == nil && inner.rest != "" {
			err = fmt.Errorf("%q is no name of a field", name)
		}
		return p, err
	}
	from, err := r.number()
	if err != nil {
		return nil, err
	}
	if r.space(); !r.take(":") {
		if from == nil {
			return nil, errors.New("a bracket takes a number, *, a slice as in 0:2, a quoted name, or a filter ?(...)")
		}
		return path{toElement(*from)}, nil
	}
	r.space()
	to, err := r.number()
	return path{toElements(from, to)}, err
}

// number reads a number; nil when there is none.
func (r *templateReader) number() (*int, error) {
	end := 0
	for end < len(r.rest) && (r.rest[end] >= '0' && r.rest[end] <= '9' || end == 0 && r.rest[end] == '-') {
		end++
	}
	if end == 0 {
		return nil, nil
	}
	n, err := strconv.Atoi(r.rest[:end])
	if err != nil {
		return nil, fmt.Errorf("%q is no number", shortened(r.rest))
	}
	r.rest = r.rest[end:]
	return &n, nil
}

// filter reads a comparison up to its end.
func (r *templateReader) filter() (pathStep, error) {
	if r.depth++; r.depth > maxTemplateDepth {
		return nil, errors.New("it has too many filters within one another")
	}
	defer func() { r.depth-- }()
	left, err := r.operand()
	if err != nil {
		return nil, err
	}
	r.space()
	var operator string
	var right operand
	for _, o := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if r.take(o) {
			operator = o
			right, err = r.operand()
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if r.space(); !r.take(")") {
		return nil, fmt.Errorf("%q is not understood in a filter: write one as in [?(@.type==\"Ready\")]", shortened(r.rest))
	}
	return toMatching(left, operator, right), r.close()
}

func (r *templateReader) operand() (o operand, err error) {
	r.space()
	switch {
	case strings.HasPrefix(r.rest, `"`), strings.HasPrefix(r.rest, "'"):
		o.value, err = r.quoted()
	case strings.HasPrefix(r.rest, "@"), strings.HasPrefix(r.rest, "$"), strings.HasPrefix(r.rest, "."):
		o.path, err = r.path()
	case r.take("true"):
		o.value = true
	case r.take("false"):
		o.value = false
	default:
		end := strings.IndexAny(r.rest, " )=!<>]")
		if end < 0 {
			end = len(r.rest)
		}
		var f float64
		if f, err = strconv.ParseFloat(r.rest[:end], 64); err != nil {
			return o, fmt.Errorf("%q is not understood in a filter: write a path (@.name), a number, or a text in quotes", shortened(r.rest))
		}
		o.value, r.rest = f, r.rest[end:]
	}
	return o, err
}

// quoted reads a text in quotes, with escapes as in Go.
func (r *templateReader) quoted() (string, error) {
	quote := r.rest[0]
	for i := 1; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
		case quote:
			inner := r.rest[1:i]
			r.rest = r.rest[i+1:]
			if quote == '\'' {
				inner = strings.ReplaceAll(strings.ReplaceAll(inner, `\'`, "'"), `"`, `\"`)
			}
			text, err := strconv.Unquote(`"` + inner + `"`)
			if err != nil {
				return "", fmt.Errorf("the quoted text %q is not understood", shortened(inner))
			}
			return text, nil
		}
	}
	return "", errors.New("unclosed quote")
}

func (r *templateReader) space() { r.rest = strings.TrimLeft(r.rest, " \t\n") }

func (r *templateReader) take(word string) bool {
	rest, ok := strings.CutPrefix(r.rest, word)
	if ok {
		r.rest = rest
	}
	return ok
}

// shortened keeps messages on one line.
func shortened(text string) string {
	const most = 20
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
