package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
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

// TestAHandoverSaysAllThatIsCarried, and has all of it stay open.
func TestAHandoverSaysAllThatIsCarried(t *testing.T) {
	id := reconciler.ReplicaID{Service: "web", Ordinal: 3}
	h := &handover{
		Version: handoverVersion, Lock: 1000001, Socket: 1000002, Tree: 1000003, Notify: 1000004, Why: whySignal,
		Pidfds:      byName(map[reconciler.ReplicaID]int{id: 1000005}),
		Outputs:     map[string]int{"web-3.stdout": 1000006},
		Stored:      byName(map[reconciler.ReplicaID][]host.StoredFD{id: {{Name: "a", FD: 1000007, NoPoll: true}, {Name: "b", FD: 1000008}}}),
		Early:       byName(map[reconciler.ReplicaID][][]byte{id: {[]byte("STATUS=\xff")}}),
		Environment: byName(map[reconciler.ReplicaID][][]byte{id: {[]byte("NAME=\xff")}}),
	}
	fd, err := h.write()
	must(t, err)
	t.Setenv(handoverEnv, strconv.Itoa(fd))
	got, err := takeHandover()
	must(t, err)
	if diff := cmp.Diff(h, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	kept := got.keep()
	slices.Sort(kept)
	if diff := cmp.Diff([]int{1000001, 1000002, 1000003, 1000004, 1000005, 1000006, 1000007, 1000008}, kept); diff != "" {
		t.Errorf("it keeps open (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[reconciler.ReplicaID]int{id: 1000005}, byReplica(got.Pidfds)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
