package test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// crashEnv asks the daemon to end itself with SIGKILL at a step.
const crashEnv = "RECONCILER_CRASH_AT"

// crashPoints are the steps at which the daemon is ended, and the first, second
// and so on time that it comes there. A plus stands for the process image that
// has taken over from another one.
var crashPoints = []string{
	"spawn-asked", "spawn-asked:3", "cloned", "execed", "execed:4", "start-taken", "started", "started:3",
	"exit-reaped", "exit-reaped:3", "exit-seen", "exit-seen:2", "emptied",
	"record-due", "record-due:5", "record-written", "record-written:4", "recorded", "recorded:2", "recorded:7", "record-gone",
	"signal-sent", "signal-sent:2", "stop-recorded", "stop-recorded:2", "killed", "person-asked", "person-asked:2", "forgotten",
	"tried", "handover-begun", "handed-over", "signals-held",
	"image-begun", "records-loaded", "adopted", "listening",
	"+image-begun", "+records-loaded", "+adopted", "+listening", "+recorded", "+start-taken", "+execed",
}

// visited are the steps at which a daemon has ended.
var visited sync.Map

// TestADaemonThatIsKilledAtAnyStepDoublesNothingAndLosesNothing: a daemon adopts
// what another one left, is asked for everything it can do, and is killed in the
// middle of it. The next one puts it in order.
func TestADaemonThatIsKilledAtAnyStepDoublesNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	var trials []trial
	for _, point := range crashPoints {
		trials = append(trials, tortured(point, built.checked, func(w *torture) { w.crash(point) })...)
	}
	atOnce(t, trials)
	if t.Failed() {
		return
	}
	for _, step := range steps(t) {
		if _, found := visited.Load(step); !found {
			t.Errorf("no daemon was killed at the step %q: add it to crashPoints", step)
		}
	}
}

// crash is one life of services, with a daemon in it that dies at the point.
func (w *torture) crash(point string) {
	first := w.prepared()

	w.doomed(crashEnv + "=" + point)
	w.during()
	_ = w.daemon.command.Process.Signal(syscall.SIGHUP)
	if err := w.dies(); err != nil {
		w.t.Fatalf("at %s: %v", point, err)
	}
	step, _, _ := strings.Cut(strings.TrimPrefix(point, "+"), ":")
	visited.Store(step, true)

	w.start()
	w.inOrder(first)
}

// TestADaemonThatIsKilledWhileItRecoversDoublesNothingAndLosesNothing: one after
// the other is killed, at random steps.
func TestADaemonThatIsKilledWhileItRecoversDoublesNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	var trials []trial
	for n := range rounds(3) {
		trials = append(trials, tortured(fmt.Sprintf("seed %d+%d", seed, n), built.checked, func(w *torture) {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			first := w.prepared()
			for range 4 {
				step, _, _ := strings.Cut(crashPoints[random.IntN(len(crashPoints))], ":")
				w.doomed(fmt.Sprintf("%s=%s:%d", crashEnv, strings.TrimPrefix(step, "+"), 1+random.IntN(4)))
				w.during()
				w.kill9()
			}
			w.start()
			w.inOrder(first)
		})...)
	}
	atOnce(t, trials)
}

// prepared has a daemon start everything, and kills it.
func (w *torture) prepared() (first map[string]int) {
	w.before()
	w.start()
	first = w.settles(joined(anyPid("steady-0", "steady-1", "masked-0", "kids-0", "edited-0", "slow-0", "scaled-0", "removed-0", "told-0", "held-0"), map[string]int{"loop-0": -1}))
	if err := await(func() error { return w.wrote(1, "end job-0 ") }); err != nil {
		w.t.Fatal(err)
	}
	// What has been told by now must not be forgotten.
	if err := errors.Join(w.tell("stop", "held"), w.daemon.synced()); err != nil {
		w.t.Fatal(err)
	}
	w.kill9()
	return first
}

// inOrder judges what another daemon makes of what the doomed one left.
func (w *torture) inOrder(first map[string]int) {
	want := joined(same(first, "steady-0", "steady-1"), map[string]int{"loop-0": -1},
		anyPid("masked-0", "kids-0", "edited-0", "slow-0", "scaled-0", "scaled-1", "scaled-2", "told-0", "added-0"))
	pids := w.rests(want)
	for _, name := range []string{"edited-0", "masked-0", "slow-0"} {
		if len(w.recorded("start "+name+" pid="+strconv.Itoa(pids[name])+" label=v2")) != 1 {
			w.t.Errorf("%s runs in its old version", name)
		}
	}
	if n := len(w.recorded("start job-0 ")); n != 1 {
		w.t.Errorf("the job ran %d times", n)
	}
	// A child that nobody stopped would be there still, beside those of now.
	if err := await(func() error { return w.children(2) }); err != nil {
		w.t.Error(err)
	}
	stay := same(pids, "steady-0", "steady-1", "masked-0", "kids-0", "edited-0", "scaled-0", "scaled-1", "scaled-2", "told-0", "added-0")
	w.written(stay, false)
	w.kill9()
	w.start()
	w.settles(joined(want, stay))
}

// before declares what the first daemon runs.
func (w *torture) before() {
	grace := []string{"terminationGracePeriodSeconds: 5"}
	w.declares("steady", 2, nil)
	w.declares("masked", 1, []string{`securityContext: {umask: "0077"}`}, "-label", "v1")
	w.declares("kids", 1, nil, "-children", "2", "-label", "kids")
	w.declares("edited", 1, nil, "-label", "v1")
	w.declares("slow", 1, grace, "-label", "v1", "-linger", "100ms")
	w.declares("scaled", 1, nil)
	w.declares("removed", 1, grace, "-linger", "50ms")
	w.declares("told", 1, nil)
	w.declares("held", 1, nil)
	w.declares("loop", 1, nil, "-exit", "3", "-after", "20ms")
	w.declares("job", 1, []string{"restartPolicy: Never"}, "-exit", "0", "-after", "10ms", "-bye")
}

// during is everything that the doomed daemon is asked for.
func (w *torture) during() {
	w.declares("edited", 1, nil, "-label", "v2")
	w.declares("masked", 1, []string{`securityContext: {umask: "0077"}`}, "-label", "v2")
	w.declares("slow", 1, []string{"terminationGracePeriodSeconds: 5"}, "-label", "v2", "-linger", "100ms")
	w.declares("scaled", 3, nil)
	w.declares("added", 1, nil)
	if err := os.Remove(w.manifests + "/removed.yaml"); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	if pid := w.pids()["kids-0"]; pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = w.tell("restart", "told")
	_ = w.tell("restart", "scaled")
	// Until it is dead, or has done all but the re-exec.
	if err := await(func() error {
		if w.daemon.refused() != nil {
			return nil
		}
		living, err := w.living()
		if err == nil && (len(living["removed-0"]) > 0 || len(living["scaled-2"]) == 0 || len(living["added-0"]) == 0) {
			err = errors.New("the daemon has not done what it was asked for")
		}
		return errors.Join(err, w.wrote(1, "start edited-0 ", "label=v2"), w.wrote(1, "start slow-0 ", "label=v2"))
	}); err != nil {
		w.t.Fatal(err)
	}
}

// wrote is an error unless the services wrote so many such lines, or more.
func (w *torture) wrote(n int, texts ...string) error {
	if found := w.recorded(texts...); len(found) < n {
		return fmt.Errorf("%d records with %q, not %d", len(found), texts, n)
	}
	return nil
}

// children is an error unless so many children of beacons live.
func (w *torture) children(n int) error {
	s := scene{services: w.root + "/services"}
	found, err := s.matching("-label kids-child")
	if err == nil && len(found) != n {
		err = fmt.Errorf("%d children, not %d: %v", len(found), n, found)
	}
	return err
}

// synced waits until what the daemon knows is written down: a person's command
// is not answered before.
func (d *daemon) synced() error {
	_, err := d.client("restart", "loop")
	return err
}

// steps are the names of all steps that the source has.
func steps(t *testing.T) []string {
	var names []string
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		for _, declaration := range s.file.Decls {
			block, ok := declaration.(*ast.GenDecl)
			if !ok || block.Tok != token.CONST {
				continue
			}
			for _, one := range block.Specs {
				value := one.(*ast.ValueSpec)
				name := value.Names[0].Name
				if !strings.HasPrefix(strings.ToLower(name), "step") || len(value.Values) != 1 {
					continue
				}
				if literal, ok := value.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, _ := strconv.Unquote(literal.Value)
					names = append(names, text)
				}
			}
		}
	}
	if len(names) < 20 || !slices.Contains(names, "execed") {
		t.Fatalf("found only the steps %q", names)
	}
	return names
}
