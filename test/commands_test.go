package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"svc.d/test/world"
)

// arguments ends the script unless there are as many as there should be.
func arguments(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		ts.Fatalf("not a number: %q", text)
	}
	return n
}

func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "daemon [FLAG...]")
	s := sceneOf(ts)
	binary, err := built.checked()
	ts.Check(err)
	d := newDaemon(binary, s.folders, args...)
	if slices.Contains(args, "--no-cgroups") {
		d.command.Args = slices.Compact(d.command.Args) // not twice
	}
	d.command.Env = append(os.Environ(), "RECONCILER_REMOTE_PATHS="+ts.Getenv("RECONCILER_REMOTE_PATHS"))
	s.daemon = d
	ts.Check(d.launch())
}

// cmdStop ends the daemon with signals and awaits its end with code 0, or with
// any end when it is KILL.
func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "stop [SIGNAL...]")
	s := sceneOf(ts)
	d := s.running(ts)
	if len(args) == 0 {
		args = []string{"TERM"}
	}
	for i, name := range args {
		if i > 0 {
			// The second signal is one when the first was heard.
			ts.Check(await(func() error { return d.says("topping") }))
		}
		ts.Check(d.command.Process.Signal(unix.SignalNum("SIG" + name)))
	}
	err := d.wait()
	if !slices.Contains(args, "KILL") {
		ts.Check(err)
	}
	s.daemon = nil
}

// cmdReexec has the daemon execute itself anew.
func cmdReexec(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "reexec")
	ts.Check(sceneOf(ts).running(ts).reexec())
}

// says returns nil when the daemon's log has the text.
func (d *daemon) says(text string) error {
	log, err := os.ReadFile(d.log)
	if err == nil && !strings.Contains(string(log), text) {
		err = fmt.Errorf("the daemon did not say %q", text)
	}
	return err
}

// cmdSays waits until the daemon's log has the text.
func cmdSays(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "says TEXT")
	d := sceneOf(ts).running(ts)
	ts.Check(await(func() error { return d.says(args[0]) }))
}

func cmdWrite(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "write FILE [NAME]")
	name := args[len(args)-1]
	ts.Check(sceneOf(ts).declare(name, expand(ts, ts.ReadFile(args[0]))))
}

// cmdAwait waits until a service is as it should be: "absent", or every KEY=VALUE
// or KEY>=VALUE holds.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "await SERVICE absent | KEY=VALUE...")
	d := sceneOf(ts).running(ts)
	ts.Check(await(func() error {
		services, err := d.services()
		if err != nil {
			return err
		}
		service, found := services[args[0]]
		if args[1] == "absent" && !found {
			return nil
		}
		if !found {
			return fmt.Errorf("there is no service %s", args[0])
		}
		for _, want := range args[1:] {
			if !holds(service, want) {
				return fmt.Errorf("%s is not %s: %+v", args[0], want, service)
			}
		}
		return nil
	}))
}

func holds(r report, want string) bool {
	key, value, _ := strings.Cut(want, "=")
	key, least := strings.CutSuffix(key, ">")
	var restarts int64
	code := ""
	for _, replica := range r.Status.ReplicaStatuses {
		restarts += replica.RestartCount
		if replica.LastExit != nil {
			code = strconv.Itoa(int(replica.LastExit.ExitCode))
		}
	}
	condition := "" // besides those that every service has
	usual := []string{"Ready", "Available", "Progressing"}
	for _, c := range r.Status.Conditions {
		if c.Status == "True" && !slices.Contains(usual, c.Type) {
			condition += c.Type + ","
		}
	}
	got := map[string]string{
		"phase":      r.Status.Phase,
		"reason":     r.Status.Reason,
		"replicas":   strconv.Itoa(int(r.Status.Replicas)),
		"ready":      strconv.Itoa(int(r.Status.ReadyReplicas)),
		"updated":    strconv.Itoa(int(r.Status.UpdatedReplicas)),
		"restarts":   strconv.FormatInt(restarts, 10),
		"exit":       code,
		"generation": strconv.FormatInt(r.Metadata.Generation, 10),
		"condition":  strings.TrimSuffix(condition, ","),
	}[key]
	if !least {
		return got == value
	}
	a, err1 := strconv.Atoi(got)
	b, err2 := strconv.Atoi(value)
	return err1 == nil && err2 == nil && a >= b
}

// matching are the services' processes whose command contains every text.
func (s *scene) matching(texts ...string) ([]world.Process, error) {
	all, err := world.Running(s.services)
	return slices.DeleteFunc(all, func(p world.Process) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(p.Command+" ", text) })
	}), err
}

// cmdAlive waits for exactly N processes that match. Those that record have
// recorded their start: before, a signal that the script sends would end them
// without a word.
func cmdAlive(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "alive N [TEXT...]")
	s, n := sceneOf(ts), number(ts, args[0])
	ts.Check(await(func() error {
		found, err := s.matching(args[1:]...)
		if err == nil && len(found) != n {
			err = fmt.Errorf("%d processes, not %d: %v", len(found), n, found)
		}
		if err != nil {
			return err
		}
		records, err := os.ReadFile(s.records)
		for _, p := range found {
			recorded := strings.Contains(string(records), fmt.Sprintf(" pid=%d ", p.Pid))
			if err == nil && !recorded && strings.Contains(p.Command, s.records) {
				err = fmt.Errorf("process %d has not recorded its start", p.Pid)
			}
		}
		return err
	}))
}

// cmdBesiege has the daemon's socket besieged until relieve.
func cmdBesiege(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "besiege")
	s := sceneOf(ts)
	s.relieve = world.Besiege(s.running(ts).stateDir + "/api.sock")
}

func cmdRelieve(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "relieve")
	s := sceneOf(ts)
	s.relieve()
	s.relieve = nil
}

// cmdPids puts the pids of the processes that match into a variable.
func cmdPids(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "pids VARIABLE [TEXT...]")
	found, err := sceneOf(ts).matching(args[1:]...)
	ts.Check(err)
	var pids []string
	for _, p := range found {
		pids = append(pids, strconv.Itoa(p.Pid))
	}
	slices.Sort(pids)
	ts.Setenv(args[0], strings.Join(pids, ","))
}

func cmdEqual(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, false, args, 2, "[!] equal A B")
	if (args[0] == args[1]) == neg {
		ts.Fatalf("equal: %q and %q", args[0], args[1])
	}
}

// cmdRecorded waits for exactly N lines with every text in the beacons' records,
// and fails at once when there are more.
func cmdRecorded(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "recorded N [TEXT...]")
	s, n := sceneOf(ts), number(ts, args[0])
	more := 0
	ts.Check(await(func() error {
		text, err := os.ReadFile(s.records)
		if err != nil {
			return err
		}
		count := 0
		for line := range strings.Lines(string(text)) {
			if !slices.ContainsFunc(args[1:], func(text string) bool { return !strings.Contains(strings.TrimSpace(line)+" ", text) }) {
				count++
			}
		}
		if count > n {
			more = count
			return nil
		}
		if count < n {
			return fmt.Errorf("%d records, not %d:\n%s", count, n, text)
		}
		return nil
	}))
	if more > 0 {
		ts.Fatalf("%d records with %q, not %d", more, args[1:], n)
	}
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "signal NAME TEXT...")
	found, err := sceneOf(ts).matching(args[1:]...)
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("no process with %q", args[1:])
	}
	for _, p := range found {
		ts.Check(syscall.Kill(p.Pid, unix.SignalNum("SIG"+args[0])))
	}
}

func cmdTouch(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "touch NAME...")
	for _, name := range args {
		now := time.Now()
		ts.Check(os.Chtimes(filepath.Join(sceneOf(ts).manifests, name), now, now))
	}
}

// cmdBurst edits a manifest N times, 200 times a second; @N@ in it is the number
// of the edit, 1 to N.
func cmdBurst(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "burst N FILE")
	text := ts.ReadFile(args[1])
	for i := range number(ts, args[0]) {
		ts.Check(sceneOf(ts).declare(args[1], expand(ts, text, "@N@", strconv.Itoa(i+1))))
		pace(time.Second / 200)
	}
}

// cmdCopies writes a manifest N times under different names; @N@ in it is 1 to N.
func cmdCopies(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "copies N FILE")
	text := ts.ReadFile(args[1])
	for i := range number(ts, args[0]) {
		n := strconv.Itoa(i + 1)
		ts.Check(sceneOf(ts).declare(n+"-"+args[1], expand(ts, text, "@N@", n)))
	}
}

// cmdLease takes a write lease on a file: who opens or executes it then hangs in
// the kernel, as on a file server that does not answer, until unlease or
// /proc/sys/fs/lease-break-time (45 s).
func cmdLease(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "lease FILE")
	s := sceneOf(ts)
	file, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	s.leased = file
	// EAGAIN: somebody has the file open, such as a child of ours on its way to
	// exec.
	ts.Check(await(func() error {
		_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
		return err
	}))
}

func cmdUnlease(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, "unlease")
	s := sceneOf(ts)
	ts.Check(s.leased.Close())
	s.leased = nil
}

// cmdDescriptors puts the number of what the daemon has open into a variable.
func cmdDescriptors(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "descriptors VARIABLE")
	open, err := world.OpenFiles(sceneOf(ts).running(ts).pid())
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(len(open)))
}
