package spec_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

var update = flag.Bool("update", false, "write the golden files and the schema anew")

// TestParseReportsWhatIsWrong compares all problems of each file of
// testdata/bad with the golden file beside it.
func TestParseReportsWhatIsWrong(t *testing.T) {
	for _, path := range fixtures(t, "testdata/bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file := spec.Parse("/d/"+filepath.Base(path), read(t, path))
			if len(file.Problems) == 0 {
				t.Error("no problem found")
			}
			golden(t, path+".golden", render(file))
		})
	}
}

func TestParseReadsTheGoodFixtures(t *testing.T) {
	for _, path := range fixtures(t, "testdata/good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			golden(t, path+".golden", render(spec.Parse("/d/"+filepath.Base(path), read(t, path))))
		})
	}
}

func render(file spec.File) string {
	var out strings.Builder
	for _, s := range file.Services {
		fmt.Fprintf(&out, "service %s of document %d, line %d\n", s.Metadata.Name, s.Source.Document, s.Source.Line)
	}
	for _, c := range file.Configurations {
		fmt.Fprintf(&out, "configuration of document %d, line %d\n", c.Source.Document, c.Source.Line)
	}
	for _, p := range file.Problems {
		fmt.Fprintf(&out, "%d %s: %s\n", p.Document, p.Service, p)
	}
	for _, i := range file.Ignored {
		fmt.Fprintf(&out, "%d ignored, line %d: %s %s: %s\n", i.Document, i.Line, i.APIVersion, i.Kind, i.Hint)
	}
	return out.String()
}

// fixtures lists the manifests of a folder.
func fixtures(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, path := range all {
		if filepath.Ext(path) != ".golden" {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no fixtures in %s", dir)
	}
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(read(t, path)), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s\nIf it is meant to: go test ./spec -update", path, diff)
	}
}
