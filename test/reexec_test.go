package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"svc.d/test/world"
)

// reexecs asks for a re-exec and waits until the next image is there.
func (w *torture) reexecs() {
	w.t.Helper()
	if err := w.daemon.reexec(); err != nil {
		if w.daemon.refused() != nil {
			w.daemon = nil
		}
		w.t.Fatal(err)
	}
}

// poll asks the API all the while, with a connection for each question, and
// returns what ends it: it fails the test when any question was not answered.
func (w *torture) poll() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var asked, longest = 0, time.Duration(0)
	group.Go(func() {
		for ctx.Err() == nil {
			begun := time.Now()
			if _, err := w.daemon.asks("/apis/svc.d/v1/services"); err != nil {
				w.t.Errorf("question %d: %v", asked, err)
				return
			}
			asked++
			longest = max(longest, time.Since(begun))
			pace(time.Millisecond)
		}
	})
	return func() {
		cancel()
		group.Wait()
		w.t.Logf("%d questions were answered, the slowest after %v", asked, longest)
	}
}

// asks asks the API over a connection of its own: a whole, valid answer or an
// error.
func (d *daemon) asks(path string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.stateDir+"/api.sock")
		},
	}, Timeout: patience}
	answer, err := client.Get("http://reconciler" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !json.Valid(body)) {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}

// TestManyReexecsLeakNothingAndRestartNothing: all of it stays as it was, the pid
// of the daemon too, and nobody who asks it is turned away.
func TestManyReexecsLeakNothingAndRestartNothing(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("many re-execs", built.release, func(w *torture) {
		w.declares("steady", 20, nil)
		w.declares("kids", 1, nil, "-children", "2")
		w.declares("masked", 1, []string{`securityContext: {umask: "0077"}`})
		w.declares("blocked", 1, nil)
		w.start()
		pids := w.settles(anyPid(append(numbered("steady", 20), "kids-0", "masked-0", "blocked-0")...))
		// A replacement that is being checked all the while.
		w.declares("blocked", 1, []string{"workingDir: /no/such/folder"})
		end := w.poll()
		const warm = 3
		var files []string
		var memory, threads int64
		n := rounds(10)
		for i := range n {
			w.reexecs()
			if i != warm-1 && i != n-1 {
				continue
			}
			end()
			nowFiles, err1 := world.OpenFiles(w.daemon.pid())
			nowMemory, err2 := world.StatusValue(w.daemon.pid(), "VmRSS")
			nowThreads, err3 := world.StatusValue(w.daemon.pid(), "Threads")
			if err := errors.Join(err1, err2, err3); err != nil {
				w.t.Fatal(err)
			}
			if i == warm-1 {
				files, memory, threads = nowFiles, nowMemory, nowThreads
				end = w.poll()
				continue
			}
			w.t.Logf("after %d re-execs: %d descriptors (%d), %d KiB (%d), %d threads (%d)", n, len(nowFiles), len(files), nowMemory, memory, nowThreads, threads)
			if len(nowFiles) > len(files) {
				w.t.Errorf("descriptors leak: %s", described(nowFiles, files))
			}
			if nowMemory > memory*5/4 {
				w.t.Errorf("memory leaks: %d KiB, %d before", nowMemory, memory)
			}
		}
		if err := await(func() error {
			zombies, err := world.Zombies(w.daemon.pid())
			if err == nil && zombies > 0 {
				err = fmt.Errorf("%d zombies", zombies)
			}
			return err
		}); err != nil {
			w.t.Error(err)
		}
		if err := w.exactly(pids)(); err != nil {
			w.t.Error("after the re-execs:", err)
		}
		if starts := w.recorded("start ", "label= "); len(starts) > len(pids)+2 {
			w.t.Errorf("%d starts of %d processes", len(starts), len(pids)+2)
		}
		w.inheritsNoSignals()
	}))
}

// inheritsNoSignals looks whether a service of this image has an empty signal
// mask and ignores nothing.
func (w *torture) inheritsNoSignals() {
	w.t.Helper()
	// No beacon: Go's runtime changes the mask of its threads.
	for name, more := range map[string]string{"late": "", "latemasked": `, securityContext: {umask: "0077"}`} {
		if err := w.declare(name+".yaml", "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: "+name+"}\nspec: {command: [sleep, \"1000\"]"+more+"}\n"); err != nil {
			w.t.Fatal(err)
		}
		var found []world.Process
		if err := await(func() (err error) {
			if found, err = world.Holding(w.state + "/output/" + name + "-0.stdout"); err == nil && (len(found) != 1 || !strings.HasPrefix(found[0].Command, "sleep ")) {
				err = fmt.Errorf("%s: %v", name, found)
			}
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", found[0].Pid))
		if err != nil {
			w.t.Error(err)
		}
		for _, line := range []string{"SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n"} {
			if !strings.Contains(string(status), line) {
				w.t.Errorf("%s inherits signals:\n%s", name, status)
			}
		}
	}
}

// numbered are the names of a service's replicas.
func numbered(service string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", service, i))
	}
	return names
}

// TestAStormOfSignalsAndEditsSettlesIntoFewReexecs sends 50 of them within a
// second.
func TestAStormOfSignalsAndEditsSettlesIntoFewReexecs(t *testing.T) {
	t.Parallel()
	configuration := func(w *torture, n int) {
		text := fmt.Sprintf("apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\nresyncPeriod: %dm\n", 5+n)
		if err := w.declare("configuration.yaml", text); err != nil {
			w.t.Error(err)
		}
	}
	storms := map[string]func(w *torture, n int){
		"signals":                         func(w *torture, _ int) { _ = w.daemon.command.Process.Signal(syscall.SIGHUP) },
		"edits":                           configuration,
		"edits that are taken back":       func(w *torture, n int) { configuration(w, (n+1)%2) },
		"signals and edits and questions": func(w *torture, n int) { configuration(w, n); _ = w.daemon.command.Process.Signal(syscall.SIGHUP) },
	}
	var trials []trial
	for name, storm := range storms {
		trials = append(trials, tortured(name, built.release, func(w *torture) {
			w.declares("steady", 5, nil)
			configuration(w, 0)
			w.start()
			pids := w.settles(anyPid(numbered("steady", 5)...))
			end := w.poll()
			const many = 50
			for n := range many {
				storm(w, n)
				pace(time.Second / many)
			}
			// The last one must be heeded, too.
			w.reexecs()
			end()
			if n := w.daemon.said(tookOver); n > 5 {
				w.t.Errorf("executed itself anew %d times", n)
			} else {
				w.t.Logf("executed itself anew %d times", n)
			}
			if err := w.exactly(pids)(); err != nil {
				w.t.Error(err)
			}
		})...)
	}
	atOnce(t, trials)
}

// TestASignalToStopStopsEverythingAlsoInTheMomentOfAReexec sends it at random
// moments around the exec.
func TestASignalToStopStopsEverythingAlsoInTheMomentOfAReexec(t *testing.T) {
	t.Parallel()
	var trials []trial
	for n := range rounds(6) {
		name := fmt.Sprintf("seed %d", n)
		trials = append(trials, tortured(name, built.release, func(w *torture) {
			w.declares("steady", 8, nil)
			w.start()
			pids := w.settles(anyPid(numbered("steady", 8)...))
			before := w.daemon.said("Executing itself anew")
			if err := w.daemon.command.Process.Signal(syscall.SIGHUP); err != nil {
				w.t.Fatal(err)
			}
			if err := await(func() error {
				if w.daemon.said("Executing itself anew") == before {
					return errors.New("no re-exec yet")
				}
				return nil
			}); err != nil {
				w.t.Fatal(err)
			}
			pace(time.Duration(n*n%97) * 200 * time.Microsecond)
			if err := w.daemon.command.Process.Signal(syscall.SIGTERM); err != nil {
				w.t.Fatal(err)
			}
			if err := w.daemon.wait(); err == nil {
				if err := w.nothingRuns(); err != nil {
					w.t.Error(err)
				}
			} else if status := w.daemon.command.ProcessState.Sys().(syscall.WaitStatus); status.Signal() == syscall.SIGTERM {
				// While a Go program starts it cannot hear: whoever has sent the
				// signal sees that it ended, and nothing is lost.
				w.t.Log("ended by the signal while the runtime started")
				if err := w.exactly(pids)(); err != nil {
					w.t.Error(err)
				}
			} else {
				w.t.Error(err)
			}
			w.daemon = nil
		})...)
	}
	atOnce(t, trials)
}

// TestADaemonThatLeavesLeavesEverythingRunning: SIGQUIT, at any time.
func TestADaemonThatLeavesLeavesEverythingRunning(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("leave", built.checked, func(w *torture) {
		w.declares("steady", 8, nil)
		w.start()
		pids := w.settles(anyPid(numbered("steady", 8)...))
		for n := range rounds(4) {
			if n%2 == 1 { // in the moment of a re-exec
				_ = w.daemon.command.Process.Signal(syscall.SIGHUP)
				pace(time.Duration(n*n%97) * 10 * time.Millisecond)
			}
			if err := w.daemon.command.Process.Signal(syscall.SIGQUIT); err != nil {
				w.t.Fatal(err)
			}
			if err := w.daemon.wait(); err != nil {
				w.t.Error(err)
			}
			w.daemon = nil
			if err := w.exactly(pids)(); err != nil {
				w.t.Error("after it left:", err)
			}
			w.start()
			if err := w.exactly(pids)(); err != nil {
				w.t.Error("after another one came:", err)
			}
		}
	}))
}

// TestASecondDaemonNeverGetsInDuringAReexec starts others all the while.
func TestASecondDaemonNeverGetsInDuringAReexec(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("others knock", built.release, func(w *torture) {
		w.declares("steady", 3, nil)
		w.start()
		pids := w.settles(anyPid(numbered("steady", 3)...))
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				for ctx.Err() == nil {
					other := newDaemon(w.binary, w.folders, w.flags...)
					other.command.Args = slices.Compact(other.command.Args)
					output, err := other.command.CombinedOutput()
					if err == nil || !strings.Contains(string(output), "uses it") {
						w.t.Errorf("another daemon ended with %v: %s", err, output)
						return
					}
				}
			})
		}
		for range rounds(3) {
			w.reexecs()
		}
		cancel()
		group.Wait()
		if err := w.exactly(pids)(); err != nil {
			w.t.Error(err)
		}
	}))
}
