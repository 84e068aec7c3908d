package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// delivery is a file that is to be in the daemon's directory.
type delivery struct {
	source string // for messages: a path, or "standard input"
	target string // where it goes
	text   []byte
	mode   fs.FileMode
	// replaces says that the whole of target is replaced knowingly: what it declared
	// and this does not is removed.
	replaces bool
	parsed   spec.File // as if it were in its place
	steps    []*step
}

// order is deliveries that are made together, or not at all.
type order struct {
	*situation
	defaults   spec.Spec
	there      *manifests // what the directory declares, as it is on the disk
	deliveries []*delivery
}

// newOrder reads the daemon's directory, and refuses one that nobody should write to.
func (a *app) newOrder(ctx context.Context) (*order, error) {
	s, err := a.ask(ctx)
	if err != nil {
		return nil, err
	}
	if err := refuseLinked(s.daemon.Dir); err != nil {
		return nil, err
	}
	defaults, err := s.defaults(ctx)
	if err != nil {
		return nil, err
	}
	there, err := readManifests([]string{s.daemon.Dir}, s.daemon.Recursive, spec.Parser.Parse, defaults)
	if err != nil {
		return nil, err
	}
	return &order{situation: s, defaults: defaults, there: there}, nil
}

// errProblems is that manifests have problems, which were told.
var errProblems = errors.New("nothing was written: mend what is wrong and try again")

// add reads a file and finds its place: the file that declares its services now, or
// one of their name.
func (o *order) add(a *app, d *delivery) error {
	parser := spec.Parser{Defaults: o.defaults}
	name := d.source
	if filepath.Ext(name) == "" {
		name += extension(d.text)
	}
	d.parsed = parser.Parse(name, d.text)
	empty := len(d.parsed.Problems) == 0 && len(d.parsed.Services) == 0 && len(d.parsed.Configurations) == 0
	if d.target == "" && len(d.parsed.Problems) == 0 && !empty {
		target, err := o.place(d)
		if err != nil {
			return err
		}
		d.target = target
	}
	if d.target != "" {
		d.parsed = parser.Parse(d.target, d.text)
	}
	for i := range d.parsed.Problems {
		d.parsed.Problems[i].File = d.source
	}
	for i := range d.parsed.Ignored {
		d.parsed.Ignored[i].File = d.source
	}
	a.warnIgnored(d.parsed.Ignored)
	if len(d.parsed.Problems) > 0 {
		a.writeProblems(d.parsed.Problems)
		return errProblems
	}
	if empty {
		return fmt.Errorf("cannot apply %s: it declares nothing; `reconciler explain service` tells what a manifest has", d.source)
	}
	if err := o.refuseOthers(d); err != nil {
		return err
	}
	if _, err := replaceable(d.target); err != nil {
		return err
	}
	o.deliveries = append(o.deliveries, d)
	return nil
}

// extension is what the name of a file with this text ends in.
func extension(text []byte) string {
	if start := strings.TrimSpace(string(text)); strings.HasPrefix(start, "{") || strings.HasPrefix(start, "[") {
		return ".json"
	}
	return ".yaml"
}

// declares tells which file of the directory declares a service: as it is on the
// disk, or as the daemon has it when the file is broken.
func (o *order) declares(service string) string {
	for _, s := range o.there.services {
		if s.Metadata.Name == service {
			return s.Source.File
		}
	}
	for _, p := range o.there.problems {
		if p.Service == service {
			return p.File
		}
	}
	if s := find(o.services, service); s != nil && len(s.Spec) > 0 {
		return s.Status.File
	}
	return ""
}

// place is where a delivery belongs.
func (o *order) place(d *delivery) (string, error) {
	var target, first string
	for _, s := range d.parsed.Services {
		file := o.declares(s.Metadata.Name)
		switch {
		case file == "" || file == target:
		case target == "":
			target, first = file, s.Metadata.Name
		default:
			return "", fmt.Errorf("cannot apply %s: %s declares %s and %s declares %s; give each file its own, or edit them there",
				d.source, target, first, file, s.Metadata.Name)
		}
	}
	if target != "" {
		return target, nil
	}
	if len(d.parsed.Configurations) > 0 && o.daemon.Configuration != "" {
		return o.daemon.Configuration, nil
	}
	name := "reconciler"
	if len(d.parsed.Services) > 0 {
		name = d.parsed.Services[0].Metadata.Name
	}
	target = filepath.Join(o.daemon.Dir, name+extension(d.text))
	if what := o.holds(target); what != "" {
		return "", fmt.Errorf("cannot apply %s: it would go to %s, which %s; rename that file, or edit it", d.source, target, what)
	}
	return target, nil
}

// holds tells what is in a file of the directory; empty when there is no such file.
func (o *order) holds(file string) string {
	var names []string
	for _, s := range o.there.services {
		if s.Source.File == file {
			names = append(names, s.Metadata.Name)
		}
	}
	switch {
	case len(names) > 0:
		return "declares " + strings.Join(names, ", ")
	case slices.ContainsFunc(o.there.problems, func(p spec.Problem) bool { return p.File == file }):
		return "has a problem"
	case exists(file):
		return "is there already"
	}
	return ""
}

// refuseOthers refuses what would touch services that are none of the delivery's.
func (o *order) refuseOthers(d *delivery) error {
	own := map[string]bool{}
	for _, s := range d.parsed.Services {
		name := s.Metadata.Name
		own[name] = true
		if file := o.declares(name); file != "" && file != d.target {
			return fmt.Errorf("cannot apply %s: %s declares %s already; edit it there with `reconciler edit %s`", d.source, file, name, name)
		}
		for _, other := range o.deliveries {
			if slices.ContainsFunc(other.parsed.Services, func(s *spec.Service) bool { return s.Metadata.Name == name }) {
				return fmt.Errorf("cannot apply %s: %s declares %s, too; leave it to one of them", d.source, other.source, name)
			}
		}
	}
	for _, other := range o.deliveries {
		if other.target == d.target {
			return fmt.Errorf("cannot apply %s: what it declares is in %s, and so is what %s declares; put them into one file", d.source, d.target, other.source)
		}
	}
	if d.replaces {
		return nil
	}
	var ended []string
	for _, s := range o.there.services {
		if s.Source.File == d.target && !own[s.Metadata.Name] {
			ended = append(ended, s.Metadata.Name)
		}
	}
	for i := range o.services {
		s := &o.services[i]
		if name := s.Metadata.Name; s.Status.File == d.target && len(s.Spec) > 0 && !own[name] && !slices.Contains(ended, name) {
			ended = append(ended, name)
		}
	}
	if len(ended) > 0 {
		return fmt.Errorf("cannot apply %s: %s, which it would replace, declares %s, too; add what is missing, or use `reconciler edit`",
			d.source, d.target, strings.Join(ended, ", "))
	}
	if len(d.parsed.Configurations) == 0 && o.there.configuration != nil && o.there.configuration.Source.File == d.target {
		return fmt.Errorf("cannot apply %s: %s, which it would replace, has the daemon's configuration, too; add it, or use `reconciler edit`", d.source, d.target)
	}
	return nil
}

// agree finds what is wrong with the deliveries only together, and with the rest.
func (o *order) agree(a *app) error {
	all, changed := map[string]*spec.Service{}, map[string]bool{}
	for _, s := range o.there.services {
		all[s.Metadata.Name] = s
	}
	for _, d := range o.deliveries {
		for _, s := range d.parsed.Services {
			all[s.Metadata.Name], changed[s.Metadata.Name] = s, true
		}
	}
	failed := false
	for _, c := range spec.Conflicts(all) {
		for _, name := range c.Blamed(func(name string) bool { return changed[name] }) {
			fmt.Fprintln(a.stderr, c.Problem(all[name]))
			failed = true
		}
	}
	if failed {
		return errProblems
	}
	return nil
}

// settlePause is how often the daemon is asked whether it has taken what was written.
const settlePause = 100 * time.Millisecond

// settle waits until the daemon has in force what was written, and tells when it
// does not obey it.
func (o *order) settle(ctx context.Context, a *app) error {
	if a.settle == 0 {
		return nil
	}
	deadline := time.NewTimer(a.settle)
	defer deadline.Stop()
	for {
		s, err := a.ask(ctx)
		if err != nil {
			return err
		}
		taken, err := o.taken(s)
		if taken || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			fmt.Fprintln(a.stderr, "warning: the daemon has not taken it up yet; `reconciler get` tells when it has")
			return nil
		case <-time.After(settlePause):
		}
	}
}

// taken tells whether the daemon has everything in force.
func (o *order) taken(s *situation) (bool, error) {
	for _, d := range o.deliveries {
		for _, p := range s.daemon.Problems {
			// One that was there before is perhaps not looked at again yet.
			if p.File == d.target && !slices.Contains(o.daemon.Problems, p) {
				return false, fmt.Errorf("cannot have the daemon obey what was written: %s", p)
			}
		}
		steps, err := d.plan(s.services)
		if err != nil || len(steps) > 0 {
			return false, err
		}
	}
	return true, nil
}

// plan is what a delivery changes.
func (d *delivery) plan(services []status.Service) ([]*step, error) {
	return plan(services, &manifests{services: d.parsed.Services}, placement{daemonDir: filepath.Dir(d.target), path: d.target})
}
