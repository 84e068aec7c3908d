package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
	"svc.d/spec"
	"svc.d/status"
)

const getLong = `List services, replicas or events, with what is wrong in the directory after a
list of services. Without a word for a kind it is services.

STATUS is Running, Completed, Held, Pending, Terminating, CrashLoopBackOff or
Failed, with the reason where there is one; "describe" says more.

-o jsonpath takes kubectl's templates, of one object that was named and else of
the list. --watch goes on with what changes, until it is stopped.

"get config" (or "configuration") alone tells the daemon's own configuration
instead, and where each value comes from: a flag, a document of kind
ReconcilerConfiguration in the directory, or a default. A service that has this
very name comes first; the other word is left then.`

const getExample = `  reconciler get web -o wide
  reconciler get replicas -l tier=front --watch
  reconciler get -o custom-columns=NAME:.metadata.name,PHASE:.status.phase
  reconciler get web -o jsonpath='{.status.readyReplicas}'
  reconciler get config`

// getFlags are the flags of "get".
type getFlags struct {
	output, sortBy                                       string
	selection                                            api.Selection
	watch, watchOnly, watchEvents, noHeaders, showLabels bool
}

func (a *app) get() *cobra.Command {
	var flags getFlags
	cmd := &cobra.Command{
		Use:               "get [services | replicas | events | config] [NAME...]",
		Short:             "List services, replicas or events, or tell the daemon's configuration",
		Long:              getLong,
		Example:           getExample,
		ValidArgsFunction: a.completeGet,
		RunE: func(cmd *cobra.Command, words []string) error {
			p, err := a.newPrinter(flags.output, flags.noHeaders, flags.showLabels, flags.sortBy)
			if err != nil {
				return err
			}
			return a.list(cmd.Context(), words, &flags, p)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&flags.output, "output", "o", "", "the `form`: "+outputs)
	fs.BoolVarP(&flags.watch, "watch", "w", false, "after the list, go on with what changes")
	fs.BoolVar(&flags.watchOnly, "watch-only", false, "only what changes from now on")
	fs.BoolVar(&flags.watchEvents, "output-watch-events", false, "with --watch, what became of each: ADDED, MODIFIED or DELETED")
	fs.StringVarP(&flags.selection.Labels, "selector", "l", "", "those with these `labels`: k=v, k!=v, k in (v,w), k notin (v), k, !k, with commas between")
	fs.StringVar(&flags.selection.Fields, "field-selector", "", "those with these `fields`: metadata.name and status.phase; of events involvedObject.kind, involvedObject.name, reason and type")
	fs.StringVar(&flags.sortBy, "sort-by", "", "in the order of what a `path` leads to, as in {.metadata.creationTimestamp}")
	fs.BoolVar(&flags.noHeaders, "no-headers", false, "no line with the names of columns")
	fs.BoolVar(&flags.showLabels, "show-labels", false, "a column with the labels")
	completeWords(cmd, "output", "json", "yaml", "wide", "name", "jsonpath=", "custom-columns=")
	return cmd
}

// check refuses what cannot be meant.
func (f *getFlags) check(names []string, groups int) error {
	selects := f.selection != api.Selection{}
	watches := f.watch || f.watchOnly
	switch {
	case selects && len(names) > 0:
		return errors.New("cannot choose by names and by a selector at once: leave one of them out")
	case watches && groups > 1:
		return errors.New("cannot watch services and replicas at once: watch each in a terminal of its own")
	case watches && f.sortBy != "":
		return errors.New("cannot sort what is still to come: --sort-by and --watch exclude each other")
	case f.watchEvents && !watches:
		return errors.New("cannot tell what becomes of them without --watch: add it, or leave --output-watch-events out")
	}
	return nil
}

func (a *app) list(ctx context.Context, words []string, flags *getFlags, p *printer) error {
	if done, err := a.listText(ctx, words, flags, p); done || err != nil {
		return err
	}
	s, err := a.ask(ctx)
	if err != nil {
		return err
	}
	k, names := kindServices, words
	if len(words) > 0 {
		if word, known := kindOf(words[0]); known && word != kindConfig {
			k, names = word, words[1:]
		} else if known && len(words) == 1 && find(s.services, words[0]) == nil {
			return a.tellConfiguration(ctx, s, p)
		}
	}
	groups, unknown, err := a.groups(ctx, s, k, names, flags)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return unknown
	}
	if err := flags.check(names, len(groups)); err != nil {
		return err
	}
	p.showKind, p.showTypes = len(groups) > 1, flags.watchEvents
	if !flags.watchOnly {
		if err := a.showGroups(s, groups, len(names) == 1, p); err != nil {
			return err
		}
	}
	if p.isTable() && k == kindServices && !flags.watchOnly {
		if err := a.afterTable(s, groups, len(names) > 0 || flags.selection != api.Selection{}); err != nil {
			return err
		}
	}
	if !flags.watch && !flags.watchOnly {
		return unknown
	}
	if err := a.watch(ctx, s.client, groups[0], flags, p); err != nil {
		return err
	}
	return unknown
}

func (a *app) showGroups(s *situation, groups []*group, single bool, p *printer) error {
	for n, g := range groups {
		if err := p.sort(g.objects); err != nil {
			return err
		}
		if len(g.objects) == 0 && p.isTable() {
			fmt.Fprintln(a.stderr, nothing(s, g))
			continue
		}
		if n > 0 && p.isTable() {
			fmt.Fprintln(a.stdout)
			p.table = nil
		}
		if err := p.list(g, single); err != nil {
			return err
		}
	}
	return nil
}

// nothing says that a list is empty.
func nothing(s *situation, g *group) string {
	switch {
	case g.selected:
		return fmt.Sprintf("No %s match the selector.", g.kind)
	case g.kind == kindServices:
		return fmt.Sprintf("No services are declared in %s.", s.daemon.Dir)
	case g.kind == kindReplicas:
		return fmt.Sprintf("There are no replicas: nothing of what %s declares is to run.", s.daemon.Dir)
	default:
		return "Nothing has happened that is still remembered."
	}
}

// afterTable writes to stderr what a reader of the table must not miss. For
// chosen services that is what concerns them.
func (a *app) afterTable(s *situation, groups []*group, chosen bool) error {
	report := *s.daemon
	if chosen {
		report.Problems = slices.DeleteFunc(slices.Clone(report.Problems), func(p status.Problem) bool {
			return !slices.ContainsFunc(groups, func(g *group) bool { return g.concernedBy(p, s.services) })
		})
	}
	if err := status.WriteProblems(a.stderr, &report, s.services, a.now()); err != nil || chosen {
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
