package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"svc.d/status"
)

// maxNamesListed bounds how many names an error lists.
const maxNamesListed = 10

// target is what a name on the command line means.
type target struct {
	service *status.Service
	ordinal int32 // of one replica; -1 is the service as a whole
}

// resolve finds what a name means: a service, as NAME, service/NAME or
// service.svc.d/NAME, or one replica of it, as NAME-N. A service that is called
// NAME-N comes first.
func resolve(services []status.Service, name string) (target, error) {
	plain := plainName(name)
	if s := find(services, plain); s != nil {
		return target{s, -1}, nil
	}
	if base, ordinal, ok := splitReplica(plain); ok {
		if s := find(services, base); s != nil {
			if !slices.ContainsFunc(s.Status.ReplicaStatuses, func(r status.Replica) bool { return r.Ordinal == ordinal }) {
				return target{}, fmt.Errorf("cannot find %q: %s has no replica %d%s", name, base, ordinal, replicaNames(s))
			}
			return target{s, ordinal}, nil
		}
	}
	return target{}, unknownName(services, name, plain)
}

// plainName is a name without what kubectl lets stand before it.
func plainName(name string) string {
	for _, prefix := range []string{status.NamePrefix, "service/", "services/", "services.svc.d/", "svc/"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest
		}
	}
	return name
}

func find(services []status.Service, name string) *status.Service {
	i := slices.IndexFunc(services, func(s status.Service) bool { return s.Metadata.Name == name })
	if i < 0 {
		return nil
	}
	return &services[i]
}

// splitReplica takes "web-0" apart. "web-00" is no replica's name.
func splitReplica(name string) (base string, ordinal int32, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != name[i+1:] {
		return "", 0, false
	}
	return name[:i], int32(n), true
}

func replicaNames(s *status.Service) string {
	var names []string
	for i := range s.Status.ReplicaStatuses {
		names = append(names, s.Status.ReplicaStatuses[i].Name)
	}
	if len(names) == 0 {
		return ""
	}
	if len(names) > maxNamesListed {
		names = append(names[:maxNamesListed], "...")
	}
	return "; it has " + strings.Join(names, ", ")
}

// unknownName is the error for a name that nothing has.
func unknownName(services []status.Service, name, plain string) error {
	text := fmt.Sprintf("cannot find a service %q", name)
	if best := closest(services, plain); best != "" {
		text += fmt.Sprintf("; did you mean %q?", best)
	}
	if len(services) == 0 {
		return fmt.Errorf("%s: none is declared", text)
	}
	return fmt.Errorf("%s (`reconciler get` lists all %d)", text, len(services))
}

// closest is the name most like the given one, or empty when none is near.
func closest(services []status.Service, name string) string {
	if len(services) == 0 {
		return ""
	}
	near := func(s status.Service) int { return distance(s.Metadata.Name, name) }
	best := slices.MinFunc(services, func(a, b status.Service) int { return cmp.Compare(near(a), near(b)) })
	if near(best) > max(1, len(name)/3) {
		return ""
	}
	return best.Metadata.Name
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
