package main

import (
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

// parser reads one file; see spec.Parse.
type parser = func(file string, data []byte) spec.File

func readManifests(paths []string, recursive bool, parse parser) (*manifests, error) {
	set, files, err := watch.Read(paths, recursive, parse)
	_ = set
	return &manifests{files: files}, err
}
