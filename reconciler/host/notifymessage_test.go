package host

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
)

func TestParseNotifyMessage(t *testing.T) {
	notice := func(n reconciler.Notice) notifyMessage { return notifyMessage{notice: n} }
	tests := map[string]struct {
		text string
		want notifyMessage
	}{
		"nothing":                                {"", notifyMessage{}},
		"readiness":                              {"READY=1", notice(reconciler.Notice{Ready: true})},
		"readiness with a line's end":            {"READY=1\n", notice(reconciler.Notice{Ready: true})},
		"readiness with a NUL after it":          {"READY=1\x00", notice(reconciler.Notice{Ready: true})},
		"readiness with a NUL in it":             {"READY=1\x001", notifyMessage{}},
		"a reload":                               {"RELOADING=1\nMONOTONIC_USEC=5", notice(reconciler.Notice{Reloading: true})},
		"an end":                                 {"STOPPING=1", notice(reconciler.Notice{Stopping: true})},
		"another value is none":                  {"READY=0\nSTOPPING=yes\nRELOADING=\nFDSTORE=2", notifyMessage{}},
		"a status":                               {"STATUS=two words=2", notice(reconciler.Notice{Status: "two words=2", HasStatus: true})},
		"no status any more":                     {"STATUS=", notice(reconciler.Notice{HasStatus: true})},
		"the later status":                       {"STATUS=a\nSTATUS=b", notice(reconciler.Notice{Status: "b", HasStatus: true})},
		"a status without its control sequences": {"STATUS=a\x1b[31m\tb\u0085", notice(reconciler.Notice{Status: "a[31mb", HasStatus: true})},
		"a status that is no UTF-8":              {"STATUS=\xff\nREADY=1", notice(reconciler.Notice{Ready: true})},
		"a long status is cut between letters": {"STATUS=" + strings.Repeat("ä", 200) + "\nREADY=1",
			notice(reconciler.Notice{Ready: true, Status: strings.Repeat("ä", 128), HasStatus: true})},
		"a sign of life":               {"WATCHDOG=1", notice(reconciler.Notice{Watchdog: true})},
		"a wish to be ended":           {"WATCHDOG=trigger", notice(reconciler.Notice{WatchdogTrigger: true})},
		"a time for the watchdog":      {"WATCHDOG_USEC=20000000", notice(reconciler.Notice{WatchdogEvery: 20 * time.Second})},
		"more time":                    {"EXTEND_TIMEOUT_USEC=1500000", notice(reconciler.Notice{Extend: 1500 * time.Millisecond})},
		"more time than can be":        {"EXTEND_TIMEOUT_USEC=18446744073709551615", notice(reconciler.Notice{Extend: math.MaxInt64})},
		"times that are none":          {"WATCHDOG_USEC=-1\nEXTEND_TIMEOUT_USEC=99999999999999999999", notifyMessage{}},
		"a main process":               {"MAINPID=12", notifyMessage{mainPid: 12}},
		"main processes that are none": {"MAINPID=0\nMAINPID=-1\nMAINPID=1x\nMAINPID=4294967297", notifyMessage{}},
		"descriptors to store":         {"FDSTORE=1\nFDNAME=sock\nFDPOLL=0", notifyMessage{store: true, name: "sock", noPoll: true}},
		"descriptors to remove":        {"FDSTOREREMOVE=1\nFDNAME=sock", notifyMessage{remove: true, name: "sock"}},
		"a name with a colon":          {"FDSTORE=1\nFDNAME=a:b", notifyMessage{store: true}},
		"a name that is too long":      {"FDSTORE=1\nFDNAME=" + strings.Repeat("n", 256), notifyMessage{store: true}},
		"what it does not know":        {"ERRNO=2\nX_OWN=1\nno assignment\n=\n\nREADY=1", notice(reconciler.Notice{Ready: true})},
		"all of a message too long":    {"READY=1\n" + strings.Repeat("x", 4096), notifyMessage{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parseNotifyMessage([]byte(tt.text)), cmp.AllowUnexported(notifyMessage{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func FuzzParseNotifyMessage(f *testing.F) {
	f.Add([]byte("READY=1\nSTATUS=\xc3\x28ä\nMAINPID=1\nWATCHDOG_USEC=1\nFDSTORE=1\nFDNAME=x"))
	f.Add([]byte("EXTEND_TIMEOUT_USEC=18446744073709551615\nWATCHDOG=trigger\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := parseNotifyMessage(data)
		n := m.notice
		switch {
		case len(n.Status) > maxNotifyStatus || !utf8.ValidString(n.Status) || strings.ContainsAny(n.Status, "\n\x00\x1b"):
			t.Errorf("status %q", n.Status)
		case n.Status != "" && !n.HasStatus:
			t.Error("a status that is none")
		case n.Extend < 0 || n.WatchdogEvery < 0 || m.mainPid < 0:
			t.Errorf("got %+v", m)
		case m.name != "" && !validStoredName(m.name):
			t.Errorf("name %q", m.name)
		}
	})
}

func TestCgroupName(t *testing.T) {
	const mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" +
		"42 31 0:38 /part /mnt/c rw - cgroup2 cgroup2 rw\n"
	tests := map[string]struct{ dir, want string }{
		"in a tree":             {"/sys/fs/cgroup/unified/a/b", "/a/b"},
		"the root of a tree":    {"/sys/fs/cgroup/unified", "/"},
		"in a part of a tree":   {"/mnt/c/a", "/part/a"},
		"in no tree":            {"/sys/fs/cgroup/cpu/a", ""},
		"beside a tree's place": {"/mnt/cc", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := cgroupName(mounts, tt.dir); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTheReplicaOfAGroup(t *testing.T) {
	tree := &cgroupTree{name: "/a/reconciler-1"}
	tests := map[string]struct{ group, want string }{
		"its own":               {"/a/reconciler-1/web-0", "web-0"},
		"below its own":         {"/a/reconciler-1/web-0/x/web-1", "web-0"},
		"the tree's":            {"/a/reconciler-1", ""},
		"of a longer name":      {"/a/reconciler-12/web-0", ""},
		"of something else":     {"/a/reconciler-1/_probe", ""},
		"elsewhere in the tree": {"/web-0", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			id, ok := tree.replicaAt(tt.group)
			if ok != (tt.want != "") || ok && id.String() != tt.want {
				t.Errorf("got %v, %v, want %q", id, ok, tt.want)
			}
		})
	}
}
