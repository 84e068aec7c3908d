package spec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"svc.d/spec"
)

const schemaFile = "../manifests/schema.json"

func TestSchemaIsCurrent(t *testing.T) {
	got, err := spec.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(schemaFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, schemaFile)), string(got)); diff != "" {
		t.Errorf("%s is not current (-file +types):\n%s\nTo write it: go test ./spec -run TestSchema -update", schemaFile, diff)
	}
}

func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	schema := compile(t)
	for _, path := range fixtures(t, "testdata/good") {
		file := spec.Parse("/d/"+filepath.Base(path), read(t, path))
		if len(file.Problems) > 0 {
			t.Errorf("%s: %v", path, file.Problems)
		}
		for i, document := range documents(t, path) {
			if err := schema.Validate(document); err != nil && document.(map[string]any)["apiVersion"] == spec.APIVersion {
				t.Errorf("%s, document %d: %v", path, i+1, err)
			}
		}
		for _, c := range file.Configurations {
			if err := schema.Validate(asJSON(t, c)); err != nil {
				t.Errorf("%s, the configuration as it is shown: %v", path, err)
			}
		}
		for _, s := range file.Services {
			if err := schema.Validate(asJSON(t, s)); err != nil {
				t.Errorf("%s, %s as it is shown: %v", path, s.Metadata.Name, err)
			}
		}
	}
}

// TestSchemaRejectsWhatIsStructurallyBad shows the schema every document of
// the bad fixtures that a YAML library reads at all.
func TestSchemaRejectsWhatIsStructurallyBad(t *testing.T) {
	schema := compile(t)
	// What stands there no schema can say.
	beyond := map[string]bool{"semantics.yaml": true, "semantics-lives.yaml": true, "configurations.yaml": true}
	rejected := 0
	for _, path := range fixtures(t, "testdata/bad") {
		if beyond[filepath.Base(path)] || filepath.Ext(path) == ".ini" {
			continue
		}
		for i, document := range documents(t, path) {
			rejected++
			if schema.Validate(document) == nil {
				t.Errorf("%s: document %d is accepted: %v", path, i+1, document)
			}
		}
	}
	if rejected < 20 {
		t.Errorf("only %d documents were tried", rejected)
	}
}

// TestSchemaRejectsEachBadValue makes one mistake at a time, which Parse and
// the schema must both refuse.
func TestSchemaRejectsEachBadValue(t *testing.T) {
	schema := compile(t)
	for name, fragment := range map[string]string{
		"an unknown field":           `{command: [a], zzz: 1}`,
		"an unknown condition":       `{command: [a], dependsOn: [{name: b, condition: Up}]}`,
		"a dependency without name":  `{command: [a], dependsOn: [{condition: Ready}]}`,
		"a named port":               `{command: [a], livenessProbe: {tcpSocket: {port: http}}}`,
		"a probe without a port":     `{command: [a], livenessProbe: {httpGet: {path: /}}}`,
		"a period of nothing":        `{command: [a], livenessProbe: {tcpSocket: {port: 80}, periodSeconds: 0}}`,
		"a hook that is a list":      `{command: [a], lifecycle: {preStop: {exec: [a]}}}`,
		"a hook without a command":   `{command: [a], lifecycle: {preStop: {exec: {command: []}}}}`,
		"an init without a name":     `{command: [a], init: [{command: [b]}]}`,
		"a relative directory":       `{command: [a], runtimeDirectories: [{path: run}]}`,
		"a mode that is not octal":   `{command: [a], runtimeDirectories: [{path: /run/a, mode: "8"}]}`,
		"an unknown lifetime":        `{command: [a], lifetime: Forking}`,
		"a deadline of nothing":      `{command: [a], progressDeadlineSeconds: 0}`,
		"no command":                 `{args: [a]}`,
		"an empty command":           `{command: []}`,
		"a command line":             `{command: "a b"}`,
		"a number as argument":       `{command: [a, 1]}`,
		"too many replicas":          `{command: [a], replicas: 1001}`,
		"a negative number":          `{command: [a], replicas: -1}`,
		"replicas as text":           `{command: [a], replicas: "1"}`,
		"env as a map":               `{command: [a], env: {A: b}}`,
		"a variable without name":    `{command: [a], env: [{value: b}]}`,
		"an empty name":              `{command: [a], env: [{name: "", value: b}]}`,
		"a number as value":          `{command: [a], env: [{name: A, value: 1}]}`,
		"envFrom without file":       `{command: [a], envFrom: [{optional: true}]}`,
		"an unknown limit":           `{command: [a], rlimits: {nofiles: 1}}`,
		"a limit as text":            `{command: [a], rlimits: {nofile: "1"}}`,
		"a limit with one side":      `{command: [a], rlimits: {nofile: {soft: 1}}}`,
		"an unknown policy":          `{command: [a], restartPolicy: always}`,
		"a duration without unit":    `{command: [a], backoff: {maxDelay: "10"}}`,
		"a duration as number":       `{command: [a], backoff: {maxDelay: 10}}`,
		"a limit without a window":   `{command: [a], backoff: {limit: {restarts: 1}}}`,
		"no restarts":                `{command: [a], backoff: {limit: {restarts: 0, within: 1s}}}`,
		"an exit code above 255":     `{command: [a], successExitCodes: [256]}`,
		"no exit codes":              `{command: [a], successExitCodes: []}`,
		"a signal in lower case":     `{command: [a], lifecycle: {stopSignal: sigterm}}`,
		"a signal that is none":      `{command: [a], lifecycle: {stopSignal: SIGFOO}}`,
		"a umask beyond 0777":        `{command: [a], securityContext: {umask: "1000"}}`,
		"a umask that is not octal":  `{command: [a], securityContext: {umask: "0088"}}`,
		"a user beyond the range":    `{command: [a], securityContext: {runAsUser: 4294967295}}`,
		"an unknown identity field":  `{command: [a], securityContext: {user: a}}`,
		"a field of a later version": `{command: [a], resources: {}}`,
	} {
		text := "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: a}\nspec: " + fragment + "\n"
		if file := spec.Parse("/d/a.yaml", []byte(text)); len(file.Problems) == 0 {
			t.Errorf("Parse accepts %s", name)
		}
		var document any
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		if schema.Validate(asJSON(t, document)) == nil {
			t.Errorf("the schema accepts %s", name)
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := spec.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// documents reads a fixture as an independent reader does; what comes after a
// syntax error is left out.
func documents(t *testing.T, path string) []any {
	t.Helper()
	var all []any
	data := read(t, path)
	if filepath.Ext(path) == ".json" {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if items, isList := document.([]any); isList {
			for _, item := range items {
				all = append(all, asJSON(t, item))
			}
			return all
		}
		if err == nil {
			all = append(all, asJSON(t, document))
		}
		return all
	}
	reader := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document any
		err := reader.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all
		}
		var typeError *yaml.TypeError
		if errors.As(err, &typeError) {
			continue // a key is given twice
		}
		if err != nil {
			return all
		}
		if document != nil {
			all = append(all, asJSON(t, document))
		}
	}
}

// asJSON turns a Go value into what the validator takes.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	data, err := json.Marshal(textKeys(value))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// textKeys makes the keys of maps text: YAML has others, JSON does not. Fields
// that are null are left out: to Parse they are not set.
func textKeys(value any) any {
	switch value := value.(type) {
	case map[any]any:
		out := map[string]any{}
		for k, v := range value {
			out[fmt.Sprint(k)] = textKeys(v)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, v := range value {
			if v != nil {
				out[k] = textKeys(v)
			}
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, v := range value {
			out[i] = textKeys(v)
		}
		return out
	default:
		return value
	}
}
