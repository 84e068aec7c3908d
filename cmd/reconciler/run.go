package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"svc.d/spec"
	"svc.d/status"
)

const runLong = `Write a manifest for a command into the daemon's directory, so that it runs and
stays running. With --dry-run the manifest is only printed, to begin one's own.`

// runFlags are the flags of "run".
type runFlags struct {
	replicas                         int32
	env                              []string
	labels, restart, workdir, dryRun string
}

func (a *app) runService() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:     "run NAME -- COMMAND [ARG...]",
		Short:   "Declare a service by its command: a manifest is written",
		Long:    runLong,
		Example: "  reconciler run web --replicas 2 --env PORT=8080 -- python3 -m http.server 8080\n  reconciler run web --dry-run -- /usr/bin/web > web.yaml",
		RunE: func(cmd *cobra.Command, words []string) error {
			if dash := cmd.ArgsLenAtDash(); dash != 1 || len(words) < 2 {
				return errors.New("cannot run without a name and a command: write them as in `reconciler run web -- python3 -m http.server`")
			}
			if err := oneOf("dry-run", flags.dryRun, "", "none", "client", "server"); err != nil {
				return err
			}
			return a.declare(cmd.Context(), words[0], words[1:], cmd.Flags().Changed("replicas"), &flags)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.Int32Var(&flags.replicas, "replicas", 1, "how many run")
	fs.StringArrayVar(&flags.env, "env", nil, "a `NAME=VALUE` of the environment; may be repeated")
	fs.StringVarP(&flags.labels, "labels", "l", "", "`labels`, as in app=web,tier=front")
	fs.StringVar(&flags.restart, "restart", "", "the `policy`: Always, OnFailure or Never (default Always)")
	fs.StringVar(&flags.workdir, "workdir", "", "the `folder` in which it starts (default /)")
	addDryRun(cmd, &flags.dryRun)
	completeWords(cmd, "restart", "Always", "OnFailure", "Never")
	return cmd
}

// newManifest is what "run" writes: no field that has its default.
type newManifest struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Metadata   newMetadata `json:"metadata"`
	Spec       newSpec     `json:"spec"`
}

type newMetadata struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

func (m *newMetadata) set(key, value string) {
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	m.Labels[key] = value
}

type newSpec struct {
	Replicas      *int32        `json:"replicas,omitempty"`
	Command       []string      `json:"command"`
	WorkingDir    string        `json:"workingDir,omitempty"`
	Env           []spec.EnvVar `json:"env,omitempty"`
	RestartPolicy string        `json:"restartPolicy,omitempty"`
}

// manifest makes the text. A program given by a path is meant from where the person
// is.
func (f *runFlags) manifest(name string, command []string, replicas bool) ([]byte, error) {
	m := newManifest{APIVersion: spec.APIVersion, Kind: spec.KindService, Metadata: newMetadata{Name: name}}
	for part := range strings.SplitSeq(f.labels, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok && f.labels != "" {
			return nil, fmt.Errorf("cannot use --labels %q: they are given as in app=web,tier=front", f.labels)
		}
		if ok {
			m.Metadata.set(key, value)
		}
	}
	m.Spec = newSpec{Command: command, RestartPolicy: f.restart}
	for _, path := range []*string{&command[0], &f.workdir} {
		if strings.Contains(*path, "/") || path == &f.workdir && *path != "" {
			full, err := absolute(*path)
			if err != nil {
				return nil, err
			}
			*path = full
		}
	}
	m.Spec.WorkingDir = f.workdir
	if replicas {
		m.Spec.Replicas = &f.replicas
	}
	for _, e := range f.env {
		variable, value, ok := strings.Cut(e, "=")
		if !ok {
			return nil, fmt.Errorf("cannot use --env %q: it is given as NAME=VALUE", e)
		}
		m.Spec.Env = append(m.Spec.Env, spec.EnvVar{Name: variable, Value: value})
	}
	return status.YAML(m)
}

func (a *app) declare(ctx context.Context, name string, command []string, replicas bool, flags *runFlags) error {
	text, err := flags.manifest(name, command, replicas)
	if err != nil {
		return err
	}
	parsed := spec.Parse(name+".yaml", text)
	for _, p := range parsed.Problems {
		fmt.Fprintf(a.stderr, "%s: %s\n", p.Field, p.Message)
	}
	if len(parsed.Problems) > 0 {
		return errProblems
	}
	if isDry(flags.dryRun) {
		_, err := a.stdout.Write(text)
		return err
	}
	o, err := a.newOrder(ctx)
	if err != nil {
		return err
	}
	target := filepath.Join(o.daemon.Dir, name+".yaml")
	if file := o.declares(name); file != "" {
		return fmt.Errorf("cannot run %s: %s declares it already; change it with `reconciler edit %s`", name, file, name)
	}
	if what := o.holds(target); what != "" {
		return fmt.Errorf("cannot run %s: %s %s; choose another name, or rename that file", name, target, what)
	}
	if err := o.add(a, &delivery{source: target, target: target, text: text, mode: manifestMode}); err != nil {
		return err
	}
	return a.deliver(ctx, o, false)
}
