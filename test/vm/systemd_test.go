package vm

import (
	"fmt"
	"strings"
	"testing"
)

// underSystemd are the services of the tests with systemd. Each replica tells
// /records what happens to it.
const underSystemd = `apiVersion: svc.d/v1
kind: Service
metadata: {name: web}
spec:
  replicas: 2
  command: [/srv/beacon, -file, /records]
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: db}
spec:
  command: [/srv/beacon, -file, /records, -linger, 200ms]
`

// TestUnderSystemd is one guest and one life of it: each step begins with
// services that run, and says what becomes of them.
func TestUnderSystemd(t *testing.T) {
	p := parts(t, FindDebian)
	a := debian(t, p, underSystemd+jobs)
	a.Add(payload+"/etc/systemd/system/other.service", 0o644, "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
	a.Add(payload+"/srv/job", 0o644, job)
	a.Add(payload+"/etc/systemd/system/holder.service", 0o644, holderUnit)
	a.Add(payload+"/etc/systemd/system/maintenance.target", 0o644, "[Unit]\nAllowIsolate=yes\nRequires=sysinit.target\n")
	g := bootDebian(t, p, a)
	steps := []struct {
		name string
		run  func(g *guest)
	}{
		{"systemd finds nothing to complain about in the unit", verifyUnit},
		{"a start is over when all services run", startUnit},
		{"reload loads a new binary in place and touches no service", reloadUnit},
		{"restart is a new process and touches no service", restartUnit},
		{"a restart that comes from a dependency touches no service", restartByDependency},
		{"kill -9 of the supervisor is a new one and touches no service", killUnit},
		{"what a service wrote before it ended is kept over kill -9", keepOverKill},
		{"what a service wrote before it ended is kept over a restart", keepOverRestart},
		{"a supervisor that hangs is replaced and no service is touched", hangUnit},
		{"with controllers below, a tree of its own lets it restart", restartWithControllers},
		{"stop ends all services and leaves nothing", stopUnit},
		{"the stop of a dependency ends all services", stopByDependency},
		{"a switch to another target ends all services", isolate},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			s.run(&guest{g.Machine, t, g.tellers})
			if t.Failed() {
				g.t.FailNow()
			}
		})
	}
}

// all waits until all replicas run and the supervisor is up, and returns them.
func (g *guest) all() services {
	g.t.Helper()
	g.await("systemctl is-active --quiet reconciler && test $(guest running /srv | wc -l) = 3")
	return g.services()
}

// anew waits for a supervisor that is another process than pid.
func (g *guest) anew(pid string) {
	g.t.Helper()
	g.await("test $(systemctl show -P SubState reconciler) = running && test $(systemctl show -P MainPID reconciler) != %s", pid)
}

func (g *guest) mainPID() string {
	g.t.Helper()
	return g.sh("systemctl show -P MainPID reconciler")
}

// drop changes the unit, as systemctl edit does. Without lines it takes the
// changes back.
func (g *guest) drop(lines ...string) {
	g.t.Helper()
	const folder = "/etc/systemd/system/reconciler.service.d"
	if len(lines) == 0 {
		g.sh("rm -r %s && systemctl daemon-reload", folder)
		return
	}
	g.sh("mkdir -p %[1]s && printf '%%s\\n' %[2]s >%[1]s/test.conf && systemctl daemon-reload", folder, "'"+strings.Join(lines, "' '")+"'")
}

// ended judges that all services were asked to end and had the time to.
func (g *guest) ended() {
	g.t.Helper()
	if left := g.sh("guest running /srv"); left != "" {
		g.t.Errorf("left behind:\n%s", left)
	}
	g.eachEnded(lines(g.sh("cat /records")))
}

func (g *guest) eachEnded(records []string) {
	g.t.Helper()
	for _, name := range []string{"web-0", "web-1", "db-0"} {
		var last []string
		for _, record := range records {
			if fields := strings.Fields(record); fields[1] == name {
				last = append(last, fields[0])
			}
		}
		if got := strings.Join(last[max(0, len(last)-3):], " "); got != "start signal end" {
			g.t.Errorf("%s recorded %q", name, got)
		}
	}
}

func verifyUnit(g *guest) {
	complaints := g.sh("systemd-analyze verify --man=no reconciler.service 2>&1")
	for _, complaint := range lines(complaints) {
		if !strings.Contains(complaint, "'DelegateSubgroup'") {
			g.t.Error(complaint)
		}
	}
}

func startUnit(g *guest) {
	g.sh("systemctl start reconciler")
	g.all()
	for _, property := range []string{"ActiveState=active", "SubState=running", "NRestarts=0"} {
		name, _, _ := strings.Cut(property, "=")
		if got := g.sh("systemctl show -p %s reconciler", name); got != property {
			g.t.Errorf("%s, want %s", got, property)
		}
	}
	if status := g.sh("systemctl show -P StatusText reconciler"); status == "" {
		g.t.Error("the supervisor has no status")
	}
}

func reloadUnit(g *guest) {
	before, pid := g.all(), g.mainPID()
	// The kernel shows of the running program that its file is another one now.
	g.sh("cd /usr/local/bin && cp reconciler next && mv next reconciler && readlink /proc/%s/exe | grep -q deleted", pid)
	g.sh("systemctl reload reconciler")
	g.await("test $(readlink /proc/%s/exe) = /usr/local/bin/reconciler", pid)
	g.await("test $(systemctl show -P SubState reconciler) = running")
	if now := g.mainPID(); now != pid {
		g.t.Errorf("process %s after the reload, before it %s", now, pid)
	}
	g.untouched(before)
}

func restartUnit(g *guest) {
	before, pid := g.all(), g.mainPID()
	g.sh("systemctl restart reconciler")
	g.anew(pid)
	g.untouched(before)
}

func restartByDependency(g *guest) {
	g.drop("[Unit]", "Requires=other.service", "After=other.service")
	g.sh("systemctl start other reconciler")
	before, pid := g.all(), g.mainPID()
	g.sh("systemctl restart other")
	g.anew(pid)
	g.untouched(before)
	g.drop()
}

func killUnit(g *guest) {
	before, pid := g.all(), g.mainPID()
	g.sh("kill -9 %s", pid)
	g.anew(pid)
	g.untouched(before)
}

// jobs are services that write when they are told to, and end.
const jobs = `---
apiVersion: svc.d/v1
kind: Service
metadata: {name: kill}
spec:
  command: [/bin/sh, /srv/job]
  restartPolicy: Never
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: restart}
spec:
  command: [/bin/sh, /srv/job]
  restartPolicy: Never
`

const job = `until [ -e /write-$SVC_NAME ]; do sleep 0.1; done
seq 1000
printf 'no end' >&2
touch /written-$SVC_NAME
`

// keepOver ends the supervisor, and the job before there is another one; all that it
// wrote is in its log then, once.
func (g *guest) keepOver(job, end string) {
	g.t.Helper()
	before, pid := g.all(), g.mainPID()
	g.drop("[Service]", fmt.Sprintf(`ExecStartPre=/bin/sh -c "touch /write-%[1]s; until [ -e /written-%[1]s ]; do sleep 0.1; done; sleep 0.5"`, job))
	g.sh("%s", end)
	g.anew(pid)
	log := "/var/log/reconciler/" + job + "/0.log"
	g.await("grep -q 'stderr [FP] no end$' %s", log)
	g.await("seq 1000 >/all && sed -n 's/.* stdout F //p' %s | cmp - /all", log)
	if n := g.sh("systemctl show -P NFileDescriptorStore reconciler"); n != "1" {
		g.t.Errorf("systemd keeps %s descriptors", n)
	}
	g.untouched(before)
	g.drop()
}

func keepOverKill(g *guest)    { g.keepOver("kill", "kill -9 $(systemctl show -P MainPID reconciler)") }
func keepOverRestart(g *guest) { g.keepOver("restart", "systemctl restart reconciler") }

func hangUnit(g *guest) {
	g.drop("[Service]", "WatchdogSec=4s")
	pid := g.mainPID()
	g.sh("systemctl restart reconciler")
	g.anew(pid)
	before, pid := g.all(), g.mainPID()
	// It is fed: the unit lives for longer than its watchdog.
	g.sh("sleep 6")
	if now := g.mainPID(); now != pid {
		g.t.Error("the watchdog bit a supervisor that does not hang")
	}
	g.sh("kill -STOP %s", pid)
	g.anew(pid)
	if result := g.sh("journalctl -u reconciler --no-pager | grep -c 'Watchdog timeout'"); result == "0" {
		g.t.Error("the watchdog did not bite")
	}
	g.untouched(before)
	g.drop()
	g.sh("systemctl restart reconciler")
}

// apart are units and commands that make a tree of groups for the services
// outside of the supervisor's unit: a unit without processes that only holds
// them, and a folder beside systemd's own.
var apart = []struct{ root, make string }{
	{"/sys/fs/cgroup/system.slice/holder.service", "systemctl start holder"},
	{"/sys/fs/cgroup/services", "mkdir /sys/fs/cgroup/services && echo +memory +pids >/sys/fs/cgroup/cgroup.subtree_control"},
}

const holderUnit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nDelegate=yes\nTasksMax=infinity\n"

// restartWithControllers: once a group has given controllers to those below it,
// it may not hold processes of its own, and systemd before 254 cannot start the
// main process in it any more.
func restartWithControllers(g *guest) {
	for _, tree := range apart {
		g.sh("systemctl stop reconciler && %s", tree.make)
		g.drop("[Unit]", "Requires=holder.service", "After=holder.service",
			"[Service]", "ExecStart=", "ExecStart=/usr/local/bin/reconciler --dir /etc/svc.d --cgroup-root "+tree.root)
		g.sh("systemctl start reconciler")
		before, pid := g.all(), g.mainPID()
		g.sh("for group in $(find %s -type d -not -name '*-[0-9]'); do echo +memory +pids >$group/cgroup.subtree_control || exit 1; done", tree.root)
		g.sh("systemctl restart reconciler")
		g.anew(pid)
		pid = g.mainPID()
		g.sh("kill -9 %s", pid)
		g.anew(pid)
		g.untouched(before)
	}
	g.sh("systemctl stop reconciler holder")
	g.drop()
	g.sh("systemctl start reconciler")
}

func stopUnit(g *guest) {
	g.all()
	g.sh("systemctl stop reconciler")
	g.ended()
	if got := g.sh("systemctl show -P ActiveState -P Result -P ExecMainStatus reconciler | xargs echo"); got != "success 0 inactive" {
		g.t.Errorf("the unit is %q", got)
	}
	if groups := g.sh("find /sys/fs/cgroup -path '*reconciler*' -type d"); groups != "" {
		g.t.Errorf("groups left behind:\n%s", groups)
	}
}

func stopByDependency(g *guest) {
	g.drop("[Unit]", "Requires=other.service", "After=other.service")
	g.sh("systemctl start reconciler")
	g.all()
	g.sh("systemctl stop other")
	g.ended()
	g.drop()
}

func isolate(g *guest) {
	g.sh("systemctl start reconciler")
	g.all()
	g.sh("systemctl isolate maintenance.target")
	g.await("test $(systemctl show -P ActiveState reconciler) = inactive")
	g.ended()
}

func TestARebootOfDebianEndsAllServices(t *testing.T) {
	p := parts(t, FindDebian)
	g := bootDebian(t, p, debian(t, p, underSystemd))
	g.sh("systemctl start reconciler")
	g.all()
	if err := g.Tell("systemctl reboot"); err != nil {
		g.t.Fatal(err)
	}
	g.reboots()
	g.eachEnded(lines(g.sh("cat /records")))
}
