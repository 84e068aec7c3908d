package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// TestASignalToEndIsPendingUntilItIsHeeded: where it is held up, the successor
// would not know of it.
func TestASignalToEndIsPendingUntilItIsHeeded(t *testing.T) {
	tests := map[string]struct {
		sent []os.Signal
		want os.Signal
	}{
		"nothing came":                         {nil, nil},
		"a hang-up is done with by the exec":   {[]os.Signal{syscall.SIGHUP}, nil},
		"one that is held up by the loop":      {[]os.Signal{syscall.SIGTERM}, syscall.SIGTERM},
		"one behind another":                   {[]os.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGINT}, syscall.SIGINT},
		"who wants to leave":                   {[]os.Signal{syscall.SIGQUIT}, syscall.SIGQUIT},
		"the first of several is what is told": {[]os.Signal{syscall.SIGTERM, syscall.SIGTERM}, syscall.SIGTERM},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			busy := make(chan struct{}) // the loop, which is executing
			s := signals{
				received: make(chan os.Signal, caughtAtMost), nohup: true, log: logr.Discard(),
				reexec: func() {}, leave: func() {}, shutdown: func(bool) { <-busy },
			}
			stop := s.watch(t.Context())
			for _, sig := range test.sent {
				s.received <- sig
			}
			err := s.pending()
			var ending *endingError
			switch {
			case test.want == nil && err != nil:
				t.Errorf("pending: %v", err)
			case test.want != nil && (!errors.As(err, &ending) || ending.signal != test.want):
				t.Errorf("pending: %v, want %v", err, test.want)
			}
			close(busy)
			t.Cleanup(stop) // when the context has ended
		})
	}
}

func TestASignalOutweighsOtherReasonsForAReexec(t *testing.T) {
	s := newSuccessor(nil)
	for _, why := range []string{"configuration", whySignal, "configuration is as it was"} {
		s.ask(why)
	}
	if why := s.asked(); why != whySignal {
		t.Errorf("asked because of %q", why)
	}
	if why := s.asked(); why != "" {
		t.Errorf("asked again because of %q", why)
	}
}

func TestAFlushedLogIsWritten(t *testing.T) {
	var out bytes.Buffer
	q := newLogQueue(&out, func(int) []byte { return nil })
	for range 100 {
		if _, err := q.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	q.flush(time.Minute)
	if got := out.Len(); got != 500 {
		t.Errorf("%d bytes are written", got)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	q.flush(time.Minute) // of one that is closed does not hang
}

func TestAHangUpOfATerminalSaysHowServicesWouldHaveRunOn(t *testing.T) {
	for sig, want := range map[os.Signal]bool{syscall.SIGHUP: true, syscall.SIGINT: false} {
		var line string
		s := signals{terminal: true, shutdown: func(bool) {}, log: funcr.New(func(_, text string) { line = text }, funcr.Options{})}
		s.handle(sig, false)
		if got := strings.Contains(line, "SIGQUIT"); got != want {
			t.Errorf("%s is logged as %s", sig, line)
		}
	}
}
