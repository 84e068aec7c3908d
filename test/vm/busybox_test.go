package vm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// firstInit makes the daemon process 1.
const firstInit = `#!/bin/sh
. /lib/start
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
setsid guest &
exec reconciler --dir /etc/svc.d
`

// tellers are the commands that tell a failure what the daemon says.
var tellers = []string{"reconciler get -o wide", "reconciler describe", "cat /log", "ls -lR /run/reconciler", "ps"}

// onConsole are the services of a guest that goes off: what they record is on its
// console, which the test sees to the very end.
const onConsole = `apiVersion: svc.d/v1
kind: Service
metadata: {name: web}
spec:
  replicas: 2
  command: [/srv/beacon, -file, /dev/console]
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: db}
spec:
  command: [/srv/beacon, -file, /dev/console, -linger, 300ms]
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: forks}
spec: # a child of a child that has ended
  command: [sh, -c, "(sh -c 'echo orphan ended' >>/orphans &); exec /srv/beacon -file /dev/console"]
`

var onConsoleNames = []string{"db-0", "forks-0", "web-0", "web-1"}

// told are the records on the console, "start web-0".
func (g *guest) told() []string {
	var told []string
	for line := range strings.Lines(g.Console()) {
		fields := strings.Fields(line)
		if len(fields) > 2 && slices.Contains([]string{"start", "signal", "end"}, fields[0]) {
			told = append(told, fields[0]+" "+fields[1])
		}
	}
	return told
}

// bootFirst boots a guest in which the daemon is process 1, and waits until all
// services run.
func bootFirst(t *testing.T) *guest {
	t.Helper()
	p := parts(t, FindParts)
	a := ramDisk(t, p)
	a.Add("/init", 0o755, firstInit)
	a.Add("/etc/svc.d/services.yaml", 0o644, onConsole)
	a.Add("/records", 0o644, "")
	g := boot(t, p, a, nil, "", tellers...)
	g.await("test $(guest running /srv | wc -l) = 4")
	return g
}

func TestProcess1ReapsOrphansAndDoesNotLeave(t *testing.T) {
	g := bootFirst(t)
	g.await("grep -q ended /orphans")
	g.await("! grep -q '^State:.Z' /proc/[0-9]*/status")
	before := g.services()

	g.sh("kill -QUIT 1")
	g.await("reconciler get") // who answers has handled it
	g.sh("kill -HUP 1")
	g.sh("cp /bin/reconciler /bin/next && mv /bin/next /bin/reconciler && kill -HUP 1")
	g.await("test $(readlink /proc/1/exe) = /bin/reconciler && reconciler get")
	g.untouched(before)

	// It still reaps: what was there before, and what comes now.
	g.sh("(sh -c 'echo orphan ended' >>/orphans &)")
	g.await("test $(wc -l </orphans) = 2")
	g.await("! grep -q '^State:.Z' /proc/[0-9]*/status")
	if now := g.told(); len(now) != len(onConsoleNames) {
		t.Errorf("recorded %v", now)
	}
}

func TestProcess1StopsServicesAndSwitchesTheMachineOff(t *testing.T) {
	g := bootFirst(t)
	g.sh("SVC_NAME=bystander SVC_REPLICA=0 /srv/beacon -file /dev/console </dev/null >/dev/null 2>&1 &")
	g.await("test $(guest running /srv | wc -l) = 5")
	if err := g.Tell("kill -TERM 1"); err != nil {
		t.Fatal(err)
	}
	g.off()
	g.toldEnds(append(onConsoleNames, "bystander-0"))
	told := g.told()
	last := slices.Index(told, "signal bystander-0")
	for _, name := range onConsoleNames {
		if end := slices.Index(told, "end "+name); end > last {
			t.Errorf("%s ended after others were told to end: %v", name, told)
		}
	}
}

func TestProcess1RestartsTheMachineOnCtrlAltDel(t *testing.T) {
	g := bootFirst(t)
	if err := g.Tell("kill -INT 1"); err != nil {
		t.Fatal(err)
	}
	g.reboots()
	g.toldEnds(onConsoleNames)
}

// toldEnds judges that each has started once and ended by itself when it was
// asked to. After a reboot they have started once more.
func (g *guest) toldEnds(names []string) {
	g.t.Helper()
	told := g.told()
	for _, name := range names {
		var own []string
		for _, record := range told {
			if what, of, _ := strings.Cut(record, " "); of == name && len(own) < 3 {
				own = append(own, what)
			}
		}
		if difference := cmp.Diff([]string{"start", "signal", "end"}, own); difference != "" {
			g.t.Errorf("%s (-want +got):\n%s", name, difference)
		}
	}
}

// plain is an /init whose process 1 is busybox's.
const plain = `#!/bin/sh
. /lib/start
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
exec init
`

const plainInittab = "::respawn:/bin/guest\n"

// inFile are services that record in a file.
func inFile(file string) string {
	return strings.ReplaceAll(onConsole, "/dev/console", file)
}

// bootPlain boots a guest in which the daemon is started by the test.
func bootPlain(t *testing.T, disks []Disk, init string) *guest {
	t.Helper()
	p := parts(t, FindParts)
	a := ramDisk(t, p)
	a.Add("/init", 0o755, init)
	a.Add("/etc/inittab", 0o644, plainInittab)
	a.Add("/etc/svc.d/services.yaml", 0o644, inFile("/records"))
	a.Add("/records", 0o644, "")
	return boot(t, p, a, disks, "", tellers...)
}

// launch starts the daemon and waits until all services run, each once.
func (g *guest) launch(stateDir, flags string) {
	g.t.Helper()
	g.sh("reconciler --dir /etc/svc.d --state-dir %s %s </dev/null >>/log 2>&1 & echo $! >/daemon", stateDir, flags)
	g.await("reconciler get --state-dir %s && test $(guest running /srv | wc -l) = 4", stateDir)
}

func TestTheFirstProcessOfAContainerJustEnds(t *testing.T) {
	g := bootPlain(t, nil, plain)
	g.sh("(unshare -p -f --mount-proc reconciler --dir /etc/svc.d; echo $? >/code) </dev/null >/log 2>&1 &")
	g.await("test $(guest running /srv | wc -l) = 4")
	g.sh("for p in /proc/[0-9]*; do grep -q '^NSpid:\t[0-9][0-9]*\t1$' $p/status && kill -TERM ${p#/proc/}; done; true")
	g.await("test -s /code")
	if code := g.sh("cat /code"); code != "0" {
		t.Errorf("it ended with code %s", code)
	}
	if left := g.sh("guest running /srv"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// TestWithoutPidfdInfo: this kernel cannot tell how a process ended that was
// nobody's child any more. That is all that is lost.
func TestAnExitThatThisKernelCannotTellIsUnknownAndAllElseWorks(t *testing.T) {
	g := bootPlain(t, nil, plain)
	g.launch("/run/reconciler", "")
	before := g.services()
	g.sh("kill -9 $(cat /daemon)")
	dead := g.sh("sed -n 's/^start web-0 pid=\\([0-9]*\\) .*/\\1/p' /records")
	g.sh("kill -9 %s", dead)
	g.await("! test -e /proc/%s", dead)
	g.launch("/run/reconciler", "")

	after := g.services()
	want := slices.DeleteFunc(slices.Clone(before.Running), func(p string) bool { return strings.HasPrefix(p, dead+" ") })
	got := slices.DeleteFunc(slices.Clone(after.Running), func(p string) bool { return !slices.Contains(before.Running, p) })
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("what runs on (-want +got):\n%s", difference)
	}
	if got := after.Records[len(before.Records):]; len(got) != 1 || !strings.HasPrefix(got[0], "start web-0 ") {
		t.Errorf("recorded %q, want one start of web-0", got)
	}
	described := g.sh("reconciler describe web")
	if !strings.Contains(described, "unknown") {
		t.Errorf("the exit is not told as unknown:\n%s", described)
	}
}

// diskInit keeps what the daemon writes on a disk.
const diskInit = `#!/bin/sh
. /lib/start
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /disk && mount -t ext4 /dev/vda /disk
exec init
`

// unrest keeps the daemon writing: it kills, restarts, stops and edits.
const unrest = `
while :; do
	kill -9 $(sed -n 's/^start db-0 pid=\([0-9]*\) .*/\1/p' /records | tail -n 1)
	reconciler restart web --state-dir /disk/state
	sed -i "s/linger, [0-9]*ms/linger, $((RANDOM % 300))ms/" /etc/svc.d/services.yaml
	reconciler stop forks --for 10m --state-dir /disk/state
	reconciler start forks --state-dir /disk/state
	echo round >>/rounds
done >/dev/null 2>&1`

func TestPowerLossLeavesNothingThatPreventsAStart(t *testing.T) {
	p := parts(t, FindParts)
	disk := t.TempDir() + "/disk"
	if err := MakeDisk(disk, 64); err != nil {
		t.Fatal(err)
	}
	a := ramDisk(t, p)
	a.Add("/init", 0o755, diskInit)
	a.Add("/etc/inittab", 0o644, plainInittab)
	a.Add("/etc/svc.d/services.yaml", 0o644, inFile("/records"))
	a.Add("/unrest", 0o755, unrest)
	a.Add("/damage", 0o755, damage)
	a.Add("/records", 0o644, "")
	for _, round := range []struct {
		name, before string
		writes       int
	}{
		{"on a new disk", "true", 1},
		{"after power loss", "true", 3},
		{"after another power loss", "true", 5},
		{"with files that a file system has damaged", "sh /damage", 1},
	} {
		t.Run(round.name, func(t *testing.T) {
			g := boot(t, p, a, []Disk{{Path: disk, Keep: true}}, "", "reconciler get -o wide --state-dir /disk/state", "cat /log", "ls -lR /disk")
			g.sh("%s", round.before)
			g.launch("/disk/state", "--log-dir /disk/log")
			g.startedOnce()
			g.sh("setsid sh /unrest </dev/null >/dev/null 2>&1 & sync")
			g.await("test $(wc -l </rounds) -ge %d", round.writes)
			if !t.Failed() {
				g.PowerLoss()
			}
		})
	}
}

// damage is what a file system may make of files that were being written: they
// are cut off, empty, or full of zeros; and it leaves half of each pair.
const damage = `
cd /disk/state && ls -a && set -- $(find . -type f)
while [ $# -gt 0 ]; do
	cp "$1" "$1.tmp"; cp "$1" "$(dirname $1)/.$(basename $1)"
	case $(($# % 3)) in
	0) truncate -s 10 "$1" ;;
	1) : >"$1" ;;
	2) dd if=/dev/zero of="$1" bs=64 count=1 2>/dev/null ;;
	esac
	shift
done`

// startedOnce judges that every replica has recorded one start and nothing else.
func (g *guest) startedOnce() {
	g.t.Helper()
	var got []string
	for _, record := range g.services().Records {
		fields := strings.Fields(record)
		got = append(got, fmt.Sprint(fields[0], " ", fields[1]))
	}
	slices.Sort(got)
	var want []string
	for _, name := range onConsoleNames {
		want = append(want, "start "+name)
	}
	if difference := cmp.Diff(want, got); difference != "" {
		g.t.Errorf("records (-want +got):\n%s", difference)
	}
}
