package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// real is the folder of real programs, running as a copy on ports of its own.
type real struct {
	folders
	*daemon
	ports map[string]string // the port in the repository's files -> ours
}

// freePort asks the kernel for a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// TestRealPrograms runs nginx, redis, PostgreSQL and a Python web service from
// manifests/real, talks to them, kills them, edits them and stops them.
func TestRealPrograms(t *testing.T) {
	r := real{folders: newFolders(t), ports: map[string]string{}}
	for _, port := range []string{"18000", "18080", "16379", "15432"} {
		r.ports[port] = freePort(t)
	}
	copyFolder(t, "../manifests/real", r.manifests, func(text string) string {
		for from, to := range r.ports {
			text = strings.ReplaceAll(text, from, to)
		}
		return text
	})
	// What is not installed is not declared; the sub-tests say what is missing.
	for manifest, pattern := range map[string]string{
		"nginx.yaml": "/usr/sbin/nginx", "redis.yaml": "/usr/bin/redis-server",
		"postgres.yaml": "/usr/lib/postgresql/*/bin/postgres", "web.yaml": "/usr/bin/python3",
	} {
		path := filepath.Join(r.manifests, manifest)
		if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else if os.Getuid() != 0 {
			asOurselves(t, path)
		}
	}
	if output, err := exec.Command(filepath.Join(r.manifests, "prepare")).CombinedOutput(); err != nil {
		t.Fatalf("prepare: %v\n%s", err, output)
	}
	r.daemon = startDaemon(t, program(t, built.checked), r.folders)
	t.Run("Python web service", r.web)
	t.Run("nginx", r.nginx)
	t.Run("redis", r.redis)
	t.Run("PostgreSQL", r.postgres)
	t.Run("nobody notices that the daemon is killed, executes itself anew, and leaves", r.outlive)
}

// outlive takes the daemon away from its services in every way, and gives them
// another one. They keep their main processes.
func (r real) outlive(t *testing.T) {
	services, err := r.services()
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]int{}
	for name := range services {
		before[name] = r.mainPid(t, name)
	}
	same := func(after string) {
		t.Helper()
		for name, pid := range before {
			if now := r.mainPid(t, name); now != pid {
				t.Errorf("after %s %s runs as process %d, before as %d", after, name, now, pid)
			}
		}
	}
	if err := r.reexec(); err != nil {
		t.Fatal(err)
	}
	same("a re-exec")
	for name, signal := range map[string]syscall.Signal{"kill -9": syscall.SIGKILL, "SIGQUIT": syscall.SIGQUIT} {
		if err := r.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		<-r.ended
		if err := r.again(); err != nil {
			t.Fatal(err)
		}
		same(name)
	}
	if _, err := os.Stat(filepath.Join(r.manifests, "nginx.yaml")); err == nil {
		r.answers(t, "18080", "/nginx", "nginx")
		r.killed(t, "nginx") // it is no child of this daemon
		r.answers(t, "18080", "/nginx", "nginx")
	}
}

// asOurselves takes the user out of a manifest: without root nobody can become
// another one.
func asOurselves(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "securityContext") {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// need skips the test of a program that is not installed.
func (r real) need(t *testing.T, manifest, pkg string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.manifests, manifest)); err != nil {
		t.Skipf("needs the Debian package %s", pkg)
	}
}

// killed ends a service's main process and waits for its successor.
func (r real) killed(t *testing.T, service string) {
	t.Helper()
	before := r.mainPid(t, service)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error {
		if now := r.mainPid(t, service); now == 0 || now == before {
			return fmt.Errorf("%s: process %d after %d", service, now, before)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (r real) mainPid(t *testing.T, service string) int {
	t.Helper()
	services, err := r.services()
	if err != nil {
		t.Fatal(err)
	}
	replicas := services[service].Status.ReplicaStatuses
	if len(replicas) != 1 {
		t.Fatalf("%s: %+v", service, services[service])
	}
	return replicas[0].Pid
}

// edit replaces text in a manifest, by renaming a new file over it.
func (r real) edit(t *testing.T, manifest, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.manifests, manifest))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s has no %q", manifest, from)
	}
	if err := r.declare(manifest, strings.ReplaceAll(string(text), from, to)); err != nil {
		t.Fatal(err)
	}
}

// answers waits until a GET is answered with the text.
func (r real) answers(t *testing.T, port, path, want string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if err := await(func() error {
		response, err := client.Get("http://127.0.0.1:" + r.ports[port] + path)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(body), want) {
			err = fmt.Errorf("answered %q, not %q", body, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (r real) web(t *testing.T) {
	r.need(t, "web.yaml", "python3")
	r.answers(t, "18000", "/", "hello from Python, blue")
	r.killed(t, "web")
	r.answers(t, "18000", "/", "hello from Python, blue")

	// The file of variables is read at each start.
	r.edit(t, "web.env", "blue", "green")
	if _, err := r.client("restart", "web"); err != nil {
		t.Fatal(err)
	}
	r.answers(t, "18000", "/", "green")
	// What the manifest says itself wins.
	r.edit(t, "web.yaml", "  env:\n", "  env:\n    - {name: COLOUR, value: red}\n")
	r.answers(t, "18000", "/", "red")
}

func (r real) nginx(t *testing.T) {
	r.need(t, "nginx.yaml", "nginx-light")
	r.answers(t, "18080", "/nginx", "nginx")
	if _, err := os.Stat(filepath.Join(r.manifests, "web.yaml")); err == nil {
		r.answers(t, "18080", "/", "hello from Python")
	}
	// The workers of a master that was killed still listen; its successor can
	// only because they were killed first.
	r.killed(t, "nginx")
	r.answers(t, "18080", "/nginx", "nginx")
	r.edit(t, "nginx.yaml", `"daemon off;"`, `"daemon off; worker_rlimit_nofile 512;"`)
	if err := r.becomes("nginx", "Running"); err != nil {
		t.Fatal(err)
	}
	r.answers(t, "18080", "/nginx", "nginx")
}

// asks sends one line to redis and awaits the answer.
func (r real) asks(t *testing.T, line, want string) {
	t.Helper()
	if err := await(func() error {
		connection, err := net.DialTimeout("tcp", "127.0.0.1:"+r.ports["16379"], 5*time.Second)
		if err != nil {
			return err
		}
		defer connection.Close()
		if err := connection.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(connection, "%s\r\nQUIT\r\n", line); err != nil {
			return err
		}
		answer, err := io.ReadAll(bufio.NewReader(connection))
		if err == nil && !strings.Contains(string(answer), want) {
			err = fmt.Errorf("redis answered %q to %q, not %q", answer, line, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (r real) redis(t *testing.T) {
	r.need(t, "redis.yaml", "redis-server")
	r.asks(t, "PING", "+PONG")
	r.asks(t, "SET colour blue", "+OK")
	// An edit stops it with SIGTERM, on which it saves.
	r.edit(t, "redis.yaml", `--daemonize`, `--maxmemory, 64mb, --daemonize`)
	r.asks(t, "CONFIG GET maxmemory", "67108864")
	r.asks(t, "GET colour", "blue")
	r.killed(t, "redis")
	r.asks(t, "GET colour", "blue")
}

func (r real) postgres(t *testing.T) {
	r.need(t, "postgres.yaml", "postgresql")
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("needs the Debian package postgresql-client")
	}
	sql := func(statement, want string) {
		t.Helper()
		if err := await(func() error {
			output, err := exec.Command("psql", "-h", "127.0.0.1", "-p", r.ports["15432"], "-U", "postgres", "-XAtc", statement).CombinedOutput()
			if err == nil && strings.TrimSpace(string(output)) != want {
				err = fmt.Errorf("answered %q, not %q", output, want)
			}
			if err != nil {
				err = fmt.Errorf("%q: %w: %s", statement, err, output)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	sql("select 1", "1")
	sql("create table if not exists colours (name text primary key)", "CREATE TABLE")
	sql("insert into colours values ('blue') on conflict do nothing", "INSERT 0 1")
	r.killed(t, "postgres")
	sql("select name from colours", "blue")
	r.edit(t, "postgres.yaml", "unix_socket_directories=", "unix_socket_directories=, -c, max_connections=7")
	sql("show max_connections", "7")
	sql("select name from colours", "blue")
}
