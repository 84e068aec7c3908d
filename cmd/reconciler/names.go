package main

import (
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

// kind is what a name may be of, as the API calls its collection.
type kind string

const (
	kindAny      kind = "" // a service, or else a replica
	kindServices kind = "services"
	kindReplicas kind = "replicas"
	kindEvents   kind = "events"
	kindConfig   kind = "config"
)

// kindWords are the words for kinds, as kubectl has plural, singular and short ones.
var kindWords = map[string]kind{
	"services": kindServices, "service": kindServices, "svc": kindServices,
	"replicas": kindReplicas, "replica": kindReplicas,
	"events": kindEvents, "event": kindEvents, "ev": kindEvents,
	"config": kindConfig, "configuration": kindConfig,
}

// kindOf reads a word for a kind, which may have the group behind it: service.svc.d.
func kindOf(word string) (kind, bool) {
	k, ok := kindWords[strings.TrimSuffix(word, ".svc.d")]
	return k, ok
}

// named is a name on the command line: NAME, KIND/NAME or KIND.svc.d/NAME.
type named struct {
	kind  kind
	plain string
}

func parseName(name string) (named, error) {
	word, plain, ok := strings.Cut(name, "/")
	if !ok {
		return named{kindAny, name}, nil
	}
	k, known := kindOf(word)
	if !known || k != kindServices && k != kindReplicas || plain == "" {
		return named{}, fmt.Errorf("cannot find %q: write a name as services/NAME or replicas/NAME-N", name)
	}
	return named{k, plain}, nil
}

// plainName is a name without what kubectl lets stand before it.
func plainName(name string) string {
	n, err := parseName(name)
	if err != nil {
		return name
	}
	return n.plain
}

// resolve finds what a name means: a service, or one replica of it as NAME-N. Of a
// bare name a service that is called NAME-N comes first.
func resolve(services []status.Service, name string) (target, error) {
	n, err := parseName(name)
	if err != nil {
		return target{}, err
	}
	if n.kind != kindReplicas {
		if s := find(services, n.plain); s != nil {
			return target{s, -1}, nil
		}
	}
	base, ordinal, isReplica := splitReplica(n.plain)
	s := find(services, base)
	switch {
	case !isReplica && n.kind == kindReplicas:
		return target{}, fmt.Errorf("cannot find a replica %q: a replica is called NAME-N, as in replicas/web-0", n.plain)
	case !isReplica || s == nil && n.kind != kindReplicas:
		return target{}, unknownName(services, name, n.plain)
	case s == nil:
		return target{}, unknownName(services, base, base)
	case !slices.ContainsFunc(s.Status.ReplicaStatuses, func(r status.Replica) bool { return r.Ordinal == ordinal }):
		return target{}, fmt.Errorf("cannot find %q: %s has no replica %d%s", name, base, ordinal, replicaNames(s))
	case n.kind == kindServices:
		return target{}, fmt.Errorf("cannot find a service %q; did you mean replicas/%s?", n.plain, n.plain)
	}
	return target{s, ordinal}, nil
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

// closest is the name of a service most like the given one, or empty when none is near.
func closest(services []status.Service, name string) string {
	names := make([]string, len(services))
	for i := range services {
		names[i] = services[i].Metadata.Name
	}
	return nearest(names, name)
}

// nearest is the word most like the given one, or empty when none is near.
func nearest(words []string, word string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, w := range words {
		if d := distance(w, word); d < least {
			best, least = w, d
		}
	}
	return best
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
