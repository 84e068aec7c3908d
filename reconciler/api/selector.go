package api

import (
	"fmt"
	"slices"
	"strings"
)

// operator is how a requirement of a selector is met.
type operator uint8

const (
	in        operator = iota // the value is one of those given
	notIn                     // it is not, or there is none
	exists                    // there is a value
	notExists                 // there is none
)

// requirement is a part of a selector. All of them have to be met.
type requirement struct {
	key      string
	operator operator
	values   []string
}

func (r *requirement) met(value string, has bool) bool {
	switch r.operator {
	case in:
		return has && slices.Contains(r.values, value)
	case notIn:
		return !has || !slices.Contains(r.values, value)
	case exists:
		return has
	case notExists:
		return !has
	}
	return false
}

// selector is a label selector and a field selector. The zero one selects everything.
type selector struct{ labels, fields []requirement }

func (s *selector) matches(o object) bool {
	if !(Labels{s.labels}).Match(o.meta().Labels) {
		return false
	}
	for n := range s.fields {
		if r := &s.fields[n]; !r.met(o.field(r.key), true) {
			return false
		}
	}
	return true
}

// Labels selects by labels, in the grammar of Kubernetes' label selectors.
type Labels struct{ all []requirement }

// ParseLabels reads a selector, as the server does. An empty one selects everything.
func ParseLabels(text string) (Labels, error) {
	all, err := parseLabels(text)
	return Labels{all}, err
}

// Match says whether something with these labels is selected.
func (l Labels) Match(labels map[string]string) bool {
	for n := range l.all {
		r := &l.all[n]
		if value, has := labels[r.key]; !r.met(value, has) {
			return false
		}
	}
	return true
}

// parseFields reads Kubernetes' grammar of field selectors: a=b, a==b and a!=b with
// commas between them. allowed are the fields that there are.
func parseFields(text string, allowed []string) (all []requirement, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		r := requirement{operator: in}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("invalid selector: %q; it is given as FIELD=VALUE or FIELD!=VALUE", part)
		}
		if before, not := strings.CutSuffix(key, "!"); not {
			key, r.operator = before, notIn
		} else {
			value = strings.TrimPrefix(value, "=")
		}
		if r.key = key; !slices.Contains(allowed, key) {
			return nil, fmt.Errorf("field label not supported: %q; there are %s", key, strings.Join(allowed, ", "))
		}
		r.values = []string{value}
		all = append(all, r)
	}
	return all, nil
}

// parseLabels reads Kubernetes' grammar of label selectors: a=b, a==b, a!=b, a in (b, c),
// a notin (b, c), a and !a, with commas between them.
func parseLabels(text string) (all []requirement, err error) {
	l := labelLexer{text: text}
	for l.space(); !l.done(); {
		r, err := l.requirement()
		if err != nil {
			return nil, fmt.Errorf("unable to parse the selector %q: %w", text, err)
		}
		all = append(all, r)
		if l.done() {
			break
		}
		if !l.take(",") {
			return nil, fmt.Errorf("unable to parse the selector %q: found %q, expected ','", text, l.rest())
		}
		if l.space(); l.done() {
			return nil, fmt.Errorf("unable to parse the selector %q: it ends with a comma", text)
		}
	}
	return all, nil
}

// labelLexer reads a label selector from the left.
type labelLexer struct {
	text string
	at   int
}

func (l *labelLexer) done() bool   { return l.at == len(l.text) }
func (l *labelLexer) rest() string { return l.text[l.at:] }

func (l *labelLexer) space() {
	for !l.done() && strings.IndexByte(" \t\r\n", l.text[l.at]) >= 0 {
		l.at++
	}
}

// take passes over symbol and what is empty behind it, if it stands here.
func (l *labelLexer) take(symbol string) bool {
	if !strings.HasPrefix(l.rest(), symbol) {
		return false
	}
	l.at += len(symbol)
	l.space()
	return true
}

// word reads a key or a value, which may be empty.
func (l *labelLexer) word() (string, error) {
	begin := l.at
	for !l.done() && strings.IndexByte(" \t\r\n,=!()", l.text[l.at]) < 0 {
		c := l.text[l.at]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_./", c) >= 0 {
			l.at++
			continue
		}
		return "", fmt.Errorf("found %q, which no label has", l.rest())
	}
	word := l.text[begin:l.at]
	l.space()
	return word, nil
}

func (l *labelLexer) requirement() (r requirement, err error) {
	if l.take("!") {
		r.operator = notExists
	} else {
		r.operator = exists
	}
	if r.key, err = l.word(); err != nil {
		return r, err
	}
	if r.key == "" {
		return r, fmt.Errorf("found %q, expected a label's name", l.rest())
	}
	if r.operator == notExists {
		return r, nil
	}
	switch {
	case l.take("!="):
		r.operator, err = notIn, l.one(&r)
	case l.take("=="), l.take("="):
		r.operator, err = in, l.one(&r)
	case l.set("notin"):
		r.operator, err = notIn, l.many(&r)
	case l.set("in"):
		r.operator, err = in, l.many(&r)
	}
	return r, err
}

// set passes over an operator that is a word.
func (l *labelLexer) set(word string) bool {
	rest, is := strings.CutPrefix(l.rest(), word)
	return is && strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), "(") && l.take(word)
}

func (l *labelLexer) one(r *requirement) error {
	value, err := l.word()
	r.values = []string{value}
	return err
}

func (l *labelLexer) many(r *requirement) error {
	l.take("(")
	for {
		if err := l.another(r); err != nil {
			return err
		}
		if l.take(")") {
			return nil
		}
		if !l.take(",") {
			return fmt.Errorf("found %q, expected ',' or ')'", l.rest())
		}
	}
}

func (l *labelLexer) another(r *requirement) error {
	value, err := l.word()
	r.values = append(r.values, value)
	return err
}
