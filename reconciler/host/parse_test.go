package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
)

func TestOwnCgroup(t *testing.T) {
	const (
		pure   = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
		hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		part   = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
		odd    = `30 23 0:26 / /mnt/c\040g rw - cgroup2 none rw` + "\n"
	)
	tests := map[string]struct{ mounts, cgroup, want, err string }{
		"a pure set-up":                 {pure, "0::/user.slice/a.service\n", "/sys/fs/cgroup/user.slice/a.service", ""},
		"the root group":                {pure, "0::/\n", "/sys/fs/cgroup", ""},
		"a hybrid set-up":               {hybrid, "9:name=systemd:/x\n0::/x\n", "/sys/fs/cgroup/unified/x", ""},
		"a part of the tree is mounted": {part, "0::/docker/abc/sub\n", "/sys/fs/cgroup/sub", ""},
		"another part is mounted":       {part, "0::/docker/abcd\n", "", "not in any mounted"},
		"a mount point with a blank":    {odd, "0::/x\n", "/mnt/c g/x", ""},
		"version 1 only":                {hybrid, "1:cpu:/\n", "", "no cgroup v2"},
		"nothing mounted":               {"", "0::/\n", "", "no cgroup v2 tree is mounted"},
		"outside of the namespace":      {pure, "0::/../x\n", "", "outside"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ownCgroup(tt.mounts, tt.cgroup)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v, want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseReplicaID(t *testing.T) {
	tests := map[string]bool{"web-0": true, "a-b-12": true, "web": false, "-0": false, "web-01": false, "web-": false, "_probe": false, "web-99999999999": false}
	for name, want := range tests {
		id, ok := reconciler.ParseReplicaID(name)
		if ok != want || ok && id.String() != name {
			t.Errorf("%q: got %v, %v", name, id, ok)
		}
	}
}

func TestParseStat(t *testing.T) {
	line := "12 (a) b (c) S 1 12 11 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 4711 1000 5"
	got, ok := parseStat([]byte(line))
	want := procStat{comm: "a) b (c", state: 'S', parent: 1, session: 11, flags: 4194304, threads: 3, startTicks: 4711}
	if !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for i := range line[:strings.Index(line, " 1000")-4] {
		if _, ok := parseStat([]byte(line[:i])); ok {
			t.Errorf("%q was taken", line[:i])
		}
	}
}

func TestAccountsSkipDamagedLines(t *testing.T) {
	byName, byUID := parsePasswd("# comment\nroot:x:0:0:root:/root:/bin/bash\nbad:x:zero:0::/:\nshort:x:1\n+::::::\ntoor:x:0:0::/toor:\nweb:x:33:34:Web:/srv:/bin/false")
	if len(byName) != 3 || byUID[0].name != "root" || byName["toor"].home != "/toor" || byName["web"].gid != 34 {
		t.Errorf("got %v, %v", byName, byUID)
	}
	groups, member := parseGroup("web:x:34:alice,bob,alice\nadm:x:4:bob\nempty:x:5:\nbad:x:y:bob\n")
	if diff := cmp.Diff(map[string]uint32{"web": 34, "adm": 4, "empty": 5}, groups); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]uint32{"alice": {34}, "bob": {34, 4}}, member); diff != "" {
		t.Error(diff)
	}
}

func TestRemotePathsAreLexical(t *testing.T) {
	r := &remotePaths{declared: []string{"/mnt/nfs"}, points: []string{"/net"}, table: -1}
	for path, want := range map[string]bool{
		"/mnt/nfs": true, "/mnt/nfs/a": true, "/mnt/nfsd": false, "/mnt": false, "/net/x": true, "/usr/../net/x": true, "/": false,
	} {
		if got := r.lexical(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func samplePlan() plan {
	return plan{
		argv: []string{"/bin/x", "", "two words"}, env: []string{"A=1", "B=\x00"}, dir: "/srv", umask: 0o77,
		rlimits: []rlimit{{name: "nofile", resource: 7, soft: 1, hard: ^uint64(0)}},
		who:     identity{account: account{name: "web", uid: 33, gid: 34}, groups: []uint32{1, 2}, setGroups: true, change: true},
		listen:  3,
	}
}

func TestAPlanSurvivesItsWayToTheStage(t *testing.T) {
	want := samplePlan()
	got, ok := decodePlan(want.encode())
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(plan{}, rlimit{}, identity{}, account{})); !ok || diff != "" {
		t.Errorf("ok %v (-want +got):\n%s", ok, diff)
	}
}

func FuzzDecodePlan(f *testing.F) {
	p := samplePlan()
	f.Add(p.encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, ok := decodePlan(data); ok && len(p.argv) == 0 {
			t.Error("a plan without a program")
		}
	})
}

func TestOnlyDocumentedReasonsLeaveTheStage(t *testing.T) {
	s := &stage{work: reconciler.Work{Replica: reconciler.ReplicaID{Service: "web"}}, report: []byte(stageReady + "CommandNotFound\x00cannot start it")}
	if diff := cmp.Diff(&reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot start it"}, s.failure(reconciler.Exit{Code: 1})); diff != "" {
		t.Error(diff)
	}
	s.report = nil
	if f := s.failure(reconciler.Exit{Signal: 9}); f.Reason != reconciler.ReasonStartFailed || !strings.HasPrefix(f.Message, "cannot start web-0: ended by signal 9") {
		t.Errorf("got %+v", f)
	}
}
