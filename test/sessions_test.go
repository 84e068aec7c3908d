package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestALoggedInSessionOutlivesARestart has sshd restarted, killed, and its manifest
// removed, with stopScope: Main: who is logged in stays so.
func TestALoggedInSessionOutlivesARestart(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sshd logs users in")
	}
	if refusal, err := built.cgroups(); err != nil || refusal != "" {
		t.Skipf("needs cgroups: %v %s", err, refusal)
	}
	for _, program := range []string{"/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"} {
		if _, err := os.Stat(program); err != nil {
			t.Skip("needs the Debian packages openssh-server and openssh-client")
		}
	}
	f := newFolders(t)
	port := freePort(t)
	manifest := sshdManifest(t, f, port)
	d := startDaemon(t, program(t, built.checked), f)
	if err := f.declare("sshd.yaml", manifest); err != nil {
		t.Fatal(err)
	}
	if err := d.becomesReady("sshd"); err != nil {
		t.Fatal(err)
	}
	session := logIn(t, f, port)
	restarted := func(how string, do func() error) {
		t.Helper()
		before, err := d.services()
		if err != nil {
			t.Fatal(err)
		}
		if err := do(); err != nil {
			t.Fatal(how, err)
		}
		if err := await(func() error {
			now, err := d.services()
			if err == nil && (now["sshd"].Status.ReadyReplicas != 1 ||
				now["sshd"].Status.ReplicaStatuses[0].Pid == before["sshd"].Status.ReplicaStatuses[0].Pid) {
				err = fmt.Errorf("%+v", now["sshd"])
			}
			return err
		}); err != nil {
			t.Fatal(how, err)
		}
		session.echoes(t, how)
	}
	restarted("restart", func() error { _, err := d.client("restart", "sshd"); return err })
	restarted("an edit", func() error {
		return f.declare("sshd.yaml", strings.Replace(manifest, "spec:\n", "spec:\n  env: [{name: A, value: b}]\n", 1))
	})
	restarted("kill -9 of sshd", func() error { _, err := d.client("kill", "-s", "KILL", "sshd"); return err })
	services, err := d.services()
	if err != nil {
		t.Fatal(err)
	}
	if !hasCondition(services["sshd"], "LeftBehind") {
		t.Errorf("the session is not shown: %+v", services["sshd"].Status.Conditions)
	}
	if err := d.reexec(); err != nil {
		t.Fatal(err)
	}
	session.echoes(t, "a re-exec of the daemon")
	if err := os.Remove(filepath.Join(f.manifests, "sshd.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error {
		services, err := d.services()
		if err == nil && len(services) > 0 {
			err = fmt.Errorf("%+v", services)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	session.echoes(t, "the removal of the manifest")
	session.end(t)
}

func hasCondition(r report, typ string) bool {
	for _, c := range r.Status.Conditions {
		if c.Type == typ && c.Status == "True" {
			return true
		}
	}
	return false
}

// becomesReady waits until all replicas that are wanted are ready.
func (d *daemon) becomesReady(name string) error {
	return await(func() error {
		services, err := d.services()
		if err != nil {
			return err
		}
		if st := services[name].Status; st.DesiredReplicas == 0 || st.ReadyReplicas < st.DesiredReplicas {
			return fmt.Errorf("%s is not ready: %+v", name, st)
		}
		return nil
	})
}

// sshdManifest makes keys and a configuration for an sshd of the test's own.
func sshdManifest(t *testing.T, f folders, port string) string {
	t.Helper()
	keys := filepath.Join(f.root, "ssh")
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host", "user"} {
		if output, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(keys, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, output)
		}
	}
	configuration := fmt.Sprintf(`Port %s
ListenAddress 127.0.0.1
HostKey %s/host
AuthorizedKeysFile %s/user.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
`, port, keys, keys)
	if err := os.WriteFile(filepath.Join(keys, "sshd_config"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`apiVersion: svc.d/v1
kind: Service
metadata: {name: sshd}
spec:
  command: [/usr/sbin/sshd, -D, -e, -f, %s/sshd_config]
  stopScope: Main
  runtimeDirectories: [{path: /run/sshd}]
  readinessProbe: {tcpSocket: {port: %s}, periodSeconds: 1}
`, keys, port)
}

// session is a shell on the other side of an ssh.
type session struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	said    int
}

func logIn(t *testing.T, f folders, port string) *session {
	t.Helper()
	keys := filepath.Join(f.root, "ssh")
	c := exec.Command("ssh", "-q", "-F", "none", "-i", keys+"/user", "-p", port, "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "root@127.0.0.1", "cat")
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	s := &session{command: c, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() { _ = c.Process.Kill() })
	s.echoes(t, "the login")
	return s
}

// echoes checks that the session still takes and gives.
func (s *session) echoes(t *testing.T, after string) {
	t.Helper()
	s.said++
	text := fmt.Sprintf("hello %d\n", s.said)
	if _, err := io.WriteString(s.in, text); err != nil {
		t.Fatalf("after %s the session is gone: %v", after, err)
	}
	if answer, err := s.out.ReadString('\n'); err != nil || answer != text {
		t.Fatalf("after %s the session answers %q, %v", after, answer, err)
	}
}

// end logs out; nothing of the session may be left then.
func (s *session) end(t *testing.T) {
	t.Helper()
	if err := s.in.Close(); err != nil {
		t.Error(err)
	}
	if err := s.command.Wait(); err != nil {
		t.Error("the session ended with:", err)
	}
}

// TestADaemonThatPutsItselfInTheBackground runs redis as Debian configures it.
func TestADaemonThatPutsItselfInTheBackground(t *testing.T) {
	if _, err := os.Stat("/usr/bin/redis-server"); err != nil {
		t.Skip("needs the Debian package redis-server")
	}
	f := newFolders(t)
	port := freePort(t)
	manifest := fmt.Sprintf(`apiVersion: svc.d/v1
kind: Service
metadata: {name: redis}
spec:
  command: [/usr/bin/redis-server, --bind, 127.0.0.1, --port, "%s", --daemonize, "yes", --dir, %s, --save, ""]
  readinessProbe: {tcpSocket: {port: %s}, periodSeconds: 1}
`, port, f.root, port)
	d := startDaemon(t, program(t, built.checked), f)
	if err := f.declare("redis.yaml", manifest); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error {
		services, err := d.services()
		if err == nil && (services["redis"].Status.Reason != "Daemonized" || !strings.Contains(services["redis"].Status.Message, "lifetime: Group")) {
			err = fmt.Errorf("%+v", services["redis"].Status)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if refusal, _ := built.cgroups(); refusal != "" {
		t.Skip("the rest needs cgroups: ", refusal)
	}
	if err := f.declare("redis.yaml", strings.Replace(manifest, "spec:\n", "spec:\n  lifetime: Group\n", 1)); err != nil {
		t.Fatal(err)
	}
	if err := d.becomesReady("redis"); err != nil {
		t.Fatal(err)
	}
	services, err := d.services()
	if err != nil {
		t.Fatal(err)
	}
	before := services["redis"].Status.ReplicaStatuses[0]
	// It is no child of the daemon, and outlives it in every way.
	if err := d.reexec(); err != nil {
		t.Fatal(err)
	}
	if err := d.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.ended
	if err := d.again(); err != nil {
		t.Fatal(err)
	}
	if err := d.becomesReady("redis"); err != nil {
		t.Fatal(err)
	}
	if services, err = d.services(); err != nil {
		t.Fatal(err)
	}
	if now := services["redis"].Status.ReplicaStatuses[0]; now.Pid != before.Pid || now.RestartCount != before.RestartCount {
		t.Errorf("it runs as %+v, before as %+v", now, before)
	}
	// When it ends, that is seen, and it comes back.
	if _, err := d.client("kill", "-s", "KILL", "redis"); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error {
		services, err := d.services()
		if err == nil && (services["redis"].Status.ReadyReplicas != 1 || services["redis"].Status.ReplicaStatuses[0].Pid == before.Pid) {
			err = fmt.Errorf("%+v", services["redis"].Status)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
