package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const listing = `{"kind":"ServiceList","items":[
	{"metadata":{"name":"web","labels":{"app.kubernetes.io/name":"x"}},"spec":{"args":["2>&1"]},"status":{"phase":"Running","readyReplicas":12345678,"load":0.5}},
	{"metadata":{"name":"db"},"status":{"phase":"Failed","conditions":[{"type":"Ready","status":"False"}]}}]}`

func TestTemplatesAreKubectls(t *testing.T) {
	tests := map[string]struct{ template, want string }{
		"a field":                     {"{.kind}", "ServiceList"},
		"a path without braces":       {".kind", "ServiceList"},
		"a path without a dot":        {"kind", "ServiceList"},
		"an element":                  {"{.items[1].metadata.name}", "db"},
		"the last element":            {"{.items[-1:].metadata.name}", "db"},
		"all elements":                {"{.items[*].metadata.name}", "web db"},
		"a large number":              {"{.items[0].status.readyReplicas}", "12345678"},
		"a fraction":                  {"{.items[0].status.load}", "0.5"},
		"a filter by text":            {`{.items[?(@.status.phase=="Failed")].metadata.name}`, "db"},
		"the last but one":            {"{.items[-2].metadata.name}", "web"},
		"some elements":               {"{.items[0:1].metadata.name}", "web"},
		"elements of a union":         {"{.items[1,0].metadata.name}", "db web"},
		"a filter by what is there":   {`{.items[?(@.status.conditions)].metadata.name}`, "db"},
		"a filter by what is not":     {`{.items[?(@.status.phase!="Failed")].metadata.name}`, "web"},
		"a filter against a path":     {`{.items[?(@.metadata.name==$.items[0].metadata.name)].status.phase}`, "Running"},
		"a filter in single quotes":   {`{.items[?(@.metadata.name=='db')].status.phase}`, "Failed"},
		"a filter within a path":      {`{.items[1].status.conditions[?(@.type=="Ready")].status}`, "False"},
		"a range over a list as one":  {`{range .items}{.metadata.name},{end}`, ","},
		"a range within a range":      {`{range .items[*]}{.metadata.name}:{range .status.conditions[*]}{.type}{end};{end}`, "web:;db:Ready;"},
		"the root within a range":     {`{range .items[*]}{$.kind} {end}`, "ServiceList ServiceList "},
		"the value itself":            {`{range .items[*].metadata.name}<{.}>{end}{range .items[*].metadata.name}<{@}>{end}`, "<web><db><web><db>"},
		"all fields":                  {`{.items[1].metadata.*}`, "db"},
		"spaces":                      {`{ range .items[ 0 ] }{ .metadata.name }{ end }`, "web"},
		"escapes":                     {`{"a\tb"}{'c"d\n'}`, "a\tbc\"d\n"},
		"a filter by number":          {`{.items[?(@.status.readyReplicas>5)].metadata.name}`, "web"},
		"a range":                     {`{range .items[*]}{.metadata.name}{"\t"}{.status.phase}{"\n"}{end}`, "web\tRunning\ndb\tFailed\n"},
		"a label with dots":           {`{.items[0].metadata.labels.app\.kubernetes\.io/name}`, "x"},
		"literals around":             {"first: {.items[0].metadata.name}!", "first: web!"},
		"what is not there":           {"{.items[0].status.nothing}", ""},
		"an object":                   {"{.items[1].status.conditions[0]}", `{"status":"False","type":"Ready"}`},
		"a list with signs of HTML":   {"{.items[0].spec.args}", `["2>&1"]`},
		"a recursive descent":         {"{..phase}", "Running Failed"},
		"several fields":              {"{.items[0]['metadata.name', 'status.phase']}", "web Running"},
		"a comparison across nothing": {`{.items[?(@.status.nothing=="x")].metadata.name}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			parsed, err := parseTemplate("output jsonpath", test.template)
			if err != nil {
				t.Fatal(err)
			}
			data, err := decoded(json.RawMessage(listing))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := parsed.write(&out, data); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}

func TestATemplateThatIsNoneIsExplained(t *testing.T) {
	tests := map[string]string{
		"":                               "it is empty",
		"{.kind":                         "unclosed action: a } is missing",
		"{kind}":                         `"kind}" is no path: it begins with a dot`,
		"{.items[}":                      "a bracket takes a number, *, a slice as in 0:2, a quoted name, or a filter ?(...)",
		"{.items[0}":                     "unclosed bracket: a ] is missing, or what stands in it is not understood",
		"{.items['a}":                    "unclosed quote in a bracket",
		"{.items[?(@.a==)]}":             `")]}" is not understood in a filter: write a path (@.name), a number, or a text in quotes`,
		"{.items[?(@.a=~'x')]}":          `"=~'x')]}" is not understood in a filter: write one as in [?(@.type=="Ready")]`,
		"{.items[?(@.a && @.b)]}":        `"&& @.b)]}" is not understood in a filter: write one as in [?(@.type=="Ready")]`,
		"{range .items[*]}":              "a {range} has no {end}",
		"{end}":                          "there is an {end} without a {range}",
		"{.a} {.b .c}":                   `".c}" is not understood after a path`,
		`{"a}`:                           "unclosed quote",
		"{.a..}":                         "the name of a field is missing after a dot",
		"{.items[99999999999999999999]}": `"99999999999999999999..." is no number`,
	}
	for template, want := range tests {
		want = fmt.Sprintf("cannot use --output %q: %s; write a path as in '{.status.phase}'", template, want)
		if _, err := parseTemplate("output", template); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", template, err, want)
		}
	}
}

func TestAPathThatGrowsWithoutBoundIsRefused(t *testing.T) {
	parsed, err := parseTemplate("output", "{"+strings.Repeat("..*", 30)+"}")
	if err != nil {
		t.Fatal(err)
	}
	data, err := decoded(json.RawMessage("[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.find(data); err == nil || err.Error() != "cannot follow the path: the path leads to too many values" {
		t.Errorf("got %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"{.kind}", "{range .items[*]}{.metadata.name}{end}", `{.items[?(@.a=="b")].c}`, "{..name}", "{.items[-1:]}", "{['a','b']}", `{"\n"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		parsed, err := parseTemplate("output", source)
		if err != nil {
			return
		}
		data, err := decoded(json.RawMessage(listing))
		if err != nil {
			t.Fatal(err)
		}
		_ = parsed.write(new(bytes.Buffer), data)
		_, _ = parsed.find(data)
	})
}

func TestValuesAreComparedByWhatTheyAre(t *testing.T) {
	ordered := []any{nil, int64(2), 2.5, int64(10), "2026-01-02T15:04:05Z", "2026-01-02T15:04:05.1Z", "a", "b"}
	for i := range ordered {
		for j := range ordered {
			if i == 0 || (i < 4) == (j < 4) || j == 0 {
				want := 0
				switch {
				case i < j:
					want = -1
				case i > j:
					want = 1
				}
				if got := compareValues(ordered[i], ordered[j]); got != want {
					t.Errorf("compareValues(%v, %v) = %d, want %d", ordered[i], ordered[j], got, want)
				}
			}
		}
	}
}
