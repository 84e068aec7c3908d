package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"svc.d/spec"
)

func TestAFileThatIsWrittenAndRenamedIsInForceAtOnce(t *testing.T) {
	x := watchDir(t, base(t))
	x.write("web.yaml", service("web", "1"))
	if s := x.next(); arg(s.Services["web"]) != "1" {
		t.Fatal(show(s))
	}
	x.write("web.yaml", service("web", "2"))
	if s := x.next(); arg(s.Services["web"]) != "2" {
		t.Fatal(show(s))
	}
}

func TestAFileWrittenInPlaceIsReadWhenItsWriterCloses(t *testing.T) {
	x := watchDir(t, base(t))
	f, err := os.Create(x.path("web.yaml"))
	must(t, err)
	// What stands there now parses, and is not what the writer means.
	_, err = f.WriteString(service("web", "half"))
	must(t, err)
	x.write("other.yaml", service("other", "1"))
	x.until("other", has("other"))
	_, err = f.WriteString("---\n" + service("web2", "whole"))
	must(t, err)
	must(t, f.Close())
	x.until("both", has("other", "web", "web2"), func(s *spec.Set) bool { return len(s.Services) == 2 })
}

func TestAWriterThatStopsInTheMiddleOfAnEditChangesNothing(t *testing.T) {
	dir := base(t)
	renameIn(t, filepath.Join(dir, "web.yaml"), service("web", "1")+"---\n"+service("api", "1"))
	x := watchDir(t, dir)
	before := x.set
	f, err := os.OpenFile(x.path("web.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = f.WriteString(service("web", "2")) // cut off at the end of a document
	must(t, err)
	for i := range 5 { // each is a look at everything
		x.write("other.yaml", service("other", strings.Repeat("x", i+1)))
		s := x.next()
		if s.Services["web"] != before.Services["web"] || s.Services["api"] != before.Services["api"] {
			t.Fatal(show(s))
		}
	}
	_, err = f.WriteString("---\n" + service("api", "2"))
	must(t, err)
	must(t, f.Close())
	x.until("the edit", both(hasArg("web", "2"), hasArg("api", "2")))
}

func TestATouchedFileAndAReformattedOneKeepTheirServices(t *testing.T) {
	dir := base(t)
	x := func() *world {
		renameIn(t, filepath.Join(dir, "web.yaml"), service("web", "1"))
		return watchDir(t, dir)
	}()
	must(t, os.Chtimes(x.path("web.yaml"), epoch, epoch))
	x.still()
	x.write("web.yaml", "# a comment\n\n"+service("web", "1"))
	must(t, os.Chmod(x.path("web.yaml"), 0o600))
	before := x.set.Services["web"]
	x.write("other.yaml", service("other", "1"))
	if x.until("other", hasArg("other", "1")).Services["web"] != before {
		t.Error("a comment made another service of it")
	}
}

func TestWhatAFileSaysIsKeptWhile(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"it is empty":             {write(""), "declares no service any more"},
		"it holds a comment only": {write("# nothing\n"), "declares no service any more"},
		"it is cut off":           {write("apiVersion: svc.d/v1\nkind: Service\nmetadata: {na"), "web.yaml"},
		"it has an unknown field": {write(service("web", "2") + "  oops: 1\n"), "web.yaml"},
		"one document is broken":  {write(service("web", "2") + "---\napiVersion: svc.d/v1\nkind: Service\n"), "metadata"},
		"it is binary":            {write("\x7fELF\x00\x01\x02"), "web.yaml"},
		"it is 50 MB":             {huge, "too large"},
		"it is an alias bomb":     {write(aliasBomb()), "web.yaml"},
		"it is nested deeply":     {write(strings.Repeat("[", 100000)), "web.yaml"},
		"it names a service twice": {write(service("web", "2") + "---\n" + service("web", "3")),
			"declared twice"},
		"it is a FIFO": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, mkfifo(path))
		}, "it is a FIFO"},
		"it is a link to a device": {func(t *testing.T, path string) { relink(t, "/dev/zero", path) }, "it is a device"},
		"it is a link to nothing":  {func(t *testing.T, path string) { relink(t, "nowhere", path) }, "leads to nothing"},
		"it is a link to itself":   {func(t *testing.T, path string) { relink(t, "web.yaml", path) }, "too many levels"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := base(t)
			path := filepath.Join(dir, "web.yaml")
			renameIn(t, path, service("web", "1"))
			x := watchDir(t, dir)
			before := x.set.Services["web"]
			test.spoil(t, path)
			gone := func(s *spec.Set) bool { return s.Services["web"] != before }
			s := x.until("the problem", problem(test.want), gone)
			for _, p := range s.Problems {
				if p.File != path || p.Since.IsZero() {
					t.Errorf("problem of %q since %v: %v", p.File, p.Since, p)
				}
			}
			since := s.Problems[0].Since
			x.write("other.yaml", service("other", "1"))
			s = x.until("other", hasArg("other", "1"), gone)
			if len(s.Problems) == 0 || !s.Problems[0].Since.Equal(since) {
				t.Errorf("the problem is another one: %s", show(s))
			}
			x.write("web.yaml", service("web", "2"))
			x.until("the mended one", both(hasArg("web", "2"), noProblem))
		})
	}
}

func TestAFileThatIsBrokenWhenItIsFirstSeenStartsNothing(t *testing.T) {
	dir := base(t)
	renameIn(t, filepath.Join(dir, "web.yaml"), service("web", "1")+"---\n"+service("Bad Name", "1"))
	x := watchDir(t, dir)
	if len(x.set.Services) != 0 || len(x.set.Problems) == 0 {
		t.Fatal(show(x.set))
	}
	x.write("web.yaml", service("web", "1"))
	x.until("web", both(has("web"), noProblem))
}

func TestOnlyManifestsAreRead(t *testing.T) {
	dir := base(t)
	for _, name := range []string{".web.yaml", "web.yaml~", "web.yaml.swp", "web.yaml.tmp", "4913", "web", "web.txt", "web.yaml.bak", ".web.yaml.swp"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(service("not", "1")), 0o644))
	}
	must(t, os.MkdirAll(filepath.Join(dir, "folder.yaml"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "x.yaml"), []byte(service("sub", "1")), 0o644))
	for name, content := range map[string]string{
		"a.yaml": service("a", "1"), "b.yml": service("b", "1"), "c.json": `{"apiVersion":"svc.d/v1","kind":"Service","metadata":{"name":"c"},"spec":{"command":["/bin/echo","1"]}}`,
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	must(t, os.Symlink(".web.yaml", filepath.Join(dir, "link.yaml"))) // judged by its own name
	x := watchDir(t, dir)
	x.until("the manifests", both(has("a", "b", "c", "not"), noProblem))
}

func TestADocumentOfAnotherGroupIsIgnoredAndNotAnError(t *testing.T) {
	x := watchDir(t, base(t))
	x.write("d.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n")
	s := x.until("it", func(s *spec.Set) bool { return len(s.Ignored) == 1 })
	if s.Ignored[0].Kind != "Deployment" || s.Ignored[0].File != x.path("d.yaml") || len(s.Problems) > 0 {
		t.Errorf("%+v %s", s.Ignored, show(s))
	}
}
