package spec_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"svc.d/spec"
)

// TestHostileFilesEndInAProblem feeds what is meant to exhaust a reader: each
// must end in a problem and cost no more than a multiple of its length.
func TestHostileFilesEndInAProblem(t *testing.T) {
	const size = 512 << 10
	const head = "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: a}\nspec:\n"
	fill := func(before, unit string) string { return before + strings.Repeat(unit, size/len(unit)) }
	tests := map[string]struct{ file, data string }{
		"an alias bomb":                        {"x.yaml", aliasBomb()},
		"an alias bomb in a list of arguments": {"x.yaml", strings.Replace(aliasBomb(), "a0:", head+"  command: &c [x]\n  args:", 1)},
		"an anchor that holds itself":          {"x.yaml", head + "  command: &a [*a]\n"},
		"an object that holds itself":          {"x.yaml", head + "  backoff: &a {limit: *a}\n"},
		"lists in lists":                       {"x.yaml", fill("", "[")},
		"lists in lists that end":              {"x.yaml", strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
		"objects in objects":                   {"x.yaml", fill("", "{a: ")},
		"deep indentation":                     {"x.yaml", deepIndentation()},
		"dashes":                               {"x.yaml", fill("", "- ")},
		"question marks":                       {"x.yaml", fill("", "? ")},
		"anchors":                              {"x.yaml", fill("", "&a ")},
		"tags":                                 {"x.yaml", fill("", "!a ")},
		"aliases":                              {"x.yaml", fill("- &a x\n", "- *a\n")},
		"many small documents":                 {"x.yaml", fill("", "---\na\n")},
		"many broken documents":                {"x.yaml", fill("", "--- [\n")},
		"many unknown fields":                  {"x.yaml", fill(head, "  comnd: 1\n")},
		"many wrong arguments":                 {"x.yaml", fill(head+"  command:\n", "  - 1\n")},
		"one field many times":                 {"x.yaml", fill(head, "  replicas: 1\n")},
		"many comments":                        {"x.yaml", fill("", "a: b\n# c\n")},
		"a long key":                           {"x.yaml", fill("", "a") + ": b"},
		"a long name":                          {"x.yaml", "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: " + fill("", "a") + "}\nspec: {command: [a]}"},
		"a long word for another":              {"x.yaml", head + "  restartPolicy: " + fill("", "a")},
		"merge keys":                           {"x.yaml", fill(head, "  <<: {command: [a]}\n")},
		"lists in lists of JSON":               {"x.json", fill("", "[")},
		"objects in objects of JSON":           {"x.json", fill("", `{"a":`)},
		"a long line of JSON":                  {"x.json", "[" + fill("", `{"a":1},`) + "1]"},
		"random bytes":                         {"x.yaml", "\x00\x8f\xc3\x28" + fill("", "\xff\xfe\x01")},
		"many problems of one line":            {"x.yaml", head + "  args: [" + strings.Repeat("1, ", 100) + "]\n"},
		"UTF-16":                               {"x.yaml", "\xff\xfea\x00:\x00 \x00b\x00"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file := spec.Parse("/d/"+test.file, []byte(test.data))
			runtime.ReadMemStats(&after)
			if len(file.Problems) == 0 || len(file.Problems) > 51 || len(file.Services) > 0 {
				t.Errorf("%d problems, %d services", len(file.Problems), len(file.Services))
			}
			for n, p := range file.Problems {
				if strings.HasPrefix(p.Message, "there are more problems") != (n == 50) {
					t.Errorf("problem %d is %s", n, p)
				}
				if len(p.String()) > 500 || len(p.Service) > 150 {
					t.Errorf("problem of %d bytes: %.200s", len(p.String()), p)
				}
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			if bound := uint64(1<<20 + 400*len(test.data)); allocated > bound {
				t.Errorf("%d bytes allocated for a file of %d, want at most %d", allocated, len(test.data), bound)
			}
		})
	}
}

func aliasBomb() string {
	var out strings.Builder
	out.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&out, "a%d: &a%d [%s]\n", i, i, strings.Repeat("*a"+strconv.Itoa(i-1)+", ", 9))
	}
	return out.String()
}

func deepIndentation() string {
	var out strings.Builder
	for i := range 1000 {
		out.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return out.String()
}

// TestAParsedServiceIsSmall measures what is kept of a manifest. It is a part
// of the daemon's budget per service.
func TestAParsedServiceIsSmall(t *testing.T) {
	const count, budget = 1000, 800
	files := make([][]byte, count)
	for i := range files {
		files[i] = []byte(strings.Replace(smallManifest, "0001", strconv.Itoa(1000+i), 1))
	}
	kept := make([]*spec.Service, count)
	before := heap()
	for i, data := range files {
		kept[i] = spec.Parse("/etc/svc.d/a.yaml", data).Services[0]
	}
	each := (heap() - before) / count
	t.Logf("%d bytes a service", each)
	if each > budget {
		t.Errorf("a service keeps %d bytes, want at most %d", each, budget)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(files)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
