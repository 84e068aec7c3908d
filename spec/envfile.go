package spec

import (
	"bytes"
	"fmt"
	"strings"
)

// ParseEnvFile reads a file of envFrom; file is its name for messages.
//
//   - One variable a line: NAME=VALUE. Lines end with LF or CR LF. Space around
//     a line, around NAME and before and after VALUE does not count.
//   - Empty lines and lines that begin with "#" are passed over. "export "
//     before NAME is too, so that a file may serve a shell as well.
//   - NAME consists of visible characters other than "=" and quotes.
//   - VALUE in single quotes is taken as it is. In double quotes \n, \r and \t
//     are LF, CR and TAB, and a backslash before any other character stands for
//     that character. After the closing quote only a comment may follow. A
//     quoted value ends in its line.
//   - VALUE without quotes is taken as it is: "#", "\" and "$" have no meaning.
//
// Nothing is expanded. Of two lines with one NAME both are returned, in order.
// The error names all lines that are wrong, the first ten at most.
func ParseEnvFile(file string, data []byte) ([]EnvVar, error) {
	var vars []EnvVar
	var wrong []string
	number := 0
	for raw := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		number++
		line := string(bytes.TrimSpace(raw))
		if line == "" || line[0] == '#' {
			continue
		}
		v, complaint := parseEnvLine(line)
		if complaint == "" {
			vars = append(vars, v)
			continue
		}
		if wrong = append(wrong, fmt.Sprintf("line %d: %s", number, complaint)); len(wrong) == maxEnvComplaints {
			break
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("cannot read environment file %s: %s", file, strings.Join(wrong, "; "))
	}
	return vars, nil
}

// maxEnvComplaints bounds the message for a file that is something else.
const maxEnvComplaints = 10

func parseEnvLine(line string) (v EnvVar, complaint string) {
	if strings.IndexByte(line, 0) >= 0 {
		return v, "a NUL byte"
	}
	if rest, found := strings.CutPrefix(line, "export"); found && strings.TrimLeft(rest, " \t") != rest {
		line = strings.TrimLeft(rest, " \t")
	}
	name, value, found := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !found {
		return v, "want NAME=VALUE"
	}
	if name == "" || strings.ContainsAny(name, "\"' \t\v\f\r") {
		return v, quote(name) + " is no name of a variable"
	}
	if value == "" || value[0] != '"' && value[0] != '\'' {
		return EnvVar{name, value}, checkEnvLength(name, value)
	}
	text, rest, closed := unquote(value)
	rest = strings.TrimSpace(rest)
	switch {
	case !closed:
		return v, "the closing quote is missing"
	case rest != "" && rest[0] != '#':
		return v, "something follows the closing quote"
	default:
		return EnvVar{name, text}, checkEnvLength(name, text)
	}
}

func checkEnvLength(name, value string) string {
	if len(name)+len(value)+len("=") > maxArgLength {
		return "must be shorter than 128 KiB: the kernel takes no longer variable"
	}
	return ""
}

// unquote reads the quoted text that value begins with.
func unquote(value string) (text, rest string, closed bool) {
	quote := value[0]
	var out strings.Builder
	for i := 1; i < len(value); i++ {
		c := value[i]
		switch {
		case c == quote:
			return out.String(), value[i+1:], true
		case c == '\\' && quote == '"' && i+1 < len(value):
			i++
			c = value[i]
			switch c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			}
		}
		out.WriteByte(c)
	}
	return "", "", false
}
