package test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/test/world"
)

// cgroups says whether the services have them.
func (w *torture) cgroups() bool {
	refusal, err := built.cgroups()
	return err == nil && refusal == "" && len(w.flags) == 0
}

// unmark takes the second copy of its record from a process's cgroup.
func (w *torture) unmark(pid int) {
	w.t.Helper()
	if !w.cgroups() {
		return
	}
	group, err := world.Cgroup(pid)
	if err == nil {
		err = unix.Removexattr(group, "user.reconciler")
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *torture) record(replica string) string { return filepath.Join(w.state, "records", replica) }

// written waits until it is written down that these run, and returns them: what
// is not may be started anew after a kill. anywhere says that the second copy
// will do.
func (w *torture) written(pids map[string]int, anywhere bool) map[string]int {
	w.t.Helper()
	if err := await(func() error {
		for name, pid := range pids {
			data, err := os.ReadFile(w.record(name))
			if anywhere {
				group, err1 := world.Cgroup(pid)
				data = make([]byte, 64<<10)
				_, err2 := unix.Getxattr(group, "user.reconciler", data)
				err = errors.Join(err1, err2)
			}
			if err == nil && !bytes.Contains(data, fmt.Appendf(nil, "\npid %d\n", pid)) {
				err = fmt.Errorf("it is not written down that %s is process %d", name, pid)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return pids
}

// TestServicesOutliveAStateDirectoryThatIsRemoved: the daemon runs on without it,
// and is then killed.
func TestServicesOutliveAStateDirectoryThatIsRemoved(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("removed", built.checked, func(w *torture) {
		w.declares("steady", 5, nil)
		w.declares("edited", 1, nil, "-label", "v1")
		w.declares("masked", 1, []string{`securityContext: {umask: "0077"}`})
		w.start()
		names := append(numbered("steady", 5), "edited-0", "masked-0")
		w.settles(anyPid(names...))
		if err := os.RemoveAll(w.state); err != nil {
			w.t.Fatal(err)
		}
		w.declares("edited", 1, nil, "-label", "v2")
		if err := await(func() error { return w.wrote(1, "start edited-0", "label=v2") }); err != nil {
			w.t.Fatal(err)
		}
		pids := w.settles(anyPid(names...))
		if w.cgroups() {
			w.written(pids, true)
		}
		w.kill9()
		for range 2 { // the second time from the records that the first has written again
			w.start()
			if w.cgroups() {
				w.settles(pids)
			}
			// Without cgroups nobody knows what they were started from.
			pids = w.written(w.rests(anyPid(names...)), false)
			w.kill9()
		}
		w.start()
		w.settles(pids)
	}))
}

// TestAFullDiskCostsNoService: the state directory has no room while services
// change, the daemon is killed, and the next one starts before there is any.
func TestAFullDiskCostsNoService(t *testing.T) {
	need(t, true, "mount", "umount")
	t.Parallel()
	atOnce(t, tortured("full", built.checked, func(w *torture) {
		if err := os.Mkdir(w.state, 0o700); err != nil {
			w.t.Fatal(err)
		}
		if output, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", w.state).CombinedOutput(); err != nil {
			w.t.Skipf("cannot mount a small file system here: %v: %s", err, output)
		}
		defer func() {
			w.end()
			w.ended = true
			if err := syscall.Unmount(w.state, syscall.MNT_DETACH); err != nil {
				w.t.Error(err)
			}
		}()
		w.declares("steady", 5, nil)
		w.declares("edited", 1, nil, "-label", "v1")
		w.declares("killed", 1, nil)
		w.start()
		names := append(numbered("steady", 5), "edited-0", "killed-0")
		first := w.written(w.settles(anyPid(names...)), false)
		if err := await(func() error { return w.wrote(1, "start killed-0") }); err != nil {
			w.t.Fatal(err) // it would be killed before it runs
		}
		w.fill()
		w.declares("edited", 1, nil, "-label", "v2")
		if err := syscall.Kill(first["killed-0"], syscall.SIGKILL); err != nil {
			w.t.Fatal(err)
		}
		if err := await(func() error {
			return errors.Join(w.wrote(1, "start edited-0", "label=v2"), w.wrote(2, "start killed-0"), w.daemon.conditionIs("RecordsUnwritten", ""))
		}); err != nil {
			w.t.Fatal(err)
		}
		if err := w.daemon.command.Process.Signal(syscall.SIGHUP); err != nil {
			w.t.Fatal(err)
		}
		if err := await(func() error { return w.daemon.conditionIs("ReexecBlocked", "HandoverFailed") }); err != nil {
			w.t.Error(err)
		}
		pids := w.settles(joined(same(first, numbered("steady", 5)...), anyPid(names...)))
		if w.cgroups() {
			w.written(pids, true)
		}
		w.kill9()
		w.start()
		if w.cgroups() {
			w.settles(pids)
		}
		pids = w.rests(anyPid(names...))
		if err := w.exactly(joined(pids, same(first, numbered("steady", 5)...)))(); err != nil {
			w.t.Error(err)
		}
		if err := os.Remove(w.state + "/filling"); err != nil {
			w.t.Fatal(err)
		}
		if err := await(func() error {
			if err := w.daemon.conditionIs("RecordsUnwritten", ""); err == nil {
				return errors.New("records are not written again")
			}
			return nil
		}); err != nil {
			w.t.Error(err)
		}
		w.written(pids, false)
		w.kill9()
		w.start()
		w.settles(pids)
	}))
}

// fill leaves no room.
func (w *torture) fill() {
	w.t.Helper()
	file, err := os.Create(w.state + "/filling")
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		w.t.Fatal(err)
	}
}

// TestARecordThatCannotBeReadHoldsItsService until a person decides: whatever is
// wrong with it, and however often the daemon starts.
func TestARecordThatCannotBeReadHoldsItsService(t *testing.T) {
	t.Parallel()
	spoilt := map[string]func(data []byte) []byte{
		"cut off":                func(data []byte) []byte { return data[:len(data)/2] },
		"empty":                  func([]byte) []byte { return nil },
		"damaged":                func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"of an unknown version":  func(data []byte) []byte { return bytes.Replace(data, []byte(" 1 "), []byte(" 7 "), 1) },
		"of a foreign program":   func([]byte) []byte { return []byte("PK\x03\x04 something else\n") },
		"of another replica":     func([]byte) []byte { return nil }, // see below
		"that is no JSON inside": func([]byte) []byte { return wrapped([]byte("nonsense")) },
	}
	var trials []trial
	for name, spoil := range spoilt {
		trials = append(trials, tortured(name, built.checked, func(w *torture) {
			w.declares("steady", 2, nil)
			w.declares("held", 1, nil)
			w.start()
			first := w.written(w.settles(anyPid("steady-0", "steady-1", "held-0")), false)
			w.kill9()
			w.unmark(first["held-0"])
			data, err := os.ReadFile(w.record("held-0"))
			if name == "of another replica" {
				data, err = os.ReadFile(w.record("steady-1"))
			} else if err == nil {
				data = spoil(data)
			}
			foreign := w.record("not a replica")
			if err := errors.Join(err, os.WriteFile(w.record("held-0"), data, 0o600), os.WriteFile(foreign, []byte("?"), 0o600)); err != nil {
				w.t.Fatal(err)
			}
			for range 2 {
				w.start()
				if err := await(func() error {
					services, err := w.daemon.services()
					if got := services["held"].Status; err == nil && (got.Reason != "RecordUnreadable" || len(got.Conditions) == 0) {
						err = fmt.Errorf("held is %+v", got)
					}
					return err
				}); err != nil {
					w.t.Error(err)
				}
				w.settles(first)
				w.kill9()
			}
			w.start()
			if err := w.tell("restart", "held"); err != nil {
				w.t.Error(err)
			}
			if err := await(func() error { return w.wrote(2, "start held-0 ") }); err != nil {
				w.t.Error(err)
			}
			w.settles(joined(same(first, "steady-0", "steady-1"), anyPid("held-0")))
			if err := w.wrote(1, "signal held-0 pid="+strconv.Itoa(first["held-0"])); err != nil {
				w.t.Error("it got no grace:", err)
			}
			if _, err := os.Stat(foreign); err != nil {
				w.t.Error(err)
			}
		})...)
	}
	atOnce(t, trials)
}

// wrapped is a record with the content.
func wrapped(body []byte) []byte {
	head := fmt.Sprintf("reconciler-record 1 %08x %d\n", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), len(body))
	return append(append([]byte(head), body...), '\n')
}

// TestARecordOfAnotherBootIsNoReasonToTouchAnybody: the number in it is somebody
// else's.
func TestARecordOfAnotherBootIsNoReasonToTouchAnybody(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("boot", built.checked, func(w *torture) {
		w.declares("steady", 1, nil)
		w.declares("old", 1, nil)
		w.start()
		first := w.written(w.settles(anyPid("steady-0", "old-0")), false)
		w.kill9()
		if err := syscall.Kill(first["old-0"], syscall.SIGKILL); err != nil {
			w.t.Fatal(err)
		}
		stranger := exec.Command("sleep", "1000")
		if err := stranger.Start(); err != nil {
			w.t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- stranger.Wait() }()
		defer func() {
			_ = stranger.Process.Kill()
			<-ended
		}()
		boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
		data, err2 := os.ReadFile(w.record("old-0"))
		if err := errors.Join(err1, err2); err != nil {
			w.t.Fatal(err)
		}
		_, body, _ := bytes.Cut(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
		text := strings.ReplaceAll(string(body), strings.TrimSpace(string(boot)), "00000000-0000-4000-8000-000000000000")
		text = strings.ReplaceAll(text, fmt.Sprintf("\npid %d\n", first["old-0"]), fmt.Sprintf("\npid %d\n", stranger.Process.Pid))
		if text == string(body) {
			w.t.Fatal("the record has neither boot nor pid")
		}
		if err := os.WriteFile(w.record("old-0"), wrapped([]byte(text)), 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.start()
		w.settles(joined(same(first, "steady-0"), anyPid("old-0")))
		if err := w.tell("restart", "old"); err != nil {
			w.t.Error(err)
		}
		if err := await(func() error { return w.wrote(3, "start old-0 ") }); err != nil {
			w.t.Error(err)
		}
		select {
		case err := <-ended:
			w.t.Error("the stranger ended:", err)
			ended <- err
		default:
		}
	}))
}

// TestAServiceThatIsNotDeclaredAnyMoreIsAdoptedAndStoppedWithItsGrace.
func TestAServiceThatIsNotDeclaredAnyMoreIsAdoptedAndStoppedWithItsGrace(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("removed meanwhile", built.checked, func(w *torture) {
		w.declares("steady", 5, nil)
		w.declares("removed", 1, []string{"terminationGracePeriodSeconds: 20"}, "-linger", "300ms")
		w.declares("scaled", 3, []string{"terminationGracePeriodSeconds: 20"}, "-linger", "300ms")
		w.start()
		first := w.written(w.settles(anyPid(append(numbered("steady", 5), "removed-0", "scaled-0", "scaled-1", "scaled-2")...)), false)
		w.kill9()
		if err := os.Remove(w.manifests + "/removed.yaml"); err != nil {
			w.t.Fatal(err)
		}
		w.declares("scaled", 1, []string{"terminationGracePeriodSeconds: 20"}, "-linger", "300ms")
		w.start()
		w.settles(same(first, append(numbered("steady", 5), "scaled-0")...))
		for _, name := range []string{"removed-0", "scaled-1", "scaled-2"} {
			if err := errors.Join(w.wrote(1, "signal "+name+" "), w.wrote(1, "end "+name+" ")); err != nil {
				w.t.Errorf("%s got no grace: %v", name, err)
			}
		}
	}))
}
