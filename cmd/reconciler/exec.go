package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/status"
)

const execLong = `Run a command beside a replica: as its user, in its folder, with its environment
and limits, and in its cgroup, so that it ends when the replica does. NAME-N is
one replica; NAME is the first of a service that runs.

The command takes the place of this one: it has your terminal (-i and -t say
nothing new), and its exit code is that of this command: 127 when there is no such
command, 126 when it cannot be run, 1 when there is nothing to run it beside. Who
may change services may do it; only root can become another user.`

func (a *app) exec() *cobra.Command {
	var interactive, terminal bool
	cmd := &cobra.Command{
		Use:     "exec NAME[-N] -- COMMAND [ARG...]",
		Short:   "Run a command beside a replica, in its surroundings",
		Long:    execLong,
		Example: "  reconciler exec web -- env\n  reconciler exec -it web-1 -- sh",
		ValidArgsFunction: func(cmd *cobra.Command, given []string, start string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.completeNames(true)(cmd, given, start)
		},
		RunE: func(cmd *cobra.Command, words []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash != 1 || len(words) < 2 {
				return errors.New("cannot exec without a name and a command: write them as in `reconciler exec web -- env`")
			}
			s, err := a.ask(cmd.Context())
			if err != nil {
				return err
			}
			t, err := s.resolve(words[0])
			if err != nil {
				return err
			}
			r, err := t.runningReplica()
			if err != nil {
				return err
			}
			plan, err := s.client.ExecPlan(cmd.Context(), r.Name)
			if err != nil {
				return withHint(olderDaemon(err))
			}
			return a.enter(plan, words[dash:])
		},
	}
	cmd.Flags().BoolVarP(&interactive, "stdin", "i", false, "as in kubectl: it has your standard input in any case")
	cmd.Flags().BoolVarP(&terminal, "tty", "t", false, "as in kubectl: it has your terminal in any case")
	return cmd
}

// runningReplica is the replica that is meant, or the first of a service that runs.
func (t target) runningReplica() (*status.Replica, error) {
	name := t.service.Metadata.Name
	if r := t.replica(); r != nil {
		if r.Pid == 0 {
			return nil, fmt.Errorf("cannot run a command beside %s: it does not run (%s); `reconciler describe replicas/%s` tells why", r.Name, r.Phase, r.Name)
		}
		return r, nil
	}
	for i := range t.service.Status.ReplicaStatuses {
		if r := &t.service.Status.ReplicaStatuses[i]; r.Pid != 0 {
			return r, nil
		}
	}
	return nil, fmt.Errorf("cannot run a command beside %s: no replica of it runs (%s); `reconciler describe %s` tells why", name, t.service.Shown(), name)
}
