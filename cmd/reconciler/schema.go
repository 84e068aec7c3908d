package main

import (
	"bytes"
	"encoding/json"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
	"svc.d/spec"
)

func (a *app) schema() *cobra.Command {
	var openAPI bool
	command := &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of manifests, for editors",
		Example: "  reconciler schema > manifest.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := spec.Schema()
			if openAPI {
				text, err = shownOpenAPI()
			}
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
	command.Flags().BoolVar(&openAPI, "openapi", false, "print the OpenAPI document of the daemon's API instead")
	return command
}

func shownOpenAPI() ([]byte, error) {
	text, err := api.OpenAPI()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, []byte(text+"\n"), "", "  ")
	return out.Bytes(), err
}
