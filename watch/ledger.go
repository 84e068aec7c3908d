package watch

import (
	"slices"
	"time"

	"svc.d/spec"
)

const (
	// removalDelay is how long a service must have been undeclared before its
	// removal takes effect: editors and git unlink before they write, and a
	// service may move from one file to another.
	removalDelay = time.Second
	// pruneFloor is the least number of services that the guard against mass
	// removal watches over; with fewer, "more than half" is an everyday edit.
	pruneFloor = 5
	// writerPatience is how long a file may stay open for writing before that is a problem.
	writerPatience = 10 * time.Second
	// retryFirst and retryMax space the looks at a file that somebody writes.
	retryFirst = 250 * time.Microsecond
	retryMax   = time.Second
)

// ledger is what is known of a directory: for each file its last good content,
// for each service the file that provides it. Its methods decide and never
// act; time enters as a value. It belongs to one goroutine.
type ledger struct {
	files    map[string]*entry
	services map[string]*holding
	rivals   map[string][]*entry // who else declares a service that is provided
	absent   map[string]*holding // the services that nobody declares now

	seeded        map[string]*spec.Service // what was in force at first; nil is nothing
	refused       map[string]struct{}      // services that are not in force because of others
	disagreements []spec.Problem           // and why

	tenure    tenure
	claimants []*entry // who else declares a configuration while one is in force

	pending  map[string]*entry // files that will be looked at again
	troubled map[string]*entry // files with something to report
	root     string            // the directory; the zero value is none
	dirs     map[string]dirIdentity
	held     map[string]dirTrouble // directories that are held as they are

	patience   time.Duration // how long what is removed must be missing
	obey       bool          // mass removals are removals
	heldBefore bool          // what is missing at the first list was held before it
	pruneSince time.Time
	degraded   spec.Condition // zero when notification works
	published  *spec.Set
	changed    map[string]struct{} // services that are not as published
	pass       uint32              // counts the full lists
	again      bool                // a file read since the last full list may have changed since
}

// entry is one file.
type entry struct {
	path     string
	id       identity
	hash     uint64
	racy     bool            // id does not prove that nothing changed
	services []*spec.Service // of its last good version
	// configuration, too, is of its last good version; nil is none.
	configuration *spec.Configuration
	gone          bool
	pass          uint32   // the last full list that saw it
	trouble       *trouble // nil when all is well
}

// trouble is what there is to tell of a file that is not simply in force.
type trouble struct {
	problems []spec.Problem
	ignored  []spec.Ignored
	late     *spec.Problem // that the writer takes too long
	writer   time.Time     // since when somebody has it open for writing
	tries    int
	next     time.Time // when to look again; zero for when something happens
	settling identity  // the version that must stay as it is for the quiet window
	since    time.Time // of settling
}

// holding is one service in force.
type holding struct {
	service *spec.Service
	by      *entry
	missing time.Time // since when nobody declares it; zero when declared
}

func newLedger() *ledger {
	return &ledger{
		files:    map[string]*entry{},
		services: map[string]*holding{},
		rivals:   map[string][]*entry{},
		absent:   map[string]*holding{},
		pending:  map[string]*entry{},
		troubled: map[string]*entry{},
		dirs:     map[string]dirIdentity{},
		held:     map[string]dirTrouble{},
		changed:  map[string]struct{}{},
		refused:  map[string]struct{}{},
		patience: removalDelay,
	}
}

// sighting is what one look at a file showed.
type sighting struct {
	path string
	kind sightingKind
	id   identity
	hash uint64
	racy bool
	file spec.File // of sightRead
	why  string    // of sightUnreadable
}

type sightingKind uint8

const (
	sightGone       sightingKind = iota + 1 // there is no such file
	sightUnchanged                          // as it was read before
	sightSame                               // another identity, the same bytes
	sightRead                               // read and parsed
	sightUnreadable                         // there, and cannot be read
	sightWriter                             // open for writing
	sightUnquiet                            // written to just now
)

// see takes in one sighting.
func (l *ledger) see(s sighting, now time.Time) {
	e := l.files[s.path]
	if e == nil {
		if s.kind == sightGone {
			return
		}
		e = &entry{path: s.path}
		l.files[s.path] = e
	}
	if s.kind == sightGone {
		l.lose(e, now)
		return
	}
	e.pass = l.pass
	if e.gone {
		e.gone = false
		l.claimAll(e, e.services)
		l.claimConfiguration(e)
	}
	switch s.kind {
	case sightGone, sightUnchanged:
	case sightSame:
		e.id, e.racy = s.id, s.racy
		l.settle(e)
	case sightRead:
		e.id, e.hash, e.racy = s.id, s.hash, s.racy
		l.settle(e)
		l.take(e, s.file, now)
	case sightUnreadable:
		e.id, e.hash = identity{}, 0
		l.settle(e)
		l.report(e, []spec.Problem{{Source: spec.Source{File: e.path}, Message: s.why}}, nil, now)
	case sightWriter:
		l.await(e, now)
	case sightUnquiet:
		l.unquiet(e, s.id, now)
	}
	l.again = l.again || s.racy
}

// take puts a version of a file in force, or reports why it cannot be.
func (l *ledger) take(e *entry, f spec.File, now time.Time) {
	problems := slices.Clone(f.Problems)
	nothing := len(f.Services)+len(f.Configurations) == 0
	if len(problems) == 0 && nothing && (len(e.services) > 0 || e.configuration != nil) {
		what := "no service"
		if e.configuration != nil {
			what = "nothing"
		}
		problems = []spec.Problem{{Source: spec.Source{File: e.path},
			Message: "declares " + what + " any more, but did declare " + e.declared() +
				"; remove the file to remove what it declared"}}
	}
	l.report(e, problems, f.Ignored, now)
	if len(problems) > 0 {
		return
	}
	before := e.services
	e.services, e.configuration = f.Services, nil
	if len(f.Configurations) > 0 {
		e.configuration = f.Configurations[0]
	} else {
		l.releaseConfiguration(e, now)
	}
	for _, s := range before {
		if !declares(e, s.Metadata.Name) {
			l.release(e, s.Metadata.Name, now)
		}
	}
	l.claimAll(e, e.services)
	l.claimConfiguration(e)
}

func declares(e *entry, name string) bool {
	return slices.ContainsFunc(e.services, func(s *spec.Service) bool { return s.Metadata.Name == name })
}

// lose notes that a file is gone. What it provided stays until sweep.
func (l *ledger) lose(e *entry, now time.Time) {
	if e.gone {
		return
	}
	e.gone, e.id, e.hash = true, identity{}, 0
	l.settle(e)
	e.trouble = nil
	delete(l.troubled, e.path)
	for _, s := range e.services {
		l.release(e, s.Metadata.Name, now)
	}
	l.releaseConfiguration(e, now)
	l.drop(e)
}

// drop forgets a file that is gone and provides nothing.
func (l *ledger) drop(e *entry) {
	provides := func(s *spec.Service) bool {
		h := l.services[s.Metadata.Name]
		return h != nil && h.by == e
	}
	if e.gone && l.tenure.by != e && !slices.ContainsFunc(e.services, provides) {
		delete(l.files, e.path)
	}
}
