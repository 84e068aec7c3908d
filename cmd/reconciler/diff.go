package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/spec"
	"svc.d/status"
)

const (
	// exitDiffers and exitDiffFailed are kubectl diff's.
	exitDiffers    = 1
	exitDiffFailed = 2
	// massRemoval is the number of services from which on the daemon holds a
	// removal of more than half of them.
	massRemoval = 5
)

func (a *app) diff() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "diff [PATH]",
		Short: "Tell what manifests would start, stop, restart or change",
		Long: `Compare manifests with what the daemon has in force, and tell what would start,
stop, restart or change live, and which field causes it. Nothing is done.

PATH is a directory that would take the place of the daemon's, or a file that
would be put into it. Without PATH it is the daemon's directory as it is now.

The exit code is 0 without differences, 1 with some, and 2 after an error.`,
		Example: "  reconciler diff ./svc.d",
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) > 1 {
				return &exit{exitDiffFailed, fmt.Errorf("cannot compare %d paths: give one, as in `reconciler diff ./svc.d`", len(paths))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, paths []string) error {
			err := a.compare(cmd, paths, recursive)
			var coded *exit
			if err == nil || errors.As(err, &coded) {
				return err
			}
			return &exit{exitDiffFailed, err}
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "read sub-directories of PATH too")
	// 1 would say that there are differences.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &exit{exitDiffFailed, flagError(cmd, err)} })
	return cmd
}

func (a *app) compare(cmd *cobra.Command, paths []string, recursive bool) error {
	s, err := a.ask(cmd.Context())
	if err != nil {
		return err
	}
	path := s.daemon.Dir
	if len(paths) > 0 {
		if path, err = absolute(paths[0]); err != nil {
			return err
		}
	} else {
		recursive = s.daemon.Recursive
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read manifests: %w", err)
	}
	where := placement{daemonDir: s.daemon.Dir, path: path, dir: info.IsDir()}
	m, err := s.read(cmd.Context(), where, recursive)
	if err != nil {
		return err
	}
	return a.report(s, m, where)
}

// read reads the files with the defaults that services would have. A directory
// brings its configuration along or does without. Where that is broken, and beside one
// file, the daemon's stays in force.
func (s *situation) read(ctx context.Context, where placement, recursive bool) (*manifests, error) {
	paths := append(where.providers(s, recursive), where.path)
	m, err := readManifests(paths, recursive, where.parse, spec.Defaults())
	if err != nil || m.configuration != nil {
		return m, err
	}
	file, _ := where.counterpart(s.daemon.Configuration)
	if where.dir && !slices.ContainsFunc(m.problems, func(p spec.Problem) bool { return p.File == file }) {
		return m, nil
	}
	defaults, err := s.defaults(ctx)
	if err != nil {
		return nil, err
	}
	return readManifests(paths, recursive, where.parse, defaults)
}

// defaults are what services mean under the daemon's configuration.
func (s *situation) defaults(ctx context.Context) (spec.Spec, error) {
	report, err := s.client.Configuration(ctx)
	var failure *status.Failure
	if errors.As(err, &failure) && failure.Reason == status.FailureNotFound {
		return spec.Defaults(), nil // a daemon of an earlier version, which has none
	}
	if err != nil {
		return spec.Spec{}, withHint(err)
	}
	return defaultsOf(report)
}

// report writes the plan and returns its exit code.
func (a *app) report(s *situation, m *manifests, where placement) error {
	steps, err := plan(s.services, m, where)
	if err != nil {
		return err
	}
	if len(steps) > 0 {
		fmt.Fprint(a.stdout, status.Shown(render(steps, total(s.services, steps))))
	}
	a.warnIgnored(m.ignored)
	if where.dir && manyStop(steps, s.services) {
		fmt.Fprintln(a.stderr, "More than half of the services would go: the daemon holds that until `reconciler prune --confirm`.")
	}
	if len(m.problems) > 0 {
		a.writeProblems(m.problems)
		return fmt.Errorf("%s; what these files last declared without one stays in force", count(len(m.problems), "problem"))
	}
	if len(steps) > 0 {
		return &exit{code: exitDiffers}
	}
	return nil
}

// total counts the services before and after together.
func total(services []status.Service, steps []*step) int {
	n := 0
	for i := range services {
		if len(services[i].Spec) > 0 {
			n++
		}
	}
	for _, s := range steps {
		if s.act == actStart {
			n++
		}
	}
	return n
}

func manyStop(steps []*step, services []status.Service) bool {
	stops := 0
	for _, s := range steps {
		if s.act == actStop {
			stops++
		}
	}
	return len(services) >= massRemoval && 2*stops > len(services)
}

// placement is where files are read, and where they would be in the daemon's
// directory: relative paths in a manifest start at its folder.
type placement struct {
	daemonDir, path string
	dir             bool // path is a directory
}

// providers are the files in the place of those that provide the services and
// the configuration now. They are read first: of two files that declare one
// service, that one keeps it.
func (p placement) providers(s *situation, recursive bool) []string {
	if !p.dir {
		return nil
	}
	inForce := []string{s.daemon.Configuration}
	for i := range s.services {
		inForce = append(inForce, s.services[i].Status.File)
	}
	var files []string
	for _, file := range inForce {
		file, inside := p.counterpart(file)
		if !inside || !recursive && filepath.Dir(file) != p.path {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// counterpart is the file of the directory that is in the place of one of the
// daemon's.
func (p placement) counterpart(file string) (string, bool) {
	rel, err := filepath.Rel(p.daemonDir, file)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.Join(p.path, rel), true
}

// target is where a file would be.
func (p placement) target(file string) string {
	base := filepath.Dir(p.path)
	if p.dir {
		base = p.path
	} else if within(p.daemonDir, p.path) {
		return file
	}
	rel, err := filepath.Rel(base, file)
	if err != nil {
		return file
	}
	return filepath.Join(p.daemonDir, rel)
}

// parse reads a file as if it were in the daemon's directory; what it says of
// places is about the file that was read.
func (p placement) parse(under spec.Parser, file string, data []byte) spec.File {
	parsed := under.Parse(p.target(file), data)
	for i := range parsed.Problems {
		parsed.Problems[i].File = file
	}
	for i := range parsed.Ignored {
		parsed.Ignored[i].File = file
	}
	for _, s := range parsed.Services {
		s.Source.File = file // it was made for us a moment ago
	}
	for _, c := range parsed.Configurations {
		c.Source.File = file
	}
	return parsed
}

// covers tells whether the files are the whole truth about a service: one that
// they do not declare would be stopped.
func (p placement) covers(s *status.Service) bool {
	return p.dir || s.Status.File == p.target(p.path)
}

func within(dir, file string) bool {
	rel, err := filepath.Rel(dir, file)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
