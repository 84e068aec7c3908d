package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/reconciler/record"
	"svc.d/spec"
	"svc.d/status"
	"svc.d/watch"
)

// open reads what was known before, and opens the log as that says.
func (d *daemon) open() (err error) {
	if d.program, err = host.Executable(); err != nil {
		return fmt.Errorf("cannot find our own program: %w", err)
	}
	if d.inherited != nil {
		d.program = d.inherited.Program.Path
	}
	// The link leads to the file that runs, also when its name leads to another.
	if d.running, err = identify("/proc/self/exe"); err != nil {
		return fmt.Errorf("cannot find our own program: %w", err)
	}
	d.running.Path = d.program
	if d.records, err = record.Open(record.Options{StateDir: d.config.stateDir, Step: d.step}); err != nil {
		return err
	}
	ran, unreadable := d.records.LoadDaemon()
	if d.kept, err = d.records.Load(); err != nil {
		return errors.Join(err, d.records.Close())
	}
	d.step(stepRecordsLoaded)
	d.cold = d.inherited == nil && (ran == nil || ran.Ended)
	d.seed = seeds(ran, d.kept.Records)
	if ran != nil && !ran.Ended {
		d.document, d.directory, d.held = ran.Configuration, ran.Directory, ran.Held
	}
	if d.inherited != nil {
		if d.document, err = d.inherited.configuration(); err != nil {
			unreadable = err
		}
	}
	if err := d.configure(); err != nil {
		return errors.Join(err, d.records.Close())
	}
	if unreadable != nil {
		d.log.Error(unreadable, "Going on with the configuration of the directory")
		d.cold = true
	}
	return nil
}

// seeds are the services that are in force until the directory is known to say
// otherwise: what a daemon before us had, nil is unknown. After an orderly end
// nothing runs that could be lost, and what was removed since must not
// start; only a person's stop has to outlive a manifest that is broken by now.
func seeds(ran *record.Daemon, records []reconciler.Record) []*spec.Service {
	all := reconciler.Wanted(records)
	if ran == nil || !ran.Ended {
		return all
	}
	return slices.DeleteFunc(all, func(s *spec.Service) bool {
		return !slices.ContainsFunc(records, func(r reconciler.Record) bool {
			return r.Instance.ID.Service == s.Metadata.Name && !r.StoppedAt.IsZero()
		})
	})
}

// configure takes over the document in force: it opens the log.
func (d *daemon) configure() error {
	d.wanted = d.document
	var err error
	if d.settings, err = mergeSettings(d.document, d.config.settings); err != nil {
		return err
	}
	if d.log != nil {
		if err := d.log.Close(); err != nil {
			return err
		}
	}
	d.log, err = openLog(d.app.stderr, d.settings.logFormat, d.settings.logLevel)
	return err
}

// takeIntoService opens the host and begins to watch the directory. A daemon that
// nothing came before must read the directory first, to know its configuration: how
// to log, and where cgroups are to be. Any other goes on with the one that was in
// force, and executes itself anew when the directory has another; it takes over what
// lives first, since reading a thousand manifests takes both processors.
func (d *daemon) takeIntoService(ctx context.Context, group *sync.WaitGroup) (err error) {
	if d.cold {
		if err := d.watch(ctx, group); err != nil {
			return err
		}
	}
	if err := d.openOutput(); err != nil {
		return err
	}
	if d.machine, err = host.Open(d.hostOptions()); err != nil {
		d.output.Close(false)
		return err
	}
	d.shelf.renew()
	if d.cold {
		return nil
	}
	return d.watch(ctx, group)
}

// watch begins to watch the directory.
func (d *daemon) watch(ctx context.Context, group *sync.WaitGroup) error {
	for {
		watching, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		watcher, err := watch.New(d.watchOptions())
		if err != nil {
			stop()
			return err
		}
		log := d.log
		group.Go(func() {
			defer close(ended)
			defer stop()
			d.guard(func() {
				if err := watcher.Run(watching); err != nil && watching.Err() == nil {
					log.Error(err, "Watcher ended; edits are not followed any more")
				}
			})
		})
		d.watcher = watcher
		if !d.cold {
			return nil
		}
		select {
		case d.first = <-watcher.Sets():
		case <-ended:
			return fmt.Errorf("cannot read %s: its watcher has ended", d.config.dir)
		case <-ctx.Done():
			return ctx.Err()
		}
		if spec.SameConfiguration(d.first.Configuration, d.document) {
			return nil
		}
		stop()
		<-ended
		d.document = d.first.Configuration
		if err := d.configure(); err != nil {
			return err
		}
	}
}

func (d *daemon) watchOptions() watch.Options {
	return watch.Options{
		Dir: d.config.dir, Recursive: d.config.recursive, TrustOwners: d.config.trustOwners, CheckTrust: os.Geteuid() == 0,
		Seed: d.seed, SeedConfiguration: d.document, SeedDirectory: d.directory, SeedHeld: d.held,
		Resync: d.settings.resync, PruneObey: d.settings.prune == spec.PruneObey,
		Parse: spec.Parser{Defaults: d.settings.defaults}.Parse, Log: d.log.WithName("watch"),
	}
}

// declared is told by the loop what the directory holds.
func (d *daemon) declared(set *spec.Set) {
	d.limitOutput(set)
	d.files.Want(namedFiles(set))
	held := slices.ContainsFunc(set.Conditions, func(c spec.Condition) bool {
		return c.Type == spec.ConditionPruneHeld || c.Type == spec.ConditionDirectoryHeld
	})
	d.mu.Lock()
	before, heldBefore := d.wanted, d.held
	d.wanted, d.held = set.Configuration, held
	replaced := set.Directory != "" && set.Directory != d.directory
	if replaced {
		d.directory = set.Directory
	}
	d.mu.Unlock()
	if held != heldBefore || replaced || set.Configuration != before {
		d.noteDaemon()
	}
	switch {
	case !spec.SameConfiguration(set.Configuration, d.document):
		if !spec.SameConfiguration(set.Configuration, before) {
			d.log.Info("Configuration changed")
		}
		d.successor.ask(whyEdit)
	case !spec.SameConfiguration(before, d.document):
		d.successor.ask(whyEdit) // it was taken back
	}
}

// keepRescued writes down again what was only known from second copies: the
// next image looks at the records first. A record that cannot be read and of which
// nothing lives tells nothing any more; it would keep every successor away.
func (d *daemon) keepRescued() {
	for id := range d.kept.Unreadable {
		if !slices.Contains(d.machine.Unclear(), id) {
			d.records.Forget(id)
		}
	}
	runs := map[reconciler.ReplicaID]uint64{}
	for n := range d.kept.Records {
		runs[d.kept.Records[n].Instance.ID] = d.kept.Records[n].Instance.Run
	}
	for _, r := range d.machine.Restored() {
		if run, known := runs[r.Instance.ID]; !known || run != r.Instance.Run {
			d.log.Info("Record restored from the copy at its cgroup", "replica", r.Instance.ID.String())
			d.records.Record(r)
		}
	}
}

// inForce is the document that we go by, as the directory has it: its file may
// have another name by now.
func (d *daemon) inForce() *spec.Configuration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inForceLocked()
}

func (d *daemon) inForceLocked() *spec.Configuration {
	if spec.SameConfiguration(d.wanted, d.document) {
		return d.wanted
	}
	return d.document
}

// keepDaemon writes down what we run with.
func (d *daemon) keepDaemon() error {
	d.mu.Lock() // also for the file
	defer d.mu.Unlock()
	return d.records.KeepDaemon(&record.Daemon{
		Dir: d.config.dir, Recursive: d.config.recursive, CheckTrust: os.Geteuid() == 0, TrustOwners: d.config.trustOwners,
		Configuration: d.inForceLocked(), Directory: d.directory, Held: d.held, Ended: d.ended,
	})
}

// noteDaemon is keepDaemon for who can do without. A re-exec cannot: then it is
// tried again.
func (d *daemon) noteDaemon() {
	if err := d.keepDaemon(); err != nil {
		d.log.Error(err, "A crash now would have the configuration read from the directory alone")
	}
}

// configuration reports what is in force.
func (d *daemon) configuration() *status.ConfigurationReport {
	format := "json"
	if d.log.forPeople {
		format = "console"
	}
	return configurationReport(d.inForce(), d.config.settings, map[string]string{"log.format": format, "cgroupRoot": d.machine.CgroupRoot(),
		"log.quota": spec.Quantity(d.logQuota()).String()})
}

// next is the configuration that a successor is to have in force, or why it
// cannot be while we run.
func (d *daemon) next(ctx context.Context) (*spec.Configuration, error) {
	d.mu.Lock()
	wanted := d.wanted
	d.mu.Unlock()
	settings, err := mergeSettings(wanted, d.config.settings)
	if root := settings.cgroupRoot; err != nil || root == d.settings.cgroupRoot {
		return wanted, err
	}
	snapshot, err := d.loop.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range snapshot.Services {
		if s.Status.Replicas > 0 {
			return nil, fmt.Errorf("cannot change cgroupRoot from %s to %s while services run (%s does): a process stays in its cgroup; "+
				"take the edit back, or stop the daemon, which stops all services, and start it again",
				d.machine.CgroupRoot(), cmp.Or(settings.cgroupRoot, "the default"), s.Metadata.Name)
		}
	}
	return wanted, nil
}

// setConfiguration is what the successor will have in force.
func (h *handover) setConfiguration(c *spec.Configuration) (err error) {
	if c == nil {
		return nil
	}
	h.Source = c.Source
	if h.Configuration, err = json.Marshal(c); err != nil {
		return fmt.Errorf("cannot write the configuration: %w", err)
	}
	return nil
}

func (h *handover) configuration() (*spec.Configuration, error) {
	if len(h.Configuration) == 0 {
		return nil, nil
	}
	c, err := spec.DecodeConfiguration(h.Configuration)
	if err == nil {
		c.Source = h.Source
	}
	return c, err
}
