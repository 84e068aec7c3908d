package watch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"svc.d/spec"
)

const mallory = 65534

// trusting is a Watcher that trusts root and whoever runs the test.
func trusting(t *testing.T, dir string, change ...func(*Watcher)) *world {
	t.Helper()
	return watchWith(t, Options{Dir: dir, CheckTrust: true, TrustOwners: []uint32{uint32(os.Getuid())}}, change...)
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files to somebody else")
	}
}

// mend runs the command that a message names.
func mend(t *testing.T, message string) {
	t.Helper()
	_, command, found := strings.Cut(message, "to mend it: ")
	if !found {
		t.Fatalf("names no command: %s", message)
	}
	command, _, _ = strings.Cut(command, ";")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func TestWhatOthersCouldHaveWrittenIsRefusedUntilTheNamedCommandMendsIt(t *testing.T) {
	// Each puts an edit of web in force, by a way that somebody else has.
	// file says that the file is refused, not the directory.
	tests := map[string]struct {
		root bool
		file bool
		do   func(t *testing.T, dir, file string)
	}{
		"a file that the group can write to": {file: true, do: func(t *testing.T, _, file string) {
			renameMode(t, file, 0o664)
		}},
		"a file that all can write to": {file: true, do: func(t *testing.T, _, file string) {
			renameMode(t, file, 0o646)
		}},
		"a file of somebody else": {root: true, file: true, do: func(t *testing.T, _, file string) {
			renameMode(t, file+".x", 0o644)
			must(t, os.Chown(file+".x", mallory, mallory))
			must(t, os.Rename(file+".x", file))
		}},
		"a directory that all can write to": {do: func(t *testing.T, dir, file string) {
			must(t, os.Chmod(dir, 0o777))
			renameMode(t, file, 0o644)
		}},
		"a directory of somebody else": {root: true, do: func(t *testing.T, dir, file string) {
			must(t, os.Chown(dir, mallory, mallory))
			renameMode(t, file, 0o644)
		}},
		"a parent that all can write to": {do: func(t *testing.T, dir, file string) {
			must(t, os.Chmod(filepath.Dir(dir), 0o777))
			renameMode(t, file, 0o644)
		}},
		"a link into a folder that all can write to": {file: true, do: func(t *testing.T, dir, file string) {
			open := filepath.Join(filepath.Dir(dir), "open")
			must(t, os.Mkdir(open, 0o755))
			must(t, os.Chmod(open, 0o777))
			renameMode(t, filepath.Join(open, "x"), 0o644)
			relink(t, filepath.Join(open, "x"), file)
		}},
		"a link through a folder that all can write to": {file: true, do: func(t *testing.T, dir, file string) {
			open := filepath.Join(filepath.Dir(dir), "open")
			must(t, os.Mkdir(open, 0o755))
			must(t, os.Chmod(open, 0o777))
			must(t, os.Mkdir(filepath.Join(open, "shut"), 0o755))
			renameMode(t, filepath.Join(open, "shut", "x"), 0o644)
			relink(t, filepath.Join(open, "shut", "x"), file)
		}},
		"a link of somebody else in a sticky folder": {root: true, file: true, do: func(t *testing.T, dir, file string) {
			renameMode(t, filepath.Join(filepath.Dir(dir), "x"), 0o644)
			must(t, os.Chmod(dir, 0o777|os.ModeSticky))
			must(t, os.Symlink("../x", filepath.Join(dir, ".l")))
			must(t, os.Lchown(filepath.Join(dir, ".l"), mallory, mallory))
			must(t, os.Rename(filepath.Join(dir, ".l"), file))
		}},
		"a hard link in a sticky folder": {file: true, do: func(t *testing.T, dir, file string) {
			renameMode(t, filepath.Join(filepath.Dir(dir), "x"), 0o644)
			must(t, os.Chmod(dir, 0o777|os.ModeSticky))
			must(t, os.Link(filepath.Join(filepath.Dir(dir), "x"), filepath.Join(dir, ".l")))
			must(t, os.Rename(filepath.Join(dir, ".l"), file))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.root {
				needsRoot(t)
			}
			t.Parallel()
			dir := sub(t, "web")
			x := trusting(t, dir)
			x.until("web", has("web")) // a fork beside us may hold the file open for a moment
			test.do(t, dir, x.path("web.yaml"))
			edited := func(s *spec.Set) bool { return arg(s.Services["web"]) != "1" }
			var message string
			if test.file {
				x.until("the refusal", problem("is not trusted"), edited)
				message = x.set.Problems[0].Message
			} else {
				x.until("the refusal", held(ReasonNotTrusted), edited)
				message = x.set.Conditions[0].Message
			}
			mend(t, message)
			x.until("the mended one", both(hasArg("web", "2"), noProblem, noCondition))
		})
	}
}

// renameMode puts an edit of web in place with the given mode.
func renameMode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	tmp := path + ".tmp"
	must(t, os.WriteFile(tmp, []byte(service("web", "2")), 0o600))
	must(t, os.Chmod(tmp, mode))
	must(t, os.Rename(tmp, path))
}

func TestAStickyFolderOfATrustedOwnerIsTrusted(t *testing.T) {
	dir := sub(t, "web")
	must(t, os.Chmod(dir, 0o777|os.ModeSticky))
	x := trusting(t, dir)
	if !has("web")(x.set) || !noProblem(x.set) {
		t.Fatal(show(x.set))
	}
}

func TestATrustedOwnerIsTrusted(t *testing.T) {
	needsRoot(t)
	dir := sub(t, "web")
	must(t, os.Chown(filepath.Join(dir, "web.yaml"), mallory, mallory))
	must(t, os.Chown(dir, mallory, mallory))
	x := watchWith(t, Options{Dir: dir, CheckTrust: true, TrustOwners: []uint32{mallory}})
	if !has("web")(x.set) {
		t.Fatal(show(x.set))
	}
}

func TestASwapBetweenTheCheckAndTheReadGainsNothing(t *testing.T) {
	dir := sub(t, "web")
	file := filepath.Join(dir, "web.yaml")
	bad := filepath.Join(filepath.Dir(dir), "bad")
	must(t, os.WriteFile(bad, []byte(service("web", "bad")), 0o644))
	must(t, os.Chmod(bad, 0o666))
	tests := map[string]func(t *testing.T){
		"of the file":      func(t *testing.T) { must(t, os.Rename(bad, file)) },
		"of the directory": func(t *testing.T) { must(t, os.Rename(dir, dir+".old")); fillBad(t, dir) },
	}
	for name, swap := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScanner(spec.Parse)
			s.trust = &trust{owners: []uint32{uint32(os.Getuid())}}
			s.reader.opened = func() { swap(t) } // checked, and not read yet
			s.full(dir, epoch)
			set := s.ledger.publish(epoch)
			if arg(set.Services["web"]) == "bad" {
				t.Error("what was put there after the check is in force")
			}
			s.reader.opened = nil
			s.full(dir, epoch)
			if set = s.ledger.publish(epoch); set != nil && arg(set.Services["web"]) == "bad" {
				t.Error("what was put there after the check is in force")
			}
		})
	}
}

func fillBad(t *testing.T, dir string) {
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(service("web", "bad")), 0o644))
	must(t, os.Chmod(dir, 0o777))
}

func TestAFIFOIsNeverOpened(t *testing.T) {
	dir := base(t)
	file := filepath.Join(dir, "x.yaml")
	must(t, unix.Mkfifo(file, 0o644))
	x := watchDir(t, dir)
	x.until("the problem", problem("it is a FIFO"))
	// Had it been opened for reading, a writer would have got through.
	if fd, err := unix.Open(file, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
		t.Errorf("somebody reads the FIFO: %d %v", fd, err)
	}
}
