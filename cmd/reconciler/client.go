package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// client is for the daemon that the flags and the environment point to.
func (a *app) client() (*api.Client, error) {
	dir, err := a.findStateDir()
	if err != nil {
		return nil, err
	}
	if a.stateDir == "" && a.env(stateDirEnv) == "" && !hasSocket(dir) && hasSocket(rootStateDir) {
		dir = rootStateDir // who runs no daemon looks at root's
	}
	return api.NewClient(dir), nil
}

func hasSocket(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, api.SocketName))
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// withHint says what to do when there is no daemon to talk to.
func withHint(err error) error {
	var unreachable *api.UnreachableError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; every user may look, but the folders that lead to it must let them through", err)
	case errors.As(err, &unreachable) && unreachable.Silent():
		return fmt.Errorf("%w; it hangs, or is stopped (SIGSTOP); `reconciler why` tells what lives meanwhile", err)
	case errors.As(err, &unreachable):
		return fmt.Errorf("%w; start one with `reconciler --dir DIR`, or point to it with --state-dir", err)
	}
	return err
}

// situation is what most commands start from.
type situation struct {
	client   *api.Client
	services []status.Service
	listed   *api.Objects // the services as they came
	daemon   *status.Daemon
}

// ask gets all services and the daemon's report.
func (a *app) ask(ctx context.Context) (*situation, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	listed, err := client.List(ctx, string(kindServices), api.Selection{})
	if err != nil {
		return nil, withHint(err)
	}
	services := make([]status.Service, len(listed.Items))
	for n, item := range listed.Items {
		if err := json.Unmarshal(item, &services[n]); err != nil {
			return nil, fmt.Errorf("cannot read the daemon's answer: %w", err)
		}
	}
	daemon, err := client.Daemon(ctx)
	if err != nil {
		return nil, withHint(err)
	}
	return &situation{client, services, listed, daemon}, nil
}

// problemsOf are those of a service and of its file.
func (s *situation) problemsOf(service *status.Service) []status.Problem {
	return slices.DeleteFunc(slices.Clone(s.daemon.Problems), func(p status.Problem) bool {
		return !p.Concerns(service, s.services)
	})
}

// resolve finds what a name means. When it is of a service that no file has
// declared well yet, the error says what is wrong there.
func (s *situation) resolve(name string) (target, error) {
	t, err := resolve(s.services, name)
	if err == nil {
		return t, nil
	}
	for _, p := range s.daemon.Problems {
		if p.Service != "" && p.Service == plainName(name) {
			return t, fmt.Errorf("cannot find a service %q: it has not been started: %s", name, p)
		}
	}
	return t, err
}

// eachTarget asks the daemon once, and calls verb with what each name means.
func (a *app) eachTarget(ctx context.Context, names []string, verb func(s *situation, t target) error) error {
	s, err := a.ask(ctx)
	if err != nil {
		return err
	}
	return a.each(names, func(name string) error {
		t, err := s.resolve(name)
		if err != nil {
			return err
		}
		return verb(s, t)
	})
}

// each runs a verb on every name and reports each failure; the error says only
// that there was one.
func (a *app) each(names []string, verb func(name string) error) error {
	failed := false
	for _, name := range names {
		if err := verb(name); err != nil {
			if len(names) == 1 {
				return err
			}
			fmt.Fprintln(a.stderr, "error: "+status.Shown(err.Error()))
			failed = true
		}
	}
	if failed {
		return &exit{code: 1}
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ") // kubectl's
	return enc.Encode(v)
}

func writeYAML(w io.Writer, v any) error {
	text, err := status.YAML(v)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// oneOf checks the value of a flag.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("cannot use --%s %q: it must be one of %s", flag, value, strings.Join(allowed[1:], ", "))
}
