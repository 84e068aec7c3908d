package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"svc.d/reconciler/api"
	"svc.d/reconciler/record"
	"svc.d/status"
)

const whyLong = `Tell on one screen why a service, or one replica of it, is as it is: what is
wanted, what is observed, the chain of reasons down to the root cause with how the
latest runs ended and what the last one wrote, and what will happen next, and when.

Without a name it tells everything that is not as declared, a line each, and what
is wrong with the directory and the daemon.

As with kubectl's get and describe the exit code says whether the question could be
answered, not what the answer is: 0 when it was, 1 when there is no such service,
or no daemon that could be asked.`

// tailLines is how many lines of output are asked for: more than are shown, since
// those that tell which port is in use may stand above the last ones.
const tailLines = 40

// whyPatience is how long a daemon may take that mostly answers in milliseconds. Who
// asks why may have one that hangs.
const whyPatience = 10 * time.Second

func (a *app) why() *cobra.Command {
	return &cobra.Command{
		Use:     "why [NAME[-N]]",
		Short:   "Tell why a service is as it is, and what happens next",
		Long:    whyLong,
		Example: "  reconciler why\n  reconciler why web\n  reconciler why web-1",
		ValidArgsFunction: func(cmd *cobra.Command, given []string, start string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeNames(true)(cmd, given, start)
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) > 1 {
				return errors.New("cannot tell why of several names at once, which would not fit on a screen: give one, or none for all")
			}
			return a.tellWhy(cmd.Context(), strings.Join(names, ""))
		},
	}
}

func (a *app) tellWhy(ctx context.Context, name string) error {
	c := &status.Case{Now: a.now(), Asked: name, Ordinal: -1, OOMKills: -1, Width: columns(a.stdout)}
	ctx, cancel := context.WithTimeout(ctx, whyPatience)
	defer cancel()
	s, err := a.ask(ctx)
	var unreachable *api.UnreachableError
	switch {
	case errors.As(err, &unreachable):
		c.Absence = a.absence(unreachable)
	case err != nil:
		return err
	default:
		if err := a.gather(ctx, s, c); err != nil {
			return err
		}
	}
	if err := status.Why(a.stdout, c); err != nil {
		return err
	}
	if c.Absence != nil || name != "" && find(c.Services, c.Service) == nil {
		return &exit{code: 1}
	}
	return nil
}

// columns is the width of a terminal; 0 is that out is none.
func columns(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// gather asks for what belongs to the case. What is refused to the asker is told of
// as that.
func (a *app) gather(ctx context.Context, s *situation, c *status.Case) error {
	c.Services, c.Daemon = s.services, s.daemon
	c.Near = func(name string) string { return closest(s.services, name) }
	if c.Asked == "" {
		return nil
	}
	if err := aim(c); err != nil {
		return err // it has no such replica
	}
	v, r, previous := c.Suspect()
	if r == nil || !r.Telling() {
		return nil
	}
	c.OOMKills = oomKills()
	// Without them it is told what is known otherwise.
	if sent, err := s.client.Events(ctx, api.Selection{Fields: "involvedObject.kind=Replica,involvedObject.name=" + r.Name + ",reason=SignalSent"}); err == nil {
		c.Sent = sent.Items
	}
	c.Output = tail(ctx, s.client, v.Metadata.Name, r, previous)
	if ports := c.PortsInQuestion(); len(ports) > 0 {
		c.Listeners = listeners(ports, s.services)
	}
	return nil
}

// aim finds what the name means: a service or, as NAME-N, a replica. A service that
// is called NAME-N comes first, unless the name says that it is of a replica. That
// nobody declares it is no error: that is told.
func aim(c *status.Case) error {
	name, isReplica := c.Asked, false
	for _, prefix := range []string{"replicas/", "replica/", "replicas.svc.d/", "replica.svc.d/"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name, isReplica = rest, true
		}
	}
	c.Service = plainName(name)
	base, ordinal, ok := splitReplica(c.Service)
	of := find(c.Services, base)
	if !ok || of == nil || !isReplica && find(c.Services, c.Service) != nil {
		return nil
	}
	for i := range of.Status.ReplicaStatuses {
		if of.Status.ReplicaStatuses[i].Ordinal == ordinal {
			c.Service, c.Ordinal = base, ordinal
			return nil
		}
	}
	return fmt.Errorf("cannot find %q: %s has no replica %d%s", c.Asked, base, ordinal, replicaNames(of))
}

// tail is what a replica wrote last.
func tail(ctx context.Context, client *api.Client, service string, r *status.Replica, previous bool) status.Output {
	if previous && r.LastExit == nil {
		return status.Output{} // nothing of it has run yet
	}
	lines, err := client.Tail(ctx, service, r, previous, tailLines)
	var failure *status.Failure
	switch {
	case errors.As(err, &failure) && failure.Reason == status.FailureBadRequest:
		return status.Output{} // it has started anew meanwhile
	case err != nil:
		return status.Output{Refused: err.Error()}
	}
	return status.Output{Lines: lines, Previous: previous}
}

// absence is what the state directory tells while no daemon answers.
func (a *app) absence(why *api.UnreachableError) *status.Absence {
	found := &status.Absence{Error: why.Error(), Refused: errors.Is(why, fs.ErrPermission)}
	found.Silent = !found.Refused && !errors.Is(why, fs.ErrNotExist) && !errors.Is(why, syscall.ECONNREFUSED)
	dir, err := a.findStateDir()
	if err != nil {
		found.Unread = err.Error()
		return found
	}
	found.StateDir = dir
	if err := readAbsence(dir, found); err != nil {
		found.Unread = err.Error()
	}
	return found
}

// readAbsence reads what the last daemon has written down, and looks who of it is
// alive.
func readAbsence(stateDir string, found *status.Absence) error {
	store, err := record.Open(record.Options{StateDir: stateDir, ReadOnly: true})
	if err != nil {
		return err
	}
	defer store.Close()
	daemon, err := store.LoadDaemon()
	if err != nil || daemon == nil {
		return err
	}
	found.Dir, found.Ended = daemon.Dir, daemon.Ended
	kept, err := store.Load()
	if err != nil {
		return err
	}
	for _, id := range kept.Unreadables() {
		found.Damaged = append(found.Damaged, id.String())
	}
	for i := range kept.Records {
		r := &kept.Records[i].Instance
		switch {
		case r.StartedAt.IsZero() || !r.EndedAt.IsZero():
		case startTicks(r.Pid) == r.StartTicks:
			found.Living = append(found.Living, fmt.Sprintf("%s (pid %d)", r.ID, r.Pid))
		default:
			found.Gone = append(found.Gone, r.ID.String())
		}
	}
	slices.Sort(found.Living)
	slices.Sort(found.Gone)
	slices.Sort(found.Damaged)
	return nil
}
