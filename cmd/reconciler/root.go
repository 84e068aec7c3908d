package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
		// Ours has the shells that we know, and one text.
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags.settings = settingFlags(cmd.Flags())
			if flags.dir == "" {
				if cmd.Flags().NFlag() == 0 {
					return cmd.Help()
				}
				return errors.New("cannot run without a directory of manifests: give one, as in `reconciler --dir /etc/svc.d`")
			}
			if a.trial != nil {
				return a.tryFlags(flags)
			}
			return a.daemon(cmd.Context(), flags)
		},
	}
	// Without this cobra takes what follows --help for its value.
	root.InitDefaultHelpFlag()
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&a.stateDir, "state-dir", "",
		"the `directory` of the lock, the records and the socket (default $RECONCILER_STATE_DIR, else "+a.shownStateDir()+")")
	flags.add(root, a)
	root.AddCommand(a.get(), a.describe(), a.why(), a.events(), a.wait(), a.logs(), a.exec(), a.validate(), a.diff(), a.apply(), a.edit(), a.runService(), a.restart(), a.reload(), a.kill(), a.stop(), a.start(), a.prune(), a.check(), a.explain(), a.top(), a.schema(), a.completion(), a.version())
	for _, c := range root.Commands() {
		c.SuggestFor = otherWords[c.Name()]
	}
	return root
}

// otherWords are what fingers type that know kubectl or systemctl; the help of the
// command says how it is meant here.
var otherWords = map[string][]string{
	"apply": {"create", "replace", "patch"}, "edit": {"scale", "set"}, "restart": {"rollout"}, "stop": {"delete"},
	"get": {"list", "ls", "ps", "status"}, "exec": {"attach"},
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
	fs.String("log-format", "", "the `format` of the daemon's log: console or json (default console in a terminal, else json)")
	fs.String("log-level", "", "the `level` of the daemon's log: debug, info or error (default info)")
	fs.StringArrayVar(&f.trustOwners, "trust-owner", nil,
		"a `user`, by name or number, who may own manifests besides root and the daemon's own; may be repeated")
	fs.String("prune", "", "the `policy` for a removal of most services at once: Hold or Obey (default Hold)")
	fs.String("resync", "", "the `time` between full lists of the directory when nothing happens (default 5m)")
	fs.String("cgroup-root", "", "the `cgroup` below which services get theirs, as a path (default the daemon's own)")
	fs.BoolVar(&f.noCgroups, "no-cgroups", false,
		"do without cgroups: processes that leave their session can then escape")
	fs.BoolVar(&f.pprof, "pprof", false, "serve profiles of the daemon itself at /debug/pprof on its socket")
}

// settingFlags are the flags that speak for a field of the configuration, as far
// as they were given.
func settingFlags(flags *pflag.FlagSet) flagValues {
	given := flagValues{}
	for _, s := range settingsTable() {
		if s.flag != "" && flags.Changed(s.flag) {
			given[s.field] = flags.Lookup(s.flag).Value.String()
		}
	}
	return given
}
