package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// group is the objects of one kind that a command is about, in the order in which
// they are shown.
type group struct {
	kind     kind
	names    []string          // that were asked for; empty: all
	selected bool              // by a selector
	wanted   func(object) bool // what of a watch is shown; nil: all
	objects  []object
	revision string
}

// groups finds what the command line asks for. unknown tells of names that nothing
// has; what is there can be shown all the same.
func (a *app) groups(ctx context.Context, s *situation, k kind, names []string, flags *getFlags) (groups []*group, unknown, err error) {
	if len(names) == 0 || k == kindEvents {
		g, err := s.collection(ctx, k, flags.selection)
		if err != nil {
			return nil, nil, err
		}
		return a.only(g, names)
	}
	var services, replicas []string
	unknown = a.each(names, func(name string) error {
		t, err := s.resolveAs(k, name)
		switch {
		case err != nil:
			return err
		case t.ordinal >= 0:
			replicas = append(replicas, fmt.Sprintf("%s-%d", t.service.Metadata.Name, t.ordinal))
		case k == kindReplicas:
			for i := range t.service.Status.ReplicaStatuses {
				replicas = append(replicas, t.service.Status.ReplicaStatuses[i].Name)
			}
		default:
			services = append(services, t.service.Metadata.Name)
		}
		return nil
	})
	for _, of := range []struct {
		kind  kind
		names []string
	}{{kindServices, services}, {kindReplicas, replicas}} {
		if len(of.names) == 0 {
			continue
		}
		g, err := s.collection(ctx, of.kind, flags.selection)
		if err != nil {
			return nil, nil, err
		}
		g.choose(of.names)
		groups = append(groups, g)
	}
	return groups, unknown, nil
}

// resolveAs finds what a name means after a word for a kind. After "replicas" a
// service means all of its replicas.
func (s *situation) resolveAs(k kind, name string) (target, error) {
	if n, err := parseName(name); err == nil && n.kind == kindAny && k == kindReplicas {
		if t, err := s.resolve(string(kindReplicas) + "/" + name); err == nil {
			return t, nil
		}
	}
	return s.resolve(name)
}

// only keeps the events of the given names.
func (a *app) only(g *group, names []string) (groups []*group, unknown, err error) {
	if len(names) == 0 {
		return []*group{g}, nil, nil
	}
	unknown = a.each(names, func(name string) error {
		if !slices.ContainsFunc(g.objects, func(o object) bool { return o.meta.Name == name }) {
			return fmt.Errorf("cannot find an event %q; `reconciler events --for NAME` lists those of a service", name)
		}
		return nil
	})
	g.choose(names)
	if len(g.objects) == 0 {
		return nil, unknown, nil
	}
	return []*group{g}, unknown, nil
}

// choose keeps the objects of these names, in their order, each once.
func (g *group) choose(names []string) {
	var chosen []object
	for _, name := range names {
		i := slices.IndexFunc(g.objects, func(o object) bool { return o.meta.Name == name })
		if i >= 0 && !slices.Contains(g.names, name) {
			g.names = append(g.names, name)
			chosen = append(chosen, g.objects[i])
		}
	}
	g.objects = chosen
}

// concernedBy tells whether a problem is why one of the group's services may not be
// as its file says.
func (g *group) concernedBy(p status.Problem, services []status.Service) bool {
	return g.kind == kindServices && slices.ContainsFunc(g.objects, func(o object) bool {
		s := find(services, o.meta.Name)
		return s != nil && p.Concerns(s, services)
	})
}

// collection is all objects of a kind that a selection has.
func (s *situation) collection(ctx context.Context, k kind, selection api.Selection) (*group, error) {
	g := &group{kind: k, selected: selection != api.Selection{}}
	list := s.listed
	if k != kindServices || g.selected {
		var err error
		if list, err = s.client.List(ctx, string(k), selection); err != nil {
			return nil, withHint(olderDaemon(err))
		}
	}
	g.revision = list.Metadata.ResourceVersion
	for _, item := range list.Items {
		o, err := newObject(item)
		if err != nil {
			return nil, err
		}
		g.objects = append(g.objects, o)
	}
	return g, nil
}

// olderDaemon explains the answer of a daemon that does not know what is asked.
func olderDaemon(err error) error {
	var failure *status.Failure
	if errors.As(err, &failure) && failure.Reason == status.FailureNotFound {
		return fmt.Errorf("%w; if the daemon is of an earlier version, have it load this one with SIGHUP", err)
	}
	return err
}

// watch goes on with what becomes of a group.
func (a *app) watch(ctx context.Context, client *api.Client, g *group, flags *getFlags, p *printer) error {
	list := &api.Objects{Metadata: status.ListMeta{ResourceVersion: g.revision}}
	for i := range g.objects {
		list.Items = append(list.Items, g.objects[i].raw)
	}
	selection := flags.selection
	if len(g.names) == 1 {
		selection.Fields = "metadata.name=" + g.names[0]
	}
	f, err := client.Follow(string(g.kind), selection, list)
	if err != nil {
		return err
	}
	f.Lost = a.lost
	err = f.Run(ctx, func(e status.WatchEvent) error {
		o, err := newObject(e.Object)
		if err != nil || len(g.names) > 0 && !slices.Contains(g.names, o.meta.Name) || g.wanted != nil && !g.wanted(o) {
			return err
		}
		return p.changed(g.kind, o, e.Type)
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return withHint(err)
}

// lost warns of a daemon that cannot be asked for the time being.
func (a *app) lost(err error) { fmt.Fprintf(a.stderr, "warning: %v; waiting for it\n", err) }
