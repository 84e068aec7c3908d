package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Where things are when nobody says otherwise.
const (
	rootStateDir = "/run/reconciler"
	rootLogDir   = "/var/log/reconciler"
	stateDirEnv  = "RECONCILER_STATE_DIR"
)

// findStateDir returns the state directory, absolute: of the flag, of the
// environment, or the default. Daemon and commands agree on it.
func (a *app) findStateDir() (string, error) {
	for _, dir := range []string{a.stateDir, a.env(stateDirEnv)} {
		if dir != "" {
			return absolute(dir)
		}
	}
	return a.defaultStateDir()
}

// defaultStateDir is /run/reconciler for root. For another user it is in the
// runtime directory, which is looked for by its usual name too: cron and su do
// not set the variable, and must find the same daemon. Never in /tmp, where
// anybody could have made it before us.
func (a *app) defaultStateDir() (string, error) {
	if os.Geteuid() == 0 {
		return rootStateDir, nil
	}
	if dir := a.env("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "reconciler"), nil
	}
	usual := filepath.Join("/run/user", strconv.Itoa(os.Geteuid()))
	if info, err := os.Stat(usual); err == nil && ownedBy(info, os.Geteuid()) {
		return filepath.Join(usual, "reconciler"), nil
	}
	home, err := a.stateHome()
	if err != nil {
		return "", fmt.Errorf("cannot find a place for the state: %w; name one with --state-dir", err)
	}
	return filepath.Join(home, "reconciler", "run"), nil
}

func (a *app) defaultLogDir() (string, error) {
	if os.Geteuid() == 0 {
		return rootLogDir, nil
	}
	home, err := a.stateHome()
	if err != nil {
		return "", fmt.Errorf("cannot find a place for the output of services: %w; name one with --log-dir", err)
	}
	return filepath.Join(home, "reconciler", "log"), nil
}

// stateHome is $XDG_STATE_HOME of the XDG base directory specification.
func (a *app) stateHome() (string, error) {
	if dir := a.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	if home := a.env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state"), nil
	}
	return "", errors.New("neither XDG_RUNTIME_DIR nor HOME is set")
}

// shownStateDir and shownLogDir are the defaults as the help shows them.
func (a *app) shownStateDir() string { return orError(a.defaultStateDir()) }
func (a *app) shownLogDir() string   { return orError(a.defaultLogDir()) }

func orError(dir string, err error) string {
	if err != nil {
		return "none: HOME is not set"
	}
	return dir
}

func absolute(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot make %s absolute: %w", dir, err)
	}
	return abs, nil
}

// stateDirMode lets everybody reach the socket, whose server tells who may do what. All
// else in the directory is for our user alone.
const stateDirMode = 0o711

// makeStateDir makes the state directory, and refuses one
// that somebody else owns or can write to: who can rename the socket can speak
// for the daemon.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("cannot make the state directory: %w", err)
	}
	if err := os.Mkdir(dir, stateDirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cannot make the state directory: %w", err)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("cannot use the state directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("cannot use %s as state directory: it is no directory", dir)
	case !ownedBy(info, os.Geteuid()):
		return fmt.Errorf("cannot use %s as state directory: it belongs to another user; name another one with --state-dir", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("cannot use %s as state directory: others can write to it; `chmod go-w %s` mends it", dir, dir)
	case info.Mode().Perm() == 0o700: // of an earlier version
		if err := os.Chmod(dir, stateDirMode); err != nil {
			return fmt.Errorf("cannot let others reach the socket: %w", err)
		}
	}
	return nil
}

func ownedBy(info os.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}
