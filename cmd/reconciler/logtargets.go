package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"svc.d/reconciler/api"
	"svc.d/reconciler/logs/reader"
	"svc.d/status"
)

// logPlace is where logs are, and whose.
type logPlace struct {
	dir      string
	services []status.Service // as the daemon tells, or else those with a folder
	asked    *situation       // nil: the daemon could not be reached
	why      error            // then
}

// lookUpLogs asks the daemon or, when it cannot be reached, looks at the folders.
func (a *app) lookUpLogs(ctx context.Context, flags *logsFlags) (*logPlace, error) {
	l := new(logPlace)
	var unreachable *api.UnreachableError
	s, err := a.ask(ctx)
	switch {
	case err == nil:
		l.asked, l.services, l.dir = s, s.services, s.daemon.LogDir
	case !errors.As(err, &unreachable):
		return nil, err
	case flags.selector != "":
		return nil, fmt.Errorf("cannot choose by labels, which only the daemon knows: %w", withHint(unreachable))
	case flags.previous:
		return nil, fmt.Errorf("cannot tell when the run before the present one was, which only the daemon knows: %w", withHint(unreachable))
	default:
		l.why = withHint(unreachable)
	}
	if flags.logDir != "" || l.asked == nil {
		if l.dir = flags.logDir; l.dir == "" {
			if l.dir, err = a.defaultLogDir(); err != nil {
				return nil, err
			}
		}
		if l.dir, err = absolute(l.dir); err != nil {
			return nil, err
		}
	}
	if l.asked == nil {
		return l, l.findFolders()
	}
	return l, nil
}

// findFolders takes each folder with log files for a service.
func (l *logPlace) findFolders() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("cannot find any logs: %w; and %w", err, l.why)
	}
	for _, e := range entries {
		if s, ok := l.folder(e.Name()); ok {
			l.services = append(l.services, s)
		}
	}
	return nil
}

// folder makes a service of a folder with log files. It has the replicas that
// have files.
func (l *logPlace) folder(name string) (status.Service, bool) {
	s := status.Service{Metadata: status.Metadata{Name: name}}
	ordinals, err := reader.Ordinals(l.dir, name)
	if err != nil {
		return s, false
	}
	for _, n := range ordinals {
		s.Status.ReplicaStatuses = append(s.Status.ReplicaStatuses, status.Replica{Name: fmt.Sprintf("%s-%d", name, n), Ordinal: n})
	}
	return s, len(ordinals) > 0
}

// resolve finds what a name means: what the daemon knows, or else what there are
// files of.
func (l *logPlace) resolve(name string) (target, error) {
	if l.asked == nil {
		if t, err := resolve(l.services, name); err == nil {
			return t, nil
		}
		err := fmt.Errorf("cannot find logs of %q in %s", name, l.dir)
		if best := closest(l.services, plainName(name)); best != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, best)
		}
		return target{}, fmt.Errorf("%w (%w); --log-dir names another place", err, l.why)
	}
	t, err := l.asked.resolve(name)
	if err == nil {
		return t, nil
	}
	plain := plainName(name)
	base, ordinal, isReplica := splitReplica(plain)
	var left []status.Service
	for _, folder := range []string{plain, base} {
		if s, ok := l.folder(folder); ok && isFolderName(folder) {
			left = append(left, s)
		}
	}
	if t, err := resolve(left, plain); err == nil && (t.ordinal < 0 || isReplica && t.ordinal == ordinal) {
		return t, nil
	}
	return target{}, err
}

// isFolderName keeps a name from leading out of the log directory.
func isFolderName(name string) bool {
	return name != "" && name != "." && name != ".." && !slices.Contains([]byte(name), '/')
}

// choose finds what the command line asks for. When it is not all there the error
// says so; what is there can be printed all the same.
func (l *logPlace) choose(a *app, names []string, flags *logsFlags) ([]target, error) {
	selector, err := api.ParseLabels(flags.selector)
	if err != nil {
		return nil, fmt.Errorf("cannot choose by labels: %w", err)
	}
	var chosen []target
	if len(names) > 0 {
		return chosen, a.each(names, func(name string) error {
			t, err := l.resolve(name)
			if err == nil {
				chosen = append(chosen, t)
			}
			return err
		})
	}
	for i := range l.services {
		if s := &l.services[i]; selector.Match(s.Metadata.Labels) {
			chosen = append(chosen, target{s, -1})
		}
	}
	switch {
	case len(chosen) > 0:
		return chosen, nil
	case flags.all:
		return nil, fmt.Errorf("cannot find any service with logs in %s", l.dir)
	}
	return nil, fmt.Errorf("cannot find a service with the labels %q (`reconciler get --show-labels` lists them)", flags.selector)
}

// filesOf are what is to be read of what was chosen.
func filesOf(chosen []target, previous bool, since time.Time) ([]reader.Target, error) {
	if previous {
		return previousRuns(chosen)
	}
	var targets []reader.Target
	for _, t := range chosen {
		targets = append(targets, reader.Target{Service: t.service.Metadata.Name, Ordinal: t.ordinal, Since: since})
	}
	return targets, nil
}

// previousRuns are the runs before the present ones.
func previousRuns(chosen []target) ([]reader.Target, error) {
	var targets []reader.Target
	for _, t := range chosen {
		for _, r := range t.service.Status.ReplicaStatuses {
			if t.ordinal >= 0 && r.Ordinal != t.ordinal {
				continue
			}
			if since, until, ok := r.PreviousRun(); ok {
				targets = append(targets, reader.Target{Service: t.service.Metadata.Name, Ordinal: r.Ordinal, Since: since, Until: until})
			}
		}
	}
	if len(targets) == 0 {
		return nil, errors.New("cannot print the run before the present one: no run has ended yet, as far as the daemon knows")
	}
	return targets, nil
}
