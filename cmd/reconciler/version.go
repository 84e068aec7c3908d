package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// versionPatience is how long the daemon has to tell its version.
const versionPatience = 2 * time.Second

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program, and of the daemon if one runs",
		Example: "  reconciler version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(a.stdout, "Client: %s\n", versionLine(build()))
			client, err := a.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), versionPatience)
			defer cancel()
			v, err := client.Version(ctx)
			var unreachable *api.UnreachableError
			if errors.As(err, &unreachable) {
				_, err := fmt.Fprintf(a.stdout, "Daemon: none (%v)\n", unreachable)
				return err
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "Daemon: %s\n", versionLine(*v))
			return err
		},
	}
}

func versionLine(v status.Version) string {
	line := v.GitVersion
	if v.GitCommit != "" {
		line += " " + v.GitCommit
	}
	return fmt.Sprintf("%s (%s, %s)", line, v.GoVersion, v.Platform)
}
