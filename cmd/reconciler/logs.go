package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/spf13/cobra"

	"svc.d/reconciler/logs/reader"
)

const logsLong = `Print what services have written, oldest first: of all replicas of NAME merged
by time, or of the replica NAME-N alone. Files that were rotated and compressed
are read too.

The files are read by this command itself, so it works while no daemon runs,
and follows (-f) over its end and its restart. The daemon tells where they are,
and what -l and --previous need. Of a service that was removed the files are
still found by its name.

Who may not open the files, and is a member of access.group, gets the log from the
daemon: of one service at a time, and a follow ends when the daemon does.`

const logsExample = `  reconciler logs web -f --tail 100
  reconciler logs web-0 --previous
  reconciler logs --all --since 10m --grep 'error|panic'
  reconciler logs -l tier=front,app!=web --stream stderr`

// logsFlags are the flags of "logs".
type logsFlags struct {
	follow, timestamps, previous, prefix, all bool
	tail                                      int
	since, grep, selector, stream, logDir     string
}

func (a *app) logs() *cobra.Command {
	var flags logsFlags
	cmd := &cobra.Command{
		Use:               "logs {NAME[-N]... | -l LABELS | --all}",
		Short:             "Print what services have written",
		Long:              logsLong,
		Example:           logsExample,
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := flags.check(names); err != nil {
				return err
			}
			return a.printLogs(cmd.Context(), names, &flags)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVarP(&flags.follow, "follow", "f", false, "go on with what is written from now on")
	fs.IntVar(&flags.tail, "tail", -1, "only the last `N` lines of what is there; -1 is all")
	fs.StringVar(&flags.since, "since", "", "only what was written since a `time`: 10m or 2d ago, 15:04, \"2006-01-02 15:04:05\", or as RFC 3339 has it")
	fs.BoolVar(&flags.timestamps, "timestamps", false, "the time before each line")
	fs.BoolVarP(&flags.previous, "previous", "p", false, "of the run before the present one")
	fs.StringVar(&flags.grep, "grep", "", "only lines that match a regular `expression` (RE2)")
	fs.StringVar(&flags.stream, "stream", "", "only what was written to `stdout or stderr`")
	fs.StringVarP(&flags.selector, "selector", "l", "", "services with these `labels`: k=v, k!=v, k in (v,w), k notin (v), k, !k, with commas between")
	fs.BoolVar(&flags.all, "all", false, "all services")
	fs.BoolVar(&flags.prefix, "prefix", false, "the replica's name before each line, even if there is one alone")
	fs.StringVar(&flags.logDir, "log-dir", "", "the `directory` of the output, if the daemon cannot be asked for it (default "+a.shownLogDir()+")")
	return cmd
}

// check refuses what cannot be meant.
func (f *logsFlags) check(names []string) error {
	given := 0
	for _, is := range []bool{len(names) > 0, f.selector != "", f.all} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return errors.New("cannot tell whose logs to print: give a name, as in `reconciler logs web`, labels (-l), or --all")
	case given > 1:
		return errors.New("cannot print logs by names, by labels (-l) and of all (--all) at once: choose one")
	case f.tail < -1:
		return fmt.Errorf("cannot print the last %d lines: --tail takes a number from 0, or -1 for all", f.tail)
	case f.previous && f.follow:
		return errors.New("cannot follow a run that has ended: --previous and --follow exclude each other")
	case f.previous && f.since != "":
		return errors.New("cannot use --since with --previous, which says by itself since when")
	}
	return oneOf("stream", f.stream, "", "stdout", "stderr")
}

// query is what the flags ask for, without targets.
func (f *logsFlags) query(a *app) (reader.Query, error) {
	q := reader.Query{Tail: f.tail, Follow: f.follow}
	switch f.stream {
	case "stdout":
		q.Streams = reader.OnlyStdout
	case "stderr":
		q.Streams = reader.OnlyStderr
	}
	if f.grep != "" {
		var err error
		if q.Grep, err = regexp.Compile(f.grep); err != nil {
			return q, fmt.Errorf("cannot use --grep %q: %w", f.grep, err)
		}
	}
	q.Warn = func(err error) { fmt.Fprintln(a.stderr, "warning: "+err.Error()) }
	return q, nil
}

func (a *app) printLogs(ctx context.Context, names []string, flags *logsFlags) error {
	q, err := flags.query(a)
	if err != nil {
		return err
	}
	since, err := sinceTime(flags.since, a.now())
	if err != nil {
		return err
	}
	l, err := a.lookUpLogs(ctx, flags)
	if err != nil {
		return err
	}
	q.Dir = l.dir
	chosen, unknown := l.choose(a, names, flags)
	if len(chosen) == 0 {
		return unknown
	}
	// A reader that goes away (| head) is an error of the write, not our end.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	if flags.follow {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
	}
	if refused := l.refused(chosen); refused != nil {
		if err := a.askForLog(ctx, l, chosen, flags, since, refused); err != nil {
			return err
		}
		return unknown
	}
	if q.Targets, err = filesOf(chosen, flags.previous, since); err != nil {
		return err
	}
	printer := a.logPrinter(l, flags, q.Targets)
	err = reader.Read(ctx, q, printer)
	if flushed := printer.Idle(); err == nil || errors.Is(err, context.Canceled) {
		err = flushed
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return unknown
}
