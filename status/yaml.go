package status

import (
	"bytes"
	"encoding/json"
	"fmt"

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
	n.Style = 0
	for _, child := range n.Content {
		toBlock(child)
	}
}
