package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// copyFolder copies the files of a folder of the repository, each through edit.
func copyFolder(t *testing.T, from, to string, edit func(text string) string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, entry.Name()), []byte(edit(string(text))), info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// logged waits until a replica's log has a line that matches.
func (f folders) logged(service string, ordinal int, pattern string) error {
	expression := regexp.MustCompile("(?m)" + pattern)
	path := filepath.Join(f.logs, service, fmt.Sprintf("%d.log", ordinal))
	return await(func() error {
		text, err := textOf(path)
		if err == nil && !expression.MatchString(text) {
			err = fmt.Errorf("%s has no line %q:\n%s", path, pattern, text)
		}
		return err
	})
}

// becomes waits until a service is in a phase.
func (d *daemon) becomes(name, phase string) error {
	return await(func() error {
		services, err := d.services()
		if err == nil && services[name].Status.Phase != phase {
			err = fmt.Errorf("%s is not %s: %+v", name, phase, services[name])
		}
		return err
	})
}

func TestTheExamplesDoWhatTheirCommentsSay(t *testing.T) {
	f := newFolders(t)
	copyFolder(t, "../manifests/examples", f.manifests, func(text string) string { return text })
	d := startDaemon(t, program(t, built.checked), f)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	for name, phase := range map[string]string{
		"hello": "Running", "ticker": "Running", "worker": "Running", "once": "Completed",
		"crashy": "CrashLoopBackOff", "graceful": "Running", "limits": "Running",
	} {
		check(d.becomes(name, phase))
	}
	check(f.logged("ticker", 0, `^hello world, this is ticker-0, tick 1$`))
	for ordinal := range 3 {
		check(f.logged("worker", ordinal, fmt.Sprintf("^worker %d starts$", ordinal)))
	}
	check(f.logged("once", 0, "^done at "))
	check(f.logged("crashy", 0, "^this cannot go well$"))
	check(f.logged("limits", 0, `^files: 512, umask: 0077, folder: .*/manifests$`))
	services, err := d.services()
	check(err)
	if s, ok := services["someday"]; !ok || s.Status.Replicas != 0 {
		t.Errorf("someday: %+v, want declared and not run", s)
	}

	check(f.logged("graceful", 0, "^ready$"))
	check(os.Remove(filepath.Join(f.manifests, "graceful.yaml")))
	check(f.logged("graceful", 0, "^bye$"))
}
