package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/spec"
)

func (a *app) explain() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "explain service[.FIELD...]",
		Short: "Tell what a field of a manifest means",
		Long: `Tell what a field of a manifest means, of which type it is, and which fields it
has. "explain reconcilerconfiguration" is about the daemon's own document.`,
		Example: "  reconciler explain service.spec.readinessProbe\n  reconciler explain service.spec --recursive",
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) != 1 {
				return fmt.Errorf("cannot explain %d things: name one, as in `reconciler explain service.spec.replicas`", len(paths))
			}
			return nil
		},
		ValidArgsFunction: completeField,
		RunE: func(_ *cobra.Command, paths []string) error {
			f, err := findField(paths[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.stdout, f.explain(recursive))
			return err
		},
	}
	cmd.Flags().BoolVar(&recursive, "recursive", false, "the fields of its fields too, without what they mean")
	return cmd
}

// schemaNode is a part of the JSON Schema of manifests.
type schemaNode struct {
	Type        string                 `json:"type"`
	Description string                 `json:"description"`
	Default     json.RawMessage        `json:"default"`
	Enum        []any                  `json:"enum"`
	Const       any                    `json:"const"`
	Properties  map[string]*schemaNode `json:"properties"`
	Items       *schemaNode            `json:"items"`
	AnyOf       []*schemaNode          `json:"anyOf"`
	Required    []string               `json:"required"`
	// Additional is false, or the values of a map.
	Additional json.RawMessage        `json:"additionalProperties"`
	Defs       map[string]*schemaNode `json:"$defs"`
}

// explained is a field to explain, or a kind when it has no name.
type explained struct {
	kind, name string
	node       *schemaNode
}

// findField follows a path such as service.spec.env.name; lists are followed to what
// they hold.
func findField(path string) (*explained, error) {
	text, err := spec.Schema()
	if err != nil {
		return nil, err
	}
	var schema schemaNode
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, fmt.Errorf("cannot read the schema: %w", err)
	}
	words := strings.Split(strings.TrimSuffix(path, "."), ".")
	f := &explained{}
	switch word := strings.ToLower(words[0]); {
	case kindWords[word] == kindServices:
		f.kind = spec.KindService
	case kindWords[word] == kindConfig, word == "reconcilerconfiguration":
		f.kind = spec.KindConfiguration
	default:
		return nil, fmt.Errorf("cannot explain %q: a path begins with service or reconcilerconfiguration, as in service.spec.%s", words[0], words[len(words)-1])
	}
	f.node = schema.Defs[f.kind]
	for n, word := range words[1:] {
		fields := f.node.fields()
		next := fields[strings.TrimSuffix(word, "[]")]
		if next == nil {
			return nil, unknownField(strings.Join(words[:n+1], "."), word, fields)
		}
		f.name, f.node = word, next
	}
	return f, nil
}

func unknownField(at, word string, fields map[string]*schemaNode) error {
	names := slices.Sorted(maps.Keys(fields))
	if len(names) == 0 {
		return fmt.Errorf("cannot explain %s.%s: %s has no fields", at, word, at)
	}
	if best := nearest(names, word); best != "" {
		return fmt.Errorf("cannot explain %s.%s: there is no such field; did you mean %q?", at, word, best)
	}
	return fmt.Errorf("cannot explain %s.%s: there is no such field; there are %s", at, word, strings.Join(names, ", "))
}

// fields are those of an object, or of what a list or a map holds.
func (n *schemaNode) fields() map[string]*schemaNode {
	switch {
	case n.Items != nil:
		return n.Items.fields()
	case n.Properties != nil:
		return n.Properties
	case n.values() != nil:
		return n.values().fields()
	}
	for _, one := range n.AnyOf {
		if fields := one.fields(); fields != nil {
			return fields
		}
	}
	return nil
}

// values describes the values of a map; nil of anything else.
func (n *schemaNode) values() *schemaNode {
	var values schemaNode
	if n.Properties != nil || json.Unmarshal(n.Additional, &values) != nil {
		return nil
	}
	return &values
}

// typeName is the type as kubectl shows types.
func (n *schemaNode) typeName() string {
	switch {
	case n.Items != nil:
		return "[]" + n.Items.typeName()
	case len(n.AnyOf) > 0:
		var names []string
		for _, one := range n.AnyOf {
			if name := one.typeName(); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return strings.Join(names, " or ")
	case n.values() != nil:
		return "map[string]" + n.values().typeName()
	case n.Properties != nil:
		return "Object"
	case n.Type != "":
		return n.Type
	}
	return "string" // one of some words
}

func (f *explained) explain(recursive bool) string {
	var out strings.Builder
	group, version, _ := strings.Cut(spec.APIVersion, "/")
	fmt.Fprintf(&out, "GROUP:      %s\nKIND:       %s\nVERSION:    %s\n\n", group, f.kind, version)
	if f.name != "" {
		fmt.Fprintf(&out, "FIELD: %s <%s>\n", f.name, f.node.typeName())
		for n, word := range f.node.Enum {
			if n == 0 {
				out.WriteString("ENUM:\n")
			}
			fmt.Fprintf(&out, "    %v\n", word)
		}
		out.WriteString("\n\n")
	}
	description := f.node.Description
	if f.name == "" {
		description = map[string]string{
			spec.KindService:       "A process, or several alike, that is kept running.",
			spec.KindConfiguration: "The daemon's own configuration, of which a directory has one at most.",
		}[f.kind]
	}
	out.WriteString("DESCRIPTION:\n" + wrapped(description, "    "))
	if d := string(f.node.Default); d != "" && d != "null" {
		out.WriteString("    Default: " + d + "\n")
	}
	out.WriteString("    \n")
	if fields := f.node.fields(); len(fields) > 0 {
		out.WriteString("FIELDS:\n")
		writeFields(&out, f.node, "  ", recursive)
	}
	out.WriteString("\n")
	return out.String()
}

func writeFields(out *strings.Builder, n *schemaNode, indent string, recursive bool) {
	fields := n.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field := fields[name]
		required := ""
		if slices.Contains(n.required(), name) {
			required = " -required-"
		}
		fmt.Fprintf(out, "%s%s\t<%s>%s\n", indent, name, field.typeName(), required)
		switch {
		case recursive:
			writeFields(out, field, indent+"  ", true)
		default:
			out.WriteString(wrapped(field.Description, "    ") + "\n")
		}
	}
}

// required are the fields that must be there, of what fields tells of.
func (n *schemaNode) required() []string {
	for n.Items != nil {
		n = n.Items
	}
	return n.Required
}

// wrapped breaks a text into lines.
func wrapped(text, indent string) string {
	const width = 80
	var out strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > width && line != indent {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	if line != indent {
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return out.String()
}

// completeField completes a path.
func completeField(_ *cobra.Command, given []string, start string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	end := strings.LastIndexByte(start, '.')
	if end < 0 {
		return []string{"service", "reconcilerconfiguration"}, directive
	}
	f, err := findField(start[:end])
	if err != nil {
		return nil, directive
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(f.node.fields())) {
		paths = append(paths, start[:end+1]+name)
	}
	return paths, directive
}
