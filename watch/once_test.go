package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadReadsOnceByTheSameRules(t *testing.T) {
	dir := sub(t, "a", "b")
	fill(t, filepath.Join(dir, "deep"), "c")
	must(t, os.WriteFile(filepath.Join(dir, ".hidden.yaml"), []byte(service("h", "1")), 0o644))
	renameIn(t, filepath.Join(dir, "z.yaml"), service("a", "2"))
	// Somebody has it open for writing; nothing is waited for.
	f, err := os.OpenFile(filepath.Join(dir, "b.yaml"), os.O_RDWR, 0)
	must(t, err)
	defer func() { _ = f.Close() }()

	s, err := Read([]string{dir}, false, nil)
	must(t, err)
	if !has("a", "b")(s) || arg(s.Services["a"]) != "1" || !problem("is declared already by "+filepath.Join(dir, "a.yaml"))(s) {
		t.Error(show(s))
	}
	s, err = Read([]string{dir, filepath.Join(dir, "a.yaml")}, true, nil)
	must(t, err)
	if !has("a", "b", "c")(s) || len(s.Problems) != 1 {
		t.Error(show(s))
	}
	must(t, os.WriteFile(filepath.Join(dir, "any.name"), []byte(service("any", "1")), 0o644))
	s, err = Read([]string{filepath.Join(dir, "any.name"), filepath.Join(dir, ".hidden.yaml")}, false, nil)
	must(t, err)
	if !has("any", "h")(s) || !noProblem(s) {
		t.Error(show(s))
	}
	renameIn(t, filepath.Join(dir, "a.yaml"), "oops: 1\n")
	s, err = Read([]string{filepath.Join(dir, "a.yaml")}, false, nil)
	must(t, err)
	if !has()(s) || noProblem(s) {
		t.Error(show(s))
	}
	for _, missing := range []string{filepath.Join(dir, "nowhere"), filepath.Join(dir, "no", "where.yaml")} {
		if _, err = Read([]string{dir, missing}, false, nil); err == nil || !strings.HasPrefix(err.Error(), "cannot read "+missing+": ") {
			t.Errorf("%v", err)
		}
	}
}
