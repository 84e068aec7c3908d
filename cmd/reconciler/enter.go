package main

import (
	"context"
	"errors"

	"svc.d/reconciler"
	"svc.d/reconciler/host"
	"svc.d/spec"
	"svc.d/status"
)

// execPlan tells what a command beside a replica needs, for the API. What counts is
// what the replica was started from, though an edit may be on its way.
func (d *daemon) execPlan(ctx context.Context, id reconciler.ReplicaID) (*status.ExecPlan, error) {
	run, service, err := d.loop.RunOf(ctx, id)
	if err != nil {
		return nil, err
	}
	e, failure := d.machine.ExecPlan(ctx, id, run, service)
	if failure != nil {
		return nil, &reconciler.Refusal{Reason: reconciler.RefusedConflict, Message: failure.Message}
	}
	plan := &status.ExecPlan{
		Env: e.Env, WorkingDir: e.Dir, Umask: e.Umask, Cgroup: e.Cgroup,
		User: status.ExecUser{UID: e.UID, GID: e.GID, Groups: e.Groups},
	}
	for name, l := range e.Rlimits {
		if plan.Rlimits == nil {
			plan.Rlimits = map[string]status.Rlimit{}
		}
		plan.Rlimits[name] = status.Rlimit{Soft: l.Soft, Hard: l.Hard}
	}
	return plan, nil
}

// enter replaces this process by a command beside a replica.
func enter(plan *status.ExecPlan, argv []string) error {
	e := &host.Entry{
		Replica: plan.Replica, Env: plan.Env, Dir: plan.WorkingDir, Umask: plan.Umask,
		UID: plan.User.UID, GID: plan.User.GID, Groups: plan.User.Groups,
		Rlimits: map[string]spec.Rlimit{}, Cgroup: plan.Cgroup,
	}
	for name, l := range plan.Rlimits {
		e.Rlimits[name] = spec.Rlimit{Soft: l.Soft, Hard: l.Hard}
	}
	err := host.Enter(e, argv)
	var notRun *host.NotRunError
	if errors.As(err, &notRun) {
		return &exit{notRun.ExitCode(), err}
	}
	return err
}
