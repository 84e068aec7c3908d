package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/status"
)

func (a *app) describe() *cobra.Command {
	return &cobra.Command{
		Use:     "describe NAME...",
		Short:   "Tell all about a service: its spec, its processes, and why they are as they are",
		Example: "  reconciler describe web",
		Args:    needNames("describe web"),
		RunE: func(cmd *cobra.Command, names []string) error {
			s, err := a.ask(cmd.Context())
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
				return status.Describe(a.stdout, t.service, s.problemsOf(t.service), a.now())
			})
		},
	}
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
