package test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// copied is a torture whose daemon's program can be exchanged.
func (w *torture) copied() {
	w.t.Helper()
	folder := filepath.Join(w.root, "bin")
	if err := os.Mkdir(folder, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.binary = w.install(w.binary)
}

// install puts a program in the place of the daemon's, as package managers do:
// beside it, and renamed.
func (w *torture) install(from string) string {
	w.t.Helper()
	program, err := os.ReadFile(from)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.installBytes(program)
}

func (w *torture) installBytes(program []byte) string {
	w.t.Helper()
	to := filepath.Join(w.root, "bin", "reconciler")
	// A child that somebody forks meanwhile would have it open for writing for a
	// moment, and nobody can execute such a file.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := errors.Join(os.WriteFile(to+".new", program, 0o755), os.Rename(to+".new", to)); err != nil {
		w.t.Fatal(err)
	}
	return to
}

// TestADaemonThatCannotBeReplacedStaysInCharge: a missing or broken program, one
// that hangs, one for another machine, one that knows no handover.
func TestADaemonThatCannotBeReplacedStaysInCharge(t *testing.T) {
	t.Parallel()
	spoil := map[string]struct {
		how    func(w *torture)
		reason string
	}{
		"no program": {func(w *torture) {
			if err := os.Remove(w.root + "/bin/reconciler"); err != nil {
				w.t.Fatal(err)
			}
		}, "ProgramUnusable"},
		"no program but rubbish": {func(w *torture) { w.installBytes([]byte("\x7fELFrubbish")) }, "ProgramUnusable"},
		"half a program": {func(w *torture) {
			whole, err := os.ReadFile(w.root + "/bin/reconciler")
			if err != nil {
				w.t.Fatal(err)
			}
			w.installBytes(whole[:len(whole)/3])
		}, ""},
		"a program for another machine": {func(w *torture) {
			program, err := os.ReadFile(w.root + "/bin/reconciler")
			if err != nil {
				w.t.Fatal(err)
			}
			binary.LittleEndian.PutUint16(program[18:], 183) // e_machine of elf(5): AArch64
			w.installBytes(program)
		}, "ProgramUnusable"},
		"a program that hangs":        {func(w *torture) { w.installBytes([]byte("#!/bin/sh\nsleep 1000\n")) }, "ProgramUnusable"},
		"a program that fails":        {func(w *torture) { w.installBytes([]byte("#!/bin/sh\necho nonsense\nexit 3\n")) }, "CheckFailed"},
		"a program that says nothing": {func(w *torture) { w.installBytes([]byte("#!/bin/sh\n")) }, "CheckFailed"},
		"a program that would restart": {func(w *torture) {
			w.installBytes([]byte("#!/bin/sh\necho '{\"restarts\": [{\"replica\": \"steady-1\", \"act\": \"restart\", \"fields\": [\"spec.args\"]}]}'\nexit 1\n"))
		}, "WouldRestart"},
	}
	var trials []trial
	for name, one := range spoil {
		trials = append(trials, tortured(name, built.release, func(w *torture) {
			good := w.binary
			w.copied()
			w.declares("steady", 3, nil)
			w.start()
			pids := w.settles(anyPid(numbered("steady", 3)...))
			end := w.poll()
			one.how(w)
			if err := w.daemon.command.Process.Signal(syscall.SIGHUP); err != nil {
				w.t.Fatal(err)
			}
			if err := await(func() error {
				return errors.Join(w.daemon.says("Did not execute itself anew"), w.daemon.conditionIs("ReexecBlocked", one.reason))
			}); err != nil {
				w.t.Error(err)
			}
			if n := w.daemon.said(tookOver); n > 0 {
				w.t.Error("it took over")
			}
			if err := w.exactly(pids)(); err != nil {
				w.t.Error(err)
			}
			w.install(good)
			w.reexecs()
			end()
			if err := w.exactly(pids)(); err != nil {
				w.t.Error(err)
			}
			if err := w.daemon.conditionIs("ReexecBlocked", ""); err == nil {
				w.t.Error("the condition stays")
			}
		})...)
	}
	atOnce(t, trials)
}

// conditionIs is an error unless the daemon has the condition, for the reason if
// one is given.
func (d *daemon) conditionIs(condition, reason string) error {
	answer, err := d.asks("/apis/svc.d/v1/daemon")
	if err != nil {
		return err
	}
	var about struct {
		Conditions []struct{ Type, Reason string }
		Status     struct {
			Conditions []struct{ Type, Reason string }
		}
	}
	if err := json.Unmarshal(answer, &about); err != nil {
		return err
	}
	for _, c := range append(about.Conditions, about.Status.Conditions...) {
		if c.Type == condition && (reason == "" || c.Reason == reason) {
			return nil
		}
	}
	return fmt.Errorf("no condition %s for %s in %s", condition, reason, answer)
}

// TestAConfigurationThatCannotBeInForceChangesNothing: one that is broken, and one
// that cannot change while services run.
func TestAConfigurationThatCannotBeInForceChangesNothing(t *testing.T) {
	t.Parallel()
	var trials []trial
	for name, text := range map[string]string{
		"broken":         "resyncPeriod: soon",
		"another cgroup": "cgroupRoot: /sys/fs/cgroup/elsewhere",
	} {
		trials = append(trials, tortured(name, built.release, func(w *torture) {
			w.configures("resyncPeriod: 6m")
			w.declares("steady", 3, nil)
			w.start()
			pids := w.settles(anyPid(numbered("steady", 3)...))
			w.configures(text)
			if err := await(func() error {
				if name == "broken" {
					return w.daemon.says("resyncPeriod")
				}
				return w.daemon.conditionIs("ReexecBlocked", "SettingsRefused")
			}); err != nil {
				w.t.Error(err)
			}
			w.reexecsAnyway(name == "broken")
			w.configures("resyncPeriod: 6m")
			w.reexecs()
			if err := w.exactly(pids)(); err != nil {
				w.t.Error(err)
			}
		})...)
	}
	trials = append(trials, tortured("taken back", built.release, func(w *torture) {
		w.configures("resyncPeriod: 6m")
		w.declares("steady", 3, nil)
		w.start()
		pids := w.settles(anyPid(numbered("steady", 3)...))
		for range rounds(3) {
			w.configures("resyncPeriod: 7m")
			if err := await(func() error { return w.daemon.says("Configuration changed") }); err != nil {
				w.t.Fatal(err)
			}
			w.configures("resyncPeriod: 6m")
			pace(time.Second)
		}
		if err := w.daemon.refused(); err != nil {
			w.t.Error(err)
		}
		w.reexecs()
		if err := w.exactly(pids)(); err != nil {
			w.t.Error(err)
		}
	})...)
	atOnce(t, trials)
}

// configures writes a document of the daemon's own configuration.
func (w *torture) configures(text string) {
	w.t.Helper()
	if err := w.declare("configuration.yaml", "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\n"+text+"\n"); err != nil {
		w.t.Fatal(err)
	}
}

// reexecsAnyway asks for a re-exec by a signal, which succeeds or is refused.
func (w *torture) reexecsAnyway(succeeds bool) {
	w.t.Helper()
	if succeeds {
		w.reexecs() // with the last good configuration
		return
	}
	before := w.daemon.said("Did not execute itself anew")
	if err := w.daemon.command.Process.Signal(syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
	if err := await(func() error {
		if w.daemon.said("Did not execute itself anew") == before {
			return errors.New("it was not refused")
		}
		return nil
	}); err != nil {
		w.t.Error(err)
	}
}

// TestAnEngineThatPanicsIsReplacedAndAfterTheThirdTimeLeaves.
func TestAnEngineThatPanicsIsReplacedAndAfterTheThirdTimeLeaves(t *testing.T) {
	t.Parallel()
	trials := tortured("once", built.release, func(w *torture) {
		w.declares("steady", 3, nil)
		w.declares("told", 1, nil)
		w.start(crashEnv + "=person-asked:1:panic")
		w.settles(anyPid(append(numbered("steady", 3), "told-0")...))
		_ = w.tell("restart", "told") // which gets no answer
		if err := await(func() error { return errors.Join(w.daemon.says("The engine panicked"), w.daemon.says(tookOver)) }); err != nil {
			w.t.Fatal(err)
		}
		w.settles(anyPid(append(numbered("steady", 3), "told-0")...))
		for _, name := range numbered("steady", 3) {
			if n := len(w.recorded("start " + name + " ")); n != 1 {
				w.t.Errorf("%s was started %d times", name, n)
			}
		}
		if err := os.Remove(w.manifests + "/told.yaml"); err != nil {
			w.t.Fatal(err)
		}
		w.settles(anyPid(numbered("steady", 3)...))
	})
	trials = append(trials, tortured("again and again", built.release, func(w *torture) {
		w.declares("steady", 3, nil)
		w.start()
		pids := w.written(w.settles(anyPid(numbered("steady", 3)...)), false)
		w.kill9()
		w.declares("loop", 1, nil, "-exit", "3", "-after", "20ms")
		w.doomed(crashEnv + "=exit-seen:1:panic")
		if err := w.daemon.wait(); err == nil || w.daemon.command.ProcessState.ExitCode() != 70 {
			w.t.Errorf("it ended with %v, not with code 70", err)
		}
		if n := w.daemon.said("The engine panicked"); n != 3 {
			w.t.Errorf("it panicked %d times", n)
		}
		w.daemon = nil
		want := joined(pids, map[string]int{"loop-0": -1})
		if err := w.exactly(want)(); err != nil {
			w.t.Error("after it left:", err)
		}
		w.start()
		w.settles(want)
	})...)
	atOnce(t, trials)
}
