package reconciler_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
	"svc.d/status"
)

func exits(code int32) reconciler.Exit { return reconciler.Exit{Code: code} }

// follower is somebody who wants to know what changes.
type follower struct {
	w  *world
	at uint64
}

func (w *world) follow() *follower { return &follower{w, w.now()} }

// now is the state that the world is in.
func (w *world) now() uint64 {
	w.t.Helper()
	s, err := w.loop.Snapshot(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Revision
}

func (f *follower) sees(when string, names ...string) {
	f.w.t.Helper()
	c, ok := f.w.loop.Changes(f.at)
	if !ok {
		f.w.t.Fatalf("%s: %d is too old", when, f.at)
	}
	slices.Sort(c.Names)
	if diff := cmp.Diff(names, c.Names); diff != "" {
		f.w.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
	if c.Revision < f.at {
		f.w.t.Errorf("%s: the revision goes back from %d to %d", when, f.at, c.Revision)
	}
	f.at = c.Revision
}

func TestChangesTellWhatIsToBeLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.declare(named("web"), named("db"))
		f := w.follow()
		f.sees("at rest")
		c, _ := w.loop.Changes(f.at)
		select {
		case <-c.More:
			t.Error("it promises more, and nothing has happened")
		default:
		}
		w.declare(named("web", longer), named("db"))
		select {
		case <-c.More:
		default:
			t.Error("it does not tell that there is more")
		}
		f.sees("one is edited, the other one is declared by another pointer", "web")
		w.machine.End(reconciler.ReplicaID{Service: "db"}, exits(3))
		synctest.Wait()
		f.sees("one has ended", "db")
		w.declare(named("web", longer))
		f.sees("one is removed", "db")
		for range 2 {
			w.declare(named("web", longer), named("db"))
			w.declare(named("web", longer))
		}
		f.sees("one is removed twice", "db")
		if _, ok := w.loop.Changes(f.at + 1000); ok {
			t.Error("it knows what is still to come")
		}
		if _, ok := w.loop.Changes(0); ok {
			t.Error("it knows what was before it")
		}
		for n := range 1100 { // so many are not remembered
			w.declare(named("web", longer), named(fmt.Sprintf("x%d", n)))
		}
		if _, ok := w.loop.Changes(f.at); ok {
			t.Error("it has forgotten removals and says that it knows all")
		}
		w.end()
	})
}

func TestASnapshotTellsWhatIsNewSinceAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		besides := map[string][]status.Condition(nil)
		w := newWorldOf(t, hosttest.Config{})
		w.run(reconciler.Config{ServiceConditions: func() map[string][]status.Condition { return besides }})
		w.declare(named("web"), named("db"))
		at := uint64(0)
		since := func(when string, adds bool, gone []string, names ...string) {
			t.Helper()
			s, err := w.loop.SnapshotSince(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for n := range s.Services {
				got = append(got, s.Services[n].Metadata.Name)
			}
			if diff := cmp.Diff([]any{adds, gone, names}, []any{s.Since == at && at > 0, s.Gone, got}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			at = s.Revision
		}
		since("at first", false, nil, "db", "web")
		since("at rest", true, nil)
		w.machine.End(web0, exits(3))
		synctest.Wait()
		since("one has ended", true, nil, "web")
		w.declare(named("web"), named("new"))
		since("one comes, one goes", true, []string{"db"}, "new")
		besides = map[string][]status.Condition{"web": {{Type: "OutputLost"}}, "none": {{Type: "OutputLost"}}}
		since("something else is the matter with one", true, nil, "web")
		besides = map[string][]status.Condition{"web": {{Type: "OutputLost"}}}
		since("it still is", true, nil)
		besides = map[string][]status.Condition{"web": {{Type: "OutputLost", Message: "more"}}}
		if c, ok := w.loop.Changes(at); !ok || !slices.Equal(c.Names, []string{"web"}) {
			t.Errorf("when it gets worse, these have changed: %v, %v", c.Names, ok)
		}
		since("it has got worse", true, nil, "web")
		besides = nil
		since("it is well again", true, nil, "web")
		at += 1000
		since("of what is still to come", false, nil, "new", "web")
		w.end()
	})
}

// TestOccurrences tells what people hear of in the life of services.
func TestOccurrences(t *testing.T) {
	stories := map[string]struct {
		play func(w *world)
		want []string
	}{
		"a crash and a restart": {func(w *world) {
			w.declare(named("web"))
			w.machine.End(web0, exits(3))
			synctest.Wait()
		}, []string{"web-0 Started started", "! web-0 Exited exited with code 3", "web-0 Started started"}},
		"an edit, a scaling and a removal": {func(w *world) {
			w.declare(named("web"))
			w.declare(named("web", verbose))
			w.declare()
		}, []string{
			"web-0 Started started", "web Edited its manifest changed: spec.args[0]", "web-0 Stopping sent SIGTERM: its manifest changed",
			"web-0 Stopped was killed by SIGTERM", "web-0 Started started", "web Removed no manifest declares it any more",
			"web-0 Stopping sent SIGTERM: no manifest declares it any more", "web-0 Stopped was killed by SIGTERM",
		}},
		"a person stops and starts it": {func(w *world) {
			w.declare(named("web"))
			_ = w.do(reconciler.Command{Kind: reconciler.EventStop, Service: "web", Ordinal: -1, By: "ann"})
			_ = w.do(reconciler.Command{Kind: reconciler.EventStart, Service: "web", Ordinal: -1, By: "ann"})
		}, []string{
			"web-0 Started started", "web Held stopped by ann", "web-0 Stopping sent SIGTERM: a person stopped it",
			"web-0 Stopped was killed by SIGTERM", "web Freed started by ann", "web-0 Started started",
		}},
		"one that gives up": {func(w *world) {
			w.declare(named("web", func(s *spec.Spec) {
				s.Backoff.Limit = &spec.RestartLimit{Restarts: 0, Within: spec.Duration(time.Hour)}
			}))
			w.machine.End(web0, exits(1))
			synctest.Wait()
		}, []string{
			"web-0 Started started", "! web-0 Exited exited with code 1", "! web-0 RestartLimitExceeded gave up after 0 restarts within 1h0m0s",
		}},
		"a broken file that quotes a secret": {func(w *world) {
			w.sets <- &spec.Set{Problems: []spec.Problem{{Source: spec.Source{File: "/d/web.yaml", Line: 7}, Service: "web", Field: "spec.env", Message: `must be a list, not "hunter2"`}}}
			synctest.Wait()
		}, []string{`! web ManifestInvalid /d/web.yaml:7: spec.env: must be a list, not "hunter2" (to others: /d/web.yaml:7: spec.env: is wrong; what it holds is not shown to you)`}},
		"a broken file, which is mended": {func(w *world) {
			web := named("web")
			set := &spec.Set{Services: map[string]*spec.Service{"web": web}}
			w.sets <- &spec.Set{Services: set.Services, Problems: []spec.Problem{{Source: spec.Source{File: "/d/web.yaml", Line: 7}, Service: "web", Message: "no such field"}}}
			synctest.Wait()
			w.sets <- set
			synctest.Wait()
		}, []string{"! web ManifestInvalid /d/web.yaml:7: no such field", "web-0 Started started", "ManifestMended /d/web.yaml has no error any more"}},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				w := newWorldOf(t, hosttest.Config{})
				w.run(reconciler.Config{Occurred: func(o reconciler.Occurrence) {
					about := o.Service
					if o.Ordinal >= 0 {
						about = reconciler.ReplicaID{Service: o.Service, Ordinal: o.Ordinal}.String()
					}
					if o.Warning {
						about = "! " + about
					}
					what := o.Message
					if o.Public != "" {
						what += " (to others: " + o.Public + ")"
					}
					got = append(got, strings.TrimSpace(about+" "+string(o.Reason)+" "+what))
				}})
				story.play(w)
				synctest.Wait()
				seen := slices.Clone(got)
				w.end()
				if diff := cmp.Diff(story.want, seen); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

func TestTheLatestEndsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.declare(named("web"))
		for n := range 7 {
			w.machine.End(web0, exits(int32(n+1)))
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
		s, err := w.loop.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var codes []int32
		for _, e := range s.Services[0].Status.ReplicaStatuses[0].Exits {
			codes = append(codes, e.Code)
		}
		if diff := cmp.Diff([]int32{3, 4, 5, 6, 7}, codes); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		w.end()
	})
}

// TestWhatOthersSeeOfAFailure in events, and in the messages that tell of it.
func TestWhatOthersSeeOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := hosttest.Behaviour{Fails: &reconciler.Failure{
			Reason: reconciler.ReasonCommandNotFound, Message: "cannot start hunter2: no such file", Hidden: "hunter2",
		}}
		w := newWorldOf(t, hosttest.Config{Script: func(reconciler.Work) hosttest.Behaviour { return fails }})
		var told []reconciler.Occurrence
		w.run(reconciler.Config{Occurred: func(o reconciler.Occurrence) { told = append(told, o) }})
		w.declare(named("web"))
		if len(told) != 1 || told[0].Message != "cannot start hunter2: no such file" || told[0].Public != "cannot start <redacted>: no such file" {
			t.Errorf("there occurs %+v", told)
		}
		s, err := w.loop.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		one := s.Services[0].Status
		for message, hidden := range map[string][]string{one.Message: one.Hidden, one.ReplicaStatuses[0].Message: one.ReplicaStatuses[0].Hidden} {
			if public := status.Hide(message, hidden); !strings.HasPrefix(message, "cannot start hunter2: ") || !strings.HasPrefix(public, "cannot start <redacted>: ") {
				t.Errorf("of %q others see %q", message, public)
			}
		}
		w.end()
	})
}
