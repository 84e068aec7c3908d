package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/status"
)

type revisions uint64

func (r *revisions) Next() uint64 { *r++; return uint64(*r) }
func (r *revisions) Now() uint64  { return uint64(*r) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func occurrence(n int, service string, reason reconciler.OccurrenceReason, message string) reconciler.Occurrence {
	return reconciler.Occurrence{At: epoch.Add(time.Duration(n) * time.Second), Service: service, Reason: reason, Message: message}
}

// told are events as "object reason message xCOUNT".
func told(events []status.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s %s %s x%d", e.InvolvedObject.Name, e.Reason, e.Message, e.Count))
	}
	return all
}

func TestWhatHappensAgainIsCounted(t *testing.T) {
	r := NewRing(new(revisions), nil)
	r.Add(occurrence(0, "web", "Started", "started"))
	r.Add(occurrence(1, "db", "Started", "started"))
	r.Add(occurrence(2, "web", "Exited", "exited with code 3"))
	r.Add(occurrence(3, "web", "Started", "started"))
	r.Add(occurrence(4, "web", "Exited", "exited with code 4"))
	o := occurrence(5, "web", "Held", "stopped by ann")
	o.Ordinal = -1
	r.Add(o)
	r.Add(occurrence(7200, "db", "Started", "started")) // so long after it is another event
	all, revision := r.List()
	want := []string{
		"db-0 Started started x1", "web-0 Exited exited with code 3 x1", "web-0 Started started x2", "web-0 Exited exited with code 4 x1",
		"web Held stopped by ann x1", "db-0 Started started x1",
	}
	if diff := cmp.Diff(want, told(all)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if last := all[len(all)-1].Metadata.ResourceVersion; last != fmt.Sprint(revision) {
		t.Errorf("the last has revision %s of %d", last, revision)
	}
	if e := all[2]; !e.FirstTimestamp.Equal(epoch) || !e.LastTimestamp.Equal(epoch.Add(3*time.Second)) {
		t.Errorf("told again, it is from %v to %v", e.FirstTimestamp, e.LastTimestamp)
	}
}

func TestWhatDiffersEachTimeIsCombined(t *testing.T) {
	r := NewRing(new(revisions), nil)
	for n := range 1000 {
		r.Add(occurrence(n, "web", "Unhealthy", fmt.Sprintf("it said %d", n)))
	}
	all, _ := r.List()
	if len(all) != maxSimilar {
		t.Fatalf("there are %d events, not %d", len(all), maxSimilar)
	}
	if e := all[len(all)-1]; e.Message != combined+"it said 999" || e.Count != 1000-maxSimilar+1 {
		t.Errorf("the last is %q x%d", e.Message, e.Count)
	}
}

func TestARingIsBounded(t *testing.T) {
	r := NewRing(new(revisions), nil)
	for n := range 3 * maxEvents {
		r.Add(occurrence(n, fmt.Sprintf("s%d", n), "Started", "started"))
	}
	all, _ := r.List()
	if len(all) > maxEvents+surplus || len(all) < maxEvents {
		t.Errorf("it holds %d events", len(all))
	}
	if last := all[len(all)-1].InvolvedObject.Name; last != fmt.Sprintf("s%d-0", 3*maxEvents-1) {
		t.Errorf("the last is of %s", last)
	}
}

func TestARingTellsChanges(t *testing.T) {
	r := NewRing(new(revisions), nil)
	_, from := r.List()
	c, ok := r.Changes(from)
	if !ok || len(c.Events) > 0 {
		t.Fatalf("at rest there is %v, %v", c, ok)
	}
	r.Add(occurrence(0, "web", "Started", "started"))
	select {
	case <-c.More:
	default:
		t.Error("it does not say that there is more")
	}
	r.Add(occurrence(1, "web", "Started", "started"))
	c, ok = r.Changes(from)
	if diff := cmp.Diff([]string{"web-0 Started started x2"}, told(c.Events)); !ok || diff != "" {
		t.Errorf("%v (-want +got)\n%s", ok, diff)
	}
	for what, since := range map[string]uint64{"the future": c.Revision + 1, "the past": 0} {
		if _, ok := r.Changes(since); ok {
			t.Errorf("it knows %s", what)
		}
	}
}

// TestWhoMissesEventsIsToldSo, since what fell out of the ring before it was told is lost.
func TestWhoMissesEventsIsToldSo(t *testing.T) {
	r := NewRing(new(revisions), nil)
	add := func(n int) { r.Add(occurrence(n, fmt.Sprintf("s%d", n), "Started", "started")) }
	add(0)
	_, first := r.List()
	for n := range maxEvents + surplus - 1 {
		add(n + 1)
	}
	if c, ok := r.Changes(first); !ok || len(c.Events) != maxEvents+surplus-1 {
		t.Errorf("while all are there it tells %d, %v", len(c.Events), ok)
	}
	_, full := r.List()
	add(maxEvents + surplus)
	if c, ok := r.Changes(first); ok {
		t.Errorf("it tells %d events and not that others are lost", len(c.Events))
	}
	if c, ok := r.Changes(full); !ok || len(c.Events) != 1 {
		t.Errorf("who has missed none is told %d, %v", len(c.Events), ok)
	}
}

func TestEventsOutliveTheImage(t *testing.T) {
	numbers := new(revisions)
	r := NewRing(numbers, nil)
	r.Add(occurrence(0, "web", "Exited", "said \xff"))
	r.Add(occurrence(1, "web", "Exited", "said \xff"))
	secret := occurrence(1, "web", "Unhealthy", "said hunter2")
	secret.Public = "said <redacted>"
	r.Add(secret)
	before, _ := r.List()
	data, err := json.Marshal(r.Keep())
	if err != nil {
		t.Fatal(err)
	}
	var kept []Kept
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	next := NewRing(numbers, kept)
	after, _ := next.List()
	for _, all := range [][]status.Event{before, after} {
		for n := range all {
			all[n].Metadata.ResourceVersion = ""
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	if last := after[len(after)-1]; last.Public != secret.Public {
		t.Errorf("others see %q", last.Public)
	}
	next.Add(occurrence(2, "web", "Exited", "said \xff"))
	if all, _ := next.List(); !slices.ContainsFunc(all, func(e status.Event) bool { return e.Count == 3 && strings.HasPrefix(e.Message, "said") }) {
		t.Errorf("it does not count on: %v", told(all))
	}
}
