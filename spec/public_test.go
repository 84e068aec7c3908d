package spec_test

import (
	"strings"
	"testing"

	"svc.d/spec"
)

// TestWhatIsNotPublicOfAProblem: what it quotes may be a secret.
func TestWhatIsNotPublicOfAProblem(t *testing.T) {
	const head = "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  command: [x]\n  "
	tests := map[string]struct{ text, field string }{
		"a variable without a list":     {head + "env: hunter2", "spec.env"},
		"variables as lines":            {head + "env: [A=hunter2]", "spec.env[0]"},
		"a name with the value":         {head + "env: [{name: A=hunter2}]", "spec.env[0]"},
		"a value of another type":       {head + "env: [{name: A, value: [hunter2]}]", "spec.env[0]"},
		"a value for a field":           {head + "env: [{name: A, hunter2}]", "spec.env[0]"},
		"a header without a list":       {head + "readinessProbe: {httpGet: {port: 1, httpHeaders: {X: hunter2}}}", "spec.readinessProbe.httpGet.httpHeaders"},
		"a header with another field":   {head + "readinessProbe: {httpGet: {port: 1, httpHeaders: [{name: X, hunter2}]}}", "spec.readinessProbe.httpGet.httpHeaders[0]"},
		"a file of variables":           {"TOKEN=hunter2", ""},
		"an anchor that is not there":   {head + "env: [{name: A, value: *hunter2}]", ""},
		"something else, which is told": {head + "replicas: many", "spec.replicas"},
		"another list, which is told":   {head + "envFrom: many", "spec.envFrom"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problems := spec.Parse("web.yaml", []byte(test.text)).Problems
			if len(problems) == 0 {
				t.Fatal("it has no problem")
			}
			for _, p := range problems {
				public := p.Public()
				told := strings.HasSuffix(name, "is told")
				if public.Field != test.field || told != (public == p) || told != (public.Value != "") || strings.Contains(public.String(), "hunter2") {
					t.Errorf("%s becomes %s", p, public)
				}
				if public.Line != p.Line || public.File != p.File {
					t.Errorf("its place becomes %v", public.Source)
				}
			}
		})
	}
}
