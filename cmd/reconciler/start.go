package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/status"
)

func (a *app) start() *cobra.Command {
	return &cobra.Command{
		Use:               "start NAME...",
		Short:             "End a stop: run the service as its manifest says",
		Example:           "  reconciler start web",
		Args:              needNames("start web"),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.eachTarget(cmd.Context(), names, func(s *situation, t target) error {
				service := t.service.Metadata.Name
				if t.ordinal >= 0 {
					return fmt.Errorf("cannot start one replica: `reconciler start %s` starts all of them", service)
				}
				if _, err := s.client.Start(cmd.Context(), service); err != nil {
					return withHint(err)
				}
				switch st := &t.service.Status; {
				case st.Held != nil:
				case st.Phase == status.PhaseFailed || st.Phase == status.PhaseCompleted || st.Phase == status.PhaseCrashLoopBackOff:
					fmt.Fprintf(a.stdout, "%s was not held; it is started again\n", service)
					return nil
				default:
					fmt.Fprintf(a.stdout, "%s was not held\n", service)
					return nil
				}
				fmt.Fprintf(a.stdout, "%s is not held any more\n", service)
				return nil
			})
		},
	}
}
