package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/spec"
	"svc.d/status"
)

const applyLong = `Check manifests, tell what they change, and put them into the daemon's directory,
all or none, each at once. A file goes to the one that declares its services now,
or else to NAME.yaml. It does not remove anything: where it would replace a file
that declares more, it says so and does nothing.

The manifests may be anywhere else; the ones that count are those in the
directory, which may as well be edited there. One that is reached by a symbolic
link, as git-sync makes it, is not written to.`

// applyFlags are the flags of "apply".
type applyFlags struct {
	files     []string
	recursive bool
	dryRun    string
}

func (a *app) apply() *cobra.Command {
	var flags applyFlags
	cmd := &cobra.Command{
		Use:     "apply -f {FILE | DIR | -}",
		Short:   "Check manifests, and put them into the daemon's directory",
		Long:    applyLong,
		Example: "  reconciler apply -f web.yaml\n  reconciler apply -f ./svc.d --dry-run\n  generate | reconciler apply -f -",
		Args: func(_ *cobra.Command, words []string) error {
			if len(words) > 0 || len(flags.files) == 0 {
				return errors.New("cannot tell what to apply: name it with -f, as in `reconciler apply -f web.yaml`, or -f - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("dry-run", flags.dryRun, "", "none", "client", "server"); err != nil {
				return err
			}
			return a.applyFiles(cmd.Context(), &flags)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringArrayVarP(&flags.files, "filename", "f", nil, "a `file` or directory of manifests, or - for standard input; may be repeated")
	fs.BoolVarP(&flags.recursive, "recursive", "R", false, "read sub-directories, too")
	addDryRun(cmd, &flags.dryRun)
	return cmd
}

// addDryRun adds kubectl's flag; its words mean the same here.
func addDryRun(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "dry-run", "none", "only tell what would be done, by a `strategy`: client, server or none")
	cmd.Flags().Lookup("dry-run").NoOptDefVal = "client"
}

func isDry(value string) bool { return value != "none" && value != "" }

func (a *app) applyFiles(ctx context.Context, flags *applyFlags) error {
	var found []*delivery
	for _, name := range flags.files {
		more, err := a.readDeliveries(name, flags.recursive)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	o, err := a.newOrder(ctx)
	if err != nil {
		return err
	}
	if err := o.addAll(a, found); err != nil {
		return err
	}
	return a.deliver(ctx, o, isDry(flags.dryRun))
}

// addAll adds what can be, and tells of everything that cannot.
func (o *order) addAll(a *app, found []*delivery) error {
	var failed error
	for _, d := range found {
		err := o.add(a, d)
		switch {
		case err == nil:
		case failed == nil:
			failed = err
		case !errors.Is(err, errProblems):
			fmt.Fprintln(a.stderr, "error: "+err.Error())
		}
	}
	return failed
}

// readDeliveries reads what one -f names.
func (a *app) readDeliveries(name string, recursive bool) ([]*delivery, error) {
	if name == "-" {
		text, err := io.ReadAll(a.stdin)
		if err != nil {
			return nil, fmt.Errorf("cannot read standard input: %w", err)
		}
		return []*delivery{{source: "standard input", text: text, mode: manifestMode}}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read manifests: %w; name a file, a directory, or - for standard input", err)
	}
	files := []string{name}
	if info.IsDir() {
		if files, err = manifestFiles(name, recursive); err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("cannot find a manifest in %s: files are named *.yaml, *.yml or *.json; -R reads sub-directories, too", name)
		}
	}
	var found []*delivery
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read a manifest: %w", err)
		}
		info, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read a manifest: %w", err)
		}
		// One that only its owner may read holds secrets.
		found = append(found, &delivery{source: file, text: text, mode: info.Mode().Perm()&manifestMode | 0o600})
	}
	return found, nil
}

// manifestFiles are the files of a directory that a daemon would read, in order of
// their names.
func manifestFiles(dir string, recursive bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read manifests: %w", err)
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, fmt.Errorf("cannot read manifests: %w", err)
		case info.IsDir() && recursive && !strings.HasPrefix(e.Name(), "."):
			more, err := manifestFiles(path, true)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		case !info.IsDir() && looksLikeManifest(e.Name()) && filepath.Ext(e.Name()) != ".ini":
			files = append(files, path)
		}
	}
	return files, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// deliver tells what an order changes, carries it out, and tells what was done.
func (a *app) deliver(ctx context.Context, o *order, dry bool) error {
	if err := o.agree(a); err != nil {
		return err
	}
	var steps []*step
	for _, d := range o.deliveries {
		var err error
		if d.steps, err = d.plan(o.services); err != nil {
			return err
		}
		steps = append(steps, d.steps...)
	}
	slices.SortFunc(steps, func(a, b *step) int { return cmp.Compare(a.name, b.name) })
	if len(steps) > 0 {
		fmt.Fprintln(a.stdout, status.Shown(render(steps, total(o.services, steps))))
	}
	written := false
	for _, d := range o.deliveries {
		before, err := os.ReadFile(d.target)
		if !dry && (err != nil || string(before) != string(d.text)) {
			if err := writeManifest(d.target, d.text, d.mode); err != nil {
				return err
			}
			written = true
		}
		a.tellDelivered(o, d, dry)
	}
	if !written {
		return nil
	}
	return o.settle(ctx, a)
}

// tellDelivered writes a line for each object, in kubectl's words.
func (a *app) tellDelivered(o *order, d *delivery, dry bool) {
	suffix := ""
	if dry {
		suffix = " (dry run)"
	}
	for _, s := range d.parsed.Services {
		what := "unchanged"
		for _, step := range d.steps {
			switch {
			case step.name != s.Metadata.Name:
			case step.act == actStart:
				what = "created"
			default:
				what = "configured"
			}
		}
		fmt.Fprintf(a.stdout, "service.svc.d/%s %s%s\n", s.Metadata.Name, what, suffix)
	}
	for _, step := range d.steps {
		if step.act == actStop {
			fmt.Fprintf(a.stdout, "service.svc.d/%s deleted%s\n", step.name, suffix)
		}
	}
	for _, c := range d.parsed.Configurations {
		what := "configured"
		switch before := o.there.configuration; {
		case before == nil:
			what = "created"
		case spec.SameConfiguration(before, c):
			what = "unchanged"
		}
		fmt.Fprintf(a.stdout, "reconcilerconfiguration.svc.d %s%s\n", what, suffix)
	}
}
