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
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/api"
	"svc.d/reconciler/host"
	"svc.d/reconciler/record"
	"svc.d/status"
	"svc.d/watch"
)

// startGarbage is GOGC until the start is over: a collection stops the world,
// and waits for each fork to do so.
const startGarbage = 400

// shrinkAfter is when the start, of a thousand services too, is over.
const shrinkAfter = 3 * time.Second

// daemonFlags are the flags of the daemon as they were given.
type daemonFlags struct {
	dir         string
	recursive   bool
	logDir      string
	logFormat   string
	logLevel    string
	trustOwners []string
	noCgroups   bool
}

// daemonConfig is the same, understood: directories are absolute.
type daemonConfig struct {
	dir, stateDir, logDir string
	recursive, noCgroups  bool
	trustOwners           []uint32
}

func (a *app) daemonConfig(f daemonFlags) (c daemonConfig, err error) {
	c = daemonConfig{recursive: f.recursive, noCgroups: f.noCgroups}
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

// daemon runs until a signal has stopped everything. Nothing is touched before
// the lock is held: what is there belongs to the daemon that has it.
func (a *app) daemon(ctx context.Context, flags daemonFlags) (err error) {
	config, err := a.daemonConfig(flags)
	if err != nil {
		return err
	}
	// A reader of our log who goes away ends us neither early nor late. Only when
	// the log is written are signals let go.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	defer signal.Reset(handled()...)
	log, err := openLog(a.stderr, flags.logFormat, flags.logLevel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	// What the daemon makes, and what services inherit unless they say
	// otherwise, must not depend on who starts it.
	syscall.Umask(0o022)
	if err := makeStateDir(config.stateDir); err != nil {
		return err
	}
	lock, err := record.TakeLock(ctx, config.stateDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return a.supervise(ctx, config, log)
}

// supervise reads the directory and opens the host, both at once: a start of a
// thousand services is a race.
func (a *app) supervise(ctx context.Context, c daemonConfig, log *daemonLog) (err error) {
	watcher, err := watch.New(watch.Options{
		Dir: c.dir, Recursive: c.recursive, TrustOwners: c.trustOwners, CheckTrust: os.Geteuid() == 0, Log: log.WithName("watch"),
	})
	if err != nil {
		return err
	}
	usual := debug.SetGCPercent(startGarbage)
	shrink := time.AfterFunc(shrinkAfter, func() {
		// The start took memory that a daemon at rest does not need.
		debug.SetGCPercent(usual)
		debug.FreeOSMemory()
	})
	defer shrink.Stop()
	helpers, end := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		if err := watcher.Run(helpers); err != nil && helpers.Err() == nil {
			log.Error(err, "Watcher ended; edits are not followed any more")
		}
	})
	defer group.Wait()
	defer end()
	machine, err := host.Open(host.Options{
		StateDir: c.stateDir, LogDir: c.logDir, NoCgroups: c.noCgroups, Log: log.WithName("host"),
		// A mount that statfs does not show as remote, such as a bind mount of a
		// disk that hangs; also how the tests put a dead server in its place.
		RemotePaths: filepath.SplitList(a.env("RECONCILER_REMOTE_PATHS")),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, machine.Close()) }()
	return a.serve(ctx, c, log, machine, watcher)
}

// serve runs the API and the loop, and ends the first when the second has
// ended. Who can reach the socket can also rely on the signals.
func (a *app) serve(ctx context.Context, c daemonConfig, log *daemonLog, machine *host.Host, watcher *watch.Watcher) error {
	conditions := hostConditions(machine, a.now())
	loop := reconciler.NewLoop(reconciler.Config{
		Host: machine, Sets: watcher.Sets(), Log: log.Logger, Found: machine.Found(), Conditions: conditions,
		Verify: a.env("RECONCILER_VERIFY") == "1",
	})
	server := api.NewServer(api.Config{
		Engine: loop, ConfirmPrune: watcher.ConfirmPrune, Log: log.WithName("api"), Version: build(),
		Daemon: status.Daemon{
			Version: build().GitVersion, Pid: os.Getpid(), StartedAt: a.now(),
			Dir: c.dir, StateDir: c.stateDir, LogDir: c.logDir, Recursive: c.recursive,
		},
	})
	helpers, end := context.WithCancel(ctx)
	defer end()
	// A loop that is told to shut down before it runs does so when it runs.
	stopSignals := watchSignals(helpers, signals{shutdown: loop.Shutdown, log: log.Logger})
	listener, err := api.Listen(c.stateDir)
	if err != nil {
		return err
	}
	if log.forPeople {
		io.WriteString(log.queue, welcome(c.dir))
	}
	log.Info("Started daemon", "dir", c.dir, "stateDir", c.stateDir, "pid", os.Getpid(), "version", build().GitVersion)
	for _, condition := range conditions {
		log.Info("Host needs attention", "condition", condition.Type, "reason", condition.Reason, "message", condition.Message)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if err := server.Serve(helpers, listener); err != nil {
			log.Error(err, "API ended; commands do not reach this daemon any more")
		}
	})
	err = loop.Run(ctx)
	end()
	stopSignals()
	group.Wait()
	log.Info("Stopped daemon")
	return err
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
