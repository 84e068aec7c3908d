package spec

import "time"

// Set is everything that a directory of manifests declares at one moment, with
// what is wrong with it. A Set is immutable. A service that did not change from
// one Set to the next, and is in the same file, keeps its pointer, so a
// difference is found by comparing pointers.
type Set struct {
	// Services are the declared services by name, each in the last good
	// version of its document.
	Services map[string]*Service
	// Configuration is the daemon's own one in the last good version of its
	// document, or nil. It keeps its pointer while the same file declares the
	// same.
	Configuration *Configuration
	// Directory tells the directory that was read from one that takes its place
	// later; empty while there is none. It is for the seed of another Watcher.
	Directory string
	// Problems are what is wrong now, in order of file, document and line.
	Problems []Problem
	// Ignored are documents of somebody else's API group.
	Ignored []Ignored
	// Conditions tell of the directory as a whole (see the Condition types);
	// one that is absent is not the case.
	Conditions []Condition
}

// Problem is one thing that is wrong with a manifest. While it stands, the last
// good content of the file stays in force.
type Problem struct {
	Source
	// Column counts characters from 1; 0 means unknown.
	Column int
	// Field is the path as in "spec.env[0].name"; empty when the problem is of
	// the file as a whole.
	Field string
	// Value is what stands there, shortened; empty when not to the point.
	Value string
	// Message says what is wrong, what is allowed, and "did you mean".
	Message string
	// Service is the name of the service that the document declares, when it
	// can be told.
	Service string
	// Since is when the problem was first seen.
	Since time.Time
}

// Ignored is a document that is none of ours.
type Ignored struct {
	Source
	APIVersion, Kind string
	// Hint says what to do about it, when something can be done.
	Hint string
}

// Condition types of a directory.
const (
	// ConditionPruneHeld: a re-list would have removed more than half of the
	// services; they are kept until somebody confirms.
	ConditionPruneHeld = "PruneHeld"
	// ConditionDirectoryHeld: the directory is missing, unreadable, or became
	// empty by being replaced; everything is kept as it is.
	ConditionDirectoryHeld = "DirectoryHeld"
	// ConditionWatchDegraded: file notification does not work; the directory
	// is listed again every few seconds instead.
	ConditionWatchDegraded = "WatchDegraded"
)

// Condition is something about the directory that somebody should know.
type Condition struct {
	Type    string
	Reason  string
	Message string
	Since   time.Time
}
