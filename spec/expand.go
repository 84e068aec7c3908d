package spec

import "strings"

// Expander expands references to the variables of an environment.
type Expander struct{ e environment }

// NewExpander takes NAME=value lines, as Invocation.Env has them.
func NewExpander(env []string) *Expander {
	x := &Expander{environment{at: make(map[string]int, len(env))}}
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		x.e.set(name, value)
	}
	return x
}

// Text expands $(NAME) as Process does in args.
func (x *Expander) Text(text string) string { return x.e.expand(text) }

// Texts does so for each; the result is the caller's own.
func (x *Expander) Texts(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = x.e.expand(text)
	}
	return out
}
