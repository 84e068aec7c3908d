package reader

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"svc.d/reconciler/logs/cri"
)

// history is a replica that writes, and what is done to its files meanwhile.
type history struct {
	t     *rapid.T
	dir   string
	now   int64 // nanoseconds
	count int
	open  [2]string // of each stream, the line that has not ended
	// lines are those that have ended, in order.
	lines []string
	// story is what has happened, to understand a failure.
	story []string
}

func (h *history) tell(format string, args ...any) {
	h.story = append(h.story, fmt.Sprintf(format, args...))
}

func newHistory(t *rapid.T, dir string) *history {
	h := &history{t: t, dir: dir}
	h.append("")
	return h
}

func (h *history) path(name string) string { return filepath.Join(h.dir, name) }

func (h *history) must(err error) {
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) append(text string) {
	f, err := os.OpenFile(h.path("0.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	h.must(err)
	_, err = f.WriteString(text)
	h.must(err)
	h.must(f.Close())
	h.must(os.Chtimes(h.path("0.log"), h.time(), h.time())) // that is what orders plain text
}

func (h *history) time() time.Time { return at(0).Add(time.Duration(h.now)) }

func (h *history) tick() time.Time {
	h.now += rapid.Int64Range(1, 5).Draw(h.t, "ns")
	return h.time()
}

// write appends an entry, in one or two pieces. between is called when it is torn.
func (h *history) write(between func()) {
	h.count++
	text := fmt.Sprintf("%d", h.count)
	if rapid.IntRange(0, 9).Draw(h.t, "size") == 0 {
		text += strings.Repeat("x", rapid.SampledFrom([]int{100, cri.MaxText, 3 * cri.MaxText}).Draw(h.t, "bytes"))
	}
	kind := rapid.IntRange(0, 6).Draw(h.t, "kind")
	var entry string
	switch {
	case kind == 0: // no entry
		h.tick()
		entry = text + "\n"
		h.lines = append(h.lines, text)
	default:
		stream := cri.Stdout
		if kind > 4 {
			stream = cri.Stderr
		}
		partial := kind == 1 || kind == 5
		entry = string(cri.AppendHeader(nil, h.tick(), stream, partial)) + text + "\n"
		h.open[stream] += text
		if !partial {
			h.lines = append(h.lines, h.open[stream])
			h.open[stream] = ""
		}
	}
	cut := len(entry)
	if rapid.Bool().Draw(h.t, "torn") {
		cut = rapid.IntRange(0, min(len(entry)-1, 60)).Draw(h.t, "cut")
	}
	h.tell("wrote %s as kind %d, torn at %d of %d", text[:min(len(text), 8)], kind, cut, len(entry))
	h.append(entry[:cut])
	if cut < len(entry) {
		between()
		h.append(entry[cut:])
	}
}

// rotate is what the daemon does.
func (h *history) rotate() {
	name := cri.File{Rotated: h.tick()}.Name()
	h.tell("rotated to %s", name)
	h.must(os.Rename(h.path("0.log"), h.path(name)))
	if rapid.Bool().Draw(h.t, "made anew") {
		h.append("")
	}
}

// foreign are the numbers that another program has given.
func (h *history) numbers() (highest int) {
	names, err := filepath.Glob(h.path("0.log.?*"))
	h.must(err)
	for n := 1; ; n++ {
		has := func(name string) bool { return slices.Contains(names, h.path(name)) }
		if !has(fmt.Sprintf("0.log.%d", n)) && !has(fmt.Sprintf("0.log.%d.gz", n)) {
			return n - 1
		}
	}
}

// shift makes room for 0.log.1.
func (h *history) shift() {
	for n := h.numbers(); n > 0; n-- {
		for _, end := range []string{"", ".gz"} {
			err := os.Rename(h.path(fmt.Sprintf("0.log.%d%s", n, end)), h.path(fmt.Sprintf("0.log.%d%s", n+1, end)))
			if err != nil && !os.IsNotExist(err) {
				h.t.Fatal(err)
			}
		}
	}
}

func (h *history) logrotate() {
	if info, err := os.Stat(h.path("0.log")); err != nil || info.Size() == 0 {
		return // as logrotate does with "notifempty"
	}
	h.shift()
	if rapid.Bool().Draw(h.t, "copytruncate") {
		text, err := os.ReadFile(h.path("0.log"))
		h.must(err)
		h.must(os.WriteFile(h.path("0.log.1"), text, 0o644))
		h.must(os.Chtimes(h.path("0.log.1"), h.time(), h.time()))
		h.tell("copied and truncated")
		h.must(os.Truncate(h.path("0.log"), 0))
		return
	}
	h.tell("renamed to 0.log.1")
	h.must(os.Rename(h.path("0.log"), h.path("0.log.1")))
}

// compress compresses a file that was rotated.
func (h *history) compress() {
	names, err := filepath.Glob(h.path("0.log.?*"))
	h.must(err)
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, ".gz") })
	if len(names) == 0 {
		return
	}
	name := rapid.SampledFrom(names).Draw(h.t, "file")
	text, err := os.ReadFile(name)
	h.must(err)
	info, err := os.Stat(name)
	h.must(err)
	h.must(os.WriteFile(name+".gz.tmp", []byte(zipped(string(text))), 0o644))
	h.must(os.Chtimes(name+".gz.tmp", info.ModTime(), info.ModTime()))
	h.must(os.Rename(name+".gz.tmp", name+".gz"))
	h.tell("compressed %s", filepath.Base(name))
	if rapid.IntRange(0, 5).Draw(h.t, "left") > 0 {
		h.must(os.Remove(name))
	}
}

// step does one thing.
func (h *history) step(between func()) {
	switch n := rapid.IntRange(0, 19).Draw(h.t, "step"); {
	case n == 0:
		h.rotate()
	case n == 1:
		h.logrotate()
	case n <= 3:
		h.compress()
	default:
		h.write(between)
	}
	h.append("")
}

// end ends the lines that have not ended.
func (h *history) end() {
	for stream, text := range h.open {
		if text != "" {
			h.append(string(cri.AppendHeader(nil, h.tick(), cri.Stream(stream), false)) + "\n")
			h.lines = append(h.lines, text)
		}
	}
}

type collectTexts []string

func (c *collectTexts) Line(l *Line) error {
	if l.Rest {
		(*c)[len(*c)-1] += string(l.Text)
	} else {
		*c = append(*c, string(l.Text))
	}
	return nil
}

func (c *collectTexts) Idle() error { return nil }

// TestEveryLineIsReadOnce reads random histories when they are over.
func TestEveryLineIsReadOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		if err := os.Mkdir(dir+"/web", 0o755); err != nil {
			rt.Fatal(err)
		}
		h := newHistory(rt, dir+"/web")
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			h.step(func() {})
		}
		h.end()
		var got collectTexts
		q := Query{Dir: dir, Targets: web(All), Tail: -1, Warn: func(err error) { rt.Error(err) }}
		if err := Read(t.Context(), q, &got); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(h.lines, []string(got)); diff != "" && len(got)+len(h.lines) > 0 {
			rt.Fatalf("(-want +got)\n%s\n%s", short(diff), strings.Join(h.story, "\n"))
		}
		all := got
		for _, n := range []int{0, 1, rapid.IntRange(2, 60).Draw(rt, "tail")} {
			got = nil
			q.Tail = n
			if err := Read(t.Context(), q, &got); err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(all[max(0, len(all)-n):], got); diff != "" && n > 0 || len(got) > n {
				rt.Fatalf("the last %d (-want +got)\n%s", n, short(diff))
			}
		}
	})
}

// TestAFollowMissesNothing looks at a history now and then.
func TestAFollowMissesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		h := newHistory(rt, dir)
		var got collectTexts
		open := func() *source {
			return &source{chain: newChain(dir, 0, func(err error) { rt.Error(err) }), left: -1, follow: true}
		}
		s := open()
		defer func() { s.chain.close() }()
		look := func() {
			s.chain.look = true
			for l := s.next(false); l != nil; l = s.next(false) {
				_ = got.Line(l)
			}
			h.tell("looked, and had %d lines", len(got))
		}
		begun := 0
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			h.step(look)
			if i >= 10 && begun == 0 && h.open == [2]string{} && rapid.IntRange(0, 9).Draw(rt, "begins anew") == 0 {
				s.chain.close()
				s, got = open(), nil
				s.begin(0)
				s.skipAll()
				begun = len(h.lines)
				s.left, s.skip = -1, 0
			}
			if rapid.IntRange(0, 4).Draw(rt, "look") == 0 {
				look()
			}
		}
		look()
		if diff := cmp.Diff(h.lines[begun:], []string(got)); diff != "" && len(h.lines[begun:])+len(got) > 0 {
			rt.Fatalf("(-want +got)\n%s\n%s", short(diff), strings.Join(h.story, "\n"))
		}
	})
}

// skipAll leaves out what begin has said.
func (s *source) skipAll() {
	for l := s.next(false); l != nil; l = s.next(false) {
		panic("a line was given")
	}
}

func short(diff string) string { return strings.ReplaceAll(diff, strings.Repeat("x", 64), "x") }
