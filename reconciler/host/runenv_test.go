package host_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
)

// TestWhatRunsBesideAMainProcessHasItsEnvironment, whatever becomes of the files of
// envFrom, and of the daemon.
func TestWhatRunsBesideAMainProcessHasItsEnvironment(t *testing.T) {
	files := map[string]func(path string) error{
		"with the file as it was": func(string) error { return nil },
		"with the file edited":    func(path string) error { return os.WriteFile(path, []byte("COLOUR=blue\nNEW=1\n"), 0o600) },
		"with the file broken":    func(path string) error { return os.WriteFile(path, []byte("COLOUR = = '\n"), 0o600) },
		"with the file removed":   os.Remove,
		"with a folder in its place": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
	}
	const plain, overwritten = "exec sleep 1000", "exec perl -e '$0 = q(w) x 3000; sleep 1000'"
	daemons := map[string]struct {
		next   func(m *machine, s *spec.Service, e reconciler.Event)
		script string
	}{
		"and the same daemon": {func(*machine, *spec.Service, reconciler.Event) {}, plain},
		"and one that follows a killed one": {func(m *machine, s *spec.Service, e reconciler.Event) {
			m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{readRecord(s, e)}}})
		}, plain},
		"and one that has taken over": {func(m *machine, s *spec.Service, e reconciler.Event) {
			c := m.host.Carry()
			m.reopen(host.Options{Kept: &host.Kept{Records: []reconciler.Record{readRecord(s, e)}, Environment: c.Environment}})
		}, overwritten},
	}
	for edited, edit := range files {
		for after, daemon := range daemons {
			t.Run(edited+" "+after, func(t *testing.T) {
				forBoth(t, func(t *testing.T, m *machine) {
					file := filepath.Join(t.TempDir(), "env")
					if err := os.WriteFile(file, []byte("COLOUR=red\n"), 0o600); err != nil {
						t.Fatal(err)
					}
					s := shell("echo on; " + daemon.script)
					s.Spec.EnvFrom = []spec.EnvFrom{{File: file, Prefix: "A_"}}
					e := m.start(s)
					m.waitOutput("on")
					if err := edit(file); err != nil {
						t.Fatal(err)
					}
					daemon.next(m, s, e)
					w := reconciler.ProbeWork{Replica: web0, Run: e.Run, Service: s}
					out, _, f := m.host.Exec(t.Context(), w, []string{"/bin/sh", "-c", "echo $A_COLOUR.$A_NEW.$SVC_INSTANCE.$SVC_REPLICA"}, 1024)
					if f != nil || string(out) != "red...0\n" {
						t.Errorf("a command has %q, %+v", out, f)
					}
					env, f := m.host.Environment(t.Context(), w)
					if f != nil || !slices.Contains(env, "A_COLOUR=red") {
						t.Errorf("a probe has %q, %+v", env, f)
					}
					setHook(s, reconciler.HookPreStop, `test "$A_COLOUR" = red`)
					m.run = e.Run - 1
					m.hook(s, reconciler.HookPreStop)
					m.hookSucceeds()
					m.kill()
					m.want(reconciler.EventExited)
				})
			})
		}
	}
}

// readRecord is the record of a run that has read files.
func readRecord(s *spec.Service, e reconciler.Event) reconciler.Record {
	r := recordOf(s, e)
	r.Instance.Life = &reconciler.Life{EnvFiles: e.EnvFiles}
	return r
}
