package reconciler_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"svc.d/reconciler"
	"svc.d/reconciler/hosttest"
	"svc.d/spec"
)

// dice returns random numbers that depend on the parts alone, so that what a
// run does is decided by its seed and name, whatever the order of events.
func dice(parts ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

// chance is true in p of 1 cases.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// about returns a time around mean, exponentially distributed, at most most.
func about(r *rand.Rand, mean, most time.Duration) time.Duration {
	return min(time.Duration(-math.Log(1-r.Float64())*float64(mean)), most)
}

// longest is the longest life of a run that ends by itself.
const longest = 4 * time.Hour

// badProgram is a command that cannot be started.
const badProgram = "/bin/missing"

func isBad(s *spec.Service) bool { return s.Spec.Command[0] == badProgram }

// The temperaments of services, and their share of 100.
var temperaments = []struct {
	name  string
	share int
}{
	{"steady", 50}, {"crashy", 8}, {"moody", 8}, {"doomed", 3}, {"daemon", 4}, {"parent", 9},
	{"stubborn", 6}, {"slow", 6}, {"refused", 3}, {"job", 3},
}

// temperament is drawn anew with each edit of the arguments.
func temperament(seed uint64, s *spec.Service) string {
	n := dice(seed, s.Metadata.Name, strings.Join(s.Spec.Args, " ")).IntN(100)
	for _, t := range temperaments {
		if n -= t.share; n < 0 {
			return t.name
		}
	}
	return "steady"
}

// behaviour scripts one run in the storm.
func behaviour(seed uint64, w reconciler.Work) hosttest.Behaviour {
	if isBad(w.Service) {
		return hosttest.Behaviour{Fails: &reconciler.Failure{Reason: reconciler.ReasonCommandNotFound, Message: "cannot start: no such file"}}
	}
	if w.Verb == reconciler.VerbCheck {
		return hosttest.Behaviour{}
	}
	r := dice(seed, w.Replica, w.Run)
	b := scripted{hosttest.Behaviour{Main: temper(r)}}
	switch temperament(seed, w.Service) {
	case "steady":
		b.ends(r, 3*time.Hour)
		if chance(r, 0.05) {
			b.refuse(reconciler.ReasonResourcesExhausted)
		}
	case "crashy":
		b.ends(r, 3*time.Minute)
	case "moody":
		if b.ends(r, 5*time.Second); chance(r, 0.15) {
			b.ends(r, time.Hour)
		}
	case "doomed":
		b.ends(r, 50*time.Millisecond)
	case "daemon":
		b.Ends, b.After, b.Exit = true, about(r, time.Second, 5*time.Second), reconciler.Exit{}
		b.Children = []hosttest.Child{{Temper: temper(r)}}
	case "parent":
		b.ends(r, 30*time.Minute)
		for range 1 + r.IntN(4) {
			b.Children = append(b.Children, hosttest.Child{Temper: temper(r), Lives: about(r, time.Hour, longest)})
		}
	case "stubborn":
		b.ends(r, 3*time.Hour)
		b.Main.Ignores = true
	case "slow":
		b.ends(r, 2*time.Hour)
		b.Main.Lingers = about(r, 20*time.Second, 3*time.Minute)
		b.Children = []hosttest.Child{{Temper: temper(r)}}
	case "refused":
		b.ends(r, time.Hour)
		if chance(r, 0.6) {
			b.refuse(reconciler.ReasonResourcesExhausted)
		}
	case "job":
		b.ends(r, 10*time.Minute)
		b.Exit = reconciler.Exit{}
	}
	return b.Behaviour
}

type scripted struct{ hosttest.Behaviour }

func (b *scripted) ends(r *rand.Rand, mean time.Duration) {
	b.Ends, b.After, b.Exit = true, about(r, mean, longest), end(r)
}

func (b *scripted) refuse(reason reconciler.Reason) {
	b.Fails = &reconciler.Failure{Reason: reason, Message: "cannot start: the script says so"}
}

func temper(r *rand.Rand) hosttest.Temper {
	t := hosttest.Temper{Shown: "web", Ignores: chance(r, 0.1)}
	if chance(r, 0.3) {
		t.Lingers = about(r, 3*time.Second, time.Minute)
	}
	if chance(r, 0.3) {
		t.Answers, t.Last = true, reconciler.Exit{Code: int32(r.IntN(3))}
	}
	if chance(r, 0.03) {
		t.Hangs = about(r, 5*time.Minute, 30*time.Minute)
	}
	return t
}

// end draws how a run ends by itself.
func end(r *rand.Rand) reconciler.Exit {
	switch r.IntN(5) {
	case 0:
		return reconciler.Exit{}
	case 1:
		return reconciler.Exit{Signal: syscall.SIGSEGV, CoreDumped: true}
	case 2:
		return reconciler.Exit{Unknown: true}
	default:
		return reconciler.Exit{Code: int32(1 + r.IntN(5))}
	}
}

// takes scripts how long the host's workers are busy.
func takes(seed uint64, w reconciler.Work) time.Duration {
	r := dice(seed, "takes", w.Verb, w.Replica, w.Run)
	switch {
	case chance(r, 0.01):
		return about(r, 30*time.Second, 3*time.Minute)
	case chance(r, 0.5):
		return about(r, time.Millisecond, time.Second)
	default:
		return 0
	}
}

// declaration is the first manifest of a service. Its back-off is never edited,
// so that the books can say exactly which delays are right.
func declaration(seed uint64, name string) *spec.Service {
	r := dice(seed, "declaration", name)
	s := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService}
	s.Metadata.Name = name
	s.Spec = spec.Defaults()
	s.Spec.Command = []string{"/bin/web"}
	s.Spec.Args = []string{fmt.Sprint(r.IntN(1000))}
	s.Spec.Replicas = int32(1 + r.IntN(3))
	switch r.IntN(3) {
	case 0:
		s.Spec.Backoff = spec.Backoff{
			InitialDelay: spec.Duration(time.Minute), MaxDelay: spec.Duration(time.Hour),
			StableAfter: spec.Duration(3 * time.Minute),
		}
	case 1:
		s.Spec.Backoff.Limit = &spec.RestartLimit{
			Restarts: int32(1 + r.IntN(6)), Within: spec.Duration(time.Duration(1+r.IntN(30)) * time.Minute),
		}
	}
	liveEdit(r, s)
	return s
}

// liveEdit changes fields that restart nothing.
func liveEdit(r *rand.Rand, s *spec.Service) {
	s.Spec.TerminationGracePeriodSeconds = []int64{0, 1, 10, 30, 60}[r.IntN(5)]
	s.Spec.RestartPolicy = []spec.RestartPolicy{
		spec.RestartAlways, spec.RestartAlways, spec.RestartOnFailure, spec.RestartNever,
	}[r.IntN(4)]
	s.Spec.SuccessExitCodes = [][]int32{{0}, {0, 1}, {0, 143}}[r.IntN(3)]
	s.Spec.MinReadySeconds = []int32{0, 0, 5, 60}[r.IntN(4)]
	s.Spec.Lifecycle.StopSignal = []spec.Signal{"SIGTERM", "SIGINT", "SIGQUIT"}[r.IntN(3)]
}
