package test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"svc.d/test/world"
)

// nasty is a server that does to its clients what a service may do to a probe.
func nasty(t *testing.T) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the database is gone", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10000000000")
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/reset", func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = connection.(*net.TCPConn).SetLinger(0)
			_ = connection.Close()
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { close(over); _ = server.Close() })
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

// TestProbesOfNastyServices has services probed that do what they should not: each
// is told of as what it is, the daemon's memory stays bounded, and nothing is left.
func TestProbesOfNastyServices(t *testing.T) {
	port := nasty(t)
	accepts, err := net.Listen("tcp", "127.0.0.1:0") // and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer accepts.Close()
	_, mute, _ := net.SplitHostPort(accepts.Addr().String())
	get := func(path string) string {
		return fmt.Sprintf("httpGet: {path: /%s, port: %s}", path, port)
	}
	sh := func(script string) string { return fmt.Sprintf("exec: {command: [sh, -c, %q]}", script) }
	services := map[string]struct {
		probe, message string // of an unready one; empty is ready
	}{
		"http-good":        {get("good"), ""},
		"http-bad":         {get("bad"), "503"},
		"http-silent":      {get("silent"), "1s"},
		"http-endless":     {get("endless"), ""},
		"http-huge":        {get("huge"), ""},
		"http-reset":       {get("reset"), "probe fails"},
		"http-nobody":      {"httpGet: {path: /, port: 1}", "refused"},
		"http-mute":        {"httpGet: {path: /, port: " + mute + "}", "1s"},
		"https-mute":       {"httpGet: {path: /, port: " + mute + ", scheme: HTTPS}", "1s"},
		"grpc-mute":        {"grpc: {port: " + mute + "}", "1s"},
		"grpc-http":        {"grpc: {port: " + port + "}", "probe fails"},
		"tcp-mute":         {"tcpSocket: {port: " + mute + "}", ""},
		"tcp-nobody":       {"tcpSocket: {port: 1}", "refused"},
		"exec-good":        {sh("exit 0"), ""},
		"exec-variable":    {"exec: {command: [test, $(SVC_NAME), =, exec-variable]}", ""},
		"exec-bad":         {sh("echo the queue is full; exit 3"), "the queue is full"},
		"exec-missing":     {"exec: {command: [/nonexistent/probe]}", "/nonexistent/probe"},
		"exec-stubborn":    {sh("trap '' TERM INT HUP; while :; do sleep 1; done"), "1s"},
		"exec-forks":       {sh("(setsid sleep 1000000 &) ; setsid sleep 1000000 & exit 1"), "probe fails"},
		"exec-forks-holds": {sh("setsid sleep 1000000 & wait"), "1s"},
		"exec-prints":      {sh("exec yes"), "1s"},
		"exec-inherits":    {sh("setsid sleep 1000000 & exit 0"), ""},
	}
	f := newFolders(t)
	for name, s := range services {
		manifest := fmt.Sprintf(`apiVersion: svc.d/v1
kind: Service
metadata: {name: %s}
spec:
  command: [sleep, "1000000"]
  readinessProbe: {%s, periodSeconds: 1, failureThreshold: 1}
`, name, strings.TrimSpace(s.probe))
		if err := f.declare(name+".yaml", manifest); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, program(t, built.checked), f)
	as := func(when string) {
		t.Helper()
		if err := await(func() error {
			now, err := d.services()
			if err != nil {
				return err
			}
			for name, s := range services {
				st := now[name].Status
				switch {
				case s.message == "" && st.ReadyReplicas != 1:
					err = errors.Join(err, fmt.Errorf("%s is not ready: %s", name, st.Message))
				case s.message != "" && (st.ReadyReplicas != 0 || !strings.Contains(st.Message, s.message)):
					err = errors.Join(err, fmt.Errorf("%s is not unready for %q: %s", name, s.message, st.Message))
				}
			}
			return err
		}); err != nil {
			t.Fatal(when, err)
		}
	}
	as("at first")
	before, err := d.services()
	if err != nil {
		t.Fatal(err)
	}
	pace(3 * time.Second) // a few rounds of each
	if resident, err := world.StatusValue(d.pid(), "VmHWM"); err != nil || resident > 400<<10 {
		t.Errorf("the daemon took %d KiB, %v", resident, err) // it is built with the race detector
	}
	for range 2 {
		if err := d.reexec(); err != nil {
			t.Fatal(err)
		}
		as("after a re-exec")
		if err := d.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-d.ended
		if err := d.again(); err != nil {
			t.Fatal(err)
		}
		as("after a kill -9")
	}
	now, err := d.services()
	if err != nil {
		t.Fatal(err)
	}
	for name := range services {
		if a, b := before[name].Status.ReplicaStatuses[0], now[name].Status.ReplicaStatuses[0]; a.Pid != b.Pid || b.RestartCount != 0 {
			t.Errorf("%s was restarted: %+v, before %+v", name, b, a)
		}
	}
	// No probe left anything behind; those that run now come and go.
	if refusal, _ := built.cgroups(); refusal != "" {
		return // who makes a session of its own escapes
	}
	for name := range services {
		if err := os.Remove(filepath.Join(f.manifests, name+".yaml")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.client("prune", "--confirm"); err != nil {
		t.Log(err) // nothing was held yet, perhaps
	}
	if err := await(func() error {
		if _, err := d.client("prune", "--confirm"); err != nil {
			_ = err
		}
		now, err := d.services()
		if err == nil && len(now) > 0 {
			err = fmt.Errorf("%d services are left", len(now))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.nothingRuns(); err != nil {
		t.Error("left behind:", err)
	}
}

// TestALivenessProbeRestarts has a service that stops working restarted, with the
// reason told, and the back-off spacing it.
func TestALivenessProbeRestarts(t *testing.T) {
	f := newFolders(t)
	healthy := filepath.Join(f.root, "healthy")
	if err := os.WriteFile(healthy, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.declare("web.yaml", fmt.Sprintf(`apiVersion: svc.d/v1
kind: Service
metadata: {name: web}
spec:
  command: [sleep, "1000000"]
  livenessProbe: {exec: {command: [sh, -c, "test -e %s || { echo it is gone; exit 1; }"]}, periodSeconds: 1, failureThreshold: 2}
`, healthy)); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, program(t, built.checked), f)
	if err := d.becomesReady("web"); err != nil {
		t.Fatal(err)
	}
	pace(3 * time.Second)
	if services, err := d.services(); err != nil || services["web"].Status.ReplicaStatuses[0].RestartCount != 0 {
		t.Fatalf("a healthy service was restarted: %+v, %v", services, err)
	}
	if err := os.Remove(healthy); err != nil {
		t.Fatal(err)
	}
	if err := await(func() error {
		services, err := d.services()
		if err == nil && (services["web"].Status.Phase != "CrashLoopBackOff" || services["web"].Status.Reason != "Unhealthy" ||
			!strings.Contains(services["web"].Status.Message, "it is gone")) {
			err = fmt.Errorf("%+v", services["web"].Status)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if d.said("Probe failed") == 0 || d.said("it is gone") == 0 {
		t.Error("the log does not tell of the probe")
	}
	if err := os.WriteFile(healthy, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.client("restart", "web"); err != nil {
		t.Fatal(err)
	}
	if err := d.becomesReady("web"); err != nil {
		t.Fatal(err)
	}
}
