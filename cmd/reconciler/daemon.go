package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/api"
	"svc.d/reconciler/events"
	"svc.d/reconciler/host"
	"svc.d/reconciler/logs"
	"svc.d/reconciler/probe"
	"svc.d/reconciler/record"
	"svc.d/spec"
	"svc.d/status"
	"svc.d/watch"
)

// daemonFlags are the flags of the daemon as they were given.
type daemonFlags struct {
	dir         string
	recursive   bool
	logDir      string
	trustOwners []string
	noCgroups   bool
	pprof       bool
	settings    flagValues // of the flags that were given
}

// daemonConfig is the same, understood: directories are absolute.
type daemonConfig struct {
	dir, stateDir, logDir string
	recursive, noCgroups  bool
	pprof                 bool
	trustOwners           []uint32
	settings              flagValues
}

// daemon is this process as one that supervises.
type daemon struct {
	app       *app
	config    daemonConfig
	inherited *handover           // nil: no image of this process came before
	shelved   []shelved           // what systemd kept
	document  *spec.Configuration // in force; nil: none
	cold      bool                // nothing came before, in this boot, or it ended in order
	seed      []*spec.Service     // in force until the directory is known
	directory string              // which one it is, as it was last seen; the loop writes it
	ended     bool                // everything has been stopped
	first     *spec.Set           // of a cold start
	settings  settings
	program   string // the path of our executable
	running   fileIdentity
	begun     time.Time
	step      func(reconciler.Step)

	log       *daemonLog
	lock      *record.Lock
	records   *record.Store
	kept      *record.Kept
	watcher   *watch.Watcher
	output    *logs.Capture
	shelf     *shelf
	machine   *host.Host
	prober    *probe.Pool
	files     *watch.Files // that services name
	revisions *record.Revisions
	events    *events.Ring
	loop      *reconciler.Loop
	api       *endpoint
	notify    *notifier
	signals   *signals
	successor *successor
	last      *lastAct

	left atomic.Bool // services run on without us

	mu     sync.Mutex
	wanted *spec.Configuration // the document in the directory
	held   bool                // a removal, or the directory, is held
	fail   context.CancelCauseFunc
	failed error // a panic outside of the loop
}

// daemon runs until a signal has stopped everything, or has it leave. Nothing is
// touched before the lock is held: what is there belongs to the daemon that has
// it.
//
// Starting up, recovering from a crash and executing itself anew are one path;
// the last one only brings descriptors that were kept open.
func (a *app) daemon(ctx context.Context, flags daemonFlags) (err error) {
	if !flags.pprof {
		runtime.MemProfileRate = 0 // what nobody can read is not to cost memory
	}
	last := newLastAct(a.stderr)
	defer last.perform()
	d := &daemon{app: a, shelved: takeShelved(), last: last, begun: time.Now(), fail: func(error) {}}
	var takeoverFailed error
	if d.inherited, takeoverFailed = takeHandover(); takeoverFailed != nil {
		if err := letGo(); err != nil {
			return errors.Join(takeoverFailed, err)
		}
		d.shelved = nil
	}
	if d.config, err = a.daemonConfig(flags); err != nil {
		return err
	}
	if d.step, err = a.crasher(d.inherited != nil); err != nil {
		return err
	}
	if d.step == nil {
		d.step = func(reconciler.Step) {}
	}
	// A reader of our log who goes away ends us neither early nor late. Only when
	// the log is written are signals let go.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	defer signal.Reset(handled()...)
	// What the daemon makes, and what services inherit unless they say
	// otherwise, must not depend on who starts it.
	syscall.Umask(0o022)
	if err := makeStateDir(d.config.stateDir); err != nil {
		return err
	}
	if d.inherited != nil {
		d.lock, err = record.InheritLock(d.inherited.Lock)
	} else {
		d.lock, err = record.TakeLock(ctx, d.config.stateDir)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lock.Release()) }()
	d.step(stepImageBegun)
	return d.supervise(ctx, takeoverFailed)
}

// supervise opens the records, the log, the directory and the host.
func (d *daemon) supervise(ctx context.Context, takeoverFailed error) (err error) {
	stop := spendFreely()
	defer stop()
	if err := d.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.log.Close()) }()
	defer func() { err = errors.Join(err, d.records.Close()) }()
	if takeoverFailed != nil {
		d.log.Error(takeoverFailed, "Could not take over from the image before; adopting as after a crash")
	}
	watching, end := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer end()
	if err := d.takeIntoService(watching, &group); err != nil {
		return err
	}
	defer func() { d.output.Close(d.ended) }()
	defer func() { err = errors.Join(err, d.machine.Close()) }()
	if err := d.openProber(); err != nil {
		return err
	}
	defer d.prober.Close()
	d.watchFiles(watching, &group)
	d.records.Log = d.log.WithName("record") // nothing was written until now
	d.records.SetMark(d.machine.Mark)
	d.keepRescued()
	d.step(stepAdopted)
	d.noteDaemon()
	d.openEvents()
	return d.serve(ctx)
}

// hostOptions say how the machine is taken into service.
func (d *daemon) hostOptions() host.Options {
	kept := &host.Kept{Records: d.kept.Records, Unreadable: d.kept.Unreadables(), Decode: d.records.Decode}
	if d.inherited != nil {
		kept.Pidfds, kept.Tree = byReplica(d.inherited.Pidfds), d.inherited.Tree
		kept.Notify, kept.Stored, kept.Early = d.inherited.Notify, byReplica(d.inherited.Stored), byReplica(d.inherited.Early)
		kept.Environment = byReplica(d.inherited.Environment)
	}
	return host.Options{
		StateDir: d.config.stateDir, Output: d.output, NoCgroups: d.config.noCgroups,
		CgroupRoot: d.settings.cgroupRoot, Kept: kept, Step: d.step, Log: d.log.WithName("host"),
		// A mount that statfs does not show as remote, such as a bind mount of a
		// disk that hangs; also how the tests put a dead server in its place.
		RemotePaths: filepath.SplitList(d.app.env("RECONCILER_REMOTE_PATHS")),
	}
}

// serve runs the API and the loop, and ends the first when the second has
// ended. Who can reach the socket can also rely on the signals.
func (d *daemon) serve(ctx context.Context) error {
	d.successor = newSuccessor(d)
	d.notify = newNotifier()
	d.loop = reconciler.NewLoop(d.loopConfig())
	helpers, end := context.WithCancel(ctx)
	defer end()
	// A loop that is told to shut down before it runs does so when it runs.
	d.signals = &signals{
		shutdown: d.shutdown, reexec: func() { d.successor.ask(whySignal) }, leave: func() { d.leave(helpers) },
		log: d.log.Logger, first: d.isInit(), told: d.last.told, received: d.app.caught,
	}
	if d.inherited != nil {
		d.signals.nohup = d.inherited.Nohup
	}
	stopSignals := d.signals.watch(helpers)
	if err := d.listen(helpers); err != nil {
		return err
	}
	defer d.api.socket.Close()
	d.greet()
	d.step(stepListening)
	d.api.resume()
	d.notify.ready(d.services())
	var group sync.WaitGroup
	group.Go(func() { d.guard(func() { d.successor.run(helpers) }) })
	d.lookOnceMore()
	err := d.reconcile(ctx)
	end()
	stopSignals()
	d.api.close()
	group.Wait()
	if err == nil && !d.left.Load() {
		d.ended = true
		d.noteDaemon()
	}
	d.log.Info("Stopped daemon")
	return err
}

// listen opens the socket, or goes on listening on the one of the image before.
func (d *daemon) listen(ctx context.Context) error {
	var socket *api.Socket
	var err error
	if d.inherited != nil {
		socket, err = api.Inherit(d.config.stateDir, d.inherited.Socket)
	} else {
		socket, err = api.Listen(d.config.stateDir)
	}
	if err != nil {
		return err
	}
	server := api.NewServer(api.Config{
		Engine: d.loop, Events: d.events, ConfirmPrune: d.watcher.ConfirmPrune, Log: d.log.WithName("api"), Version: build(),
		Configuration: d.configuration, ExecPlan: d.execPlan, AccessGroup: func() spec.ID { return d.settings.access },
		Profiles: d.config.pprof,
		Daemon: status.Daemon{
			Version: build().GitVersion, Pid: os.Getpid(), StartedAt: d.begun,
			Dir: d.config.dir, StateDir: d.config.stateDir, LogDir: d.config.logDir, Recursive: d.config.recursive,
		},
	})
	d.api = &endpoint{socket: socket, server: server, log: d.log.Logger, ctx: ctx}
	return nil
}

// greet tells that we are there, and what is wrong with the machine.
func (d *daemon) greet() {
	if d.log.forPeople && d.inherited == nil {
		io.WriteString(d.log.queue, welcome(d.config.dir))
	}
	about := []any{"dir", d.config.dir, "stateDir", d.config.stateDir, "pid", os.Getpid(), "version", build().GitVersion}
	if d.inherited != nil {
		gap := time.Duration(monotonic() - d.inherited.Began)
		d.log.Info("Took over from the image before", append(about, "why", d.inherited.Why, "processes", d.machine.Adopted(), "gap", gap)...)
	} else {
		d.log.Info("Started daemon", append(about, "adopted", d.machine.Adopted())...)
	}
	for id, err := range d.kept.Unreadable {
		d.log.Info("Record cannot be read", "replica", id.String(), "message", err.Error())
	}
	for _, path := range d.kept.Foreign {
		d.log.Info("Passed over what is no record", "path", path)
	}
	for _, c := range d.machine.Conditions() {
		d.log.Info("Host needs attention", "condition", c.Type, "reason", c.Reason, "message", c.Message)
	}
}

// lookOnceMore asks for another re-exec when the program was exchanged while this
// image was on its way.
func (d *daemon) lookOnceMore() {
	if d.inherited == nil {
		return
	}
	if now, err := identify(d.program); err == nil && now != d.running {
		d.successor.ask(whyProgram)
	}
}

func (d *daemon) shutdown(now bool) {
	d.notify.stopping("Stopping all services")
	d.loop.Shutdown(now)
}

// leave ends the daemon and lets every service run.
func (d *daemon) leave(ctx context.Context) {
	go func() {
		bounded, cancel := context.WithTimeout(ctx, handoverPatience)
		defer cancel()
		d.notify.stopping("Leaving; services run on")
		d.log.Info("Leaving; services run on")
		leave := func(time.Time) error {
			d.left.Store(true)
			return nil
		}
		if err := d.loop.Handover(bounded, leave); err != nil && ctx.Err() == nil {
			d.log.Error(err, "Could not write what is known before leaving")
			d.left.Store(true)
			_ = d.loop.Handover(ctx, nil)
		}
	}()
}

// isInit says that we are the first process of the machine or the container.
func (d *daemon) isInit() bool { return os.Getpid() == 1 }

// services counts what is declared, as far as is known.
func (d *daemon) services() int { return len(reconciler.Wanted(d.kept.Records)) }

// recordConditions tell that records cannot be written.
func (d *daemon) recordConditions() []status.Condition {
	since, err := d.records.Trouble()
	if err == nil {
		return nil
	}
	return []status.Condition{{
		Type: "RecordsUnwritten", Status: "True", Reason: "WriteFailed", LastTransitionTime: since,
		Message: err.Error() + "; until it can be done, a crash of the daemon could make services start anew",
	}}
}

// hostConditions are what the host has to say of the machine, as it is reported.
func hostConditions(machine *host.Host, now time.Time) []status.Condition {
	var all []status.Condition
	for _, c := range machine.Conditions() {
		all = append(all, status.Condition{
			Type: c.Type, Status: "True", Reason: c.Reason, Message: c.Message, LastTransitionTime: now,
		})
	}
	return all
}

func (a *app) daemonConfig(f daemonFlags) (c daemonConfig, err error) {
	c = daemonConfig{recursive: f.recursive, noCgroups: f.noCgroups, pprof: f.pprof, settings: f.settings}
	if c.dir, err = absolute(f.dir); err != nil {
		return c, err
	}
	if c.stateDir, err = a.findStateDir(); err != nil {
		return c, err
	}
	logDir := f.logDir
	if logDir == "" {
		if logDir, err = a.defaultLogDir(); err != nil {
			return c, err
		}
	}
	if c.logDir, err = absolute(logDir); err != nil {
		return c, err
	}
	for _, owner := range f.trustOwners {
		uid, err := userID(owner)
		if err != nil {
			return c, fmt.Errorf("cannot trust %q: %w", owner, err)
		}
		c.trustOwners = append(c.trustOwners, uid)
	}
	return c, nil
}

// userID is the number of a user given by name or number.
func userID(owner string) (uint32, error) {
	if uid, err := strconv.ParseUint(owner, 10, 32); err == nil {
		return uint32(uid), nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return 0, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err
}
