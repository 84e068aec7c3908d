package api

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestProfilesAreServedOnlyWhenSwitchedOn(t *testing.T) {
	off := ask(t, NewServer(Config{}), "/debug/pprof/heap")
	checkFailure(t, off.Body.Bytes(), 404)
	if !strings.Contains(off.Body.String(), "--pprof") {
		t.Errorf("the flag is not named: %s", off.Body)
	}
	s := NewServer(Config{Profiles: true})
	checkFailure(t, ask(t, s, "/debug/pprof/nonsense").Body.Bytes(), 404)
	if w := ask(t, s, "/debug/pprof/goroutine?debug=2"); !strings.Contains(w.Body.String(), "TestProfilesAreServedOnlyWhenSwitchedOn") {
		t.Errorf("this goroutine is not in %s", w.Body)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, as(peer{uid: s.uid + 4711}, httptest.NewRequest("GET", "/debug/pprof/heap", nil)))
	checkFailure(t, w.Body.Bytes(), 403)
}

// kept is on the heap while it is looked at.
var kept [][]byte

func TestProfilesCanBeReadByPprof(t *testing.T) {
	for range 64 {
		kept = append(kept, make([]byte, 1<<20))
	}
	defer func() { kept = nil }()
	s := NewServer(Config{Profiles: true})
	for name, want := range map[string]string{
		"heap": "inuse_space", "allocs": "alloc_space", "goroutine": "goroutine",
	} {
		w := ask(t, s, "/debug/pprof/"+name)
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("go", "tool", "pprof", "-top", "-sample_index="+want, program, path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Type: "+want) || !strings.Contains(string(out), "TestProfilesCanBeReadByPprof") && name != "goroutine" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
