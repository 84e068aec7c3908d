package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) restart() *cobra.Command {
	return &cobra.Command{
		Use:   "restart NAME[-N]...",
		Short: "Restart a service, or one replica of it",
		Long: `Restart a service, one replica after the other, or only the replica NAME-N.
A wait after crashes, and the limit of restarts, do not hold it back.`,
		Example:           "  reconciler restart web\n  reconciler restart web-0",
		Args:              needNames("restart web"),
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.eachTarget(cmd.Context(), names, func(s *situation, t target) error {
				options, shown := t.options()
				if _, err := s.client.Restart(cmd.Context(), t.service.Metadata.Name, options); err != nil {
					return withHint(err)
				}
				fmt.Fprintf(a.stdout, "%s is being restarted\n", shown)
				return nil
			})
		},
	}
}
