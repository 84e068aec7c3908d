package spec_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"svc.d/spec"
)

// FuzzParse looks for a panic, for a problem without place or words, and for a
// service that is not the same after it was written and read again.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/good", "testdata/bad"} {
		for _, path := range fixtures(f, dir) {
			f.Add(read(f, path), filepath.Ext(path) == ".json")
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		name := "/d/x.yaml"
		if isJSON {
			name = "/d/x.json"
		}
		file := spec.Parse(name, data)
		for _, p := range file.Problems {
			if p.Message == "" || p.File != name || p.Line < 0 || p.Column < 0 {
				t.Errorf("problem %+v", p)
			}
		}
		for _, s := range file.Services {
			requireRoundTrip(t, s)
		}
	})
}

// requireRoundTrip writes a service as JSON and reads it by both ways.
func requireRoundTrip(t *testing.T, s *spec.Service) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	equal := []cmp.Option{cmpopts.IgnoreFields(spec.Service{}, "Source")}
	for _, name := range []string{"/d/again.json", "/d/again.yaml"} {
		file := spec.Parse(name, data)
		if len(file.Services) != 1 || len(file.Problems) > 0 {
			t.Fatalf("%s is not read as %s: %v", data, name, file.Problems)
		}
		if diff := cmp.Diff(s, file.Services[0], equal...); diff != "" {
			t.Errorf("%s read as %s differs (-was +is):\n%s", data, name, diff)
		}
	}
	var decoded spec.Service
	if err := json.Unmarshal(data, &decoded); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, &decoded, append(equal, cmpopts.EquateEmpty())...); diff != "" {
		t.Errorf("%s decoded differs (-was +is):\n%s", data, diff)
	}
}
