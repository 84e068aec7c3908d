package watch

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"svc.d/spec"
)

// claimAll puts services of e in force, unless another file provides them.
func (l *ledger) claimAll(e *entry, list []*spec.Service) {
	for i, s := range list {
		name := s.Metadata.Name
		h := l.services[name]
		switch {
		case h == nil:
			h = &holding{service: s, by: e}
			l.services[name] = h
			l.changed[name] = struct{}{}
		case h.by == e, !h.missing.IsZero():
			h.by = e
			l.replace(h, s)
			list[i] = h.service
		default:
			if !slices.Contains(l.rivals[name], e) {
				l.rivals[name] = append(l.rivals[name], e)
			}
			continue
		}
		h.missing = time.Time{}
		delete(l.absent, name)
	}
	if len(l.absent) == 0 {
		l.pruneSince = time.Time{}
	}
}

// replace keeps the pointer when the same file declares the same. Whoever is
// seeded with a service must find it in the file that provides it.
func (l *ledger) replace(h *holding, s *spec.Service) {
	if h.service != s && (h.service.Source.File != s.Source.File || !sameDeclaration(h.service, s)) {
		h.service = s
		l.changed[s.Metadata.Name] = struct{}{}
	}
}

func sameDeclaration(a, b *spec.Service) bool {
	return reflect.DeepEqual(&a.Metadata, &b.Metadata) && reflect.DeepEqual(&a.Spec, &b.Spec)
}

// release ends e's claim to a service. Another file that declares it takes
// over, the first in the order of paths.
func (l *ledger) release(e *entry, name string, now time.Time) {
	rest := slices.DeleteFunc(l.rivals[name], func(r *entry) bool { return r == e })
	h := l.services[name]
	if h != nil && h.by == e && len(rest) > 0 {
		next := slices.MinFunc(rest, func(a, b *entry) int { return cmp.Compare(a.path, b.path) })
		rest = slices.DeleteFunc(rest, func(r *entry) bool { return r == next })
		h.by = next
		for i, s := range next.services {
			if s.Metadata.Name == name {
				l.replace(h, s)
				next.services[i] = h.service
			}
		}
	} else if h != nil && h.by == e && h.missing.IsZero() {
		h.missing = now
		l.absent[name] = h
	}
	if len(rest) == 0 {
		delete(l.rivals, name)
	} else {
		l.rivals[name] = rest
	}
}
