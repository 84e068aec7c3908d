package record

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"svc.d/spec"
)

// golden is a store for golden files: its boot and clock are those of the files.
func golden() *Store {
	return &Store{boot: "golden", clock: clock{at: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), mono: 1_000_000_000_000}}
}

// TestRecordsOfEarlierVersionsAreRead reads what earlier versions of the program
// have written. A file there is never changed; a version that writes anything
// else gets a file of its own (go test -run Earlier -update ./reconciler/record).
func TestRecordsOfEarlierVersionsAreRead(t *testing.T) {
	s := golden()
	want := full(0, s.clock.at)
	current := filepath.Join("testdata", "v1")
	if *update {
		if _, err := os.Stat(current); err == nil {
			t.Fatal("it is there: it must not be changed")
		}
		data, err := s.encode(&want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(current, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lives := full(0, s.clock.at)
	living(&lives)
	if path := filepath.Join("testdata", "v1-life"); *update {
		data, err := s.encode(&lives)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/v*")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files:", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.decode(data, map[string]*spec.Service{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want := want
		if strings.HasSuffix(file, "-life") {
			want = lives
		}
		if diff := same(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
	}
}

// FuzzDecode wants no panic for whatever bytes, and that what is read can be
// written and read again.
func FuzzDecode(f *testing.F) {
	s := golden()
	data, err := os.ReadFile("testdata/v1")
	if err != nil {
		f.Fatal(err)
	}
	body, err := unwrap(data)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, true)
	f.Add(data, false)
	f.Add([]byte("boot \"golden\"\nservice \"a\"\nordinal -3\nstartedAt -1\nends [0]\n\nunknown"), true)
	f.Add([]byte("boot \"golden\"\nservice \"\xffeb\"\nordinal 0"), true)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		if whole {
			data = wrap(data)
		}
		r, err := s.decode(data, map[string]*spec.Service{})
		if err != nil {
			return
		}
		again, err := s.encode(&r)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", r, err)
		}
		second, err := s.decode(again, map[string]*spec.Service{})
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, again)
		}
		if r.Instance.ID != second.Instance.ID || r.Instance.Run != second.Instance.Run || r.Instance.Pid != second.Instance.Pid {
			t.Errorf("read %+v, then %+v", r, second)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(Options{StateDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		r := full(0, time.Now())
		name := fmt.Sprint("web-", n)
		r.Want, r.Instance.Spec = web(), nil
		r.Want.Metadata.Name, r.Instance.ID.Service = name, name
		r.Instance.Spec, r.Instance.Left, r.Instance.Ends = r.Want, nil, nil
		s.Record(r)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(Options{StateDir: dir, ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		if kept, err := s.Load(); err != nil || len(kept.Records) != 1000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	s := golden()
	r := full(0, s.clock.at)
	var out []byte
	for b.Loop() {
		var err error
		if out, err = s.encode(&r); err != nil {
			b.Fatal(err)
		}
	}
	if !bytes.HasPrefix(out, []byte(magic)) {
		b.Fatal("no record")
	}
}
