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
	services []*spec.Service
	problems []spec.Problem
	ignored  []spec.Ignored
	files    int // that were read, or could not be
}

func readManifests(paths []string, recursive bool, parse func(string, []byte) spec.File) (*manifests, error) {
	var mu sync.Mutex // files are parsed by several goroutines
	files := map[string]bool{}
	set, err := watch.Read(paths, recursive, func(file string, data []byte) spec.File {
		mu.Lock()
		files[file] = true
		mu.Unlock()
		return parse(file, data)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range set.Problems {
		files[p.File] = true
	}
	m := &manifests{problems: set.Problems, ignored: set.Ignored, files: len(files)}
	for _, name := range slices.Sorted(maps.Keys(set.Services)) {
		m.services = append(m.services, set.Services[name])
	}
	return m, nil
}
