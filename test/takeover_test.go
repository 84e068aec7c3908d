package test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// hup has the daemon execute itself anew, or try.
func (w *torture) hup() {
	w.t.Helper()
	if err := w.daemon.command.Process.Signal(syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
}

// staysInCharge waits until the daemon has refused to be replaced for the reason,
// and checks that what runs still does.
func (w *torture) staysInCharge(reason string, pids map[string]int) {
	w.t.Helper()
	if err := await(func() error {
		return errors.Join(w.daemon.says("Did not execute itself anew"), w.daemon.conditionIs("ReexecBlocked", reason))
	}); err != nil {
		w.t.Error(err)
	}
	if err := w.exactly(pids)(); err != nil {
		w.t.Error(err)
	}
}

// TestADaemonThatWasStartedOnAFullDiskIsWellWhenThereIsRoom: it says so, and can
// be replaced afterwards.
func TestADaemonThatWasStartedOnAFullDiskIsWellWhenThereIsRoom(t *testing.T) {
	need(t, true, "mount", "umount")
	t.Parallel()
	w := newTorture(t, built.checked, false)
	if err := os.Mkdir(w.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", w.state).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small file system here: %v: %s", err, output)
	}
	defer func() {
		w.end()
		w.ended = true
		if err := syscall.Unmount(w.state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	w.fill()
	w.declares("steady", 3, nil)
	if err := w.declare("reconciler.yaml", "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\nlog: {level: debug}\n"); err != nil {
		t.Fatal(err)
	}
	w.start()
	pids := w.settles(anyPid(numbered("steady", 3)...))
	if err := await(func() error { return w.daemon.says(`"Cannot write records`) }); err != nil {
		t.Error("with a configuration of its own:", err)
	}
	if err := os.Remove(w.state + "/filling"); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error { return w.daemon.says("Records are written again") }); err != nil {
		t.Fatal(err)
	}
	w.reexecs()
	if err := w.exactly(pids)(); err != nil {
		t.Error(err)
	}
}

// TestADamagedRecordOfWhatIsGoneKeepsNobodyAway.
func TestADamagedRecordOfWhatIsGoneKeepsNobodyAway(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("damaged", built.checked, func(w *torture) {
		w.declares("steady", 3, nil)
		w.start()
		pids := w.written(w.settles(anyPid(numbered("steady", 3)...)), false)
		w.kill9()
		if err := os.WriteFile(w.record("gone-0"), []byte("rubbish"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.start()
		w.reexecs()
		if err := w.exactly(pids)(); err != nil {
			w.t.Error(err)
		}
	}))
}

// TestADaemonWhoseArgumentsHaveLostTheirMeaningStaysInCharge: the program would end
// at once, or look elsewhere.
func TestADaemonWhoseArgumentsHaveLostTheirMeaningStaysInCharge(t *testing.T) {
	t.Parallel()
	tests := map[string]func(w *torture, cwd string) error{
		"its working directory is gone": func(_ *torture, cwd string) error { return os.Remove(cwd) },
		"its working directory has moved": func(w *torture, cwd string) error {
			return errors.Join(os.Mkdir(w.root+"/deep", 0o755), os.Rename(cwd, w.root+"/deep/cwd"))
		},
		"the program has lost a flag": func(w *torture, _ string) error {
			w.installBytes([]byte("#!/bin/sh\ncase \"$*\" in *--log-dir*) echo 'unknown flag: --log-dir'; exit 1;; esac\necho '{\"restarts\":[]}'\n"))
			return nil
		},
	}
	var trials []trial
	for name, spoil := range tests {
		trials = append(trials, trial{name, func(t *testing.T) {
			w := newTorture(t, built.checked, false)
			w.declares("steady", 3, nil)
			cwd, program := w.root+"/cwd", w.root+"/bin/reconciler"
			// Not copied: what was just written may be busy.
			if err := errors.Join(os.Mkdir(cwd, 0o755), os.Mkdir(w.root+"/bin", 0o755), os.Link(w.binary, program)); err != nil {
				t.Fatal(err)
			}
			w.binary = program
			d := newDaemon(w.binary, w.folders, w.flags...)
			d.command.Dir = cwd
			d.command.Args = append([]string{w.binary, "--dir", "../manifests", "--state-dir", "../state", "--log-dir", "../logs"}, w.flags...)
			if err := d.launch(); err != nil {
				t.Fatal(err)
			}
			w.daemon = d
			pids := w.settles(anyPid(numbered("steady", 3)...))
			if err := spoil(w, cwd); err != nil {
				t.Fatal(err)
			}
			w.hup()
			w.staysInCharge("CheckFailed", pids)
		}})
	}
	atOnce(t, trials)
}

// TestTheCheckKnowsAManifestThatHasMoved to another file from one that is gone, whether
// a daemon lives or not.
func TestTheCheckKnowsAManifestThatHasMoved(t *testing.T) {
	t.Parallel()
	w := newTorture(t, built.checked, false)
	w.declares("steady", 3, nil)
	w.declares("removed", 1, nil)
	w.start()
	pids := w.written(w.settles(anyPid(append(numbered("steady", 3), "removed-0")...)), false)
	move := func(from, to string) {
		if err := os.Rename(w.manifests+from, w.manifests+to); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want string) {
		t.Helper()
		output, err := exec.Command(w.binary, "check", "--state-dir", w.state).CombinedOutput()
		if (err == nil) != (want == "") || !strings.Contains(string(output), want) {
			t.Errorf("the check says %q, %v; want %q", output, err, want)
		}
	}
	move("/steady.yaml", "/moved.yaml")
	check("")
	w.reexecs()
	w.kill9()
	move("/moved.yaml", "/again.yaml")
	check("")
	if err := os.Remove(w.manifests + "/removed.yaml"); err != nil {
		t.Fatal(err)
	}
	check("removed-0 would be stopped")
	w.start()
	delete(pids, "removed-0")
	w.settles(pids)
}

// TestAProgramThatIsExchangedAfterItsCheckIsNotExecuted.
func TestAProgramThatIsExchangedAfterItsCheckIsNotExecuted(t *testing.T) {
	t.Parallel()
	w := newTorture(t, built.checked, false)
	w.copied()
	w.declares("steady", 3, nil)
	w.start()
	pids := w.settles(anyPid(numbered("steady", 3)...))
	w.installBytes([]byte("#!/bin/sh\n[ \"$1\" = check ] || exit 9\nprintf '#!/bin/sh\\nexit 9\\n' >\"$0.new\"\nchmod 755 \"$0.new\"\nmv \"$0.new\" \"$0\"\necho '{\"restarts\":[]}'\n"))
	w.hup()
	w.staysInCharge("HandoverFailed", pids)
	if err := w.daemon.says("it was exchanged since its check"); err != nil {
		t.Error(err)
	}
}
