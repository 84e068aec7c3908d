package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
	"svc.d/status"
)

func (a *app) describe() *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME[-N]...",
		Short: "Tell all about a service: its spec, its processes, and why they are as they are",
		Long: `Tell all about a service, or one replica of it: what is declared, which processes
run, why they are as they are, and what happened of late.`,
		Example:           "  reconciler describe web\n  reconciler describe replicas/web-0",
		Args:              needNames("describe web"),
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			s, err := a.ask(cmd.Context())
			if err != nil {
				return err
			}
			events, err := s.events(cmd.Context())
			if err != nil {
				return err
			}
			written := false
			return a.each(names, func(name string) error {
				t, err := s.resolve(name)
				if err != nil {
					return err
				}
				if written {
					fmt.Fprint(a.stdout, "\n\n") // as kubectl does
				}
				written = true
				return a.describeOne(s, t, events)
			})
		},
	}
}

func (a *app) describeOne(s *situation, t target, events []status.Event) error {
	var err error
	of := func(e status.Event) bool { return e.Of("Service", t.service.Metadata.Name) }
	if r := t.replica(); r != nil {
		of = func(e status.Event) bool { return e.Of("Replica", r.Name) }
		err = status.DescribeReplica(a.stdout, t.service, r, a.now())
	} else {
		err = status.Describe(a.stdout, t.service, s.problemsOf(t.service), a.now())
	}
	if err != nil || events == nil {
		return err
	}
	about := slices.DeleteFunc(slices.Clone(events), func(e status.Event) bool { return !of(e) })
	return status.WriteEvents(a.stdout, about, a.now())
}

// replica is the report of the replica that a name means, or nil.
func (t target) replica() *status.Replica {
	for i := range t.service.Status.ReplicaStatuses {
		if r := &t.service.Status.ReplicaStatuses[i]; t.ordinal >= 0 && r.Ordinal == t.ordinal {
			return r
		}
	}
	return nil
}

// events are all that the daemon remembers; nil when it is of a version that has none.
func (s *situation) events(ctx context.Context) ([]status.Event, error) {
	list, err := s.client.Events(ctx, api.Selection{})
	var failure *status.Failure
	switch {
	case errors.As(err, &failure) && failure.Reason == status.FailureNotFound:
		return nil, nil
	case err != nil:
		return nil, withHint(err)
	}
	return append([]status.Event{}, list.Items...), nil
}

// needNames refuses a command line without a name, with an example.
func needNames(example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, names []string) error {
		if len(names) == 0 {
			return fmt.Errorf("cannot %s without a name, as in `reconciler %s`; `reconciler get` lists them", cmd.Name(), example)
		}
		return nil
	}
}
