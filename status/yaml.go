package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// YAML returns v, which must be encodable as JSON, as YAML with the keys in the
// order that JSON has them.
func YAML(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %T: %w", v, err)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, fmt.Errorf("cannot read JSON as YAML: %w", err)
	}
	toBlock(&node)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	enc.CompactSeqIndent() // as kubectl writes it
	if err := enc.Encode(&node); err != nil {
		return nil, fmt.Errorf("cannot encode YAML: %w", err)
	}
	return out.Bytes(), nil
}

// toBlock takes away the flow style and the quotes of JSON; the encoder puts
// quotes where they are needed.
func toBlock(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || !isOldWord(n.Value) {
		n.Style = 0
	}
	for _, child := range n.Content {
		toBlock(child)
	}
}

// oldWords are texts that readers of YAML 1.1 take for a truth value or for a
// number in base 60; the encoder follows YAML 1.2 here.
var oldWords = regexp.MustCompile(`^(?i:y|yes|n|no|on|off|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

func isOldWord(text string) bool { return oldWords.MatchString(text) }
