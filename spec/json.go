package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxJSONDepth bounds the nesting of JSON. A manifest has less than ten levels.
const maxJSONDepth = 100

// parseJSON reads an object or an array of objects.
func (d *decoder) parseJSON(data []byte) {
	if len(bytes.TrimSpace(data)) == 0 {
		return
	}
	r := &jsonReader{data: data, tokens: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.tokens.UseNumber()
	root, err := r.value(0)
	if err == nil {
		r.locate()
		if _, more := r.tokens.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the end of the value; put several documents into an array")
		}
	}
	if err != nil {
		d.doc = 1
		d.jsonError(r, err)
		return
	}
	if root.Kind != yaml.SequenceNode {
		d.doc = 1
		d.document(root)
		return
	}
	for _, item := range root.Content {
		d.doc++
		d.document(item)
	}
}

func (d *decoder) jsonError(r *jsonReader, err error) {
	line, column := r.line, r.column
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > 0 {
		line, column = position(r.data, int(min(syntax.Offset, int64(len(r.data))))-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		line, column = position(r.data, len(r.data))
		err = errors.New("the file ends too early")
	}
	d.failAt(line, column, "cannot read JSON: "+err.Error())
}

// jsonReader makes the same nodes of JSON as the YAML library makes of YAML:
// its own parser would also take what is no JSON.
type jsonReader struct {
	data         []byte
	tokens       *json.Decoder
	line, column int // of the token at offset
	offset       int
	lineStart    int
}

// locate moves to the start of the next token.
func (r *jsonReader) locate() {
	next := int(r.tokens.InputOffset())
	for next < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[next]) >= 0 {
		next++
	}
	for i := r.offset; i < next; i++ {
		if r.data[i] == '\n' {
			r.line++
			r.lineStart = i + 1
		}
	}
	r.offset = next
	r.column = len([]rune(string(r.data[r.lineStart:next]))) + 1
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("more than %d levels of nesting", maxJSONDepth)
	}
	r.locate()
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: r.line, Column: r.column}
	token, err := r.tokens.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
		if token == '[' {
			node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		}
		return node, r.members(node, depth)
	case string:
		node.Tag, node.Value, node.Style = "!!str", token, yaml.DoubleQuotedStyle
	case json.Number:
		node.Tag, node.Value = "!!int", token.String()
		if strings.ContainsAny(node.Value, ".eE") {
			node.Tag = "!!float"
		}
	case bool:
		node.Tag, node.Value = "!!bool", fmt.Sprint(token)
	default:
		node.Tag, node.Value = "!!null", "null"
	}
	return node, nil
}

// members reads up to the closing bracket. Keys are values like others: the
// decoder lets only strings stand there.
func (r *jsonReader) members(node *yaml.Node, depth int) error {
	for r.tokens.More() {
		member, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		node.Content = append(node.Content, member)
	}
	_, err := r.tokens.Token()
	return err
}
