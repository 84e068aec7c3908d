package spec

import "testing"

func TestEnvFilesAreUsable(t *testing.T) {
	const path = "/etc/web.env"
	tests := map[string]struct {
		contents map[string]Content
		optional bool
		want     bool
	}{
		"when it means variables":              {map[string]Content{path: {Raw: "a", Env: "a"}}, false, true},
		"not when it is missing":               {map[string]Content{path: {}}, false, false},
		"when it is missing and optional":      {map[string]Content{path: {}}, true, true},
		"not when it means no variables":       {map[string]Content{path: {Raw: "a", Problem: "line 1: no \"=\""}}, true, false},
		"not when it cannot be read any more":  {map[string]Content{path: {Raw: "a", Env: "a", Problem: "permission denied"}}, false, false},
		"not when nothing is known of it, yet": {nil, true, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := Spec{EnvFrom: []EnvFrom{{File: path, Optional: test.optional}}}
			if got := s.EnvFilesUsable(&Contents{Files: test.contents}); got != test.want {
				t.Errorf("it is %v, want %v", got, test.want)
			}
		})
	}
	if none := (&Spec{}); !none.EnvFilesUsable(&Contents{}) {
		t.Error("without files nothing can be wrong with them")
	}
}
