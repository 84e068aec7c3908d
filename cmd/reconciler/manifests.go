package main

import (
	"maps"
	"slices"
	"sync"

	"svc.d/spec"
	"svc.d/watch"
)

// manifests is what files on disk declare, read without a daemon.
type manifests struct {
	services      []*spec.Service
	configuration *spec.Configuration // nil for none
	problems      []spec.Problem
	ignored       []spec.Ignored
	files         int // that were read, or could not be
}

// parser is spec.Parser.Parse, or something around it.
type parser func(p spec.Parser, file string, data []byte) spec.File

// readManifests reads files as a daemon would. Services have the defaults of the
// configuration among them; without one, those that are given.
func readManifests(paths []string, recursive bool, parse parser, defaults spec.Spec) (*manifests, error) {
	m, err := readUnder(spec.Parser{Defaults: defaults}, paths, recursive, parse)
	if err != nil || m.configuration == nil {
		return m, err
	}
	return readUnder(spec.Parser{Defaults: m.configuration.ServiceDefaults()}, paths, recursive, parse)
}

func readUnder(p spec.Parser, paths []string, recursive bool, parse parser) (*manifests, error) {
	var mu sync.Mutex // files are parsed by several goroutines
	files := map[string]bool{}
	set, err := watch.Read(paths, recursive, func(file string, data []byte) spec.File {
		mu.Lock()
		files[file] = true
		mu.Unlock()
		return parse(p, file, data)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range set.Problems {
		files[p.File] = true
	}
	m := &manifests{configuration: set.Configuration, problems: set.Problems, ignored: set.Ignored, files: len(files)}
	for _, name := range slices.Sorted(maps.Keys(set.Services)) {
		m.services = append(m.services, set.Services[name])
	}
	return m, nil
}
