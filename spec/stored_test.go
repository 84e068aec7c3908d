package spec_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"svc.d/spec"
)

// requireStored writes a service and reads it as a later start does. Equal is
// what reflect.DeepEqual says: a list that is empty is not one that is nil.
func requireStored(t requirer, s *spec.Service) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := *s
	want.Source = spec.Source{}
	for name, text := range map[string][]byte{"as it was written": data, "with fields of a later version": withUnknown(t, data)} {
		got, err := spec.DecodeService(text)
		if err != nil {
			t.Fatalf("%s %s: %v", text, name, err)
		}
		if !reflect.DeepEqual(&want, got) {
			t.Errorf("%s %s differs (-was +is):\n%s", text, name, cmp.Diff(&want, got))
		}
	}
}

// withUnknown adds fields to every object that has none of the operator's names.
func withUnknown(t requirer, data []byte) []byte {
	t.Helper()
	var document map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		t.Fatal(err)
	}
	add := func(object any) {
		object.(map[string]any)["zzz"] = map[string]any{"command": []int{1}}
		object.(map[string]any)["ZZZ"] = nil
	}
	p := document["spec"].(map[string]any)
	for _, object := range []any{document, document["metadata"], p, p["securityContext"], p["backoff"], p["lifecycle"], p["log"]} {
		add(object)
	}
	for _, list := range []string{"env", "envFrom"} {
		items, _ := p[list].([]any)
		for _, item := range items {
			add(item)
		}
	}
	if limit := p["backoff"].(map[string]any)["limit"]; limit != nil {
		add(limit)
	}
	out, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnyStoredServiceIsReadAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyService(t)
		s.Spec.SuccessExitCodes = rapid.SampledFrom([][]int32{s.Spec.SuccessExitCodes, {}, nil}).Draw(t, "codes")
		requireStored(t, s)
	})
}

func TestWhatIsMissingInAStoredServiceHasItsDefault(t *testing.T) {
	got, err := spec.DecodeService([]byte(`{"metadata": {"name": "web"}, "spec": {"command": ["a"], "backoff": {"maxDelay": "2m"}, "log": {"maxFiles": 7}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService, Metadata: spec.Metadata{Name: "web"}, Spec: spec.Defaults()}
	want.Spec.Command = []string{"a"}
	want.Spec.Backoff.MaxDelay = spec.Duration(2 * time.Minute)
	want.Spec.Log.MaxFiles = 7
	if !reflect.DeepEqual(want, got) {
		t.Errorf("(-want +got)\n%s", cmp.Diff(want, got))
	}
}

func TestAStoredServiceThatCannotBeUsedIsAnError(t *testing.T) {
	for name, fragment := range map[string]string{
		"no command":                        `{}`,
		"an empty command":                  `{"command": []}`,
		"a command without name":            `{"command": [""]}`,
		"a NUL in an argument":              `{"command": ["a"], "args": ["b\u0000"]}`,
		"negative replicas":                 `{"command": ["a"], "replicas": -1}`,
		"more replicas than a number holds": `{"command": ["a"], "replicas": 3000000000}`,
		"a policy of a later version":       `{"command": ["a"], "restartPolicy": "Sometimes"}`,
		"a signal of a later version":       `{"command": ["a"], "lifecycle": {"stopSignal": "SIGLATER"}}`,
		"no delay":                          `{"command": ["a"], "backoff": {"initialDelay": "0s"}}`,
		"a first delay above the last":      `{"command": ["a"], "backoff": {"initialDelay": "2m"}}`,
		"an endless delay":                  `{"command": ["a"], "backoff": {"maxDelay": "999999h"}}`,
		"a negative stable time":            `{"command": ["a"], "backoff": {"stableAfter": "-1s"}}`,
		"a limit without a window":          `{"command": ["a"], "backoff": {"limit": {"restarts": 1}}}`,
		"a negative grace":                  `{"command": ["a"], "terminationGracePeriodSeconds": -1}`,
		"a umask beyond 0777":               `{"command": ["a"], "securityContext": {"umask": "1000"}}`,
		"logs without size":                 `{"command": ["a"], "log": {"maxSize": "0"}}`,
		"a size of a later version":         `{"command": ["a"], "log": {"maxSize": "all"}}`,
		"no file of logs":                   `{"command": ["a"], "log": {"maxFiles": 0}}`,
		"a negative age":                    `{"command": ["a"], "log": {"maxAge": "-1s"}}`,
		"text in place of a list":           `{"command": "a"}`,
		"half of it":                        `{"command": ["a"]`,
	} {
		if s, err := spec.DecodeService([]byte(`{"metadata": {"name": "web"}, "spec": ` + fragment + `}`)); err == nil {
			t.Errorf("%s is read as %+v", name, s)
		}
	}
	for name, text := range map[string]string{
		"another kind":  `{"kind": "Job", "metadata": {"name": "web"}, "spec": {"command": ["a"]}}`,
		"a name with /": `{"metadata": {"name": "../web"}, "spec": {"command": ["a"]}}`,
		"nothing":       ``,
	} {
		if s, err := spec.DecodeService([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", name, s)
		}
	}
}

// stored is an ordinary service as a record has it.
func stored(t testing.TB) []byte {
	t.Helper()
	file := spec.Parse("/etc/svc.d/web.yaml", []byte(`apiVersion: svc.d/v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  command: [/usr/bin/web]
  args: ["--name", "$(SVC_NAME)-$(SVC_REPLICA)", --listen, ":8080"]
  workingDir: /var/lib/web
  env: [{name: PORT, value: "8080"}, {name: MODE, value: production}]
  securityContext: {runAsUser: www-data}
  rlimits: {nofile: 65536}
`))
	data, err := json.Marshal(file.Services[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestAStoredServiceIsReadCheaply guards the start of a daemon, which reads a
// thousand of them.
func TestAStoredServiceIsReadCheaply(t *testing.T) {
	data := stored(t)
	allocations := testing.AllocsPerRun(100, func() {
		if _, err := spec.DecodeService(data); err != nil {
			t.Fatal(err)
		}
	})
	// 47 were measured.
	if allocations > 60 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkDecodeService(b *testing.B) {
	data := stored(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := spec.DecodeService(data); err != nil {
			b.Fatal(err)
		}
	}
}
