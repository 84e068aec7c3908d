package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

const editLong = `Edit the manifest of a service with $EDITOR (or vi). What you edit is a copy of
its file; when you leave the editor it is checked, and takes the place of the file
at once. With a mistake in it, the editor opens again and the first lines say what
is wrong. Saving nothing, or an empty file, changes nothing.`

func (a *app) edit() *cobra.Command {
	return &cobra.Command{
		Use:               "edit NAME",
		Short:             "Edit the manifest of a service, checked before it counts",
		Long:              editLong,
		Example:           "  reconciler edit web\n  EDITOR=nano reconciler edit web",
		Args:              needOneName("edit web"),
		ValidArgsFunction: a.completeNames(false),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.editManifest(cmd.Context(), names[0])
		},
	}
}

func needOneName(example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, names []string) error {
		if len(names) > 1 {
			return fmt.Errorf("cannot %s %d services at once: name one, as in `reconciler %s`", cmd.Name(), len(names), example)
		}
		return needNames(example)(cmd, names)
	}
}

func (a *app) editManifest(ctx context.Context, name string) error {
	o, err := a.newOrder(ctx)
	if err != nil {
		return err
	}
	file := o.declares(plainName(name))
	if file == "" {
		t, err := o.resolve(name)
		if err != nil {
			return err
		}
		if file = o.declares(t.service.Metadata.Name); file == "" {
			return fmt.Errorf("cannot edit %s: no manifest declares it any more", name)
		}
	}
	before, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read the manifest: %w", err)
	}
	dir, err := os.MkdirTemp("", "reconciler-edit-")
	if err != nil {
		return fmt.Errorf("cannot make a copy to edit: %w; TMPDIR says where", err)
	}
	draft := &draft{app: a, path: filepath.Join(dir, filepath.Base(file)), before: before}
	d, err := draft.edit(o, file)
	if err == nil && d != nil {
		err = draft.deliver(ctx, o, d)
	}
	if err != nil && draft.changed {
		return fmt.Errorf("%w; what you wrote is in %s", err, draft.path)
	}
	if removed := os.RemoveAll(dir); err == nil && removed != nil {
		return fmt.Errorf("cannot remove the copy: %w", removed)
	}
	return err
}

// draft is a copy of a manifest while a person edits it.
type draft struct {
	*app
	path    string
	before  []byte
	changed bool // there is something in it that the manifest has not
}

// notePrefix begins the lines that tell what is wrong; they are no part of the
// manifest.
const notePrefix = "# error: "

// edit has the person edit until the draft is right. It is nil when nothing is to be
// done.
func (f *draft) edit(o *order, file string) (*delivery, error) {
	text, notes := f.before, ""
	for {
		if err := os.WriteFile(f.path, append([]byte(notes), text...), 0o600); err != nil {
			return nil, fmt.Errorf("cannot write the copy to edit: %w", err)
		}
		if err := f.editor(f.env("EDITOR"), f.path); err != nil {
			return nil, err
		}
		saved, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("cannot read what was edited: %w", err)
		}
		saved = withoutNotes(saved)
		switch {
		case bytes.Equal(saved, f.before):
			fmt.Fprintln(f.stdout, "Edit cancelled, no changes made.")
			return nil, nil
		case isEmpty(saved):
			fmt.Fprintln(f.stdout, "Edit cancelled, saved file was empty.")
			return nil, nil
		}
		f.changed = true
		if notes != "" && bytes.Equal(saved, text) {
			fmt.Fprint(f.stderr, notes)
			return nil, errors.New("cannot apply the edit: it is as wrong as before, and was not changed any more")
		}
		d := &delivery{source: f.path, target: file, text: saved, mode: manifestMode, replaces: true}
		wrong, err := o.check(d)
		if err != nil {
			return nil, err
		}
		if wrong == "" {
			return d, nil
		}
		text, notes = saved, wrong
	}
}

// check adds a draft, or returns what is wrong with it as lines of comment.
func (o *order) check(d *delivery) (notes string, err error) {
	var told bytes.Buffer
	o.deliveries = nil
	err = o.add(&app{stdout: &told, stderr: &told}, d)
	if err == nil {
		err = o.agree(&app{stdout: &told, stderr: &told})
	}
	if err == nil {
		return "", nil
	}
	if !errors.Is(err, errProblems) {
		fmt.Fprintln(&told, err)
	}
	lines := strings.Split(strings.TrimSpace(told.String()), "\n")
	// The notes go before the text, and tell the lines that it has then.
	shift := len(lines) + 1
	for i := range lines {
		lines[i] = movedDown(lines[i], d, shift)
	}
	lines = append([]string{"nothing was changed; mend this and save, or save nothing to give up:"}, lines...)
	return notePrefix + strings.Join(lines, "\n"+notePrefix) + "\n", nil
}

// movedDown is a line that tells of a problem of the draft, as it is when there are
// so many lines before it.
func movedDown(line string, d *delivery, by int) string {
	for _, p := range d.parsed.Problems {
		if p.String() == line && p.Line > 0 {
			p.Line += by
			return "line " + strings.TrimPrefix(p.String(), d.source+":")
		}
	}
	return line
}

func withoutNotes(text []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte(notePrefix)) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// isEmpty tells whether there is nothing but comments.
func isEmpty(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// deliver puts the draft in its place, unless somebody else has edited the manifest.
func (f *draft) deliver(ctx context.Context, o *order, d *delivery) error {
	now, err := os.ReadFile(d.target)
	if err != nil {
		return fmt.Errorf("cannot read the manifest again: %w", err)
	}
	if !bytes.Equal(now, f.before) {
		return fmt.Errorf("cannot apply the edit: somebody else has changed %s meanwhile; `reconciler edit` it again", d.target)
	}
	if err := f.app.deliver(ctx, o, false); err != nil {
		return err
	}
	f.changed = false
	return nil
}
