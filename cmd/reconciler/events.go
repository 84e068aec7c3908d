package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// eventsFlags are the flags of "events".
type eventsFlags struct {
	watch, noHeaders     bool
	about, output, types string
}

func (a *app) events() *cobra.Command {
	var flags eventsFlags
	cmd := &cobra.Command{
		Use:   "events [--for NAME[-N]]",
		Short: "Tell what has happened: starts, exits, edits, failures",
		Long: `Tell what has happened to services, their replicas and the directory, oldest
first. What happened again and again is one line with a count. The daemon
remembers the latest; the output of services is told by "reconciler logs".`,
		Example: "  reconciler events --for web\n  reconciler events --types=Warning --watch",
		Args: func(_ *cobra.Command, names []string) error {
			if len(names) > 0 {
				return fmt.Errorf("cannot take %q: whose events is said by --for, as in `reconciler events --for %s`", names[0], names[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.tellEvents(cmd.Context(), &flags)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&flags.about, "for", "", "only those of a service and its replicas, or of one replica: `NAME[-N]`")
	fs.StringVar(&flags.types, "types", "", "only those of these `types`: Normal, Warning")
	fs.BoolVarP(&flags.watch, "watch", "w", false, "go on with what happens from now on")
	fs.StringVarP(&flags.output, "output", "o", "", "the `form`: json, yaml, name or jsonpath=TEMPLATE")
	fs.BoolVar(&flags.noHeaders, "no-headers", false, "no line with the names of columns")
	completeWords(cmd, "types", "Normal", "Warning")
	if err := cmd.RegisterFlagCompletionFunc("for", a.completeNames(true)); err != nil {
		panic(err) // there is this flag
	}
	return cmd
}

func (a *app) tellEvents(ctx context.Context, flags *eventsFlags) error {
	wanted, err := flags.filter()
	if err != nil {
		return err
	}
	p, err := a.newPrinter(flags.output, flags.noHeaders, false, "")
	if err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	s := &situation{client: client}
	g, err := s.collection(ctx, kindEvents, api.Selection{})
	if err != nil {
		return err
	}
	g.wanted = wanted
	g.objects = slices.DeleteFunc(g.objects, func(o object) bool { return !wanted(o) })
	if len(g.objects) == 0 && p.isTable() && !flags.watch {
		fmt.Fprintln(a.stderr, flags.nothing())
		return nil
	}
	if len(g.objects) > 0 || !flags.watch {
		if err := p.list(g, false); err != nil {
			return err
		}
	}
	if !flags.watch {
		return nil
	}
	return a.watch(ctx, client, g, &getFlags{}, p)
}

// nothing is in kubectl's words.
func (f *eventsFlags) nothing() string {
	if f.about != "" {
		return fmt.Sprintf("No events found for %s.", f.about)
	}
	return "No events found."
}

// filter tells which events are wanted. Names are not looked up: a service that is
// gone has events, too.
func (f *eventsFlags) filter() (func(object) bool, error) {
	var types []string
	if f.types != "" {
		types = strings.Split(f.types, ",")
	}
	for _, t := range types {
		if err := oneOf("types", t, "", string(status.EventNormal), string(status.EventWarning)); err != nil {
			return nil, err
		}
	}
	var about named
	if f.about != "" {
		var err error
		if about, err = parseName(f.about); err != nil {
			return nil, err
		}
	}
	return func(o object) bool {
		var e status.Event
		if json.Unmarshal(o.raw, &e) != nil {
			return true // whoever prints it says what is wrong
		}
		isType := len(types) == 0 || slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, string(e.Type)) })
		return isType && (f.about == "" || about.kind != kindReplicas && e.Of("Service", about.plain) ||
			about.kind != kindServices && e.Of("Replica", about.plain))
	}, nil
}
