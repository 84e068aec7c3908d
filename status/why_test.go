package status_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"svc.d/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// night is when the reports of these tests are read.
var night = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// before and after are moments some time from then.
func before(d time.Duration) time.Time { return night.Add(-d) }
func after(d time.Duration) time.Time  { return night.Add(d) }

// declared is a service that a manifest declares, with replicas.
func declared(name, spec string, replicas ...status.Replica) status.Service {
	s := status.Service{Metadata: status.Metadata{Name: name}, Spec: json.RawMessage(spec)}
	st := &s.Status
	st.File, st.Line, st.DesiredReplicas, st.ReplicaStatuses = "/etc/svc.d/"+name+".yaml", 3, int32(len(replicas)), replicas
	for i := range replicas {
		r := &replicas[i]
		r.Name, r.Ordinal = fmt.Sprintf("%s-%d", name, i), int32(i)
		if r.Pid != 0 {
			st.Replicas++
		}
		if r.Ready {
			st.ReadyReplicas++
		}
		if r.Updated {
			st.UpdatedReplicas++
		}
		if st.Phase == "" || r.Phase.Severity() > st.Phase.Severity() || st.Reason == "" {
			st.Phase, st.Reason, st.Message = r.Phase, r.Reason, r.Message
		}
	}
	return s
}

const web = `{"replicas": 1, "command": ["/usr/bin/web", "--port", "8080"], "restartPolicy": "Always"}`

func well() status.Replica {
	return status.Replica{Phase: status.PhaseRunning, Since: before(time.Hour), Pid: 812, Started: before(time.Hour), Updated: true, Ready: true, ReadySince: before(time.Hour)}
}

// down is a replica in its back-off.
func down(exits ...status.Exit) status.Replica {
	last := exits[len(exits)-1]
	return status.Replica{
		Phase: status.PhaseCrashLoopBackOff, Reason: "Exited", Message: "exited with code 1 after 3s; next start after a back-off of 40s",
		Since: last.At, Next: last.At.Add(40 * time.Second), Restarts: int64(len(exits)), LastExit: &last, Exits: exits,
	}
}

func exit(code int32, signal string, ago time.Duration) status.Exit {
	return status.Exit{Code: code, Signal: signal, At: before(ago), Started: before(ago + 3*time.Second)}
}

func because(r status.Replica, phase status.Phase, reason, message string) status.Replica {
	r.Phase, r.Reason, r.Message, r.Since = phase, reason, message, before(90*time.Second)
	return r
}

func numbers(n int) []string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	return lines
}

func many(n int, one status.Replica) []status.Replica {
	var all []status.Replica
	for range n {
		all = append(all, one)
	}
	return all
}

// of is a case about the first of some services.
func of(services ...status.Service) status.Case {
	return status.Case{
		Now: night, Asked: services[0].Metadata.Name, Service: services[0].Metadata.Name, Ordinal: -1, OOMKills: -1,
		Services: services, Daemon: &status.Daemon{Dir: "/etc/svc.d"},
	}
}

func with(c status.Case, change func(c *status.Case)) status.Case {
	change(&c)
	return c
}

// TestWhySaysWhatIsKept has the situations that a real daemon is not brought into
// within a moment; test/why_test.go has the others.
func TestWhySaysWhatIsKept(t *testing.T) {
	looping := []status.Exit{
		exit(1, "", 50*time.Hour), exit(1, "", 9*time.Minute), exit(139, "SIGSEGV", 4*time.Minute), exit(-1, "", 2*time.Minute), exit(1, "", 8*time.Second),
	}
	oom := exit(137, "SIGKILL", 8*time.Second)
	stuck := because(well(), status.PhaseTerminating, "Stuck", "was killed and does not end: nfsd (pid 77, state D, in nfs_wait_bit_killable)")
	stuck.Next, stuck.Ready = after(20*time.Second), false
	pending := because(well(), status.PhaseRunning, "ReplacementPending", "runs its former manifest until its turn to be replaced")
	pending.Updated = false
	soon, late := pending, pending
	soon.Next = after(7 * time.Second)
	late.Next, late.Phase = after(7*time.Minute), status.PhaseRunning
	halted := pending
	halted.Reason, halted.Message = "ProgressDeadlineExceeded", "keeps running its former manifest: a replica that was replaced already did not get ready within 10m0s (progressDeadlineSeconds)"
	unready := because(well(), status.PhaseRunning, "Unready", "its readiness probe fails: HTTP 503 from http://127.0.0.1:8080/ready: the database is gone")
	unready.Ready, unready.Updated = false, true
	hook := because(well(), status.PhaseTerminating, "Edited", "runs its preStop hook and has 30s to end: its manifest changed")
	hook.Next = after(25 * time.Second)
	probed := `{"replicas": 1, "command": ["web"], "restartPolicy": "Always", "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 10, "successThreshold": 3}}`
	inUse := status.Output{Previous: true, Lines: []string{"2026-01-02 03:03:57 starting", "OSError: [Errno 98] Address already in use"}}
	problem := status.Problem{File: "/etc/svc.d/all.yaml", Line: 7, Column: 3, Message: "did not find expected key", Since: before(time.Hour)}

	tests := map[string]status.Case{
		"five exits and much output fit on a screen": with(of(declared("web", web, down(looping...))), func(c *status.Case) {
			c.Output = status.Output{Previous: true, Lines: append(numbers(40), strings.Repeat("x", 300), "a \x1b[31mred\x1b[0m line\twith a tab")}
		}),
		"a SIGKILL when the kernel has killed for want of memory": with(of(declared("web", web, down(oom))), func(c *status.Case) { c.OOMKills = 3 }),
		"a SIGKILL when the kernel has killed nobody":             with(of(declared("web", web, down(oom))), func(c *status.Case) { c.OOMKills = 0 }),
		"a SIGKILL of which nothing is known":                     of(declared("web", web, down(oom))),
		"a SIGKILL that a person has sent": with(of(declared("web", web, down(oom))), func(c *status.Case) {
			c.Sent = []status.Event{
				{Message: "SIGHUP was sent by ann (uid 1001)", LastTimestamp: before(8 * time.Second)},
				{Message: "SIGKILL was sent by root (uid 0)", LastTimestamp: before(8*time.Second + time.Millisecond)},
			}
		}),
		"a SIGTERM that a person has sent": with(of(declared("web", web, down(exit(143, "SIGTERM", 8*time.Second)))), func(c *status.Case) {
			c.Sent = []status.Event{{Message: "SIGTERM was sent by ann (uid 1001)", LastTimestamp: before(9 * time.Second)}}
		}),
		"a SIGKILL that nobody has sent to this run": with(of(declared("web", web, down(oom))), func(c *status.Case) {
			c.OOMKills = 0
			c.Sent = []status.Event{
				{Message: "SIGKILL was sent by root (uid 0)", LastTimestamp: before(12 * time.Second)}, // to the one before
				{Message: "SIGKILL was sent by root (uid 0)", LastTimestamp: before(7 * time.Second)},
			}
		}),
		"a SIGKILL after which it runs again": of(declared("web", web, func() status.Replica {
			r := well()
			r.Restarts, r.LastExit = 1, &oom
			return r
		}())),
		"stuck in the kernel": of(declared("web", web, stuck)),
		"output that may not be read": with(of(declared("web", web, down(oom))), func(c *status.Case) {
			c.Output = status.Output{Refused: "only root and the user that the daemon runs as may read it"}
		}),
		"a port of somebody who may not be seen": with(of(declared("web", web, down(looping[4]))), func(c *status.Case) {
			c.Output, c.Listeners = inUse, []status.Listener{{Port: 8080, Address: "0.0.0.0:8080"}}
		}),
		"a port of another replica of the same service": with(of(declared("web", probed, well(), down(looping[4]))), func(c *status.Case) {
			c.Output, c.Listeners = inUse, []status.Listener{{Port: 8080, Address: "[::]:8080", Pid: 812, Program: "web", Replica: "web-0"}}
		}),
		"two replicas that a person has stopped": func() status.Case {
			stopped := because(status.Replica{}, status.PhaseHeld, "Stopped", "stopped by ann")
			web := declared("web", strings.Replace(web, "1", "2", 1), stopped, stopped)
			web.Status.Held, web.Status.DesiredReplicas = &status.Held{By: "ann", Since: before(time.Hour)}, 0
			return of(web)
		}(),
		"a service that waits for several": func() status.Case {
			waits := because(status.Replica{}, status.PhasePending, "DependencyUnmet", "waits for api to be Ready")
			held := declared("cache", web, because(status.Replica{}, status.PhaseHeld, "Stopped", "stopped by ann"))
			held.Status.Held = &status.Held{By: "ann", Since: before(time.Hour)}
			return of(
				declared("web", `{"replicas": 1, "command": ["web"], "restartPolicy": "Always", "dependsOn": [{"name": "api"}, {"name": "cache"}, {"name": "db"}, {"name": "mail"}]}`, waits),
				declared("api", web, down(looping[4])), held, declared("mail", web, well()))
		}(),
		"a UDP port of a stranger": with(of(declared("web", web, down(looping[4]))), func(c *status.Case) {
			c.Output, c.Listeners = inUse, []status.Listener{{Port: 8080, Address: "0.0.0.0:8080", UDP: true, Pid: 53, Program: "dnsmasq"}}
		}),
		"an address in use of which no port is known": with(of(declared("web", `{"replicas": 1, "command": ["web"]}`, down(looping[4]))), func(c *status.Case) {
			c.Output = inUse
		}),
		"a hundred replicas":                                  of(declared("web", strings.Replace(web, "1", "100", 1), append(many(97, down(looping[4])), well(), unready, well())...)),
		"a readiness probe that needs three successes":        of(declared("web", probed, unready)),
		"a replacement that waits for the first to get ready": of(declared("web", strings.Replace(probed, "1", "2", 1), unready, late)),
		"a replacement that waits for minReadySeconds":        of(declared("web", strings.Replace(web, "1", "2", 1), well(), soon)),
		"a replacement that took too long": with(of(declared("web", strings.Replace(probed, "1", "2", 1), unready, halted)), func(c *status.Case) {
			c.Asked, c.Ordinal = "web-1", 1
		}),
		"a preStop hook that runs":      of(declared("web", web, hook)),
		"what is not declared any more": of(declared("web", "", because(hook, status.PhaseTerminating, "Removed", "was sent SIGTERM and has 30s to end: no manifest declares it any more"))),
		"what is told beside replicas": of(func() status.Service {
			s := declared("web", web, well())
			s.Status.Conditions = []status.Condition{
				{Type: "Ready", Status: "True", Message: "1 of 1 replicas are ready"},
				{Type: "ReloadFailed", Status: "True", Message: "web-0 runs with what it had loaded before: the check of its reload failed: exited with code 1: unknown directive"},
				{Type: "OutputLost", Status: "True", Message: "output of web-0: 12 lines (3 kB) lost since 03:00:00: no space left on device"},
				{Type: "Progressing", Status: "False", Reason: "ProgressDeadlineExceeded", Message: "web-0 did not get ready within 10m0s: its startup probe has not succeeded yet"},
				{Type: "DependencyUnmet", Status: "True", Message: "db is not Ready; what runs goes on"},
			}
			return s
		}()),
		"a service that runs while what it depends on does not": of(
			func() status.Service {
				s := declared("web", `{"replicas": 1, "command": ["web"], "restartPolicy": "Always", "dependsOn": [{"name": "db"}, {"name": "cache"}]}`, well())
				s.Status.Conditions = []status.Condition{{Type: "DependencyUnmet", Status: "True", Message: "cache is not Ready, db is not Ready; what runs goes on"}}
				return s
			}(), declared("db", web, down(looping[4]))),
		"a circle of those who wait": of(
			declared("web", `{"command": ["web"], "dependsOn": [{"name": "db"}]}`, because(status.Replica{}, status.PhasePending, "DependencyUnmet", "waits for db to be Ready")),
			declared("db", `{"command": ["db"], "dependsOn": [{"name": "web"}]}`, because(status.Replica{}, status.PhasePending, "DependencyUnmet", "waits for web to be Ready"))),
		"a dependency whose file is in error": with(of(
			declared("web", `{"command": ["web"], "dependsOn": [{"name": "db"}]}`, because(status.Replica{}, status.PhasePending, "DependencyUnknown", "waits for db, which no manifest declares"))),
			func(c *status.Case) {
				c.Daemon.Problems = []status.Problem{{File: "/etc/svc.d/db.yaml", Line: 4, Column: 3, Field: "spec.comand", Message: `unknown field, did you mean "command"?`, Service: "db", Since: before(time.Hour)}}
			}),
		"a name that a file may declare that nobody can read": with(of(declared("web", web, well())), func(c *status.Case) {
			c.Asked, c.Service, c.Daemon.Problems = "service/db", "db", []status.Problem{problem}
		}),
		"nothing is declared": {Now: night, Ordinal: -1, Daemon: &status.Daemon{Dir: "/etc/svc.d"}},
		"a daemon that has just started": {Now: night, Ordinal: -1, Daemon: &status.Daemon{Dir: "/etc/svc.d", Conditions: []status.Condition{
			{Type: "Starting", Status: "True", Reason: "DirectoryUnread", Message: "the directory has not been read yet"}}}},
		"the daemon of somebody else": {Now: night, Ordinal: -1, Absence: &status.Absence{Refused: true,
			Error: "cannot reach the daemon at /run/reconciler/api.sock: connect: permission denied", StateDir: "/run/reconciler"}},
		"a daemon that hangs": {Now: night, Ordinal: -1, Absence: &status.Absence{Silent: true, Dir: "/etc/svc.d",
			Error: "cannot reach the daemon at /run/reconciler/api.sock: timeout awaiting response headers", Living: []string{"web-0 (pid 12)"}}},
		"records that may not be read": {Now: night, Ordinal: -1, Absence: &status.Absence{
			Error: "cannot reach the daemon at /run/reconciler/api.sock: connection refused", StateDir: "/run/reconciler", Unread: "permission denied"}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := status.Why(&out, &c); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), "\n"); n > 24 {
				t.Errorf("%d lines do not fit on a screen", n)
			}
			path := filepath.Join("testdata/why", strings.ReplaceAll(name, " ", "-")+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhyFitsIntoTheTerminal(t *testing.T) {
	path := "/etc/svc.d/" + strings.Repeat("long", 30) + ".yaml" // is left whole, to be copied
	for width, want := range map[int]int{0: 100, 20: 40, 60: 60, 80: 80, 200: 100} {
		c := of(declared("web", web, well()))
		c.Width, c.Asked = width, ""
		for range 3 {
			c.Daemon.Problems = append(c.Daemon.Problems, status.Problem{File: path, Message: strings.Repeat("word ", 100)})
		}
		var out strings.Builder
		if err := status.Why(&out, &c); err != nil {
			t.Fatal(err)
		}
		widest := 0
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, path) {
				widest = max(widest, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
			}
		}
		// A line is full when not even a word more fits.
		if widest > want || widest < want-len("word ") {
			t.Errorf("with %d columns %d are used, want %d\n%s", width, widest, want, out.String())
		}
	}
}

func TestPortsInQuestionAreThoseThatOutputNames(t *testing.T) {
	tests := map[string]struct {
		line, spec string
		want       []int
	}{
		"Go":                      {"listen tcp 127.0.0.1:8081: bind: address already in use", web, []int{8081}},
		"Go, on all addresses":    {"2026/01/02 03:04:05 listen tcp :8081: bind: address already in use", web, []int{8081}},
		"node":                    {"Error: listen EADDRINUSE: address already in use :::3000", web, []int{3000}},
		"nginx":                   {"nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", web, []int{80}},
		"nginx, by IPv6":          {"nginx: [emerg] bind() to [::]:443 failed (98: Address already in use)", web, []int{443}},
		"Python":                  {"OSError: [Errno 98] Address already in use", web, []int{8080}},
		"redis":                   {"# Warning: Could not create server TCP listening socket *:6379: bind: Address already in use", web, []int{6379}},
		"PostgreSQL":              {`LOG:  could not bind IPv4 address "127.0.0.1": Address already in use`, `{"command": ["postgres", "-p", "5433"]}`, []int{5433}},
		"Rust":                    {`Error: Os { code: 98, kind: AddrInUse, message: "Address already in use" }`, web, []int{8080}},
		"Java":                    {"Web server failed to start. Port 8443 was already in use: Address already in use", web, []int{8443}},
		"a port that is taken":    {"Port 5000 is in use by another program.", web, []int{5000}},
		"a probe's port":          {"bind: Address already in use", `{"command": ["x"], "livenessProbe": {"grpc": {"port": 9000}}, "readinessProbe": {"tcpSocket": {"port": "$(PORT)"}}}`, []int{9000}},
		"a variable":              {"bind: Address already in use", `{"command": ["x", "-v1.25.3"], "env": [{"name": "PORT", "value": "7000"}]}`, []int{7000}},
		"no port at all":          {"bind: Address already in use", `{"command": ["x"]}`, []int{}},
		"nothing about addresses": {"the port is 8080", web, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := of(declared("web", test.spec, down(exit(1, "", time.Second))))
			c.Output = status.Output{Lines: []string{"hello", test.line}}
			if diff := cmp.Diff(test.want, c.PortsInQuestion()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
