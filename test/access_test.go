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

// othersFolders are folders that other users may reach.
func othersFolders(t *testing.T) folders {
	t.Helper()
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
	return f
}

// TestAnotherUserLooksAndChangesNothing: with the real binary, as a user without
// rights.
func TestAnotherUserLooksAndChangesNothing(t *testing.T) {
	f := othersFolders(t)
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
	as := func(uid uint32, args ...string) (string, error) { return f.as(program, uid, uid, args...) }
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
		"logs web":              "may only look",
		"logs web -f":           "may only look",
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

// as runs a command as another user.
func (f folders) as(program string, uid, gid uint32, args ...string) (string, error) {
	c := exec.Command(program, append([]string{"--state-dir", f.state}, args...)...)
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestMembersOfTheAccessGroupReadLogs that they may not open: the daemon sends them.
func TestMembersOfTheAccessGroupReadLogs(t *testing.T) {
	f := othersFolders(t)
	const member, group = 54321, 54322
	program := program(t, built.checked)
	service := "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: %s, labels: {app: %[1]s}}\n" +
		"spec: {replicas: %d, command: [sh, -c, 'echo hello from $SVC_REPLICA; echo ouch >&2; exec sleep 1000'], readyLogLine: ouch}\n"
	if err := errors.Join(
		f.declare("configuration.yaml", fmt.Sprintf("apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\naccess: {group: %q}\n", strconv.Itoa(group))),
		f.declare("web.yaml", fmt.Sprintf(service, "web", 2)), f.declare("db.yaml", fmt.Sprintf(service, "db", 1)),
		f.declare("mute.yaml", "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: mute}\nspec: {command: [sleep, '1000']}\n"),
	); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, program, f)
	if out, err := f.as(program, member, group, "wait", "--all", "--for=condition=Ready", "--timeout", "30s"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct {
		command, says string
		refused       bool
	}{
		{"logs web-1", "hello from 1\nouch\n", false},
		{"logs services/web --stream stdout --grep from.1", "web-1 | hello from 1\n", false},
		{"logs -l app=db --tail 1 --since 1h --prefix", "db-0 | ouch\n", false},
		{"logs mute", "", false},
		{"logs web db", "cannot merge the logs of 2 services", true},
		{"logs --all", "cannot merge the logs of 3 services", true},
		{"logs web --previous", "no run of web has ended yet", true},
		{"logs web --log-dir " + f.logs, "leave --log-dir out", true},
		{"logs nothing", "cannot find a service", true},
	} {
		out, err := f.as(program, member, group, strings.Fields(tt.command)...)
		if tt.refused != (err != nil) || tt.refused && !strings.Contains(out, tt.says) || !tt.refused && out != tt.says {
			t.Errorf("%s: %v: %q, want %q", tt.command, err, out, tt.says)
		}
	}
	if out, err := f.as(program, member, group+1, "logs", "web"); err == nil || !strings.Contains(out, "may only look") {
		t.Errorf("who is no member: %v: %s", err, out)
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
