package host

import (
	"svc.d/reconciler"
	"svc.d/spec"
)

// planStart works out what the main process is to be, and prepares what it finds.
func (h *Host) planStart(w reconciler.Work) (*plan, *reconciler.Failure) {
	p, f := makePlan(&h.accounts, w.Service, w.Replica.Ordinal, readEnvFiles)
	if f != nil {
		return nil, f
	}
	if f := makeRuntimeDirectories(w.Service.Spec.RuntimeDirectories, &p.who); f != nil {
		return nil, f
	}
	if n := int(w.Init); n > 0 {
		if n > len(w.Service.Spec.Init) {
			return nil, failure(reconciler.ReasonStartFailed, "cannot start init command %d of %s: there are %d", n, w.Replica, len(w.Service.Spec.Init))
		}
		p.argv = p.initCommand(&w.Service.Spec.Init[n-1])
	}
	if h.grouping.reapAfter() { // without cgroups
		p.env = append(p.env, instanceVariable+"="+h.instance+"/"+w.Replica.String())
	}
	return p, nil
}

// initCommand is what an init command runs, in the environment of the plan.
func (p *plan) initCommand(i *spec.Init) []string {
	x := spec.NewExpander(p.env)
	return append(x.Texts(i.Command), x.Texts(i.Args)...)
}

// allLocal says whether all programs of a plan can be looked at here.
func (h *Host) allLocal(p *plan) bool {
	one := *p
	for _, program := range append(p.first[:len(p.first):len(p.first)], p.argv[0]) {
		one.argv = []string{program}
		if _, local, f := h.local(&one); !local && f == nil {
			return false
		}
	}
	return true
}
