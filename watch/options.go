package watch

import (
	"time"

	"github.com/go-logr/logr"

	"svc.d/spec"
)

const (
	// DefaultResync guards against a watcher that died without a word.
	DefaultResync = 5 * time.Minute
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
	// Resync is the time between full lists when nothing happens; DefaultResync
	// when zero.
	Resync time.Duration
	// Poll is the time between full lists while notification does not work;
	// 2 seconds when zero.
	Poll time.Duration
	// PruneObey lets a removal of most services happen like any other.
	PruneObey bool
	// Parse reads one file, of which each service has another name; spec.Parse
	// when nil. It must be safe for concurrent use.
	Parse func(file string, data []byte) spec.File

	// Seed and SeedConfiguration are what an earlier image of the process had
	// in force. Source.File of each is its logical path, as that image had it. They
	// are in force from the first set on, with their pointers as long as the
	// same file declares the same; what became of their files meanwhile is judged as if
	// the Watcher had been there, from the first list on.
	Seed              []*spec.Service
	SeedConfiguration *spec.Configuration
	// SeedDirectory is the Set.Directory of that image. An empty directory that took
	// its place is no empty directory.
	SeedDirectory string
	// SeedHeld says that the earlier image held a removal or a directory: what
	// is missing when the directory is first seen stays held, however little it is.
	SeedHeld bool
	// AtOnce removes at the first look what has no file, and holds what is to be
	// held: for who only wants to know what would become of things.
	AtOnce bool

	Log logr.Logger
}

// trust is nil when everybody is trusted.
func (o *Options) trust() *trust {
	if !o.CheckTrust {
		return nil
	}
	return &trust{owners: o.TrustOwners}
}
