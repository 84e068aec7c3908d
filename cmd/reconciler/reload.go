package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
)

func (a *app) reload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload NAME[-N]...",
		Short: "Have a service load its files anew",
		Long: `Have a service, or only the replica NAME-N, load its files anew, as its manifest
says under reload: the check first, and then the signal or the command. How it
went is told by "reconciler describe".`,
		Example:           "  reconciler reload web",
		Args:              needNames("reload web"),
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.eachTarget(cmd.Context(), names, func(s *situation, t target) error {
				options, shown := t.options()
				if _, err := s.client.Reload(cmd.Context(), t.service.Metadata.Name, options); err != nil {
					return withHint(err)
				}
				fmt.Fprintf(a.stdout, "%s is being reloaded\n", shown)
				return nil
			})
		},
	}
}

// options are what limits a request to the replica that a name means, and how that
// is shown.
func (t target) options() (options api.Options, shown string) {
	shown = t.service.Metadata.Name
	if t.ordinal >= 0 {
		options.Ordinal = &t.ordinal
		shown = fmt.Sprintf("%s-%d", shown, t.ordinal)
	}
	return options, shown
}
