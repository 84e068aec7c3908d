package watch

import (
	"time"

	"github.com/go-logr/logr"

	"svc.d/spec"
)

const (
	// defaultResync guards against a watcher that died without a word.
	defaultResync = 5 * time.Minute
	// defaultPoll is how soon a change is seen when nothing tells of it.
	defaultPoll = 2 * time.Second
)

// Options say what is watched and how.
type Options struct {
	// Dir is the directory of manifests. It need not exist.
	Dir string
	// Recursive reads the folders in it too.
	Recursive bool
	// CheckTrust refuses manifests that others than root and TrustOwners
	// could have written. A daemon that runs as root sets it.
	CheckTrust bool
	// TrustOwners are user ids that are trusted like root.
	TrustOwners []uint32
	// Resync is the time between full lists when nothing happens; 5 minutes
	// when zero.
	Resync time.Duration
	// Poll is the time between full lists while notification does not work;
	// 2 seconds when zero.
	Poll time.Duration
	// Parse reads one file, of which each service has another name; spec.Parse
	// when nil. It must be safe for concurrent use.
	Parse func(file string, data []byte) spec.File
	Log   logr.Logger
}
