package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/spec"
)

func (a *app) kill() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "kill -s SIGNAL NAME[-N]...",
		Short: "Send a signal to the main processes of a service",
		Long: `Send a signal to the main process of each replica of a service, or only of the
replica NAME-N. If that ends it, it is started again as after any end that
nobody asked for; to end it and keep it so, use "reconciler stop".`,
		Example:           "  reconciler kill -s SIGUSR1 web-0",
		Args:              needNames("kill -s SIGUSR1 web"),
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			signal, ok := spec.ParseSignal(name)
			if !ok {
				return fmt.Errorf("cannot send %q: it is no signal; write one such as SIGHUP, HUP or 1", name)
			}
			return a.eachTarget(cmd.Context(), names, func(s *situation, t target) error {
				options, shown := t.options()
				options.Signal = string(signal)
				if _, err := s.client.Kill(cmd.Context(), t.service.Metadata.Name, options); err != nil {
					return withHint(err)
				}
				fmt.Fprintf(a.stdout, "%s was sent %s\n", shown, signal)
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&name, "signal", "s", "SIGTERM", "the `signal`: a name or a number")
	return cmd
}
