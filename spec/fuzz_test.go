package spec_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"svc.d/spec"
)

// FuzzParse looks for a panic, for a problem without place or words, and for a
// document that is not the same after it was written and read again.
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
			if p.Message == "" || p.File != name || p.Line < 0 || p.Column < 0 ||
				strings.ContainsFunc(p.String()+p.Service, unicode.IsControl) {
				t.Errorf("problem %+v", p)
			}
		}
		for _, s := range file.Services {
			requireRoundTrip(t, s)
			requireStored(t, s)
		}
		for _, c := range file.Configurations {
			requireConfigurationStored(t, c)
		}
	})
}

// requireRoundTrip writes a service as JSON and reads it by both ways.
func requireRoundTrip(t requirer, s *spec.Service) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	equal := []cmp.Option{cmpopts.IgnoreFields(spec.Service{}, "Source")}
	for _, name := range []string{"/d/again.json", "/d/again.yaml"} {
		if strings.ContainsFunc(string(data), isEscapedByYAML) && name == "/d/again.yaml" {
			continue // JSON holds them as they are, YAML only escaped
		}
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

// isEscapedByYAML tells what is no c-printable of YAML 1.2, 5.1.
func isEscapedByYAML(r rune) bool {
	return r >= 0x7f && r <= 0x9f && r != 0x85 || r == 0xfffe || r == 0xffff || r == 0xfeff
}

// requirer is what a test and a property test have in common.
type requirer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}
