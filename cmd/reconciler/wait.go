package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
	"svc.d/status"
)

const waitLong = `Wait until a service, or a replica, is as --for says. It is looked at first, so
what is so already takes no time. Several names have the --timeout together.

  --for=condition=Ready               a condition that "reconciler describe" shows is True
  --for=condition=Progressing=False   or has another status
  --for=delete                        it is gone
  --for=jsonpath='{.status.phase}'=Completed   a field has a value; without =VALUE, any

The exit code is 0 when it came to be so for all, and 1 after the timeout or when
one of them is removed meanwhile. The daemon may be restarted meanwhile.`

// waitFlags are the flags of "wait".
type waitFlags struct {
	goal, selector string
	all            bool
	timeout        time.Duration
}

func (a *app) wait() *cobra.Command {
	var flags waitFlags
	cmd := &cobra.Command{
		Use:               "wait {NAME[-N]... | -l LABELS | --all} --for=condition=Ready",
		Short:             "Wait until a service is ready, gone, or as you say",
		Long:              waitLong,
		Example:           "  reconciler wait web --for=condition=Ready --timeout 1m\n  reconciler wait migration --for=jsonpath='{.status.phase}'=Completed",
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			if flags.goal == "" {
				return errors.New("cannot wait for nothing: say what for, as in --for=condition=Ready, --for=delete or --for=jsonpath='{.status.phase}'=Running")
			}
			met, err := parseGoal(flags.goal)
			if err != nil {
				return err
			}
			return a.waitFor(cmd.Context(), names, &flags, met)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&flags.goal, "for", "", "the `condition`: condition=NAME[=STATUS], delete, or jsonpath='{PATH}'[=VALUE]")
	fs.DurationVar(&flags.timeout, "timeout", 30*time.Second, "how long; 0 looks once and does not wait, less than 0 is a week")
	fs.StringVarP(&flags.selector, "selector", "l", "", "the services with these `labels`")
	fs.BoolVar(&flags.all, "all", false, "all services")
	completeWords(cmd, "for", "condition=Ready", "condition=Available", "delete", "jsonpath=")
	return cmd
}

// goal tells whether an object is as it is waited for; nil is one that is gone.
type goal struct {
	met    func(object *object) (bool, error)
	delete bool
}

// parseGoal reads the value of --for.
func parseGoal(text string) (*goal, error) {
	word, rest, _ := strings.Cut(text, "=")
	switch word {
	case "delete":
		return &goal{delete: true, met: func(o *object) (bool, error) { return o == nil, nil }}, nil
	case "condition":
		name, value, given := strings.Cut(rest, "=")
		if !given {
			value = "True"
		}
		if name != "" && value != "" {
			return &goal{met: func(o *object) (bool, error) { return o.has(name, value) }}, nil
		}
	case "jsonpath":
		path, value, given := cutPath(rest)
		t, err := parseTemplate("for jsonpath", path)
		if err != nil {
			return nil, err
		}
		return &goal{met: func(o *object) (bool, error) { return o.leads(t, value, given) }}, nil
	}
	return nil, fmt.Errorf("cannot wait for %q: it is one of condition=NAME[=STATUS], delete, jsonpath='{PATH}'[=VALUE]", text)
}

// cutPath parts '{.status.phase}'=Running, where the path may hold a = too.
func cutPath(text string) (path, value string, given bool) {
	end := strings.LastIndexByte(text, '}')
	if end < 0 {
		return strings.Cut(text, "=")
	}
	path, rest := text[:end+1], text[end+1:]
	value, given = strings.CutPrefix(rest, "=")
	return path, value, given
}

// has tells whether a condition has a status; one that is not listed has none.
func (o *object) has(name, value string) (bool, error) {
	var seen struct {
		Kind   string
		Status struct {
			Conditions []status.Condition
			Ready      bool
		}
	}
	if err := json.Unmarshal(o.raw, &seen); err != nil {
		return false, fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	if seen.Kind == "Replica" && strings.EqualFold(name, "Ready") {
		return strings.EqualFold(fmt.Sprint(seen.Status.Ready), value), nil
	}
	for _, c := range seen.Status.Conditions {
		if strings.EqualFold(c.Type, name) {
			return strings.EqualFold(c.Status, value), nil
		}
	}
	return false, nil
}

// leads tells whether a path leads to a value, or to any.
func (o *object) leads(t template, value string, given bool) (bool, error) {
	data, err := decoded(o.raw)
	if err != nil {
		return false, err
	}
	values, err := t.find(data)
	if err != nil || len(values) == 0 {
		return false, err
	}
	if len(values) > 1 {
		return false, errors.New("cannot compare more than one value: let the path lead to one, as with [0]")
	}
	return !given || text(values[0]) == value, nil
}

// errMet ends a follower.
var errMet = errors.New("met")

func (a *app) waitFor(ctx context.Context, names []string, flags *waitFlags, g *goal) error {
	if flags.timeout < 0 {
		flags.timeout = 7 * 24 * time.Hour
	}
	waiting, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	asking, done := context.WithTimeout(ctx, max(flags.timeout, a.patience))
	defer done()
	s, err := a.ask(asking)
	if err != nil {
		return err
	}
	targets, unknown, err := a.waitTargets(asking, s, names, flags, g)
	if err != nil {
		return err
	}
	failed := a.each(targets, func(name string) error {
		k, plain, _ := strings.Cut(name, "/")
		err := a.waitOne(ctx, waiting, s.client, kind(k), plain, g)
		if err == nil {
			fmt.Fprintf(a.stdout, "%s%s condition met\n", prefixOf(kind(k)), plain)
		}
		return err
	})
	if failed != nil {
		return failed
	}
	return unknown
}

// waitTargets are what the command line names, as KIND/NAME.
func (a *app) waitTargets(ctx context.Context, s *situation, names []string, flags *waitFlags, g *goal) (targets []string, unknown, err error) {
	if (flags.all || flags.selector != "") == (len(names) > 0) {
		return nil, nil, errors.New("cannot tell what to wait for: give names, as in `reconciler wait web --for=condition=Ready`, labels (-l), or --all")
	}
	unknown = a.each(names, func(name string) error {
		t, err := s.resolve(name)
		switch {
		case err != nil && g.delete:
			_, err = parseName(name)
			return err
		case err != nil:
			return err
		case t.ordinal >= 0:
			targets = append(targets, fmt.Sprintf("%s/%s-%d", kindReplicas, t.service.Metadata.Name, t.ordinal))
		default:
			targets = append(targets, string(kindServices)+"/"+t.service.Metadata.Name)
		}
		return nil
	})
	if len(names) > 0 {
		return targets, unknown, nil
	}
	chosen, err := s.collection(ctx, kindServices, api.Selection{Labels: flags.selector})
	if err != nil {
		return nil, nil, err
	}
	for i := range chosen.objects {
		targets = append(targets, string(kindServices)+"/"+chosen.objects[i].meta.Name)
	}
	if len(targets) == 0 && !g.delete {
		return nil, nil, errors.New("cannot wait: no matching services found; `reconciler get --show-labels` lists all")
	}
	return targets, nil, nil
}

// waitOne looks at an object first, and then at what becomes of it. ctx is that of
// the command, waiting ends with the timeout.
func (a *app) waitOne(ctx, waiting context.Context, client *api.Client, k kind, name string, g *goal) error {
	selection := api.Selection{Fields: "metadata.name=" + name}
	list, err := client.List(ctx, string(k), selection)
	if err != nil {
		return withHint(olderDaemon(err))
	}
	if len(list.Items) == 0 {
		return g.gone(k, name)
	}
	look := func(e status.WatchEvent) error {
		if e.Type == status.WatchDeleted {
			if err := g.gone(k, name); err != nil {
				return err
			}
			return errMet
		}
		o, err := newObject(e.Object)
		if err != nil || o.meta.Name != name {
			return err
		}
		met, err := g.met(&o)
		if met && err == nil {
			return errMet
		}
		return err
	}
	for _, item := range list.Items {
		if err := look(status.WatchEvent{Type: status.WatchAdded, Object: item}); err != nil {
			return unlessMet(err)
		}
	}
	f, err := client.Follow(string(k), selection, list)
	if err != nil {
		return err
	}
	f.Lost = a.lost
	err = f.Run(waiting, look)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("timed out waiting for the condition on %s/%s; `reconciler describe %s/%s` tells how it is", k, name, k, name)
	}
	return unlessMet(withHint(err))
}

func unlessMet(err error) error {
	if errors.Is(err, errMet) {
		return nil
	}
	return err
}

// gone is what an object's absence means.
func (g *goal) gone(k kind, name string) error {
	if g.delete {
		return nil
	}
	return fmt.Errorf("cannot wait for %s/%s: it is not there any more; `reconciler get` lists what is", k, name)
}
