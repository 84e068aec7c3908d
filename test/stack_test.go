package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stack is manifests/stack, running as a copy on ports and in folders of its own.
type stack struct {
	folders
	*daemon
	ports map[string]string
}

// freePorts finds two neighbours, the first of which ends with 0.
func freePorts(t *testing.T) (first, second string) {
	t.Helper()
	for port := 20010 + 10*(os.Getpid()%500); port < 32000; port += 10 {
		a, err1 := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		b, err2 := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
		if err1 == nil {
			a.Close()
		}
		if err2 == nil {
			b.Close()
		}
		if err1 == nil && err2 == nil {
			return strconv.Itoa(port), strconv.Itoa(port + 1)
		}
	}
	t.Fatal("no ports are free")
	return "", ""
}

func newStack(t *testing.T) *stack {
	t.Helper()
	for pattern, pkg := range map[string]string{
		"/usr/sbin/nginx": "nginx-light", "/usr/lib/postgresql/*/bin/postgres": "postgresql",
		"/usr/bin/python3": "python3", "/usr/bin/psql": "postgresql-client",
	} {
		if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
			t.Skipf("needs the Debian package %s", pkg)
		}
	}
	s := &stack{folders: newFolders(t), ports: map[string]string{}}
	s.ports["25432"], s.ports["28080"] = freePort(t), freePort(t)
	s.ports["28000"], s.ports["28001"] = freePorts(t)
	run := filepath.Join(s.root, "run")
	copyFolder(t, "../manifests/stack", s.manifests, func(text string) string {
		text = strings.ReplaceAll(text, "2800$(", s.ports["28000"][:4]+"$(")
		for from, to := range s.ports {
			text = strings.ReplaceAll(text, from, to)
		}
		return strings.ReplaceAll(text, "/run/shop", run)
	})
	if os.Getuid() != 0 {
		for _, name := range []string{"postgres", "migration", "web", "nginx"} {
			asOurselves(t, filepath.Join(s.manifests, name+".yaml"))
		}
	}
	return s
}

// reads answers what a GET brings.
func (s *stack) reads(path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://127.0.0.1:" + s.ports["28080"] + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// answers waits until a GET is answered with the text.
func (s *stack) answers(t *testing.T, path, want string) {
	t.Helper()
	if err := await(func() error {
		body, err := s.reads(path)
		if err == nil && !strings.Contains(body, want) {
			err = fmt.Errorf("answered %q, not %q", body, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// ready waits until all of the services are.
func (s *stack) ready(t *testing.T, names ...string) {
	t.Helper()
	if err := await(func() error {
		services, err := s.services()
		if err != nil {
			return err
		}
		for _, name := range names {
			st := services[name].Status
			if st.ReadyReplicas < st.DesiredReplicas || st.DesiredReplicas == 0 || st.UpdatedReplicas < st.DesiredReplicas {
				return fmt.Errorf("%s: %+v", name, st)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// pids are the main processes by replica.
func (s *stack) pids(t *testing.T) map[string]int {
	t.Helper()
	services, err := s.services()
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, service := range services {
		for _, replica := range service.Status.ReplicaStatuses {
			pids[replica.Name] = replica.Pid
		}
	}
	return pids
}

// order are the positions in the daemon's log at which the message is first said of
// each service after offset.
func (s *stack) order(t *testing.T, message string, offset int) []string {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	var services []string
	for line := range strings.Lines(string(text[offset:])) {
		if !strings.Contains(line, message) {
			continue
		}
		_, rest, found := strings.Cut(line, `"service":"`)
		name, _, _ := strings.Cut(rest, `"`)
		if found && !slices.Contains(services, name) {
			services = append(services, name)
		}
	}
	return services
}

// TestAStack runs a database, a migration, a web service and a proxy that depend on
// one another.
func TestAStack(t *testing.T) {
	s := newStack(t)
	s.daemon = startDaemon(t, program(t, built.checked), s.folders)
	t.Run("each starts when what it depends on is there", func(t *testing.T) {
		s.ready(t, "postgres", "web", "nginx")
		s.answers(t, "/", "hello from web-")
		if got, want := s.order(t, "Started process", 0), []string{"postgres", "migration", "web", "nginx"}; !slices.Equal(got, want) {
			t.Errorf("started in the order %v, not %v", got, want)
		}
		if err := s.becomes("migration", "Completed"); err != nil {
			t.Error(err)
		}
	})
	t.Run("one that is killed comes back, and nobody else is touched", s.killedOneByOne)
	t.Run("a re-exec and a kill -9 restart nobody", s.outlived)
	t.Run("an edit of nginx.conf is checked and loaded", s.reloaded)
	t.Run("an edit of the web service goes from one replica to the other", s.replaced)
	t.Run("a migration that is edited runs once more, and restarts nobody", s.migratedAgain)
	t.Run("a shutdown goes the other way round", func(t *testing.T) {
		text, err := os.ReadFile(s.log)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.terminate(); err != nil {
			t.Fatal(err)
		}
		got := s.order(t, "Process ended", len(text))
		if want := []string{"nginx", "web", "postgres"}; !slices.Equal(got, want) {
			t.Errorf("ended in the order %v, not %v", got, want)
		}
	})
}

func (s *stack) killedOneByOne(t *testing.T) {
	for _, replica := range []string{"postgres-0", "web-0", "web-1", "nginx-0"} {
		before := s.pids(t)
		if err := syscall.Kill(before[replica], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := await(func() error {
			if now := s.pids(t)[replica]; now == 0 || now == before[replica] {
				return fmt.Errorf("%s: process %d", replica, now)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		s.ready(t, "postgres", "web", "nginx")
		s.answers(t, "/", "hello from web-")
		for name, pid := range s.pids(t) {
			if name != replica && pid != before[name] {
				t.Errorf("%s was killed, and %s has process %d after %d", replica, name, pid, before[name])
			}
		}
	}
}

func (s *stack) outlived(t *testing.T) {
	before := s.pids(t)
	same := func(after string) {
		t.Helper()
		s.ready(t, "postgres", "web", "nginx")
		for name, pid := range s.pids(t) {
			if pid != before[name] {
				t.Errorf("after %s %s runs as process %d, before as %d", after, name, pid, before[name])
			}
		}
	}
	for range 3 {
		if err := s.reexec(); err != nil {
			t.Fatal(err)
		}
		same("a re-exec")
		if err := s.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		if err := s.again(); err != nil {
			t.Fatal(err)
		}
		same("a kill -9")
	}
	if s.said("Became unready") > 0 && s.order(t, "Became unready", 0)[0] != "web" {
		t.Error("something became unready:", s.order(t, "Became unready", 0))
	}
}

func (s *stack) edit(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.manifests, file))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s has no %q", file, from)
	}
	if err := s.declare(file, strings.ReplaceAll(string(text), from, to)); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) reloaded(t *testing.T) {
	before := s.pids(t)["nginx-0"]
	s.edit(t, "nginx.conf", `return 200 "nginx\n"`, `return 200 "loaded anew\n"`)
	s.answers(t, "/nginx", "loaded anew")

	reloads := s.said("Reloaded process")
	s.edit(t, "nginx.conf", "proxy_pass http://web;", "proxy_pass http://web")
	if err := await(func() error {
		services, err := s.services()
		if err != nil {
			return err
		}
		for _, c := range services["nginx"].Status.Conditions {
			if c.Type == "ReloadFailed" && strings.Contains(c.Message, "nginx.conf") {
				return nil
			}
		}
		return fmt.Errorf("no ReloadFailed: %+v", services["nginx"].Status.Conditions)
	}); err != nil {
		t.Fatal(err)
	}
	s.answers(t, "/", "hello from web-")
	s.edit(t, "nginx.conf", "proxy_pass http://web", "proxy_pass http://web;")
	if output, err := s.client("reload", "nginx"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if err := await(func() error {
		if s.said("Reloaded process") == reloads {
			return errors.New("not reloaded")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.answers(t, "/nginx", "loaded anew")
	if now := s.pids(t)["nginx-0"]; now != before {
		t.Errorf("nginx runs as process %d, before as %d", now, before)
	}
}

func (s *stack) replaced(t *testing.T) {
	before := s.pids(t)
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() { // nginx has one that answers all the while
		for {
			select {
			case <-stop:
				failed <- nil
				return
			default:
			}
			if body, err := s.reads("/"); err != nil || !strings.Contains(body, "hello from web-") {
				failed <- fmt.Errorf("%q, %v", body, err)
				return
			}
		}
	}()
	s.edit(t, "web.yaml", "plain", "green")
	s.answers(t, "/", "green")
	s.ready(t, "web")
	close(stop)
	if err := <-failed; err != nil {
		t.Error("a request failed meanwhile:", err)
	}
	for name, pid := range s.pids(t) {
		if changed := pid != before[name]; changed != strings.HasPrefix(name, "web-") {
			t.Errorf("%s: process %d after %d", name, pid, before[name])
		}
	}
}

func (s *stack) migratedAgain(t *testing.T) {
	before := s.pids(t)
	s.edit(t, "migration.yaml", "'blue'", "'red'")
	if err := await(func() error {
		services, err := s.services()
		if err == nil && (services["migration"].Metadata.Generation < 2 || services["migration"].Status.Phase != "Completed") {
			err = fmt.Errorf("%+v", services["migration"])
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, pid := range s.pids(t) {
		if pid != before[name] {
			t.Errorf("%s: process %d after %d", name, pid, before[name])
		}
	}
}
