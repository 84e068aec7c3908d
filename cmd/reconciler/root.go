package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

const rootLong = `reconciler runs what the manifests in a directory declare, keeps it running,
and follows every edit of the files. With --dir it is the daemon; the commands
below ask a daemon that runs, or tell it something.`

const rootExample = `  reconciler --dir /etc/svc.d
  reconciler get`

// root is the command line. Without a sub-command it is the daemon.
func (a *app) root() *cobra.Command {
	var flags daemonFlags
	root := &cobra.Command{
		Use:           "reconciler --dir DIR",
		Short:         "Run and supervise what the manifests in a directory declare",
		Long:          rootLong,
		Example:       rootExample,
		SilenceUsage:  true,
		SilenceErrors: true,
		// The completion command would be shown but is not part of this version.
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.dir == "" {
				if cmd.Flags().NFlag() == 0 {
					return cmd.Help()
				}
				return errors.New("cannot run without a directory of manifests: give one, as in `reconciler --dir /etc/svc.d`")
			}
			return a.daemon(cmd.Context(), flags)
		},
	}
	// Without this cobra takes what follows --help for its value.
	root.InitDefaultHelpFlag()
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&a.stateDir, "state-dir", "",
		"the `directory` of the lock and the socket (default $RECONCILER_STATE_DIR, else "+a.shownStateDir()+")")
	flags.add(root, a)
	root.AddCommand(a.get(), a.describe(), a.validate(), a.diff(), a.restart(), a.stop(), a.start(), a.prune(), a.schema(), a.version())
	return root
}

func flagError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
}

func (f *daemonFlags) add(root *cobra.Command, a *app) {
	fs := root.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.dir, "dir", "", "the `directory` of manifests (required)")
	fs.BoolVarP(&f.recursive, "recursive", "R", false, "read its sub-directories too")
	fs.StringVar(&f.logDir, "log-dir", "", "the `directory` for the services' output (default "+a.shownLogDir()+")")
	fs.StringVar(&f.logFormat, "log-format", "", "the `format` of the daemon's log: console or json (default console in a terminal, else json)")
	fs.StringVar(&f.logLevel, "log-level", "info", "the `level` of the daemon's log: debug, info or error")
	fs.StringArrayVar(&f.trustOwners, "trust-owner", nil,
		"a `user`, by name or number, who may own manifests besides root and the daemon's own; may be repeated")
	fs.BoolVar(&f.noCgroups, "no-cgroups", false,
		"do without cgroups: processes that leave their session can then escape")
}
