package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyOneHoldsTheLock(t *testing.T) {
	dir := t.TempDir()
	first, err := TakeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = TakeLock(t.Context(), dir)
	var held *HeldError
	if !errors.As(err, &held) || held.Pid != os.Getpid() {
		t.Fatalf("the second got %v, want a HeldError with our pid", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := TakeLock(t.Context(), dir)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again.Release()
}

func TestABusyLockIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	first, err := TakeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan error)
	go func() {
		_, err := TakeLock(t.Context(), dir)
		taken <- err
	}()
	first.Release()
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
}

func TestTheLockIsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, lockFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := TakeLock(t.Context(), dir); err == nil {
		t.Fatal("a link was followed")
	}
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Fatalf("the victim holds %q", text)
	}
}

func TestAMissingDirectoryIsAnError(t *testing.T) {
	_, err := TakeLock(t.Context(), filepath.Join(t.TempDir(), "nowhere"))
	if err == nil || !strings.HasPrefix(err.Error(), "cannot ") {
		t.Fatalf("got %v", err)
	}
}
