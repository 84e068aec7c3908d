package reconciler

import "time"

// probes appends the probes of a live run that are due, and says when the next one
// is.
func probes(i *Instance, n int, now time.Time, into []Action) ([]Action, time.Time) {
	s := &i.Spec.Spec
	if s.StartupProbe == nil && s.ReadinessProbe == nil && s.LivenessProbe == nil || i.Init != 0 {
		return into, time.Time{}
	}
	var next time.Time
	for kind := range probeKinds {
		due := i.probeDue(kind)
		switch {
		case due.IsZero():
		case !now.Before(due):
			into = append(into, Action{Deed: DeedProbe, Index: n, Probe: kind})
		default:
			next = earlier(next, due)
		}
	}
	return into, next
}

// probeDue is when the next probe of a kind is to be made; zero is not now.
//
// The first is made initialDelaySeconds after the start, or when what it waits for
// has happened. The others have a place in the period that depends on the replica,
// so that those of a thousand services do not fall together.
func (i *Instance) probeDue(kind ProbeKind) time.Time {
	probe := kind.Of(&i.Spec.Spec)
	if probe == nil {
		return time.Time{}
	}
	l := i.known()
	p := &l.Probes[kind]
	open := i.begun()
	if kind == ProbeStartup {
		if !p.PassedAt.IsZero() || !p.FailedAt.IsZero() {
			return time.Time{}
		}
		if i.Spec.Spec.Lifecycle.PostStart != nil {
			if l.PostStartAt.IsZero() {
				return time.Time{}
			}
			open = latest(open, l.PostStartAt)
		}
	} else if open, _ = i.startup(); open.IsZero() {
		return time.Time{}
	}
	if !p.TakenAt.IsZero() && p.DoneAt.IsZero() {
		return time.Time{} // the answer will come
	}
	period := time.Duration(probe.PeriodSeconds) * time.Second
	if p.TakenAt.IsZero() && !l.ResumedAt.After(open) {
		return latest(open, i.begun().Add(time.Duration(probe.InitialDelaySeconds)*time.Second))
	}
	after := p.TakenAt.Add(period / 2)
	if p.TakenAt.IsZero() {
		after = l.ResumedAt
	}
	first := i.begun().Add(i.ID.share(uint64(kind), period))
	if after.Before(first) {
		return first
	}
	periods := (after.Sub(first) + period - 1) / period
	return first.Add(periods * period)
}

// share is a part of d that depends on the replica and on salt alone, in whole
// steps of 25 ms: what is due in the same one is done in one go.
func (id ReplicaID) share(salt uint64, d time.Duration) time.Duration {
	const grain = 25 * time.Millisecond
	if d < grain {
		return 0
	}
	return time.Duration((id.hash(salt)>>20)%uint64(d/grain)) * grain
}

// hash is FNV-1a over what names the replica, and salt.
func (id ReplicaID) hash(salt uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(id.Service) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ uint64(id.Ordinal)) * 1099511628211
	return (h ^ salt) * 1099511628211
}

// offerProbe returns the next probe and where to send it; a nil channel when there
// is none.
func (l *Loop) offerProbe() (ProbeWork, chan<- ProbeWork) {
	if l.handover != nil || l.Prober == nil {
		return ProbeWork{}, nil
	}
	for r := l.probes.first(); r != nil; r = l.probes.first() {
		l.actions, _ = l.Decide(r.want, &r.facts, l.now(), l.actions[:0])
		for _, a := range l.actions {
			if a.Deed == DeedProbe {
				i := &r.facts.Replicas[a.Index]
				return ProbeWork{Replica: i.ID, Run: l.runs + 1, Kind: a.Probe, Service: i.Spec}, l.Prober.Work()
			}
		}
		l.probes.drop().probing = false
	}
	return ProbeWork{}, nil
}

// pushProbes hands over the probes that the prober takes at once, and returns the next
// one, as offerProbe does: many are due together.
func (l *Loop) pushProbes() (ProbeWork, chan<- ProbeWork) {
	for {
		w, to := l.offerProbe()
		select {
		case to <- w:
			l.probeTaken(w)
		default:
			return w, to
		}
	}
}

// probed takes in an answer and others that are there, but not so many that the rest of
// the world waits.
func (l *Loop) probed(e Event, more <-chan Event) {
	for range 64 {
		l.happened(e)
		select {
		case e = <-more:
		default:
			return
		}
	}
	l.happened(e)
}

// probeTaken notes that the prober has accepted the offered probe, which is of the
// queue's first record.
func (l *Loop) probeTaken(w ProbeWork) {
	r := l.probes.drop()
	r.probing = false
	l.runs++
	l.observe(r, Event{Kind: EventProbeTaken, Replica: w.Replica, Run: w.Run, Probe: w.Kind, At: l.now()})
	l.turn(r)
}
