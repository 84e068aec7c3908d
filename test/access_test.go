package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAnotherUserLooksAndChangesNothing: with the real binary, as a user without
// rights.
func TestAnotherUserLooksAndChangesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it runs commands as another user")
	}
	t.Parallel()
	f := newFolders(t)
	for dir := f.root; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	program := program(t, built.checked)
	if err := f.declare("web.yaml", "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: web}\nspec: {command: [sleep, \"1000\"], env: [{name: A, value: hunter2}]}\n"); err != nil {
		t.Fatal(err)
	}
	// What programs print, and what is made of variables, is as secret as their values.
	if err := f.declare("ill.yaml", `apiVersion: svc.d/v1
kind: Service
metadata: {name: ill}
spec:
  command: [sleep, "1000"]
  env: [{name: A, value: hunter2}]
  readinessProbe: {exec: {command: [sh, -c, 'echo it is $A; exit 1']}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: lost}
spec:
  command: ["/opt/$(A)/lost"]
  env: [{name: A, value: hunter2}]
`); err != nil {
		t.Fatal(err)
	}
	if err := f.declare("wrong.yaml", "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: wrong}\nspec: {command: [x], env: [A=hunter2]}\n"); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, program, f)
	as := func(uid uint32, args ...string) (string, error) {
		c := exec.Command(program, append([]string{"--state-dir", f.state}, args...)...)
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	const nobody = 65534
	if out, err := as(nobody, "wait", "web", "--for=condition=Ready", "--timeout", "30s"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := as(0, "wait", "ill", "--for=jsonpath={.status.message}=its readiness probe fails: exited with code 1: it is hunter2", "--timeout", "30s"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for command, want := range map[string]string{
		"get web":               "Running",
		"get web -o json":       "redacted",
		"get -o json":           "exited with code 1: \\u003credacted\\u003e",
		"get replicas -o json":  "exited with code 1: \\u003credacted\\u003e",
		"get":                   "is wrong",
		"events -o json":        "Readiness failed: exited with code 1: \\u003credacted\\u003e",
		"events --for lost":     "CommandNotFound",
		"describe ill":          "exited with code 1: <redacted>",
		"why ill":               "exited with code 1: <redacted>",
		"why lost":              "<redacted>",
		"describe web":          "web-0",
		"events":                "Started",
		"why web":               "web",
		"stop web":              "may only look",
		"restart web":           "may only look",
		"kill -s HUP web":       "may only look",
		"prune --confirm":       "may only look",
		"exec web -- /bin/true": "may only look",
	} {
		out, err := as(nobody, strings.Fields(command)...)
		if refused := want == "may only look"; refused != (err != nil) || !strings.Contains(out, want) || strings.Contains(out, "hunter2") {
			t.Errorf("%s: %v: %s", command, err, out)
		}
	}
	if out, err := as(0, "get", "web", "-o", "json"); err != nil || !strings.Contains(out, "hunter2") {
		t.Errorf("root sees %s, %v", out, err)
	}
	// Nothing but the sockets can be opened by others.
	if err := filepath.WalkDir(f.state, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == f.state {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && info.Mode()&os.ModeSocket == 0 && info.Mode()&os.ModeSymlink == 0 && !reachedNobody(path, f.state) {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// reachedNobody reports whether a folder above path, below state, keeps others out.
func reachedNobody(path, state string) bool {
	for dir := filepath.Dir(path); dir != state; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o011 == 0 {
			return true
		}
	}
	return false
}
