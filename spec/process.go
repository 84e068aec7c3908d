package spec

import (
	"strconv"
	"strings"
)

// Invocation is what execve(2) is given.
type Invocation struct {
	// Argv is never empty. Its first is the program, which may have to be
	// looked up in the PATH of Env.
	Argv []string
	// Env are NAME=value lines; no name stands there twice.
	Env []string
}

// Process returns how the replica with that ordinal is invoked. The
// environment is made of base (what the host gives to every process: PATH,
// HOME, ...), then SVC_NAME and SVC_REPLICA, then files (what envFrom names,
// with the prefixes already put before), then the manifest's env. A later
// definition of a name replaces the value of an earlier one in its place.
//
// References $(NAME) are expanded as Kubernetes does it: in the values of env
// from all variables before it, in command and args from all; "$$" stands for
// "$", and a reference to what is not defined stays as it is written. Values of
// base and files are taken as they are.
//
// The result is the caller's own.
func (s *Service) Process(ordinal int32, base, files []EnvVar) Invocation {
	e := environment{
		at:   make(map[string]int, len(base)+len(files)+len(s.Spec.Env)+2),
		vars: make([]EnvVar, 0, len(base)+len(files)+len(s.Spec.Env)+2),
	}
	for _, v := range base {
		e.set(v.Name, v.Value)
	}
	e.set("SVC_NAME", s.Metadata.Name)
	e.set("SVC_REPLICA", strconv.Itoa(int(ordinal)))
	for _, v := range files {
		e.set(v.Name, v.Value)
	}
	for _, v := range s.Spec.Env {
		e.set(v.Name, e.expand(v.Value))
	}
	argv := make([]string, 0, len(s.Spec.Command)+len(s.Spec.Args))
	for _, words := range [][]string{s.Spec.Command, s.Spec.Args} {
		for _, word := range words {
			argv = append(argv, e.expand(word))
		}
	}
	return Invocation{Argv: argv, Env: e.lines()}
}

// environment is a list of variables without duplicates.
type environment struct {
	at   map[string]int
	vars []EnvVar
}

func (e *environment) set(name, value string) {
	if i, known := e.at[name]; known {
		e.vars[i].Value = value
		return
	}
	e.at[name] = len(e.vars)
	e.vars = append(e.vars, EnvVar{Name: name, Value: value})
}

func (e *environment) lines() []string {
	lines := make([]string, len(e.vars))
	for i, v := range e.vars {
		lines[i] = v.Name + "=" + v.Value
	}
	return lines
}

// expand replaces $(NAME). What follows a "$" decides: another "$" makes one of
// both; "(" up to the next ")" is a reference, or stays as it is without one;
// before anything else, and at the end, the "$" stands for itself.
func (e *environment) expand(text string) string {
	dollar := strings.IndexByte(text, '$')
	if dollar < 0 {
		return text
	}
	var out strings.Builder
	for ; dollar >= 0; dollar = strings.IndexByte(text, '$') {
		out.WriteString(text[:dollar])
		text = text[dollar:]
		length := 1
		switch {
		case strings.HasPrefix(text, "$$"):
			out.WriteByte('$')
			length = 2
		case strings.HasPrefix(text, "$("):
			length = e.reference(text, &out)
		default:
			out.WriteByte('$')
		}
		text = text[length:]
	}
	out.WriteString(text)
	return out.String()
}

// reference writes what text, which begins with "$(", stands for, and returns
// the length of what it has read.
func (e *environment) reference(text string, out *strings.Builder) int {
	end := strings.IndexByte(text, ')')
	if end < 0 {
		out.WriteString("$(")
		return len("$(")
	}
	if i, known := e.at[text[len("$("):end]]; known {
		out.WriteString(e.vars[i].Value)
	} else {
		out.WriteString(text[:end+1])
	}
	return end + 1
}
