package test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"svc.d/test/world"
)

// The torture tests end the daemon in every way there is, and judge what came of
// the services by what these say themselves: each holds a lock as long as it
// lives, and writes down when it starts, when it ends, and when somebody else of
// its name lives.

// rounds is how often something is done that is to be done often:
// RECONCILER_TORTURE multiplies it.
func rounds(n int) int {
	if times, err := strconv.Atoi(os.Getenv("RECONCILER_TORTURE")); err == nil {
		return n * times
	}
	return n
}

// seed of what a test does at random; RECONCILER_TORTURE_SEED repeats one.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RECONCILER_TORTURE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RECONCILER_TORTURE_SEED=%d", seed)
	return seed
}

// torture is a folder of services whose daemon comes and goes.
type torture struct {
	folders
	t       *testing.T
	binary  string
	beacon  string
	records string
	locks   string
	flags   []string
	daemon  *daemon // nil: none runs
	ended   bool    // everything was stopped and judged
}

// trial is a test of many, which mostly wait.
type trial struct {
	name string
	run  func(t *testing.T)
}

// atOnce runs a few tests at a time, more than there are processors.
func atOnce(t *testing.T, trials []trial) {
	const most = 6
	queue := make(chan trial)
	var group sync.WaitGroup
	for range most {
		group.Go(func() {
			for one := range queue {
				t.Run(one.name, one.run)
			}
		})
	}
	for _, one := range trials {
		queue <- one
	}
	close(queue)
	group.Wait()
}

// tortured is a test once with cgroups, where they can be had, and once without.
func tortured(name string, build func() (string, error), test func(w *torture)) []trial {
	return []trial{
		{name + " with cgroups", func(t *testing.T) { test(newTorture(t, build, true)) }},
		{name + " without cgroups", func(t *testing.T) { test(newTorture(t, build, false)) }},
	}
}

func newTorture(t *testing.T, build func() (string, error), cgroups bool) *torture {
	t.Helper()
	f := newFolders(t)
	w := &torture{folders: f, t: t, binary: program(t, build), beacon: f.root + "/services/beacon", records: f.root + "/records", locks: f.root + "/locks"}
	refusal, err := built.cgroups()
	switch {
	case err != nil:
		t.Fatal(err)
	case cgroups && refusal != "":
		t.Skip("no cgroups here: " + refusal)
	case !cgroups && refusal == "":
		w.flags = append(w.flags, "--no-cgroups")
	}
	for _, folder := range []string{f.root + "/services", w.locks} {
		if err := errors.Join(os.Mkdir(folder, 0o755), os.Chmod(folder, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(w.records, nil, 0o666), os.Chmod(w.records, 0o666), os.Link(program(t, built.beacon), w.beacon)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.end)
	return w
}

// end stops everything, with a daemon that is started for that when there is
// none, and judges what is left.
func (w *torture) end() {
	if w.ended {
		return
	}
	if w.daemon == nil {
		w.start()
	}
	if w.daemon != nil {
		if err := w.daemon.terminate(); err != nil {
			w.t.Error(err)
		}
	}
	if err := w.nothingRuns(); err != nil {
		w.t.Error("left behind:", err)
		left, _ := world.Running(w.root)
		for _, p := range left {
			_ = syscall.Kill(p.Pid, syscall.SIGKILL)
		}
	}
	if double := w.recorded("double "); len(double) > 0 {
		w.t.Errorf("ran twice at a time:\n%s", strings.Join(double, ""))
	}
	if w.t.Failed() {
		log, _ := os.ReadFile(w.root + "/daemon.log")
		if keep := os.Getenv("TORTURE_KEEP"); keep != "" {
			_ = os.WriteFile(keep+"/"+strings.ReplaceAll(w.t.Name(), "/", "_")+".log", log, 0o644)
		}
		records, _ := os.ReadFile(w.records)
		w.t.Logf("the daemons' log:\n%s\nthe services' records:\n%s", log[max(0, len(log)-40_000):], records[max(0, len(records)-20_000):])
	}
}

// service is a manifest of a beacon; more are lines of its spec, orders what the
// beacon is told.
func (w *torture) service(name string, replicas int, more []string, orders ...string) string {
	command := append([]string{w.beacon, "-as", "$(SVC_NAME)-$(SVC_REPLICA)", "-file", w.records, "-alone", w.locks}, orders...)
	for n, word := range command {
		command[n] = strconv.Quote(word)
	}
	text := fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: %s}\nspec:\n  replicas: %d\n  command: [%s]\n"+
		"  backoff: {initialDelay: 50ms, maxDelay: 200ms}\n",
		name, replicas, strings.Join(command, ", "))
	for _, line := range more {
		text += "  " + line + "\n"
	}
	return text
}

// declares writes the manifest of service.
func (w *torture) declares(name string, replicas int, more []string, orders ...string) {
	w.t.Helper()
	if err := w.declare(name+".yaml", w.service(name, replicas, more, orders...)); err != nil {
		w.t.Fatal(err)
	}
}

// doomed starts a daemon that may end at any time, and waits until it listens or
// has ended.
func (w *torture) doomed(env ...string) {
	w.t.Helper()
	d := newDaemon(w.binary, w.folders, w.flags...)
	d.command.Args = slices.Compact(d.command.Args) // --no-cgroups not twice
	d.command.Env = append(append(d.command.Env, "RECONCILER_VERIFY=1"), env...)
	w.daemon = d
	// A child of the one before, on its way to its program, may hold the socket
	// for a moment: that somebody listens says nothing.
	err := d.launch()
	if d.command.Process == nil {
		w.daemon = nil
		w.t.Fatal(err)
	}
	if err := errors.Join(err, await(d.greeted)); err != nil && d.refused() == nil {
		w.t.Error(err)
	}
}

// greeted is an error until the daemon has told that it is there, or has ended.
func (d *daemon) greeted() error {
	if d.refused() != nil {
		return nil
	}
	return d.says(fmt.Sprintf(`"pid":%d,"version"`, d.pid()))
}

// start starts a daemon that has no reason to end.
func (w *torture) start(env ...string) {
	w.t.Helper()
	w.doomed(env...)
	if err := w.daemon.refused(); err != nil {
		w.daemon = nil
		w.t.Error(err)
	}
}

// dies waits for the daemon's end by SIGKILL.
func (w *torture) dies() error {
	err := w.daemon.wait()
	d := w.daemon
	w.daemon = nil
	if status, ok := d.command.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("the daemon was not killed, but: %w", err)
	}
	return nil
}

// kill9 ends the daemon as nobody should.
func (w *torture) kill9() {
	w.t.Helper()
	if err := w.daemon.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		w.t.Fatal(err)
	}
	_ = w.daemon.wait()
	w.daemon = nil
}

// recorded are the lines of the services' records with all of the texts.
func (w *torture) recorded(texts ...string) []string {
	data, err := os.ReadFile(w.records)
	if err != nil {
		w.t.Error(err)
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			found = append(found, line)
		}
	}
	return found
}

// living are the main processes that live, by replica.
func (w *torture) living() (map[string][]int, error) {
	all, err := world.Running(w.root + "/services")
	living := map[string][]int{}
	for _, p := range all {
		words := strings.Fields(p.Command)
		if n := slices.Index(words, "-as"); n >= 0 && n+1 < len(words) {
			living[words[n+1]] = append(living[words[n+1]], p.Pid)
		}
	}
	return living, err
}

// exactly returns a check that of each of the replicas one process lives, and of
// no other any. Replicas with a pid must have that one; those with a negative
// one may be there or not.
func (w *torture) exactly(want map[string]int) func() error {
	return func() error {
		living, err := w.living()
		if err != nil {
			return err
		}
		var wrong []string
		for _, name := range slices.Sorted(maps.Keys(want)) {
			pids := living[name]
			switch pid := want[name]; {
			case len(pids) > 1, pid >= 0 && len(pids) != 1:
				wrong = append(wrong, fmt.Sprintf("%s runs %d times %v", name, len(pids), pids))
			case pid > 0 && pids[0] != pid:
				wrong = append(wrong, fmt.Sprintf("%s runs as process %d, not as %d", name, pids[0], pid))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(living)) {
			if _, wanted := want[name]; !wanted {
				wrong = append(wrong, fmt.Sprintf("%s runs, and nobody wants it: %v", name, living[name]))
			}
		}
		if len(wrong) > 0 {
			return errors.New(strings.Join(wrong, "; "))
		}
		return nil
	}
}

// settles waits until exactly those replicas run, and returns their pids.
func (w *torture) settles(want map[string]int) map[string]int {
	w.t.Helper()
	if err := await(w.exactly(want)); err != nil {
		w.t.Fatal(err)
	}
	return w.pids()
}

// rests waits until exactly those replicas run and the daemon has nothing to do
// any more for any that must, and returns their pids.
func (w *torture) rests(want map[string]int) map[string]int {
	w.t.Helper()
	if err := await(func() error {
		services, err := w.daemon.services()
		if err == nil {
			err = w.exactly(want)()
		}
		pids := w.pids()
		for name, service := range services {
			if want[name+"-0"] < 0 {
				continue
			}
			s := service.Status
			if s.UpdatedReplicas != s.DesiredReplicas && s.Phase != "Completed" && s.Phase != "Held" {
				err = errors.Join(err, fmt.Errorf("%d of %d replicas of %s are as declared", s.UpdatedReplicas, s.DesiredReplicas, name))
			}
			for _, r := range s.ReplicaStatuses {
				if pids[r.Name] != r.Pid {
					err = errors.Join(err, fmt.Errorf("%s is process %d to the daemon", r.Name, r.Pid))
				}
			}
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return w.pids()
}

// pids are the processes of the replicas that run once.
func (w *torture) pids() map[string]int {
	living, err := w.living()
	if err != nil {
		w.t.Error(err)
	}
	pids := map[string]int{}
	for name, list := range living {
		if len(list) == 1 {
			pids[name] = list[0]
		}
	}
	return pids
}

// tell runs a command of the daemon's, which may be dead.
func (w *torture) tell(arguments ...string) error {
	_, err := w.daemon.client(arguments...)
	return err
}

// same returns of pids only the named ones: they must not change any more.
func same(pids map[string]int, names ...string) map[string]int {
	kept := map[string]int{}
	for _, name := range names {
		kept[name] = pids[name]
	}
	return kept
}

// joined is the union of maps.
func joined(all ...map[string]int) map[string]int {
	union := map[string]int{}
	for _, m := range all {
		maps.Copy(union, m)
	}
	return union
}

// anyPid wants the replicas to run, as whichever process.
func anyPid(names ...string) map[string]int {
	want := map[string]int{}
	for _, name := range names {
		want[name] = 0
	}
	return want
}

// need skips a test that needs a program or root.
func need(t *testing.T, root bool, programs ...string) {
	t.Helper()
	if root && os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("needs the program " + filepath.Base(name))
		}
	}
}
