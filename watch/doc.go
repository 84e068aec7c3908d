// Package watch turns a directory of manifests into a stream of immutable spec.Set values, keeping the last good version of each file.
package watch
