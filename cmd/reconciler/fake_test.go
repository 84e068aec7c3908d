package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"svc.d/reconciler"
	"svc.d/reconciler/api"
	"svc.d/spec"
	"svc.d/status"
)

// now is the moment at which all reports of these tests are read.
var now = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// fakeEngine answers from a list of services, and takes a stop and a start to
// heart, so that the commands have something to show.
type fakeEngine struct {
	mu       sync.Mutex
	snapshot reconciler.Snapshot
	commands []reconciler.Command
	pruned   int
	look     func() // at each question
}

func (f *fakeEngine) Snapshot(_ context.Context, names ...string) (*reconciler.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.look != nil {
		f.look()
	}
	s := f.snapshot
	s.Services = nil
	for _, service := range f.snapshot.Services {
		if len(names) == 0 || slices.Contains(names, service.Metadata.Name) {
			s.Services = append(s.Services, service)
		}
	}
	return &s, nil
}

// SnapshotSince knows no past.
func (f *fakeEngine) SnapshotSince(ctx context.Context, _ uint64) (*reconciler.Snapshot, error) {
	return f.Snapshot(ctx)
}

// Changes knows no past.
func (f *fakeEngine) Changes(uint64) (reconciler.Changes, bool) { return reconciler.Changes{}, false }

func (f *fakeEngine) Do(_ context.Context, c reconciler.Command) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, c)
	service := find(f.snapshot.Services, c.Service)
	switch c.Kind {
	case reconciler.EventStop:
		service.Status.Held = &status.Held{By: c.By, Since: now}
		if !c.Until.IsZero() {
			service.Status.Held.Until = now.Add(10 * time.Minute)
		}
	case reconciler.EventStart:
		service.Status.Held = nil
	case reconciler.EventRestart:
		if service.Status.Held != nil {
			return &reconciler.Refusal{Reason: reconciler.RefusedConflict, Message: "cannot restart " + c.Service + ": it is stopped"}
		}
	case reconciler.EventReload, 0:
	default:
		panic("not a person's command")
	}
	return nil
}

// bench is a daemon's API on a real socket, and the program to talk to it.
type bench struct {
	t      *testing.T
	dir    string // of everything
	engine *fakeEngine
	// flags and found are what the daemon's configuration is made of besides
	// the document of the set.
	flags flagValues
	found map[string]string
	mute  bool   // it tells no configuration
	stop  func() // ends the daemon
	gone  func() // ends its front
	front *front
	// stdin and editor are what a person does, settle is how long the daemon has.
	stdin  string
	editor func(text string) string
	settle time.Duration
	seen   string // what the editor showed
}

// newBench serves the engine until the test ends. Its manifests are those that
// are in force.
func newBench(t *testing.T, manifests string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), engine: &fakeEngine{}}
	b.write("svc.d/all.yaml", manifests)
	parsed := spec.Parse(filepath.Join(b.dir, "svc.d/all.yaml"), []byte(manifests))
	if len(parsed.Problems) > 0 {
		t.Fatalf("manifests of the test: %v", parsed.Problems)
	}
	set := &spec.Set{Services: map[string]*spec.Service{}}
	if len(parsed.Configurations) > 0 {
		set.Configuration = parsed.Configurations[0]
	}
	for _, s := range parsed.Services {
		set.Services[s.Metadata.Name] = s
		b.engine.snapshot.Services = append(b.engine.snapshot.Services, running(t, s))
	}
	b.engine.snapshot.Set = set
	b.engine.snapshot.At = now

	if err := os.Mkdir(b.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(b.dir, "inner")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := api.Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(api.Config{
		Engine: b.engine,
		ConfirmPrune: func(context.Context) ([]string, error) {
			b.engine.pruned++
			return []string{"db", "job"}, nil
		},
		Configuration: func() *status.ConfigurationReport {
			if b.mute {
				return nil
			}
			return configurationReport(b.engine.snapshot.Set.Configuration, b.flags, b.found)
		},
		Daemon: status.Daemon{
			Version: "v0.0.0-test", Pid: 4242, Dir: filepath.Join(b.dir, "svc.d"),
			StateDir: b.state(), LogDir: filepath.Join(b.dir, "log"), StartedAt: now.Add(-time.Hour),
		},
		Version: status.Version{GitVersion: "v0.0.0-test", GoVersion: "go0", Platform: "test/none"},
		Log:     logr.Discard(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	b.front = &front{bench: b}
	b.front.serve(t, b.state(), inner)
	b.stop = sync.OnceFunc(func() {
		b.gone()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) state() string { return filepath.Join(b.dir, "state") }

func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) service(name string) *status.Service { return find(b.engine.snapshot.Services, name) }

// running is the report of a service all of whose replicas run well.
func running(t *testing.T, s *spec.Service) status.Service {
	t.Helper()
	text, err := json.Marshal(s.Spec)
	if err != nil {
		t.Fatal(err)
	}
	n := s.Spec.Replicas
	service := status.Service{
		APIVersion: spec.APIVersion, Kind: spec.KindService,
		Metadata: status.Metadata{
			Name: s.Metadata.Name, Labels: s.Metadata.Labels, Annotations: s.Metadata.Annotations,
			Generation: 1, CreationTimestamp: now.Add(-26 * time.Hour),
		},
		Spec: text,
		Status: status.ServiceStatus{
			ObservedGeneration: 1, Replicas: n, ReadyReplicas: n, UpdatedReplicas: n, DesiredReplicas: n,
			Phase: status.PhaseRunning, File: s.Source.File, Line: s.Source.Line,
		},
	}
	for i := range n {
		id := reconciler.ReplicaID{Service: s.Metadata.Name, Ordinal: i}
		service.Status.ReplicaStatuses = append(service.Status.ReplicaStatuses, status.Replica{
			Name: id.String(), Ordinal: i, Phase: status.PhaseRunning,
			Since: now.Add(-time.Hour), Started: now.Add(-time.Hour), Pid: 1000 + i, Updated: true,
			Ready: true, ReadySince: now.Add(-time.Hour),
		})
	}
	return service
}

// run carries out a command line and returns a transcript in which the paths of
// this run are replaced.
func (b *bench) run(args ...string) string {
	b.t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$DIR", b.dir)
	}
	var stdout, stderr bytes.Buffer
	env := map[string]string{stateDirEnv: b.state(), "HOME": "/home/somebody"}
	a := &app{stdout: &stdout, stderr: &stderr, env: func(k string) string { return env[k] }, now: func() time.Time { return now }}
	a.patience = time.Minute // a test's machine may be busy
	a.stdin, a.settle = strings.NewReader(b.stdin), b.settle
	a.meter, a.sample = &meter{proc: filepath.Join(b.dir, "proc"), cgroups: filepath.Join(b.dir, "cgroups")}, time.Microsecond
	a.editor = func(_, path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(b.editor(string(text))), 0o600)
	}
	a.enter = func(plan *status.ExecPlan, argv []string) error {
		fmt.Fprintf(&stdout, "enters %s: %q\n", plan.Replica, argv)
		return nil
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	b.front.over = cancel
	code := a.run(ctx, slices.Clone(args))
	var out strings.Builder
	out.WriteString("$ reconciler " + strings.Join(args, " ") + "\n")
	out.WriteString(stdout.String())
	if stderr.Len() > 0 {
		out.WriteString("--- stderr\n" + stderr.String())
	}
	if code != 0 {
		out.WriteString("--- exit code " + string(rune('0'+code)) + "\n")
	}
	return strings.NewReplacer(b.dir, "$DIR", a.shownStateDir(), "$STATE").Replace(out.String())
}
