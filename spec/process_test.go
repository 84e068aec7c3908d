package spec_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

func TestProcess(t *testing.T) {
	base := []spec.EnvVar{{"PATH", "/bin"}, {"HOME", "/root"}}
	tests := map[string]struct {
		spec      spec.Spec
		files     []spec.EnvVar
		argv, env []string
	}{
		"the environment is base, SVC_NAME, SVC_REPLICA": {
			spec: spec.Spec{Command: []string{"a"}},
			argv: []string{"a"},
			env:  []string{"PATH=/bin", "HOME=/root", "SVC_NAME=web", "SVC_REPLICA=7"},
		},
		"a later definition wins and keeps the first one's place": {
			spec:  spec.Spec{Command: []string{"a"}, Env: []spec.EnvVar{{"A", "env"}, {"HOME", "/srv"}, {"B", "1"}, {"B", "2"}}},
			files: []spec.EnvVar{{"A", "file"}, {"SVC_NAME", "mine"}, {"PATH", "/usr/bin"}},
			argv:  []string{"a"},
			env:   []string{"PATH=/usr/bin", "HOME=/srv", "SVC_NAME=mine", "SVC_REPLICA=7", "A=env", "B=2"},
		},
		"values of env refer to what stands before them": {
			spec: spec.Spec{Command: []string{"a"}, Env: []spec.EnvVar{
				{"EARLY", "$(LATE)"}, {"LATE", "x"}, {"BOTH", "$(EARLY)-$(LATE)"}, {"PATH", "/opt:$(PATH)"}, {"F", "$(FILE)"},
			}},
			files: []spec.EnvVar{{"FILE", "$(HOME) as it is"}},
			argv:  []string{"a"},
			env: []string{
				"PATH=/opt:/bin", "HOME=/root", "SVC_NAME=web", "SVC_REPLICA=7", "FILE=$(HOME) as it is",
				"EARLY=$(LATE)", "LATE=x", "BOTH=$(LATE)-x", "F=$(HOME) as it is",
			},
		},
		"command and args are expanded from the whole environment": {
			spec: spec.Spec{
				Command: []string{"/bin/$(B)", "$(SVC_NAME)-$(SVC_REPLICA)"}, Args: []string{"$$(B)", "$(NONE)", "$(B)$(B)"},
				Env: []spec.EnvVar{{"B", "b"}},
			},
			argv: []string{"/bin/b", "web-7", "$(B)", "$(NONE)", "bb"},
			env:  []string{"PATH=/bin", "HOME=/root", "SVC_NAME=web", "SVC_REPLICA=7", "B=b"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &spec.Service{Metadata: spec.Metadata{Name: "web"}, Spec: test.spec}
			want := spec.Invocation{Argv: test.argv, Env: test.env}
			if diff := cmp.Diff(want, s.Process(7, base, test.files)); diff != "" {
				t.Errorf("Process differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExpansion holds the cases in which implementations differ; the results
// are those of Kubernetes.
func TestExpansion(t *testing.T) {
	tests := map[string]string{
		"":                "",
		"plain":           "plain",
		"$(A)":            "a",
		"$(EMPTY)":        "",
		"$()":             "$()",
		"$$(A)":           "$(A)",
		"$$$(A)":          "$a",
		"$$$$(A)":         "$$(A)",
		"$$$$$(A)":        "$$a",
		"$A":              "$A",
		"${A}":            "${A}",
		"$":               "$",
		"$$":              "$",
		"a$":              "a$",
		"$(":              "$(",
		"$(A":             "$(A",
		"$((A)":           "$((A)",
		"$(A))":           "a)",
		"$(A$(B))":        "$(A$(B))",
		"$($(A))":         "$($(A))",
		"$(A)$(B)$(C)":    "ab$(C)",
		"$(REF)":          "$(A)", // what was expanded is not expanded again
		"$ (A)":           "$ (A)",
		"x$(A)y$$z$(B)":   "xay$zb",
		"é$(A)é":          "éaé",
		"$é":              "$é",
		"--pid=$(NO)$(A)": "--pid=$(NO)a",
	}
	for text, want := range tests {
		s := &spec.Service{Spec: spec.Spec{Command: []string{text}, Env: []spec.EnvVar{{"A", "a"}, {"B", "b"}, {"EMPTY", ""}, {"REF", "$$(A)"}}}}
		if got := s.Process(0, nil, nil).Argv[0]; got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestParseEnvFile(t *testing.T) {
	tests := map[string]struct {
		file string
		want []spec.EnvVar
		err  string
	}{
		"lines, comments and empty lines": {
			file: "# c\n\n  A=1  \r\n\t# d\nB = two words \nC=\nA=3",
			want: []spec.EnvVar{{"A", "1"}, {"B", "two words"}, {"C", ""}, {"A", "3"}},
		},
		"export before a name": {
			file: "export A=1\nexport\tB=2\nexport=3\nexported=4",
			want: []spec.EnvVar{{"A", "1"}, {"B", "2"}, {"export", "3"}, {"exported", "4"}},
		},
		"quotes": {
			file: `A=" a\n\"b\" \\ \$x \t"` + "\n" + `B=' $x \n "q" '` + "\n" + `C="x" # c` + "\n" + `D=''` + "\n" + `E=it's "so"`,
			want: []spec.EnvVar{{"A", " a\n\"b\" \\ $x \t"}, {"B", ` $x \n "q" `}, {"C", "x"}, {"D", ""}, {"E", `it's "so"`}},
		},
		"without quotes nothing has a meaning": {
			file: `A=a#b # c \n $(X) ${Y}=z`,
			want: []spec.EnvVar{{"A", `a#b # c \n $(X) ${Y}=z`}},
		},
		"a byte order mark":    {file: "\ufeffA=1", want: []spec.EnvVar{{"A", "1"}}},
		"nothing":              {file: ""},
		"all lines are named":  {file: "A\n=x\nB=1\nC=\"x\nD='x' y\nE F=1\n", err: `cannot read environment file f: line 1: want NAME=VALUE; line 2: "" is no name of a variable; line 4: the closing quote is missing; line 5: something follows the closing quote; line 6: "E F" is no name of a variable`},
		"a NUL":                {file: "A=\x00", err: "cannot read environment file f: line 1: a NUL byte"},
		"longer than execve's": {file: "A=" + strings.Repeat("x", 128<<10), err: "cannot read environment file f: line 1: must be shorter than 128 KiB: the kernel takes no longer variable"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := spec.ParseEnvFile("f", []byte(test.file))
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(test.err, message); diff != "" {
				t.Errorf("error differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("variables differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEnvFileThatIsSomethingElseIsReportedShortly(t *testing.T) {
	_, err := spec.ParseEnvFile("f", slices.Repeat([]byte("\x7fELF\n"), 100000))
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("error = %v", err)
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add([]byte("A=1\nexport B=\"x\\n\" # c\nC='y'\n# d\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, err := spec.ParseEnvFile("f", data)
		if err != nil {
			return
		}
		for _, v := range vars {
			if v.Name == "" || strings.ContainsAny(v.Name, "=\x00\n") || strings.Contains(v.Value, "\x00") {
				t.Errorf("variable %+v", v)
			}
		}
	})
}
