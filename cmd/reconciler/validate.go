package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"svc.d/spec"
)

func (a *app) validate() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check manifests without a daemon",
		Long: `Check files, and all manifests in directories, without a daemon. Every problem
of every file is told; the exit code is 1 when there is one. When the daemon's
configuration is among the files, services have its defaults.`,
		Example: "  reconciler validate /etc/svc.d web.yaml",
		Args: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return fmt.Errorf("cannot validate without a path, as in `reconciler validate /etc/svc.d`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, paths []string) error {
			m, err := readManifests(paths, recursive, spec.Parser.Parse, spec.Defaults())
			if err != nil {
				return err
			}
			a.warnIgnored(m.ignored)
			if n := len(m.problems); n > 0 {
				a.writeProblems(m.problems)
				return fmt.Errorf("%s in %s", count(n, "problem"), count(m.files, "file"))
			}
			what, documents := count(len(m.services), "service"), len(m.services)
			switch {
			case m.configuration != nil && documents == 0:
				what, documents = "1 configuration", 1
			case m.configuration != nil:
				what, documents = what+" and 1 configuration", documents+1
			}
			_, err = fmt.Fprintf(a.stdout, "%s in %s %s valid\n", what, count(m.files, "file"), isAre(documents))
			return err
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "read sub-directories too")
	return cmd
}

func (a *app) writeProblems(problems []spec.Problem) {
	for _, p := range problems {
		fmt.Fprintln(a.stderr, p)
	}
}

// warnIgnored tells of documents that are none of ours: somebody may have meant
// them to run.
func (a *app) warnIgnored(ignored []spec.Ignored) {
	for _, i := range ignored {
		fmt.Fprintln(a.stderr, i)
	}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
