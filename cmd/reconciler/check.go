package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/reconciler"
	"svc.d/reconciler/record"
	"svc.d/spec"
	"svc.d/watch"
)

// The exit codes of check: those of diff.
const (
	exitWouldRestart = 1
	exitCheckFailed  = 2
)

// planned is what a daemon of this program would do to a process that runs.
type planned struct {
	Replica string   `json:"replica"`
	Act     string   `json:"act"`              // restart, stop
	Fields  []string `json:"fields,omitempty"` // why: the fields that differ
	Why     string   `json:"why,omitempty"`
}

func (p planned) String() string {
	why := p.Why
	if len(p.Fields) > 0 {
		why = strings.Join(p.Fields, ", ")
	}
	return fmt.Sprintf("%s would be %s (%s)", p.Replica, map[string]string{"restart": "restarted", "stop": "stopped"}[p.Act], why)
}

func (a *app) check() *cobra.Command {
	var output string
	var version int
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell what this program would restart if it took over now",
		Long: `Read what the daemon of the state directory has written down, and its manifests,
as this program understands them, and tell which processes it would restart or
stop if it took over now. Nothing is changed. It is for the time before an
upgrade: run the new program's check, then install it and send SIGHUP. The daemon
does the same by itself before it executes a new program.

The exit code is 0 when nothing would be restarted or stopped, 1 when something
would, and 2 after an error.`,
		Example: "  ./reconciler-new check",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("handover") {
				return nil // they are the daemon's
			}
			if err := cobra.NoArgs(cmd, args); err != nil {
				return &exit{exitCheckFailed, err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, daemonArgs []string) error {
			config, err := a.understands(cmd.Context(), daemonArgs)
			if err == nil {
				err = a.checkTakeover(cmd.Context(), output, version, config)
			}
			if err != nil {
				var coded *exit
				if errors.As(err, &coded) {
					return err
				}
				return &exit{exitCheckFailed, err}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, for programs")
	cmd.Flags().IntVar(&version, "handover", handoverVersion, "the version of the handover that the daemon would give")
	_ = cmd.Flags().MarkHidden("handover")
	// 1 would say that something would be restarted.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &exit{exitCheckFailed, flagError(cmd, err)} })
	return cmd
}

// understands tells what this program would go by as a daemon that was started
// with these arguments: an image that does not know a flag would end. Without
// arguments it is nil: nobody asks.
func (a *app) understands(ctx context.Context, args []string) (*daemonConfig, error) {
	if len(args) == 0 {
		return nil, nil
	}
	as := &app{stdout: io.Discard, stderr: io.Discard, env: a.env, now: a.now, trial: &daemonConfig{}}
	root := as.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && as.trial.dir == "" {
		err = errors.New("it would not be a daemon")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot take over with the arguments %q: %w", args, err)
	}
	return as.trial, nil
}

// elsewhere is an error when a daemon would not find what the one before used: a
// relative directory counts from where it runs.
func (c *daemonConfig) elsewhere(stateDir, dir string) error {
	switch {
	case c == nil:
		return nil
	case c.stateDir != stateDir:
		return fmt.Errorf("cannot take over: the state directory would be %s, not %s", c.stateDir, stateDir)
	case c.dir != dir:
		return fmt.Errorf("cannot take over: the directory of manifests would be %s, not %s", c.dir, dir)
	}
	return nil
}

// tryFlags is what a daemon does first with its flags.
func (a *app) tryFlags(flags daemonFlags) error {
	config, err := a.daemonConfig(flags)
	if err != nil {
		return err
	}
	*a.trial = config
	_, err = mergeSettings(nil, config.settings)
	return err
}

func (a *app) checkTakeover(ctx context.Context, output string, version int, config *daemonConfig) error {
	if err := oneOf("output", output, "", "json"); err != nil {
		return err
	}
	if version != handoverVersion {
		return fmt.Errorf("cannot take over from a daemon whose handover has version %d: this program reads version %d", version, handoverVersion)
	}
	stateDir, err := a.findStateDir()
	if err != nil {
		return err
	}
	plan, err := planTakeover(ctx, stateDir, config)
	if err != nil {
		return err
	}
	if output == "json" {
		if err := writeJSON(a.stdout, map[string]any{"restarts": plan}); err != nil {
			return err
		}
	} else {
		for _, p := range plan {
			fmt.Fprintln(a.stdout, p)
		}
	}
	if len(plan) > 0 {
		return &exit{code: exitWouldRestart}
	}
	if output != "json" {
		fmt.Fprintln(a.stdout, "Nothing would be restarted or stopped.")
	}
	return nil
}

// planTakeover reads the state of a daemon, which may be running, and says what
// this program would do to what runs.
func planTakeover(ctx context.Context, stateDir string, config *daemonConfig) ([]*planned, error) {
	store, err := record.Open(record.Options{StateDir: stateDir, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	daemon, err := store.LoadDaemon()
	if err != nil {
		return nil, err
	}
	if daemon == nil {
		return nil, fmt.Errorf("cannot check %s: no daemon has used it since the machine booted; name another one with --state-dir", stateDir)
	}
	if err := config.elsewhere(stateDir, daemon.Dir); err != nil {
		return nil, err
	}
	kept, err := store.Load()
	if err != nil {
		return nil, err
	}
	if len(kept.Unreadable) > 0 {
		return nil, unreadable(kept)
	}
	set, err := firstSet(ctx, daemon, kept)
	if err != nil {
		return nil, err
	}
	return takeover(kept.Records, set), nil
}

func unreadable(kept *record.Kept) error {
	var lines []string
	for id, err := range kept.Unreadable {
		lines = append(lines, fmt.Sprintf("cannot read the record of %s: %v", id, err))
	}
	slices.Sort(lines)
	return errors.New(strings.Join(lines, "; "))
}

// firstSet is what a daemon of this program would take for declared.
func firstSet(ctx context.Context, d *record.Daemon, kept *record.Kept) (*spec.Set, error) {
	configuration := d.Configuration
	for {
		set, err := readOnce(ctx, watch.Options{
			Dir: d.Dir, Recursive: d.Recursive, CheckTrust: d.CheckTrust, TrustOwners: d.TrustOwners,
			Seed: seeds(d, kept.Records), SeedConfiguration: configuration, SeedDirectory: d.Directory, SeedHeld: d.Held,
			PruneObey: configuration != nil && configuration.Prune == spec.PruneObey, AtOnce: true,
			Parse: spec.Parser{Defaults: configuration.ServiceDefaults()}.Parse,
		})
		if err != nil || spec.SameConfiguration(set.Configuration, configuration) {
			return set, err
		}
		configuration = set.Configuration
	}
}

// readOnce watches until the directory has been read.
func readOnce(ctx context.Context, o watch.Options) (*spec.Set, error) {
	watcher, err := watch.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	defer func() { <-ended }()
	defer cancel()
	select {
	case set := <-watcher.Sets():
		return set, nil
	case err := <-ended:
		ended <- err
		return nil, fmt.Errorf("cannot read %s: %w", o.Dir, err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeover compares what runs with what is declared. Who is to end or is stopped by
// a person is nobody's loss.
func takeover(records []reconciler.Record, set *spec.Set) []*planned {
	plan := []*planned{}
	for n := range records {
		i := &records[n].Instance
		if i.StartedAt.IsZero() || !i.EndedAt.IsZero() || !i.StoppingAt.IsZero() {
			continue
		}
		want := set.Services[i.ID.Service]
		switch {
		case want == nil:
			plan = append(plan, &planned{Replica: i.ID.String(), Act: "stop", Why: "no manifest declares it"})
		case i.ID.Ordinal >= want.Spec.Replicas:
			plan = append(plan, &planned{Replica: i.ID.String(), Act: "stop", Why: fmt.Sprintf("replicas is %d", want.Spec.Replicas)})
		case !spec.SameProcess(&i.Spec.Spec, &want.Spec):
			p := &planned{Replica: i.ID.String(), Act: "restart"}
			for _, c := range spec.Diff(i.Spec, want) {
				if c.Class == spec.EditRestart {
					p.Fields = append(p.Fields, c.Field)
				}
			}
			plan = append(plan, p)
		}
	}
	// Pointers: sorting is fifteen kilobytes of code for each type, and one for all pointers.
	slices.SortFunc(plan, func(a, b *planned) int { return strings.Compare(a.Replica, b.Replica) })
	return plan
}
