package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// findJunk looks for what no text holds and says where and what it is.
func findJunk(data []byte) (line, column int, what string) {
	ascii := true
	for i, c := range data {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0x7f {
			line, column = position(data, i)
			return line, column, fmt.Sprintf("is not text: it holds the byte %#02x", c)
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii || utf8.Valid(data) {
		return 0, 0, ""
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			line, column = position(data, i)
			break
		}
		i += size
	}
	return line, column, "is not UTF-8; save it in that encoding"
}

// position returns line and column of an offset, both from 1.
func position(data []byte, offset int) (line, column int) {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte{'\n'}) + 1, utf8.RuneCount(before[start:]) + 1
}

// parseYAML reads the documents one by one, so that a syntax error in one does
// not hide what is wrong in the others.
func (d *decoder) parseYAML(data []byte) {
	if what := foreignFormat(firstLine(data)); what != "" {
		d.failAt(1, 0, what)
		return
	}
	line := 0
	for len(data) > 0 {
		piece := data[:endOfDocument(data)]
		data = data[len(piece):]
		d.base = line
		d.parsePiece(piece)
		line += bytes.Count(piece, []byte{'\n'})
	}
}

// endOfDocument returns where the first line that starts a further document
// begins. Such a line begins with "---" whatever it stands in, block scalars
// and quotes included (YAML 1.2, 9.1.2). Comments and directives belong to the
// document that they precede.
func endOfDocument(data []byte) int {
	content := false
	for start := 0; start < len(data); {
		end := len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		line := data[start:end]
		rest, marker := bytes.CutPrefix(line, []byte("---"))
		marker = marker && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
		if marker && content {
			return start
		}
		if marker {
			line = rest
		}
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && (line[0] != '%' || marker) {
			content = true
		}
		start = end
	}
	return len(data)
}

// parsePiece reads what stands between two "---" lines: one document, or more
// where "..." ends one.
func (d *decoder) parsePiece(data []byte) {
	reader := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decodeNode(reader, &root)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			d.doc++
			d.syntaxError(data, err)
			return
		}
		if len(root.Content) == 1 && !isNull(root.Content[0]) {
			d.doc++
			d.document(root.Content[0])
		}
	}
}

// decodeNode guards against a fault of the YAML library: a file must not be
// able to end the daemon.
func decodeNode(reader *yaml.Decoder, root *yaml.Node) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the YAML library failed: %v", fault)
		}
	}()
	return reader.Decode(root)
}

// syntaxError reports what the library says ("yaml: line 3: ...") in words
// that help, where the usual causes can be told.
func (d *decoder) syntaxError(data []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, found := strings.CutPrefix(message, "line "); found {
		if number, text, found := strings.Cut(rest, ": "); found {
			if parsed, err := strconv.Atoi(number); err == nil {
				line, message = parsed, text
			}
		}
	}
	// Errors of its parser, other than those of its scanner, count from 0.
	if strings.HasPrefix(message, "did not find expected") && slices.Contains(parserComplaints, message[len("did not find expected "):]) {
		line++
	}
	if name, found := strings.CutPrefix(message, "unknown anchor '"); found {
		name, _, _ = strings.Cut(name, "'")
		line, _ = position(data, max(bytes.Index(data, []byte("*"+name)), 0))
	}
	text := lineOf(data, line)
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		message = "a tab indents this line; use spaces"
	case message == "found incompatible YAML document":
		message = "remove the line that begins with %YAML"
	}
	d.failAt(d.base+line, 0, "cannot read YAML: "+message)
}

// parserComplaints are the ends of the library's messages with such a line.
var parserComplaints = []string{
	"<stream-start>", "<document start>", "node content", "'-' indicator", "key", "',' or ']'", "',' or '}'",
}

// foreignFormat tells what a file with that first line is, or returns "". Both
// would be taken for a YAML list of one word with something wrong after it.
func foreignFormat(first string) string {
	switch {
	case first == "[Unit]", first == "[Service]", first == "[Install]":
		return "this is a systemd unit; write a Service of " + APIVersion + " instead"
	case strings.HasPrefix(first, "[program:"), first == "[supervisord]":
		return iniMessage
	default:
		return ""
	}
}

const iniMessage = "INI is not supported by this version; write YAML or JSON"

func lineOf(data []byte, number int) string {
	for range number - 1 {
		_, data, _ = bytes.Cut(data, []byte{'\n'})
	}
	line, _, _ := bytes.Cut(data, []byte{'\n'})
	return string(line)
}

// firstLine returns the first line that is neither empty nor a comment.
func firstLine(data []byte) string {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && string(line) != "---" {
			return string(line)
		}
	}
	return ""
}
