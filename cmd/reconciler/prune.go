package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/spec"
	"svc.d/status"
)

func (a *app) prune() *cobra.Command {
	var confirm bool
	cmd := &cobra.Command{
		Use:   "prune --confirm",
		Short: "Let a removal of most services happen that is being held",
		Long: `When more than half of the services vanish from the directory at once, or an
empty directory takes its place, the daemon keeps them running and says
PruneHeld or DirectoryHeld. This command tells it that the removal is meant.`,
		Example: "  reconciler prune --confirm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.ask(cmd.Context())
			if err != nil {
				return err
			}
			if !confirm {
				return a.unconfirmed(s.daemon)
			}
			pruned, err := s.client.Prune(cmd.Context())
			if err != nil {
				return withHint(err)
			}
			if len(pruned.Removed) == 0 {
				fmt.Fprintln(a.stdout, "No removal was being held.")
				return nil
			}
			fmt.Fprintf(a.stdout, "%s are not declared any more and end: %s\n",
				count(len(pruned.Removed), "service"), strings.Join(pruned.Removed, ", "))
			return nil
		},
	}
	cmd.Flags().BoolVar(&confirm, "confirm", false, "the removal is meant")
	return cmd
}

// unconfirmed says what a confirmation would be about.
func (a *app) unconfirmed(d *status.Daemon) error {
	if held := holding(d); held != nil {
		return fmt.Errorf("cannot prune without --confirm: %s", held.Message)
	}
	_, err := fmt.Fprintln(a.stdout, "No removal is being held.")
	return err
}

// holding is the condition of a held removal, or nil.
func holding(d *status.Daemon) *status.Condition {
	for i := range d.Conditions {
		if c := &d.Conditions[i]; (c.Type == spec.ConditionPruneHeld || c.Type == spec.ConditionDirectoryHeld) && c.Status == "True" {
			return c
		}
	}
	return nil
}
