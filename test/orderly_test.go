package test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestWhatWasRemovedAfterAnOrderlyEndDoesNotStart: nothing runs that could be
// lost, so the next daemon of the same boot begins with what the directory says.
func TestWhatWasRemovedAfterAnOrderlyEndDoesNotStart(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("orderly", built.checked, func(w *torture) {
		names := numbered("removed", 1)
		for _, name := range []string{"a", "b", "c", "d", "e", "held"} {
			w.declares(name, 1, nil)
			names = append(names, name+"-0")
		}
		w.declares("removed", 1, nil)
		w.start()
		w.settles(anyPid(names...))
		if _, err := w.daemon.client("stop", "held"); err != nil {
			w.t.Fatal(err)
		}
		if err := w.daemon.terminate(); err != nil {
			w.t.Fatal(err)
		}
		var removals error
		for _, name := range []string{"b", "c", "d", "e", "removed"} { // most of them: nobody holds that now
			removals = errors.Join(removals, os.Remove(w.manifests+"/"+name+".yaml"))
		}
		if err := errors.Join(removals, w.declare("held.yaml", "broken")); err != nil {
			w.t.Fatal(err)
		}
		w.start()
		w.settles(anyPid("a-0"))
		w.declares("held", 1, nil)
		w.rests(anyPid("a-0"))
		for _, name := range []string{"b-0", "removed-0", "held-0"} {
			if n := len(w.recorded("start " + name + " ")); n != 1 {
				w.t.Errorf("%s was started %d times", name, n)
			}
		}
		if services, err := w.daemon.services(); err != nil || len(services) != 2 || services["held"].Status.Phase != "Held" {
			w.t.Errorf("%+v, %v", services, err)
		}
	}))
}

// TestAManifestThatWasRenamedIsFoundWhereItIs: by check, which an upgrade asks,
// and by a daemon that comes after a crash.
func TestAManifestThatWasRenamedIsFoundWhereItIs(t *testing.T) {
	t.Parallel()
	atOnce(t, tortured("renamed", built.checked, func(w *torture) {
		w.declares("web", 1, nil)
		if err := w.declare("main.yaml", "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\nlog: {level: debug}\n"); err != nil {
			w.t.Fatal(err)
		}
		w.start()
		first := w.settles(anyPid("web-0"))
		renamed := errors.Join(os.Rename(w.manifests+"/web.yaml", w.manifests+"/www.yaml"), os.Rename(w.manifests+"/main.yaml", w.manifests+"/moved.yaml"))
		if err := errors.Join(renamed, await(func() error { return w.configurationIs("moved.yaml") }), await(w.wroteMove)); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.daemon.client("check"); err != nil {
			w.t.Error(err)
		}
		if err := w.daemon.reexec(); err != nil {
			w.t.Error(err)
		}
		if err := errors.Join(w.declare("www.yaml", "broken"), w.declare("moved.yaml", "broken")); err != nil {
			w.t.Fatal(err)
		}
		w.kill9()
		w.start()
		w.rests(first)
		if err := w.configurationIs("moved.yaml"); err != nil {
			w.t.Error(err)
		}
	}))
}

func (w *torture) wroteMove() error { return w.daemon.says("Manifest moved") }

// configurationIs is an error unless the configuration in force is of that file.
func (w *torture) configurationIs(name string) error {
	output, err := w.daemon.client("get", "config", "-o", "json")
	if err != nil {
		return err
	}
	var report struct{ File string }
	if err := json.Unmarshal(output, &report); err != nil {
		return err
	}
	if !strings.HasSuffix(report.File, "/"+name) {
		return errors.New("the configuration is of " + report.File)
	}
	return nil
}
