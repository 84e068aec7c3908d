package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/spec"
	"svc.d/status"
)

func (a *app) prune() *cobra.Command {
	var confirm bool
	cmd := &cobra.Command{
		Use:   "prune --confirm",
		Short: "Let a removal of most services happen that is being held",
		Long: `When more than half of the services vanish from the directory at once, the
daemon keeps them running and says PruneHeld. This command tells it that the
removal is meant.`,
		Example: "  reconciler prune --confirm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.ask(cmd.Context())
			if err != nil {
				return err
			}
			held := holding(s.daemon)
			switch {
			case held == nil:
				fmt.Fprintln(a.stdout, "No removal is being held.")
				return nil
			case !confirm:
				return errors.New("cannot prune without --confirm: " + held.Message)
			}
			if _, err := s.client.Prune(cmd.Context()); err != nil {
				return withHint(err)
			}
			fmt.Fprintln(a.stdout, "Confirmed: services that no manifest declares are being stopped.")
			return nil
		},
	}
	cmd.Flags().BoolVar(&confirm, "confirm", false, "the removal is meant")
	return cmd
}

// holding is the condition of a held removal, or nil.
func holding(d *status.Daemon) *status.Condition {
	for i := range d.Conditions {
		if c := &d.Conditions[i]; c.Type == spec.ConditionPruneHeld && c.Status == "True" {
			return c
		}
	}
	return nil
}
