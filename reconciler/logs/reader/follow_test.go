package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler/logs/cri"
)

// follower collects the lines of a follow, by replica.
type follower struct {
	mu    sync.Mutex
	lines map[Replica][]string
	news  chan struct{}
	ended chan error
	stop  context.CancelFunc
}

func follow(t *testing.T, q Query) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{lines: map[Replica][]string{}, news: make(chan struct{}, 1), ended: make(chan error, 1), stop: cancel}
	q.Follow = true
	q.Warn = func(err error) { t.Error(err) }
	go func() { f.ended <- Read(ctx, q, f) }()
	t.Cleanup(func() {
		cancel()
		if err := <-f.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the follow ended with %v", err)
		}
	})
	return f
}

func (f *follower) Line(l *Line) error {
	f.mu.Lock()
	f.lines[l.Replica] = append(f.lines[l.Replica], string(l.Text))
	f.mu.Unlock()
	return nil
}

func (f *follower) Idle() error {
	select {
	case f.news <- struct{}{}:
	default:
	}
	return nil
}

// await waits until a replica has had so many lines, and returns them.
func (f *follower) await(r Replica, n int) []string {
	for {
		f.mu.Lock()
		lines := f.lines[r]
		f.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		<-f.news
	}
}

// pen writes to a replica's files.
type pen struct {
	t       *testing.T
	dir     string
	ordinal int32
	file    *os.File
	rotated int
}

func (p *pen) live() string { return filepath.Join(p.dir, cri.File{Ordinal: p.ordinal}.Name()) }

func (p *pen) open() {
	f, err := os.OpenFile(p.live(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		p.t.Error(err)
	}
	p.file = f
}

func (p *pen) write(n int) {
	if _, err := p.file.WriteString(e(n, fmt.Sprint(n))); err != nil {
		p.t.Error(err)
	}
}

// rotate returns the name that the file has then.
func (p *pen) rotate() string {
	p.file.Close()
	p.rotated++
	name := filepath.Join(p.dir, cri.File{Ordinal: p.ordinal, Rotated: at(0).Add(time.Duration(p.rotated))}.Name())
	if err := os.Rename(p.live(), name); err != nil {
		p.t.Error(err)
	}
	p.open()
	return name
}

func compress(t *testing.T, name string) {
	text, err := os.ReadFile(name)
	err = errors.Join(err, os.WriteFile(name+".gz.tmp", []byte(zipped(string(text))), 0o644),
		os.Rename(name+".gz.tmp", name+".gz"), os.Remove(name))
	if err != nil {
		t.Error(err)
	}
}

func numbers(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// Two replicas write and rotate as fast as they can, and what they leave is
// compressed, while it is followed. Neither the folder nor a file is there first.
func TestAFollowKeepsUpWithRotation(t *testing.T) {
	const lines, perFile = 1200, 9
	dir := t.TempDir()
	f := follow(t, Query{Dir: dir + "/log", Targets: web(All), Tail: -1})
	if err := os.MkdirAll(dir+"/log/web", 0o755); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for ordinal := range int32(2) {
		full := make(chan string, 10)
		writers.Go(func() {
			defer close(full)
			p := &pen{t: t, dir: dir + "/log/web", ordinal: ordinal}
			p.open()
			for n := range lines {
				p.write(n)
				if n%perFile == 0 {
					full <- p.rotate()
				}
			}
			p.file.Close()
		})
		writers.Go(func() {
			for name := range full {
				compress(t, name)
			}
		})
	}
	for ordinal := range int32(2) {
		if diff := cmp.Diff(numbers(lines), f.await(Replica{"web", ordinal}, lines)); diff != "" {
			t.Errorf("replica %d (-want +got)\n%s", ordinal, diff)
		}
	}
	writers.Wait()
}

func TestAFollowSeesWhatBecomesOfFiles(t *testing.T) {
	dir := t.TempDir()
	service := filepath.Join(dir, "web")
	put(t, dir, "web/0.log", e(0, "0")+e(1, "1"))
	f := follow(t, Query{Dir: dir, Targets: web(All), Tail: 1})
	zero := Replica{"web", 0}
	p := &pen{t: t, dir: service}
	p.open()
	count := 1
	next := func(what string) {
		t.Helper()
		count++
		p.write(count)
		if lines := f.await(zero, count); lines[len(lines)-1] != fmt.Sprint(count) {
			t.Fatalf("%s: got %v", what, lines)
		}
	}
	f.await(zero, 1)
	next("written")
	p.rotate()
	next("rotated")
	p.rotate()
	p.rotate()
	next("rotated twice")
	if err := os.Truncate(p.live(), 0); err != nil {
		t.Fatal(err)
	}
	next("truncated")
	if err := os.Remove(p.live()); err != nil {
		t.Fatal(err)
	}
	p.open()
	next("deleted")
	if err := os.RemoveAll(service); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(service, 0o755); err != nil {
		t.Fatal(err)
	}
	p.open()
	next("deleted with its folder")
	late := &pen{t: t, dir: service, ordinal: 7}
	late.open()
	late.write(70)
	f.await(Replica{"web", 7}, 1)
	p.file.Close()
	late.file.Close()
}

// A follow with a writer that never pauses shows what others write, too.
func TestABusyReplicaDoesNotHideAnother(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "web/0.log", "")
	put(t, dir, "web/1.log", "")
	f := follow(t, Query{Dir: dir, Targets: web(All), Tail: 0})
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		p := &pen{t: t, dir: dir + "/web"}
		p.open()
		defer p.file.Close()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				p.write(n)
			}
		}
	})
	f.await(Replica{"web", 0}, 1)
	p := &pen{t: t, dir: dir + "/web", ordinal: 1}
	p.open()
	p.write(1)
	p.file.Close()
	f.await(Replica{"web", 1}, 1)
	close(stop)
	writer.Wait()
}

func TestAnErrorOfTheSinkEndsTheReading(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "web/0.log", e(0, "0")+e(1, "1"))
	full := errors.New("full")
	count := 0
	sink := sinkFunc(func(*Line) error { count++; return full })
	err := Read(t.Context(), Query{Dir: dir, Targets: web(0), Tail: -1, Follow: true}, sink)
	if err != full || count != 1 {
		t.Errorf("got %v after %d lines", err, count)
	}
}

// The last lines of a large file cost little.
func TestTheEndOfALargeFileIsReadFromTheEnd(t *testing.T) {
	dir := t.TempDir()
	var text bytes.Buffer
	for n := range 200_000 {
		text.WriteString(e(n, "a line of the usual length, as programs write them"))
	}
	put(t, dir, "web/0.log", text.String())
	s := &source{chain: newChain(dir+"/web", 0, func(err error) { t.Error(err) }), left: -1}
	defer func() { s.chain.close() }()
	if n := s.begin(10); n != 10 {
		t.Errorf("%d lines, want 10", n)
	}
	if most := int64(text.Len() - firstWindow - bufferSize); s.chain.cur.start < most {
		t.Errorf("it begins at byte %d of %d, and should not before %d", s.chain.cur.start, text.Len(), most)
	}
	early := &source{chain: newChain(dir+"/web", 0, func(err error) { t.Error(err) }), left: -1, filter: filter{since: at(199_990)}}
	defer func() { early.chain.close() }()
	early.begin(-1)
	if early.chain.cur == nil || early.chain.cur.start < int64(text.Len()/2) {
		t.Error("what is too early is read from the beginning")
	}
}

// FuzzJoiner has bytes come out as they went in, however they are parted.
func FuzzJoiner(f *testing.F) {
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stdout P a\n2026-01-02T15:04:05.000000000Z stdout F b\nplain\n"), uint8(7))
	f.Add([]byte("2026-01-02T15:04:05.000000000Z stderr P \x00\n\n\n2026-01-02T15:04:05"), uint8(40))
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		var j joiner
		var got, want [kinds]bytes.Buffer
		collect := func(lines []Line) {
			for _, l := range lines {
				got[l.kind].Write(l.Text)
				if !l.More {
					got[l.kind].WriteByte('\n')
				}
			}
		}
		for entry := range bytes.Lines(text) {
			body, ended := bytes.CutSuffix(entry, []byte{'\n'})
			k, partial := foreign, false
			out := body
			if parsed, ok := cri.Parse(body); ok {
				k, partial, out = kind(parsed.Stream), parsed.Partial, parsed.Text
			} else if !ended && beginsEntry(body) {
				out = nil
			}
			want[k].Write(out)
			if !partial && (ended || !beginsEntry(body)) {
				want[k].WriteByte('\n')
			}
			if !ended {
				collect(j.torn(nil, body, time.Time{}))
				continue
			}
			// The head comes in one part, as the buffer makes it.
			n := min(len(body), cri.HeaderSize*2+int(size))
			for ; n < len(body); n = min(len(body), int(size)+1) {
				collect(j.add(nil, body[:n], false, time.Time{}))
				body = body[n:]
			}
			collect(j.add(nil, body, true, time.Time{}))
		}
		open := [kinds]bool{}
		for k := range kinds {
			open[k] = j.pending[k].begun
		}
		collect(j.flush(nil))
		for k := range kinds {
			if open[k] {
				want[k].WriteByte('\n')
			}
			if diff := cmp.Diff(want[k].String(), got[k].String()); diff != "" {
				t.Errorf("kind %d (-want +got)\n%s", k, diff)
			}
		}
	})
}
