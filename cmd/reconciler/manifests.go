package main

import (
	"maps"
	"slices"

	"svc.d/spec"
	"svc.d/watch"
)

// manifests is what files on disk declare, read without a daemon.
type manifests struct {
	services []*spec.Service
	problems []spec.Problem
	ignored  []spec.Ignored
	files    int
}

func readManifests(paths []string, recursive bool, parse func(string, []byte) spec.File) (*manifests, error) {
	set, files, err := watch.Read(paths, recursive, parse)
	if err != nil {
		return nil, err
	}
	m := &manifests{problems: set.Problems, ignored: set.Ignored, files: files}
	for _, name := range slices.Sorted(maps.Keys(set.Services)) {
		m.services = append(m.services, set.Services[name])
	}
	return m, nil
}
