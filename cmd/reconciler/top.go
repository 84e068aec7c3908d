package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"svc.d/reconciler/api"
	"svc.d/status"
)

const (
	// topPeriod is the time between two pictures, topSample between the two
	// measurements of a single one.
	topPeriod = 2 * time.Second
	topSample = time.Second
)

// topFlags are the flags of "top".
type topFlags struct {
	once, noHeaders  bool
	sortBy, selector string
}

func (a *app) top() *cobra.Command {
	var flags topFlags
	cmd := &cobra.Command{
		Use:   "top [NAME[-N]...]",
		Short: "Show what replicas use: processor, memory, restarts",
		Long: `Show what each replica uses of the machine, with all of its processes. On a
terminal the table is drawn anew every two seconds until Ctrl-C; elsewhere, and
with --once, it is printed once, after a second of measuring.

CPU is in thousandths of a core: 1500m is one and a half. MEMORY is what the
kernel counts for the cgroup, or else the sum of what its processes have.`,
		Example:           "  reconciler top --sort-by=cpu\n  reconciler top -l tier=front --once",
		ValidArgsFunction: a.completeNames(true),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := oneOf("sort-by", flags.sortBy, "", "cpu", "memory"); err != nil {
				return err
			}
			return a.showTop(cmd.Context(), names, &flags)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&flags.once, "once", false, "print it once, also on a terminal")
	fs.StringVar(&flags.sortBy, "sort-by", "", "the largest first, by `cpu or memory`")
	fs.StringVarP(&flags.selector, "selector", "l", "", "those with these `labels`")
	fs.BoolVar(&flags.noHeaders, "no-headers", false, "no line with the names of columns")
	completeWords(cmd, "sort-by", "cpu", "memory")
	return cmd
}

// top is a table of what replicas use, from one measurement to the next.
type top struct {
	*app
	flags  *topFlags
	client *api.Client
	names  []string
	meter  *meter
	before map[string]usage // by replica
}

// topRow is one line.
type topRow struct {
	replica *status.ReplicaObject
	cores   int64
	memory  int64
}

func (a *app) showTop(ctx context.Context, names []string, flags *topFlags) error {
	s, err := a.ask(ctx)
	if err != nil {
		return err
	}
	t := &top{app: a, flags: flags, client: s.client, meter: a.meter, before: map[string]usage{}}
	if t.meter == nil {
		t.meter = newMeter()
	}
	unknown := a.each(names, func(name string) error {
		found, err := s.resolve(name)
		switch {
		case err != nil:
			return err
		case found.ordinal >= 0:
			t.names = append(t.names, "replicas/"+found.replica().Name)
		default:
			t.names = append(t.names, "services/"+found.service.Metadata.Name)
		}
		return nil
	})
	if len(names) > 0 && len(t.names) == 0 {
		return unknown
	}
	terminal, isFile := a.stdout.(*os.File)
	if isFile && !flags.once && term.IsTerminal(int(terminal.Fd())) && obeys(a.env) {
		return t.live(ctx, terminal)
	}
	if _, err := t.look(ctx); err != nil {
		return err
	}
	if err := pause(ctx, a.sample); err != nil {
		return err
	}
	rows, err := t.look(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		fmt.Fprintln(a.stderr, "There are no replicas to show; `reconciler get` tells what is declared.")
		return unknown
	}
	if err := t.write(a.stdout, rows); err != nil {
		return err
	}
	return unknown
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// look lists the replicas and measures them.
func (t *top) look(ctx context.Context) ([]*topRow, error) {
	list, err := t.client.Replicas(ctx, api.Selection{Labels: t.flags.selector})
	if err != nil {
		return nil, withHint(olderDaemon(err))
	}
	measured := t.meter.measure(list.Items)
	after := make(map[string]usage, len(list.Items))
	var rows []*topRow
	for i := range list.Items {
		r := &list.Items[i]
		after[r.Metadata.Name] = measured[i]
		if !t.shows(r) {
			continue
		}
		row := &topRow{replica: r, cores: cores(t.before[r.Metadata.Name], measured[i]), memory: -1}
		if measured[i].known {
			row.memory = measured[i].memory
		}
		rows = append(rows, row)
	}
	t.before = after
	switch t.flags.sortBy {
	case "cpu":
		slices.SortStableFunc(rows, func(a, b *topRow) int { return compareValues(b.cores, a.cores) })
	case "memory":
		slices.SortStableFunc(rows, func(a, b *topRow) int { return compareValues(b.memory, a.memory) })
	}
	return rows, nil
}

func (t *top) shows(r *status.ReplicaObject) bool {
	return len(t.names) == 0 || slices.Contains(t.names, "replicas/"+r.Metadata.Name) || slices.Contains(t.names, "services/"+r.Spec.Service)
}

// write writes the table, in kubectl's columns.
func (t *top) write(w io.Writer, rows []*topRow) error {
	table := status.NewTable(w)
	if !t.flags.noHeaders {
		table.Row("NAME", "CPU(cores)", "MEMORY(bytes)", "STATUS", "RESTARTS")
	}
	for _, r := range rows {
		cpu, memory := "<unknown>", "<unknown>"
		if r.cores >= 0 {
			cpu = strconv.FormatInt(r.cores, 10) + "m"
		}
		if r.memory >= 0 {
			memory = mebibytes(r.memory)
		}
		cells := r.replica.Row(t.now(), false) // NAME READY STATUS RESTARTS AGE
		table.Row(cells[0], cpu, memory, cells[2], cells[3])
	}
	return table.Flush()
}

func mebibytes(n int64) string {
	if n < 1<<20 {
		return strconv.FormatInt((n+1<<10-1)>>10, 10) + "Ki"
	}
	return strconv.FormatInt(n>>20, 10) + "Mi"
}

// live draws the table until the person has seen enough.
func (t *top) live(ctx context.Context, terminal *os.File) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	rows, err := t.look(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(terminal, enterScreen)
	defer fmt.Fprint(terminal, leaveScreen)
	s := &screen{bufio.NewWriter(terminal)}
	for wait := t.sample; ; wait = topPeriod { // the first rates are there sooner
		var text bytes.Buffer
		fmt.Fprintln(&text, t.summary(rows, err))
		if err := t.write(&text, rows); err != nil {
			return err
		}
		width, height := sizeOf(terminal)
		if err := s.draw(text.String(), width, height); err != nil {
			return fmt.Errorf("cannot draw: %w", err)
		}
		if pause(ctx, wait) != nil {
			return nil // the person has seen enough
		}
		next, lookErr := t.look(ctx)
		var unreachable *api.UnreachableError
		switch err = lookErr; {
		case err == nil:
			rows = next
		case ctx.Err() != nil:
			return nil
		case !errors.As(err, &unreachable):
			return err
		}
	}
}

// summary is the line above the table.
func (t *top) summary(rows []*topRow, err error) string {
	if err != nil {
		return strings.SplitN(err.Error(), "; ", 2)[0] + " (this is what was seen last)"
	}
	var cores, memory int64
	for _, r := range rows {
		cores += max(0, r.cores)
		memory += max(0, r.memory)
	}
	return fmt.Sprintf("%s  %s, %dm cores, %s  (Ctrl-C ends)\n", t.now().Format("15:04:05"), count(len(rows), "replica"), cores, mebibytes(memory))
}
