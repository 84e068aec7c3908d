// Package status is what we tell people: report types in Kubernetes' shapes,
// and their rendering. Nothing decides on it.
package status
