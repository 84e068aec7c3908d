package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
)

func (a *app) stop() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "stop NAME...",
		Short: "Stop a service and keep it stopped",
		Long: `Stop a service and keep it stopped, whatever its manifest says, until
"reconciler start", the end given by --for, or the removal of its manifest.`,
		Example:           "  reconciler stop web --for 10m",
		Args:              needNames("stop web"),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(cmd *cobra.Command, names []string) error {
			var options api.Options
			if cmd.Flags().Changed("for") {
				if length <= 0 {
					return fmt.Errorf("cannot stop for %s: --for takes a time above zero, as in --for 10m", length)
				}
				options.For = length.String()
			}
			return a.eachTarget(cmd.Context(), names, func(s *situation, t target) error {
				return a.stopOne(cmd.Context(), s, t, options)
			})
		},
	}
	cmd.Flags().DurationVar(&length, "for", 0, "start it again after so long, as in 10m")
	return cmd
}

func (a *app) stopOne(ctx context.Context, s *situation, t target, options api.Options) error {
	service := t.service.Metadata.Name
	if t.ordinal >= 0 {
		return fmt.Errorf("cannot stop one replica: `reconciler stop %s` stops all of them; to run fewer, lower replicas in %s", service, t.service.Status.File)
	}
	after, err := s.client.Stop(ctx, service, options)
	if err != nil {
		return withHint(err)
	}
	if held := after.Status.Held; held != nil && !held.Until.IsZero() {
		fmt.Fprintf(a.stdout, "%s is held until %s\n", service, held.Until.In(a.now().Location()).Format(time.RFC3339))
		return nil
	}
	fmt.Fprintf(a.stdout, "%s is held until `reconciler start %s`\n", service, service)
	return nil
}
