package main

import (
	"github.com/spf13/cobra"

	"svc.d/spec"
)

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of manifests, for editors",
		Example: "  reconciler schema > manifest.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := spec.Schema()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}
