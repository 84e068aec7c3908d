package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"svc.d/spec"
	"svc.d/status"
)

// ask is a GET by root.
func ask(t *testing.T, s *Server, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, as(peer{uid: 0}, httptest.NewRequest("GET", path, nil)))
	return w
}

func unmarshal[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestTheOpenAPIDocumentIsCurrent(t *testing.T) {
	file, err := os.ReadFile("../../manifests/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	served := ask(t, NewServer(Config{}), "/openapi/v3/apis/svc.d/v1").Body.Bytes()
	if diff := cmp.Diff(unmarshal[any](t, file), unmarshal[any](t, served)); diff != "" {
		t.Errorf("manifests/openapi.json is not what is served; run hack/update (-file +served)\n%s", diff)
	}
}

func TestTheOpenAPIDocumentHasEveryRoute(t *testing.T) {
	s := NewServer(Config{})
	document := unmarshal[struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name, In string }
		}
	}](t, ask(t, s, "/openapi/v3/apis/svc.d/v1").Body.Bytes())
	ids := map[string]string{}
	m := s.Handler().(*routes)
	if len(m.list) < 25 {
		t.Errorf("only %d routes", len(m.list))
	}
	for n := range m.list {
		r := m.route(n)
		operation, ok := document.Paths[r.path][strings.ToLower(r.method)]
		if !ok {
			t.Errorf("%s %s is not in the document", r.method, r.path)
		}
		if other := ids[operation.OperationID]; other != "" || operation.OperationID == "" {
			t.Errorf("%s and %s have the operationId %q", r.path, other, operation.OperationID)
		}
		ids[operation.OperationID] = r.path
		inPath := 0
		for _, p := range operation.Parameters {
			if p.In == "path" && strings.Contains(r.path, "{"+p.Name+"}") {
				inPath++
			}
		}
		if inPath != strings.Count(r.path, "{") {
			t.Errorf("%s: %d parameters of the path are described", r.path, inPath)
		}
	}
	for path, operations := range document.Paths {
		for method := range operations {
			request := httptest.NewRequest(strings.ToUpper(method), strings.NewReplacer("{", "", "}", "").Replace(path), nil)
			if _, pattern := m.Handler(request); pattern == "/" {
				t.Errorf("%s %s is in the document, and nothing answers it", method, path)
			}
		}
	}
}

// TestAnswersAreAsTheOpenAPIDocumentSays fills every field of what is answered, and
// lets nothing through that the document does not name.
func TestAnswersAreAsTheOpenAPIDocumentSays(t *testing.T) {
	document := unmarshal[map[string]any](t, ask(t, NewServer(Config{}), "/openapi/v3/apis/svc.d/v1").Body.Bytes())
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	for _, schema := range schemas {
		if s := schema.(map[string]any); s["properties"] != nil {
			s["additionalProperties"] = false
		}
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("mem:///openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"ServiceList": &status.ServiceList{}, "Service": &status.Service{}, "ReplicaList": &status.ReplicaObjectList{},
		"Replica": &status.ReplicaObject{}, "EventList": &status.EventList{}, "Event": &status.Event{}, "Status": &status.Failure{},
		"Daemon": &status.Daemon{}, "ConfigurationReport": &status.ConfigurationReport{}, "ExecPlan": &status.ExecPlan{},
		"Prune": &status.Prune{}, "Version": &status.Version{}, "WatchEvent": &status.WatchEvent{}, "Options": &Options{},
	} {
		if name == "ExecPlan" && schemas[name] == nil {
			continue // until there is an exec
		}
		schema, err := compiler.Compile("mem:///openapi.json#/components/schemas/" + name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, reflect.ValueOf(value).Elem())
		full, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(unmarshal[any](t, full)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		instance := unmarshal[map[string]any](t, full)
		instance["anotherField"] = true
		if schema.Validate(instance) == nil {
			t.Errorf("%s: a field that is not described passes", name)
		}
		for field := range unmarshal[map[string]any](t, text) {
			instance := unmarshal[map[string]any](t, full)
			delete(instance, field)
			if schema.Validate(instance) == nil {
				t.Errorf("%s: %s is always there, and not required", name, field)
			}
		}
	}
}

// manifest has a part of each kind.
const manifest = `{"replicas": 2, "command": ["a"], "env": [{"name": "A", "value": "<redacted>"}],
	"livenessProbe": {"httpGet": {"port": 80, "path": "/"}}, "rlimits": {"nofile": {"soft": 1, "hard": "unlimited"}}}`

// fill gives every field a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
		return
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.Set(reflect.ValueOf(json.RawMessage(manifest)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0))
		fill(t, v.Index(1))
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), value)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	default:
		t.Fatalf("the API tells a %s, which the OpenAPI document may not describe: look at describer.schema", v.Type())
	}
}

// The types of Kubernetes' metav1, as far as clients look at them.
type (
	apiVersions struct {
		GroupVersion string `json:"groupVersion"`
		Version      string `json:"version"`
	}
	apiGroup struct {
		Kind             string        `json:"kind,omitempty"`
		APIVersion       string        `json:"apiVersion,omitempty"`
		Name             string        `json:"name"`
		Versions         []apiVersions `json:"versions"`
		PreferredVersion apiVersions   `json:"preferredVersion"`
	}
	apiResource struct {
		Name         string   `json:"name"`
		SingularName string   `json:"singularName"`
		Namespaced   *bool    `json:"namespaced"`
		Kind         string   `json:"kind"`
		Verbs        []string `json:"verbs"`
		ShortNames   []string `json:"shortNames,omitempty"`
	}
)

func TestDiscoveryTellsWhatThereIs(t *testing.T) {
	s := NewServer(Config{})
	version := apiVersions{spec.APIVersion, "v1"}
	group := apiGroup{Name: "svc.d", Versions: []apiVersions{version}, PreferredVersion: version}
	groups := unmarshal[struct {
		Kind, APIVersion string
		Groups           []apiGroup
	}](t, ask(t, s, "/apis").Body.Bytes())
	if diff := cmp.Diff([]apiGroup{group}, groups.Groups); diff != "" || groups.Kind != "APIGroupList" || groups.APIVersion != "v1" {
		t.Errorf("%s %s (-want +got)\n%s", groups.Kind, groups.APIVersion, diff)
	}
	group.Kind, group.APIVersion = "APIGroup", "v1"
	if diff := cmp.Diff(group, unmarshal[apiGroup](t, ask(t, s, "/apis/svc.d").Body.Bytes())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	answer := ask(t, s, "/apis/svc.d/v1")
	list := unmarshal[struct {
		Kind, APIVersion, GroupVersion string
		Resources                      []apiResource
	}](t, answer.Body.Bytes())
	if list.Kind != "APIResourceList" || list.APIVersion != "v1" || list.GroupVersion != spec.APIVersion || answer.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %s", answer.Body)
	}
	got := map[string]apiResource{}
	for _, r := range list.Resources {
		if _, twice := got[r.Name]; twice || r.Namespaced == nil || *r.Namespaced {
			t.Errorf("%s is there twice, or in a namespace", r.Name)
		}
		r.Namespaced = nil
		got[r.Name] = r
	}
	look, create := []string{"get", "list", "watch"}, []string{"create"}
	want := map[string]apiResource{
		"services":     {"services", "service", nil, "Service", look, []string{"svc"}},
		"replicas":     {"replicas", "replica", nil, "Replica", look, nil},
		"events":       {"events", "event", nil, "Event", look, []string{"ev"}},
		"services/log": {"services/log", "", nil, "Service", []string{"get"}, nil},
		"replicas/log": {"replicas/log", "", nil, "Replica", []string{"get"}, nil},
	}
	for _, verb := range []string{"restart", "stop", "start", "reload", "kill"} {
		want["services/"+verb] = apiResource{"services/" + verb, "", nil, "Service", create, nil}
	}
	for _, verb := range []string{"restart", "reload", "kill"} {
		want["replicas/"+verb] = apiResource{"replicas/" + verb, "", nil, "Replica", create, nil}
	}
	if _, there := got["replicas/exec"]; there {
		want["replicas/exec"] = apiResource{"replicas/exec", "", nil, "ExecPlan", create, nil}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	paths := unmarshal[struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}](t, ask(t, s, "/openapi/v3").Body.Bytes())
	if w := ask(t, s, paths.Paths["apis/svc.d/v1"].ServerRelativeURL); w.Code != http.StatusOK {
		t.Errorf("the document that /openapi/v3 names is answered with %d", w.Code)
	}
}
