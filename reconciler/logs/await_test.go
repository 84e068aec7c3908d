package logs

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler/logs/cri"
	"svc.d/reconciler/logs/reader"
)

// waiter counts what it was told.
type waiter struct {
	t    *testing.T
	seen chan struct{}
}

func (r *rig) wait(id Replica, line string, since time.Time) *waiter {
	w := &waiter{r.t, make(chan struct{}, 100)}
	r.c.Await(id, regexp.MustCompile(line), since, func() { w.seen <- struct{}{} })
	return w
}

// is waits until the line was seen.
func (w *waiter) is() {
	w.t.Helper()
	select {
	case <-w.seen:
	case <-time.After(20 * time.Second):
		w.t.Fatal("the line was not seen")
	}
}

// isNot judges what was seen by now.
func (w *waiter) isNot() {
	w.t.Helper()
	if len(w.seen) > 0 {
		w.t.Error("a line was seen")
	}
}

// onward has all that was written so far be in the files.
func (r *rig) onward(out *os.File) {
	r.t.Helper()
	before := r.read(web, cri.Stdout)
	io.WriteString(out, "onward\n")
	for !strings.HasSuffix(r.read(web, cri.Stdout), "onward\n") || r.read(web, cri.Stdout) == before {
		<-r.written
	}
}

func TestALineIsSeenWhen(t *testing.T) {
	long := strings.Repeat("x", 3*cri.MaxText)
	tests := map[string]struct {
		line   string
		writes []string // to stdout, each in a file before the next
		stderr string
	}{
		"it is whole":                   {`^ready$`, []string{"begin\nready\nmore\n"}, ""},
		"it is on stderr":               {`^ready$`, nil, "ready\n"},
		"it is empty":                   {`^$`, []string{"a\n\nb\n"}, ""},
		"it comes in pieces":            {`^all is ready$`, []string{"all", " is", " rea", "dy\n"}, ""},
		"it is a prompt":                {`^password: $`, []string{"password: "}, ""},
		"it matches before it is long":  {`^ready`, []string{"ready" + long + "\n"}, ""},
		"it is as long as is looked at": {`^x{1000}.*ready$`, []string{long[:cri.MaxText-5] + "ready\n"}, ""},
		"it follows a long one":         {`^ready$`, []string{long, long + "\nready\n"}, ""},
		"others are not it":             {`^ready$`, []string{"already\nready!\nready\r\n", "un", "ready\nready\n"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.open(Options{})
			out, err := r.attach(web)
			w := r.wait(web, test.line, time.Time{})
			for n, text := range test.writes {
				if n > 0 {
					w.isNot()
				}
				io.WriteString(out, text)
				if n < len(test.writes)-1 {
					r.parted(out)
				}
			}
			io.WriteString(err, test.stderr)
			w.is()
			io.WriteString(out, strings.Repeat(strings.Join(test.writes, "")+test.stderr, 2)+"\n")
			r.onward(out)
			w.isNot() // once more
		})
	}
}

// parted has what was written without a newline be in a file as a part.
func (r *rig) parted(out *os.File) {
	r.t.Helper()
	done := make(chan struct{})
	for {
		r.c.lane.post(func() {
			if p := &r.c.sources[web].pipes[cri.Stdout]; available(p.fd) == 0 {
				if p.slot >= 0 {
					r.c.lane.flush(p, false)
				}
				close(done)
				return
			}
			done <- struct{}{}
		})
		if _, more := <-done; !more {
			return
		}
	}
}

func TestALineIsNotSeenWhen(t *testing.T) {
	long := strings.Repeat("x", cri.MaxText)
	tests := map[string]struct {
		line string
		run  func(r *rig, out *os.File) *waiter
	}{
		"it was written before": {`ready`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, "ready\n")
			r.onward(out)
			return r.wait(web, `ready`, time.Time{})
		}},
		"a process before did not end it": {`ready`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, "ready")
			r.attach(web)
			return r.wait(web, `ready`, time.Time{})
		}},
		"it is another replica's": {`ready`, func(r *rig, out *os.File) *waiter {
			w := r.wait(Replica{"api", 0}, `ready`, time.Time{})
			io.WriteString(out, "ready\n")
			return w
		}},
		"it comes after more of a line than is looked at": {`ready`, func(r *rig, out *os.File) *waiter {
			w := r.wait(web, `ready`, time.Time{})
			io.WriteString(out, long+"ready\n")
			return w
		}},
		"nobody waits any more": {`ready`, func(r *rig, out *os.File) *waiter {
			w := r.wait(web, `ready`, time.Time{})
			r.c.CancelAwait(web)
			io.WriteString(out, "ready\n")
			return w
		}},
		"nobody waits any more for an old one": {`ready`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, "ready\n")
			r.onward(out)
			hold := make(chan struct{})
			r.c.lane.post(func() { <-hold })
			w := r.wait(web, `ready`, time.Unix(1, 0))
			r.c.CancelAwait(web)
			close(hold)
			return w
		}},
		"somebody waits for another": {`ready`, func(r *rig, out *os.File) *waiter {
			w := r.wait(web, `ready`, time.Time{})
			r.wait(web, `other`, time.Time{})
			io.WriteString(out, "ready\n")
			return w
		}},
		"somebody waits for another, before it is searched for": {`ready`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, "ready\n")
			r.onward(out)
			hold := make(chan struct{})
			r.c.lane.post(func() { <-hold })
			w := r.wait(web, `ready`, time.Unix(1, 0))
			other := r.wait(web, `onward`, time.Unix(1, 0))
			close(hold)
			other.is()
			r.searched()
			return w
		}},
		"it is found after more of a line than is looked at": {`ready`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, strings.Repeat("x", reader.MaxPiece)+"ready\n")
			r.onward(out)
			w := r.wait(web, `ready`, time.Unix(1, 0))
			r.searched()
			return w
		}},
		"it is older than what is asked for": {`ready`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, "ready\n")
			r.onward(out)
			w := r.wait(web, `ready`, time.Now())
			r.searched()
			return w
		}},
		"it is the end of one": {`^ready$`, func(r *rig, out *os.File) *waiter {
			io.WriteString(out, "un")
			r.parted(out)
			w := r.wait(web, `^ready$`, time.Unix(1, 0))
			r.searched()
			io.WriteString(out, "ready\n")
			return w
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.open(Options{})
			out, _ := r.attach(web)
			w := test.run(r, out)
			r.onward(out)
			r.c.Close(false) // and the searches have ended
			w.isNot()
		})
	}
}

// searched waits until the searches are through.
func (r *rig) searched() { r.c.searches.Wait() }

func TestALineThatADaemonBeforeTookIsFound(t *testing.T) {
	tests := map[string]struct {
		before, without, after string
		line                   string
	}{
		"it had it in a file":           {"begin\nall is ready\n", "", "", `^all is ready$`},
		"it had a part of it in a file": {"all is", " rea", "dy\n", `^all is ready$`},
		"nobody had taken it":           {"begin\n", "all is ready\n", "", `^all is ready$`},
		"it was a prompt":               {"all is ready", "", "", `^all is ready$`},
		"it is written later":           {"begin\n", "", "all is ready\n", `^all is ready$`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			since := time.Now()
			r := newRig(t)
			r.open(Options{})
			out, _ := r.attach(web)
			io.WriteString(out, test.before)
			r.parted(out)
			r.c.Close(false)
			io.WriteString(out, test.without)
			r.open(Options{})
			w := r.wait(web, test.line, since)
			if test.after != "" {
				r.searched()
				w.isNot()
			}
			io.WriteString(out, test.after)
			w.is()
			r.onward(out)
			r.searched()
			w.isNot() // once more
		})
	}
}

func TestALineIsSeenOnTheOtherSideOfARotation(t *testing.T) {
	for name, already := range map[string]bool{"before it is waited for": true, "while it is": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.open(Options{})
			c.Configure(map[string]Limits{web.Service: {MaxSize: 2000}})
			since := time.Now()
			out, _ := r.attach(web)
			fill := func() {
				for have := len(r.files(web)); len(r.files(web)) < have+2; {
					io.WriteString(out, strings.Repeat("nothing\n", 100))
					r.onward(out)
				}
			}
			var w *waiter
			if already {
				io.WriteString(out, "ready\n")
				fill()
				w = r.wait(web, `^ready$`, since)
			} else {
				w = r.wait(web, `^ready$`, since)
				io.WriteString(out, "rea")
				r.parted(out)
				if err := os.Rename(filepath.Join(r.log, "web", "0.log"), filepath.Join(r.log, "web", "0.log.1")); err != nil {
					t.Fatal(err)
				}
				io.WriteString(out, "dy\n")
			}
			w.is()
		})
	}
}

func TestALineIsSeenAlthoughTheDiskIsFull(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(r.log, nil, 0o644); err != nil { // there can be no folder
		t.Fatal(err)
	}
	r.open(Options{})
	out, _ := r.attach(web)
	w := r.wait(web, `^ready$`, time.Time{})
	io.WriteString(out, "ready\n")
	w.is()
}

func TestNobodyIsWaitedForAfterAReleaseOrTheEnd(t *testing.T) {
	r := newRig(t)
	c := r.open(Options{})
	out, _ := r.attach(web)
	w := r.wait(web, `ready`, time.Time{})
	io.WriteString(out, "ready")
	c.Release(web)
	if w.isNot(); r.read(web, cri.Stdout) != "ready\n" {
		t.Errorf("got %q", r.read(web, cri.Stdout))
	}
	c.Close(false)
	r.wait(web, `.`, time.Unix(1, 0)).isNot()
	c.CancelAwait(web)
}
