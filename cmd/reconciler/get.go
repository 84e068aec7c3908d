package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"svc.d/spec"
	"svc.d/status"
)

func (a *app) get() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "get [NAME... | config]",
		Short: "List services, or tell the daemon's configuration",
		Long: `List services, with what is wrong in the directory after the list.

STATUS is Running, Completed, Held, Pending, Terminating, CrashLoopBackOff or
Failed, with the reason where there is one; "describe" says more.

"get config" (or "configuration") alone tells the daemon's own configuration
instead, and where each value comes from: a flag, a document of kind
ReconcilerConfiguration in the directory, or a default. A service that has this
very name comes first; the other word is left then.`,
		Example: "  reconciler get web -o wide\n  reconciler get config",
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := oneOf("output", output, "", "json", "yaml", "wide", "name"); err != nil {
				return err
			}
			return a.list(cmd.Context(), names, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml, wide or name")
	return cmd
}

func (a *app) list(ctx context.Context, names []string, output string) error {
	s, err := a.ask(ctx)
	if err != nil {
		return err
	}
	if len(names) == 1 && meansConfiguration(names[0]) && find(s.services, names[0]) == nil {
		return a.tellConfiguration(ctx, s, output)
	}
	chosen := s.services
	var unknown error
	if len(names) > 0 {
		chosen = nil
		unknown = a.each(names, func(name string) error {
			t, err := s.resolve(name)
			if err == nil && !slices.ContainsFunc(chosen, func(c status.Service) bool { return c.Metadata.Name == t.service.Metadata.Name }) {
				chosen = append(chosen, *t.service)
			}
			return err
		})
		if len(chosen) == 0 {
			return unknown
		}
	}
	if err := a.show(s, chosen, len(names) == 1, output); err != nil {
		return err
	}
	if output != "" && output != "wide" {
		return unknown
	}
	if err := a.afterTable(s, chosen, len(names) > 0); err != nil {
		return err
	}
	return unknown
}

func meansConfiguration(name string) bool { return name == "config" || name == "configuration" }

// tellConfiguration writes what the daemon goes by, and what keeps an edit of
// the document from being in force.
func (a *app) tellConfiguration(ctx context.Context, s *situation, output string) error {
	if output == "name" {
		return errors.New("cannot use --output name for the configuration: it must be json, yaml or wide")
	}
	report, err := s.client.Configuration(ctx)
	if err != nil {
		return withHint(err)
	}
	switch output {
	case "json":
		return writeJSON(a.stdout, report)
	case "yaml":
		return writeYAML(a.stdout, report)
	}
	if err := status.WriteConfiguration(a.stdout, report); err != nil {
		return err
	}
	concerning := status.Daemon{Configuration: s.daemon.Configuration}
	for _, p := range s.daemon.Problems {
		if s.daemon.ConcernsConfiguration(p) {
			concerning.Problems = append(concerning.Problems, p)
		}
	}
	return status.WriteProblems(a.stderr, &concerning, s.services, a.now())
}

// show writes the services in the wanted form. A single one that was asked for
// by its name is not put into a list, as in kubectl.
func (a *app) show(s *situation, chosen []status.Service, single bool, output string) error {
	var value any = status.ServiceList{APIVersion: spec.APIVersion, Kind: "ServiceList", Items: chosen}
	if single {
		value = chosen[0]
	}
	switch output {
	case "json":
		return writeJSON(a.stdout, value)
	case "yaml":
		return writeYAML(a.stdout, value)
	case "name":
		return status.WriteNames(a.stdout, chosen)
	default:
		if len(chosen) == 0 {
			_, err := fmt.Fprintf(a.stderr, "No services are declared in %s.\n", s.daemon.Dir)
			return err
		}
		return status.WriteTable(a.stdout, chosen, a.now(), output == "wide")
	}
}

// afterTable writes to stderr what a reader of the table must not miss. For
// chosen services that is what concerns them.
func (a *app) afterTable(s *situation, chosen []status.Service, named bool) error {
	report := *s.daemon
	if named {
		report.Problems = slices.DeleteFunc(slices.Clone(report.Problems), func(p status.Problem) bool {
			return !slices.ContainsFunc(chosen, func(c status.Service) bool { return p.Concerns(&c, s.services) })
		})
	}
	if err := status.WriteProblems(a.stderr, &report, s.services, a.now()); err != nil || named {
		return err
	}
	a.warnIgnored(ignoredBy(s.daemon))
	return nil
}

// ignoredBy are the documents that the daemon ignores.
func ignoredBy(d *status.Daemon) []spec.Ignored {
	var all []spec.Ignored
	for _, i := range d.Ignored {
		all = append(all, spec.Ignored{
			Source:     spec.Source{File: i.File, Document: i.Document, Line: i.Line},
			APIVersion: i.APIVersion, Kind: i.Kind, Hint: i.Hint,
		})
	}
	return all
}
