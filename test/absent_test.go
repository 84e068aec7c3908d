package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestWhatEndsWhileNoDaemonIsThereIsFoundAtOnce: services exit, and are killed,
// while the daemon is dead; the next one does as their policies say.
func TestWhatEndsWhileNoDaemonIsThereIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("ends", built.checked, func(w *torture) {
		asleep := []string{"-asleep", "-exit"}
		w.declares("always", 1, nil, append(asleep, "0")...)
		w.declares("failed", 1, []string{"restartPolicy: OnFailure"}, append(asleep, "3")...)
		w.declares("done", 1, []string{"restartPolicy: Never"}, append(asleep, "0")...)
		w.declares("killed", 1, nil)
		w.declares("parent", 1, nil, "-children", "2", "-label", "kids")
		w.declares("steady", 2, nil)
		w.start()
		all := anyPid("always-0", "failed-0", "done-0", "killed-0", "parent-0", "steady-0", "steady-1")
		first := w.written(w.settles(all), false)
		if err := await(func() error { return w.children(2) }); err != nil {
			t.Fatal(err)
		}
		w.kill9()
		for name, sig := range map[string]syscall.Signal{
			"always-0": syscall.SIGHUP, "failed-0": syscall.SIGHUP, "done-0": syscall.SIGHUP,
			"killed-0": syscall.SIGKILL, "parent-0": syscall.SIGKILL,
		} {
			if err := syscall.Kill(first[name], sig); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := await(func() error {
			living, err := w.living()
			if err == nil && len(living) != 2 {
				err = fmt.Errorf("%v live", living)
			}
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
		w.start()
		want := joined(same(first, "steady-0", "steady-1"), anyPid("always-0", "failed-0", "killed-0", "parent-0"))
		again := w.settles(want)
		for _, name := range []string{"always-0", "failed-0", "killed-0", "parent-0"} {
			if again[name] == first[name] {
				w.t.Errorf("%s is taken for living", name)
			}
			if n := len(w.recorded("start " + name + " pid=" + strconv.Itoa(again[name]))); n != 1 {
				w.t.Errorf("%s started %d times", name, n)
			}
		}
		if n := len(w.recorded("start done-0 ")); n != 1 {
			w.t.Errorf("the job ran %d times", n)
		}
		if err := await(func() error { return w.children(2) }); err != nil {
			w.t.Error("beside those of the new one:", err)
		}
	}))
}

// TestTheExitCodeIsToldOfWhoEndedUnderAnAdoptingDaemon: the daemon is not their
// parent any more; the kernel tells it all the same (Linux 6.15, or as long as they
// are zombies).
func TestTheExitCodeIsToldOfWhoEndedUnderAnAdoptingDaemon(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("codes", built.checked, func(w *torture) {
		w.declares("exits", 1, []string{"restartPolicy: Never"}, "-asleep", "-exit", "5")
		w.declares("killed", 1, []string{"restartPolicy: Never"})
		w.start()
		pids := w.written(w.settles(anyPid("exits-0", "killed-0")), false)
		w.kill9()
		w.start()
		w.settles(pids)
		if err := errors.Join(syscall.Kill(pids["exits-0"], syscall.SIGHUP), syscall.Kill(pids["killed-0"], syscall.SIGKILL)); err != nil {
			w.t.Fatal(err)
		}
		if err := await(func() error {
			services, err := w.daemon.services()
			if err != nil {
				return err
			}
			for name, code := range map[string]int32{"exits": 5, "killed": 137} {
				replicas := services[name].Status.ReplicaStatuses
				if len(replicas) != 1 || replicas[0].LastExit == nil {
					return fmt.Errorf("%s has not ended: %+v", name, services[name])
				}
				if got := replicas[0].LastExit.ExitCode; got != code {
					return fmt.Errorf("%s ended with %d, not %d", name, got, code)
				}
			}
			return nil
		}); err != nil {
			if old, _ := kernelBefore(6, 15); old {
				w.t.Skip("this kernel may not tell: ", err)
			}
			w.t.Error(err)
		}
	}))
}

// kernelBefore compares the version of the running kernel.
func kernelBefore(major, minor int) (bool, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return false, err
	}
	var a, b int
	if _, err := fmt.Sscanf(string(release), "%d.%d", &a, &b); err != nil {
		return false, err
	}
	return a < major || a == major && b < minor, nil
}

// insideEnv says that the test runs in a pid namespace of its own.
const insideEnv = "RECONCILER_TEST_NAMESPACE"

// TestAStrangerWithTheNumberOfADeadProcessIsLeftAlone has the kernel give the
// number of a dead main process to somebody else, in a pid namespace of its own.
func TestAStrangerWithTheNumberOfADeadProcessIsLeftAlone(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		for _, stranger := range []string{"a process", "a thread", "a session whose leader has gone"} {
			for _, one := range tortured(stranger, built.release, func(w *torture) { w.stranger(stranger) }) {
				t.Run(one.name, one.run)
			}
		}
		return
	}
	need(t, true, "unshare", "bash", "python3")
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// bash is pid 1 there, and reaps who has no parent any more.
	command := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c",
		`"$0" -test.run '^TestAStrangerWithTheNumberOfADeadProcessIsLeftAlone$' -test.v; exit $?`, self)
	command.Env = append(os.Environ(), insideEnv+"=1")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if !strings.Contains(string(output), "--- PASS: TestAStranger") {
		t.Errorf("it did not run:\n%s", output)
	}
	t.Logf("%s", output)
}

// strangers are programs that have the number that they are told become
// somebody's, and then write that they are ready.
var strangers = map[string]string{
	"a process": `
import os, sys, time, signal
aim(pid)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, told)
    ready()
    time.sleep(1000)
assert child == pid, child
os.waitpid(child, 0)`,
	"a thread": `
import os, sys, time, signal, threading
signal.signal(signal.SIGTERM, told)
aim(pid)
t = threading.Thread(target=time.sleep, args=(1000,), daemon=True)
t.start()
assert t.native_id == pid, t.native_id
ready()
time.sleep(1000)`,
	"a session whose leader has gone": `
import os, sys, time, signal
aim(pid)
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, told)
        ready()
        time.sleep(1000)
    os._exit(0)
assert child == pid, child
os.waitpid(child, 0)
time.sleep(1000)`,
}

const strangersPrelude = `
import os, sys
pid, folder = int(sys.argv[1]), sys.argv[2]
def told(*_):
    open(folder + "/signalled", "w").close()
    os._exit(1)
def aim(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(pid - 1))
def ready():
    open(folder + "/ready", "w").close()
`

// stranger is the life of a service whose number somebody else gets.
func (w *torture) stranger(kind string) {
	w.declares("steady", 1, nil)
	w.declares("lost", 1, nil)
	w.start()
	first := w.written(w.rests(anyPid("steady-0", "lost-0")), false)
	w.kill9()
	if err := syscall.Kill(first["lost-0"], syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	if err := await(func() error {
		if err := syscall.Kill(first["lost-0"], 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d is there still: %v", first["lost-0"], err)
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	script := filepath.Join(w.root, "stranger.py")
	if err := os.WriteFile(script, []byte(strangersPrelude+strangers[kind]), 0o644); err != nil {
		w.t.Fatal(err)
	}
	stranger := exec.Command("python3", script, strconv.Itoa(first["lost-0"]), w.root)
	stranger.Stderr = os.Stderr
	if err := stranger.Start(); err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	if err := await(func() error { _, err := os.Stat(w.root + "/ready"); return err }); err != nil {
		w.t.Fatal(err)
	}
	w.start()
	again := w.settles(joined(same(first, "steady-0"), anyPid("lost-0")))
	if again["lost-0"] == first["lost-0"] {
		w.t.Error("the stranger was taken for the service")
	}
	// Whatever a daemon does to a service must not reach the stranger.
	if err := errors.Join(w.tell("restart", "lost"), os.Remove(w.manifests+"/lost.yaml")); err != nil {
		w.t.Fatal(err)
	}
	w.settles(same(first, "steady-0"))
	if _, err := os.Stat(w.root + "/signalled"); err == nil {
		w.t.Error("the stranger was sent a signal")
	}
}
