package reader

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler/logs/cri"
)

// at is the time of second n of these tests.
func at(n int) time.Time {
	return time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
}

// e is an entry of stdout, p a part of one, x one of stderr.
func e(n int, text string) string { return entryOf(n, cri.Stdout, false, text) }
func p(n int, text string) string { return entryOf(n, cri.Stdout, true, text) }
func x(n int, text string) string { return entryOf(n, cri.Stderr, false, text) }

func entryOf(n int, s cri.Stream, partial bool, text string) string {
	return string(cri.AppendHeader(nil, at(n), s, partial)) + text + "\n"
}

// rotated is the name of a file of replica 0 that was rotated at second n.
func rotated(n int) string { return cri.File{Rotated: at(n)}.Name() }

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at(1000), at(1000)); err != nil {
		t.Fatal(err)
	}
}

// read returns what is read, one "REPLICA STREAM SECOND TEXT" a line.
func read(t testing.TB, q Query) string {
	t.Helper()
	q.Warn = func(err error) { t.Log("warned:", err); t.Fail() }
	var c collector
	if err := Read(t.Context(), q, &c); err != nil {
		t.Fatal(err)
	}
	return c.String()
}

type collector struct{ strings.Builder }

func (c *collector) Line(l *Line) error {
	marks := ""
	if l.Rest {
		marks += "..."
	}
	if l.More {
		marks += "~"
	}
	fmt.Fprintf(c, "%s %s %d %s%s\n", l.Replica, l.Stream, int(l.Time.Sub(at(0)).Seconds()), marks, l.Text)
	return nil
}

func (c *collector) Idle() error { return nil }

func web(n int32) []Target { return []Target{{Service: "web", Ordinal: n}} }

func TestFilesAreReadAsOneInTheOrderInWhichTheyWereWritten(t *testing.T) {
	all := func(lines ...string) string {
		var b strings.Builder
		for i, l := range lines {
			fmt.Fprintf(&b, "web-0 stdout %d %s\n", i+1, l)
		}
		return b.String()
	}
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":      {nil, ""},
		"an empty one": {map[string]string{"0.log": ""}, ""},
		"one":          {map[string]string{"0.log": e(1, "a") + e(2, "b")}, all("a", "b")},
		"rotated and compressed": {map[string]string{
			"0.log": e(3, "c"), rotated(2): e(2, "b"), rotated(1) + ".gz": zipped(e(1, "a")),
		}, all("a", "b", "c")},
		"one that is being compressed": {map[string]string{
			"0.log": e(2, "b"), rotated(1): e(1, "a"), rotated(1) + ".gz": zipped(e(1, "a")), rotated(2) + ".gz.tmp": "x",
		}, all("a", "b")},
		"no file that is written to": {map[string]string{rotated(2): e(1, "a") + e(2, "b")}, all("a", "b")},
		"rotated by another program": {map[string]string{
			"0.log": e(4, "d"), "0.log.1": e(3, "c"), "0.log.2.gz": zipped(e(2, "b")), "0.log-20251231": e(1, "a"),
		}, all("a", "b", "c", "d")},
		"rotated by both": {map[string]string{
			"0.log": e(4, "d"), rotated(3): e(3, "c"), "0.log.1": e(2, "b"), rotated(1): e(1, "a"),
		}, all("a", "b", "c", "d")},
		"what is no log": {map[string]string{
			"0.log": e(1, "a"), "10.log": e(9, "x"), "0.log.xz": "x", "0.logs": "x", "0.log~": "x", "00.log": "x", "notes": "x", "0.log.1.tmp": "x",
		}, all("a")},
		"a line over two files": {map[string]string{"0.log": e(2, "d") + e(2, "b"), rotated(1): p(1, "abc")}, all("abcd", "b")},
		"a torn entry that another file follows": {map[string]string{
			"0.log": e(2, "b"), rotated(1): strings.TrimSuffix(e(1, "a"), "\n"),
		}, all("a", "b")},
		"a torn head that another file follows": {map[string]string{
			"0.log": e(2, "b"), rotated(1): e(1, "a") + e(2, "x")[:12],
		}, all("a", "b")},
		"a torn entry with text at the end": {map[string]string{"0.log": e(1, "a") + strings.TrimSuffix(e(2, "bc"), "c\n")}, all("a", "b")},
		"a torn head at the end":            {map[string]string{"0.log": e(1, "a") + e(2, "b")[:cri.HeaderSize-1]}, all("a")},
		"a line that has not ended":         {map[string]string{"0.log": p(1, "a") + p(2, "b")}, all("ab")},
		"bytes that are no text":            {map[string]string{"0.log": e(1, "\x00\xff\r") + e(2, "")}, all("\x00\xff\r", "")},
		"plain text among entries": {map[string]string{"0.log": e(1, "a") + "plain\n\n" + e(2, "b") + "end"},
			"web-0 stdout 1 a\nweb-0 stdout 1 plain\nweb-0 stdout 1 \nweb-0 stdout 2 b\nweb-0 stdout 2 end\n"},
		"plain text alone has the file's time": {map[string]string{"0.log": "plain\n"}, "web-0 stdout 1000 plain\n"},
		"the streams join apart": {map[string]string{"0.log": p(1, "a") + x(2, "x") + e(3, "b")},
			"web-0 stderr 2 x\nweb-0 stdout 1 ab\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				put(t, dir, "web/"+name, text)
			}
			if diff := cmp.Diff(test.want, read(t, Query{Dir: dir, Targets: web(0), Tail: -1})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatIsAskedForIsGiven(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "web/"+rotated(4), e(1, "one")+x(2, "two")+p(3, "th")+e(4, "ree"))
	put(t, dir, "web/0.log", e(5, "five")+x(8, "eight"))
	put(t, dir, "web/1.log", e(2, "zwei")+e(6, "sechs"))
	put(t, dir, "db/0.log", e(7, "sept"))
	tests := map[string]struct {
		change func(*Query)
		want   string
	}{
		"all replicas, by time":   {nil, "one two zwei three five sechs eight"},
		"one replica":             {func(q *Query) { q.Targets = web(1) }, "zwei sechs"},
		"two services":            {func(q *Query) { q.Targets = append(web(All), Target{Service: "db", Ordinal: All}) }, "one two zwei three five sechs sept eight"},
		"a service without logs":  {func(q *Query) { q.Targets = []Target{{Service: "none", Ordinal: All}} }, ""},
		"a replica twice":         {func(q *Query) { q.Targets = append(web(1), web(1)...) }, "zwei sechs"},
		"stdout":                  {func(q *Query) { q.Streams = OnlyStdout }, "one zwei three five sechs"},
		"stderr":                  {func(q *Query) { q.Streams = OnlyStderr }, "two eight"},
		"since":                   {func(q *Query) { q.Targets[0].Since = at(5) }, "five sechs eight"},
		"since in a joined line":  {func(q *Query) { q.Targets[0].Since = at(4) }, "five sechs eight"},
		"until":                   {func(q *Query) { q.Targets[0].Until = at(3) }, "one two zwei"},
		"grep":                    {func(q *Query) { q.Grep = regexp.MustCompile("(?i)^T|S$") }, "two three sechs"},
		"the last two":            {func(q *Query) { q.Tail = 2 }, "sechs eight"},
		"the last four":           {func(q *Query) { q.Tail = 4 }, "three five sechs eight"},
		"none":                    {func(q *Query) { q.Tail = 0 }, ""},
		"more than there are":     {func(q *Query) { q.Tail = 100 }, "one two zwei three five sechs eight"},
		"the last of stderr":      {func(q *Query) { q.Tail, q.Streams = 1, OnlyStderr }, "eight"},
		"the last that match":     {func(q *Query) { q.Tail, q.Grep = 2, regexp.MustCompile("^t") }, "two three"},
		"the last, if not before": {func(q *Query) { q.Tail = 3; q.Targets[0].Since = at(6) }, "sechs eight"},
		"a part of the time":      {func(q *Query) { q.Targets[0].Since, q.Targets[0].Until = at(3), at(6) }, "three five"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := Query{Dir: dir, Targets: web(All), Tail: -1}
			if test.change != nil {
				test.change(&q)
			}
			var got []string
			for line := range strings.Lines(read(t, q)) {
				got = append(got, strings.Fields(line)[3])
			}
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestALongLineComesInPieces(t *testing.T) {
	for name, text := range map[string]string{
		"of entries":        strings.Repeat(p(1, strings.Repeat("x", cri.MaxText)), 200) + e(1, "end"),
		"in one entry":      e(1, strings.Repeat("x", 200*cri.MaxText)+"end"),
		"that is plain":     strings.Repeat("x", 200*cri.MaxText) + "end\n",
		"with no end":       strings.Repeat(p(1, strings.Repeat("x", cri.MaxText)), 200) + p(1, "end"),
		"with no end alone": strings.Repeat("x", 200*cri.MaxText) + "end",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "web/0.log", text+e(2, "next"))
			if strings.HasPrefix(name, "with no end") {
				put(t, dir, "web/0.log", text)
			}
			for _, tail := range []int{-1, 2, 1} {
				var printed bytes.Buffer
				printer := NewPrinter(&printed)
				most := 0
				sink := sinkFunc(func(l *Line) error { most = max(most, len(l.Text)); return printer.Line(l) })
				if err := Read(t.Context(), Query{Dir: dir, Targets: web(0), Tail: tail}, sink); err != nil {
					t.Fatal(err)
				}
				printer.Idle()
				want := strings.Repeat("x", 200*cri.MaxText) + "end\n"
				if !strings.HasPrefix(name, "with no end") {
					if want += "next\n"; tail == 1 {
						want = "next\n"
					}
				}
				if printed.String() != want {
					t.Errorf("tail %d: %d bytes were printed, want %d", tail, printed.Len(), len(want))
				}
				if most > MaxPiece+bufferSize {
					t.Errorf("tail %d: a piece has %d bytes", tail, most)
				}
			}
		})
	}
}

type sinkFunc func(*Line) error

func (f sinkFunc) Line(l *Line) error { return f(l) }
func (f sinkFunc) Idle() error        { return nil }

func TestThePrinterBreaksOffALineThatAnotherOneInterrupts(t *testing.T) {
	var out bytes.Buffer
	printer := NewPrinter(&out)
	printer.Timestamps = true
	printer.Prefix = func(r Replica) string { return r.String() + " | " }
	one, two := Replica{"web", 0}, Replica{"web", 1}
	for _, l := range []Line{
		{Replica: one, Time: at(1), Text: []byte("a"), More: true},
		{Replica: one, Time: at(1), Text: []byte("b"), Rest: true, More: true},
		{Replica: two, Time: at(2), Text: []byte("x")},
		{Replica: one, Time: at(1), Text: []byte("c"), Rest: true},
	} {
		if err := printer.Line(&l); err != nil {
			t.Fatal(err)
		}
	}
	printer.Idle()
	want := `web-0 | 2026-01-02T15:00:01.000000000Z ab
web-1 | 2026-01-02T15:00:02.000000000Z x
web-0 | 2026-01-02T15:00:01.000000000Z c
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
