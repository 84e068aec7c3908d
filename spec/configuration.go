package spec

import (
	"reflect"
	"time"
)

// KindConfiguration is the kind of the document that configures the daemon.
const KindConfiguration = "ReconcilerConfiguration"

// Configuration is the daemon's own configuration, at most one document in a
// directory. As in Kubernetes' KubeletConfiguration its fields stand at the
// top. Fields that are not set are zero: a flag or a default speaks then.
// A Configuration is immutable; goroutines share pointers to it.
type Configuration struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Log        LogConfiguration `json:"log,omitzero"`
	Defaults   ServiceDefaults  `json:"defaults,omitzero"`
	Prune      PrunePolicy      `json:"prune,omitempty"`
	// ResyncPeriod is the time between full lists of the directory when
	// nothing happens; 0 is not set.
	ResyncPeriod Duration `json:"resyncPeriod,omitempty"`
	// CgroupRoot is the cgroup in which the services get theirs, as a path
	// that is absolute and clean; empty is not set.
	CgroupRoot string `json:"cgroupRoot,omitempty"`
	// Access says who may use the API besides root and the daemon's own user.
	Access Access `json:"access,omitzero"`

	// Source is where the document stands. It is no part of what is declared.
	Source Source `json:"-"`
}

// Access says who may use the API.
type Access struct {
	// Group is the group whose members may do everything; empty is not set.
	Group ID `json:"group,omitempty"`
}

// LogConfiguration is about the daemon's own log, and about the room that all
// logs have.
type LogConfiguration struct {
	// Format is "console" or "json"; empty is not set.
	Format string `json:"format,omitempty"`
	// Level is "debug", "info" or "error"; empty is not set.
	Level string `json:"level,omitempty"`
	// Quota bounds the whole log directory, in bytes; 0 is not set, and the
	// daemon finds one.
	Quota Quantity `json:"quota,omitempty"`
}

// ServiceDefaults are what services mean that do not say it themselves. Nil is
// not set.
type ServiceDefaults struct {
	Backoff                       BackoffDefaults `json:"backoff,omitzero"`
	TerminationGracePeriodSeconds *int64          `json:"terminationGracePeriodSeconds,omitempty"`
	Log                           LogDefaults     `json:"log,omitzero"`
}

// BackoffDefaults are the defaults of a Backoff. Nil is not set.
type BackoffDefaults struct {
	InitialDelay *Duration     `json:"initialDelay,omitempty"`
	MaxDelay     *Duration     `json:"maxDelay,omitempty"`
	StableAfter  *Duration     `json:"stableAfter,omitempty"`
	Limit        *RestartLimit `json:"limit,omitempty"`
}

// LogDefaults are the defaults of a Log. Nil is not set.
type LogDefaults struct {
	MaxSize  *Quantity `json:"maxSize,omitempty"`
	MaxFiles *int32    `json:"maxFiles,omitempty"`
	MaxAge   *Duration `json:"maxAge,omitempty"`
	Compress *bool     `json:"compress,omitempty"`
}

// PrunePolicy says what becomes of a removal of most services at once.
type PrunePolicy string

// The policies.
const (
	// PruneHold holds it until somebody confirms.
	PruneHold PrunePolicy = "Hold"
	// PruneObey lets it happen like any other removal.
	PruneObey PrunePolicy = "Obey"
)

// logFormats, logLevels and prunePolicies list what is allowed, in the order in
// which messages show it.
var (
	logFormats    = []string{"console", "json"}
	logLevels     = []string{"debug", "info", "error"}
	prunePolicies = []string{string(PruneHold), string(PruneObey)}
)

const (
	// minResync keeps the guard against a dead watcher from being a poll.
	minResync = time.Second
	// maxResync keeps it a guard.
	maxResync = 24 * time.Hour
)

// ServiceDefaults returns what a manifest that says nothing but a command means
// under this configuration: the built-in defaults with its own on top. Nil
// means the built-in ones. The result is for a Parser; it shares memory
// with c.
func (c *Configuration) ServiceDefaults() Spec {
	s := Defaults()
	if c == nil {
		return s
	}
	set(&s.Backoff.InitialDelay, c.Defaults.Backoff.InitialDelay)
	set(&s.Backoff.MaxDelay, c.Defaults.Backoff.MaxDelay)
	set(&s.Backoff.StableAfter, c.Defaults.Backoff.StableAfter)
	if c.Defaults.Backoff.Limit != nil {
		s.Backoff.Limit = c.Defaults.Backoff.Limit
	}
	set(&s.TerminationGracePeriodSeconds, c.Defaults.TerminationGracePeriodSeconds)
	set(&s.Log.MaxSize, c.Defaults.Log.MaxSize)
	set(&s.Log.MaxFiles, c.Defaults.Log.MaxFiles)
	set(&s.Log.MaxAge, c.Defaults.Log.MaxAge)
	set(&s.Log.Compress, c.Defaults.Log.Compress)
	return s
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

// SameConfiguration tells whether two documents set the same fields to the
// same values; where they stand is no part of it. Nil is no document.
func SameConfiguration(a, b *Configuration) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Source, y.Source = Source{}, Source{}
	return reflect.DeepEqual(x, y)
}
