package reconciler

import (
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"

	"svc.d/spec"
)

func TestABrokenManifestIsLoggedWithWhatRunsMeanwhile(t *testing.T) {
	const broken, other = "/d/web.yaml", "/d/other.yaml"
	tests := map[string]struct {
		running bool
		problem spec.Problem
		want    string
	}{
		"its service runs":         {true, spec.Problem{Source: spec.Source{File: broken}}, `"meanwhile"="web keeps running (pid `},
		"its service does not":     {false, spec.Problem{Source: spec.Source{File: broken}}, `"meanwhile"="web keeps its last good version"`},
		"another file is in force": {true, spec.Problem{Source: spec.Source{File: other}, Service: "web"}, `"meanwhile"="web stays as /d/web.yaml declares it"`},
		"nothing came before":      {true, spec.Problem{Source: spec.Source{File: other}, Service: "api"}, `"meanwhile"="api has not been started"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := service()
			want.Metadata.Name, want.Source.File = "web", broken
			s := tell(want)
			if test.running {
				s.run(0)
			}
			var lines []string
			l := NewLoop(Config{Log: funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})})
			l.services["web"] = &record{want: want, facts: s.facts}
			old := &spec.Set{}
			set := &spec.Set{Problems: []spec.Problem{test.problem}}
			l.logSet(old, set)
			l.logSet(set, set) // is told already
			if len(lines) != 1 || !strings.Contains(lines[0], test.want) {
				t.Errorf("logged %q, want %q", lines, test.want)
			}
		})
	}
}
