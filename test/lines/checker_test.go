package lines

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const count = 1000

var script = Script{Seed: 7, Longest: 5000}

// written is what a run writes to a stream.
func written(s Script, run string, stream byte, n int) [][]byte {
	var all [][]byte
	for i := range n {
		all = append(all, s.Append(nil, run, stream, i))
	}
	return all
}

func checked(s Script, lines [][]byte, ends map[string]Written) Faults {
	c := NewChecker(s, 'o')
	for _, line := range lines {
		c.Line(line)
	}
	c.End(ends)
	c.examples = nil
	return c.Faults
}

func TestTheCheckerFindsEachFaultAndNoOther(t *testing.T) {
	scripts := map[string]Script{
		"mixed":  script,
		"binary": {Seed: 8, Longest: 200 << 10, Binary: true},
		"digits": {Seed: 9, Longest: 100, Short: true},
	}
	// Line 500 is of any length, line 512 tells its number.
	faults := map[string]struct {
		plant func(s Script, l [][]byte) [][]byte
		want  Faults
	}{
		"nothing":          {func(_ Script, l [][]byte) [][]byte { return l }, Faults{}},
		"lost":             {func(_ Script, l [][]byte) [][]byte { return slices.Delete(l, 500, 501) }, Faults{Lost: 1}},
		"lost, numbered":   {func(_ Script, l [][]byte) [][]byte { return slices.Delete(l, 512, 513) }, Faults{Lost: 1}},
		"many lost":        {func(_ Script, l [][]byte) [][]byte { return slices.Delete(l, 300, 700) }, Faults{Lost: 400}},
		"the first lost":   {func(_ Script, l [][]byte) [][]byte { return l[1:] }, Faults{Lost: 1}},
		"the last lost":    {func(_ Script, l [][]byte) [][]byte { return l[:count-1] }, Faults{Lost: 1}},
		"all lost":         {func(_ Script, l [][]byte) [][]byte { return nil }, Faults{Lost: count}},
		"doubled":          {func(_ Script, l [][]byte) [][]byte { return slices.Insert(l, 501, l[500]) }, Faults{Doubled: 1}},
		"doubled, later":   {func(_ Script, l [][]byte) [][]byte { return slices.Insert(l, 520, l[512]) }, Faults{Doubled: 1}},
		"doubled, at last": {func(_ Script, l [][]byte) [][]byte { return append(l, l[count-1]) }, Faults{Doubled: 1}},
		"swapped":          {func(_ Script, l [][]byte) [][]byte { l[512], l[513] = l[513], l[512]; return l }, Faults{Reordered: 1}},
		"torn": {func(_ Script, l [][]byte) [][]byte {
			return slices.Insert(slices.Delete(slices.Clone(l), 512, 513), 512, l[512][:5], l[512][5:])
		}, Faults{Torn: 2}},
		"cut off":      {func(_ Script, l [][]byte) [][]byte { l[512] = l[512][:10]; return l }, Faults{Torn: 1}},
		"another byte": {func(_ Script, l [][]byte) [][]byte { l[512] = append(l[512], '!'); return l }, Faults{Torn: 1}},
		"two in one": {func(_ Script, l [][]byte) [][]byte {
			l[512] = slices.Concat(l[512], l[513])
			return slices.Delete(l, 513, 514)
		}, Faults{Torn: 1, Lost: 1}},
		"another's": {func(s Script, l [][]byte) [][]byte {
			return slices.Insert(l, 500, s.Append(nil, "a", 'e', 64))
		}, Faults{Elsewhere: 1}},
		"a foreign line": {func(_ Script, l [][]byte) [][]byte { return slices.Insert(l, 500, []byte("hello")) }, Faults{Torn: 1}},
	}
	for kind, s := range scripts {
		for name, fault := range faults {
			t.Run(kind+": "+name, func(t *testing.T) {
				got := checked(s, fault.plant(s, written(s, "a", 'o', count)), map[string]Written{"a": {Lines: count}})
				if got.String() != fault.want.String() {
					t.Errorf("got %v\nwant %v", got, fault.want)
				}
			})
		}
	}
}

func TestRunsAreToldApart(t *testing.T) {
	a, b := written(script, "a", 'o', count), written(script, "b", 'o', count)
	ends := map[string]Written{"b": {Lines: count}}
	if got := checked(script, slices.Concat(a[:500], b), ends); got.String() != "" {
		t.Error("killed between lines:", got)
	}
	if got := checked(script, slices.Concat(a[:512], [][]byte{a[512][:9]}, b), ends); got.String() != "" {
		t.Error("killed within a line:", got)
	}
	ends["a"] = Written{Lines: 512, Killed: true}
	if got := checked(script, slices.Concat(a[:512], b), ends); got.String() != "" {
		t.Error("killed after what it says it has written:", got)
	}
	if got := checked(script, slices.Concat(a[:500], b), ends); got.Lost != 12 {
		t.Error("killed, and less than it has written:", got)
	}
	ends["a"] = Written{Lines: count}
	if got := checked(script, slices.Concat(a[:900], b), ends); got.Lost != 100 {
		t.Error("the end of a run that was not killed:", got)
	}
	if got := checked(script, slices.Concat(a[:500], b, a[500:]), ends); got.Reordered == 0 {
		t.Error("a run after its successor:", got)
	}
	if got := checked(script, slices.Concat(a, a[:1], b), ends); got.Doubled != 1 {
		t.Error("a run that begins anew:", got)
	}
}

// entry is a line of a log file.
func entry(stream, tag string, text []byte) []byte {
	return fmt.Appendf(nil, "%s %s %s %s\n", time.Unix(1, 5).UTC().Format("2006-01-02T15:04:05.000000000Z"), stream, tag, text)
}

// store makes the files of a replica of parts of a log.
func store(t *testing.T, parts ...[]byte) string {
	t.Helper()
	folder := t.TempDir()
	for i, part := range parts {
		name := filepath.Join(folder, "0.log")
		switch {
		case i < len(parts)/2:
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, err := w.Write(part)
			if err := errors.Join(err, w.Close()); err != nil {
				t.Fatal(err)
			}
			name, part = fmt.Sprintf("%s.20260102-15040%d.000000000.gz", name, i), packed.Bytes()
		case i < len(parts)-1:
			name = fmt.Sprintf("%s.20260102-15040%d.000000000", name, i)
		}
		if err := os.WriteFile(name, part, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestFilesAreReadInOrderAndLinesJoined(t *testing.T) {
	var parts [4][]byte
	for i := range count {
		for stream, name := range Streams {
			text := script.Append(nil, "a", stream, i)
			part := &parts[min(i/250, 3)]
			for len(text) > 100 { // divided, and a part of each in the next file
				*part = append(*part, entry(name, "P", text[:100])...)
				text = text[100:]
				if i%250 == 249 {
					part = &parts[min(i/250+1, 3)]
				}
			}
			*part = append(*part, entry(name, "F", text)...)
		}
	}
	folder := store(t, parts[:]...)
	if err := os.WriteFile(folder+"/0.log.20260102-150405.000000000.gz.tmp", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	verdict, err := Check(folder, 0, script, map[byte]map[string]Written{'o': {"a": {Lines: count}}, 'e': {"a": {Lines: count}}})
	if err != nil || verdict.Files != 4 || verdict.Compressed != 2 || verdict.Lines != 2*count {
		t.Errorf("%+v: %v", verdict, err)
	}
}

func TestWhatIsNoLogIsFound(t *testing.T) {
	good := entry("stdout", "F", nil)
	for name, parts := range map[string][][]byte{
		"no entry":               {[]byte("hello\n")},
		"no end":                 {good[:len(good)-1], good},
		"no such stream":         {entry("stdin", "F", nil)},
		"no such tag":            {entry("stdout", "X", nil)},
		"no time":                {bytes.Replace(good, []byte("1970"), []byte("197x"), 1)},
		"a file cut in two ends": {good[:20], good[20:]},
	} {
		if _, err := Read(store(t, parts...), 0, func(string, []byte) {}); err == nil {
			t.Errorf("%s: nothing was found", name)
		}
	}
	folder := store(t, good, good)
	if err := os.Link(folder+"/0.log.20260102-150400.000000000.gz", folder+"/0.log.20260102-150400.000000000"); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(folder, 0, func(string, []byte) {}); err == nil || !strings.Contains(err.Error(), "second time") {
		t.Errorf("the same file twice: %v", err)
	}
}
