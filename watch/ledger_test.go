package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"svc.d/spec"
)

// The ledger is told what was seen and when; each line of a story is one
// moment: "seconds: what happens => services, problems, next due".
func TestWhatTheLedgerMakesOfWhatWasSeen(t *testing.T) {
	tests := map[string][]moment{
		"a removal takes effect after one second": {
			{0, says("a", "web"), "web", 0},
			{10, gone("a"), "web", 11},
			{10.9, nil, "web", 11},
			{11, nil, "", 0},
		},
		"what is removed one after the other takes effect together": {
			{0, says("a", "v"), "v", 0},
			{1, says("b", "w"), "v w", 0},
			{10, gone("a"), "v w", 11},
			{10.9, gone("b"), "v w", 11.9},
			{11.5, nil, "v w", 11.9},
			{11.9, nil, "", 0},
		},
		"and after three seconds, those that have been missing for one of them": {
			{0, says("a", "v", "w", "x", "y"), "v w x y", 0},
			{10, says("a", "w", "x", "y"), "v w x y", 11},
			{10.9, says("a", "x", "y"), "v w x y", 11.9},
			{11.8, says("a", "y"), "v w x y", 12.8},
			{12.7, gone("a"), "v w x y", 13},
			{13, nil, "y", 13.7},
			{13.7, nil, "", 0},
		},
		"a file that comes back broken within the second keeps what it said": {
			{0, says("a", "web"), "web", 0},
			{10, gone("a"), "web", 11},
			{10.5, broken("a"), "web ! a: broken", 0},
			{20, nil, "web ! a: broken", 0},
			{30, gone("a"), "web", 31},
			{31, nil, "", 0},
		},
		"a document that is taken out of a file is removed after one second": {
			{0, says("a", "web", "api"), "api web", 0},
			{10, says("a", "web"), "api web", 11},
			{11, nil, "web", 0},
		},
		"a writer is tried again ever more rarely and reported after ten seconds": {
			{0, says("a", "web"), "web", 0},
			{10, writer("a"), "web", 10.00025},
			{10.00025, writer("a"), "web", 10.00075},
			{11, writer("a"), "web", 11.001},
			{19.5, writer("a"), "web", 19.502},
			{20, writer("a"), "web ! a: is open for writing since 1970-01-01T00:00:10Z and is read when its writer closes it; to see who that is: fuser -v a", 20.004},
			{25, says("a", "web"), "web", 0},
		},
		"a report about a writer ends with the writer and leaves the old problem": {
			{0, broken("a"), " ! a: broken", 0},
			{10, writer("a"), " ! a: broken", 10.00025},
			{25, same("a"), " ! a: broken", 0},
		},
		"more than half of five is held, and what comes back is no longer missing": {
			{0, says("a", "v", "w", "x"), "v w x", 0},
			{1, says("b", "y", "z"), "v w x y z", 0},
			{10, gone("a"), "v w x y z", 11},
			{11, nil, "v w x y z # PruneHeld", 0},
			{99, gone("b"), "v w x y z # PruneHeld", 0},
			{100, says("a", "v", "w", "x"), "v w x y z # PruneHeld", 0},
			{101, says("b", "y", "z"), "v w x y z", 0},
		},
		"less than half of five is not held": {
			{0, says("a", "v", "w"), "v w", 0},
			{1, says("b", "x", "y", "z"), "v w x y z", 0},
			{10, gone("a"), "v w x y z", 11},
			{11, nil, "x y z", 0},
		},
		"all of four is not held": {
			{0, says("a", "v", "w", "x", "y"), "v w x y", 0},
			{10, gone("a"), "v w x y", 11},
			{11, nil, "", 0},
		},
		"a rival takes over at once when the provider goes": {
			{0, says("b", "web"), "web", 0},
			{1, says("a", "web"), "web ! a: is declared already by b, which keeps it", 0},
			{2, says("c", "web", "api"), "api web ! a: is declared already by b, which keeps it ! c: is declared already by b, which keeps it", 0},
			{10, gone("b"), "api web ! c: is declared already by a, which keeps it", 0},
			{11, gone("c"), "api web", 12},
			{12, nil, "web", 0},
		},
		"who returns after another took over is the rival": {
			{0, says("b", "web"), "web", 0},
			{10, gone("b"), "web", 11},
			{10.5, says("a", "web"), "web", 0},
			{10.6, says("b", "web"), "web ! b: is declared already by a, which keeps it", 0},
		},
	}
	for name, story := range tests {
		t.Run(name, func(t *testing.T) { tellStory(t, newLedger(), story) })
	}
}

func tellStory(t *testing.T, l *ledger, story []moment) {
	t.Helper()
	for _, m := range story {
		now := at(m.seconds)
		if m.see != nil {
			l.see(*m.see, now)
		}
		l.sweep(now)
		set := l.publish(now)
		if again := l.publish(now); again != nil {
			t.Errorf("at %v the same was published twice", m.seconds)
		}
		if set == nil {
			set = l.published
		}
		if got := tell(set); got != m.want {
			t.Errorf("at %v there is\n%s, want\n%s", m.seconds, got, m.want)
		}
		if got := l.due(); m.due == 0 && !got.IsZero() || m.due != 0 && !got.Equal(at(m.due)) {
			t.Errorf("at %v the next is due at %v, want %v", m.seconds, got.Sub(at(0)), m.due)
		}
	}
}

type moment struct {
	seconds float64
	see     *sighting
	want    string
	due     float64
}

func at(seconds float64) time.Time {
	return time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second)).Round(time.Microsecond))
}

func says(file string, names ...string) *sighting {
	s := &sighting{path: file, kind: sightRead, id: identity{ino: 1}}
	for i, name := range names {
		s.file.Services = append(s.file.Services, &spec.Service{
			Metadata: spec.Metadata{Name: name}, Source: spec.Source{File: file, Document: i + 1}})
	}
	return s
}

// configures says a configuration, too; what it prunes tells it from others.
func configures(file string, prune spec.PrunePolicy, names ...string) *sighting {
	s := says(file, names...)
	s.file.Configurations = []*spec.Configuration{{Prune: prune, Source: spec.Source{File: file, Document: len(names) + 1}}}
	return s
}

func broken(file string) *sighting {
	return &sighting{path: file, kind: sightRead, file: spec.File{Problems: []spec.Problem{{Message: "broken"}}}}
}
func gone(file string) *sighting   { return &sighting{path: file, kind: sightGone} }
func writer(file string) *sighting { return &sighting{path: file, kind: sightWriter} }
func same(file string) *sighting   { return &sighting{path: file, kind: sightSame} }

func tell(s *spec.Set) string {
	text := strings.Join(slices.Sorted(maps.Keys(s.Services)), " ")
	if c := s.Configuration; c != nil {
		text += " * " + c.Source.File + " " + string(c.Prune)
	}
	for _, p := range s.Problems {
		text += fmt.Sprintf(" ! %s: %s", p.File, p.Message)
	}
	for _, c := range s.Conditions {
		text += " # " + c.Type
	}
	return text
}
