package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOnlyAHandoverIsTakenForOne, whatever a variable says that somebody has left
// in the environment.
func TestOnlyAHandoverIsTakenForOne(t *testing.T) {
	// Descriptors that nobody has, since what is taken over is made to close on exec.
	h := &handover{Version: handoverVersion, Lock: 1000001, Socket: 1000002, Why: whySignal}
	sealed, err := h.write()
	must(t, err)
	content, err := os.ReadFile("/proc/self/fd/" + strconv.Itoa(sealed))
	must(t, err)
	other := func(flags int) int {
		fd, err := unix.MemfdCreate("other", flags)
		must(t, err)
		_, err = unix.Write(fd, content)
		must(t, err)
		return fd
	}
	tests := map[string]struct {
		fd   string
		want string // of the error; empty for none
	}{
		"what an image has left":             {strconv.Itoa(sealed), ""},
		"memory that can be changed":         {strconv.Itoa(other(unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING)), "is no handover"},
		"memory that is a file like another": {strconv.Itoa(other(unix.MFD_CLOEXEC)), "is no handover"},
		"a descriptor that nobody has":       {"1000003", "is no handover"},
		"standard input":                     {"0", "is no descriptor"},
		"something that is no number":        {"x", "is no descriptor"},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Setenv(handoverEnv, test.fd)
			got, err := takeHandover()
			switch {
			case test.want == "" && (err != nil || got.Lock != h.Lock):
				t.Errorf("got %+v, %v", got, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %+v, %v; want %q", got, err, test.want)
			}
			if _, left := os.LookupEnv(handoverEnv); left {
				t.Error("the variable is still there")
			}
		})
	}
}
