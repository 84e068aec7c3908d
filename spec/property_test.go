package spec_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"svc.d/spec"
)

// anyService draws a service that Parse could have returned.
func anyService(t *rapid.T) *spec.Service {
	word := rapid.StringMatching(`[a-zA-Z0-9 $()%!,:'"{}#&*é_-]{0,8}`)
	name := rapid.StringMatching(`[a-z]([a-z0-9-]{0,5}[a-z0-9])?`)
	id := rapid.Custom(func(t *rapid.T) spec.ID {
		return spec.ID(rapid.OneOf(rapid.StringMatching(`[a-z_]{1,5}`), rapid.StringMatching(`[1-9][0-9]{0,5}`)).Draw(t, "id"))
	})
	duration := func(from time.Duration) spec.Duration {
		return spec.Duration(rapid.Int64Range(int64(from), int64(100*time.Hour)).Draw(t, "duration"))
	}
	marks := func() map[string]string {
		drawn := rapid.MapOfN(name, rapid.StringMatching(`([A-Za-z0-9]([A-Za-z0-9_.-]{0,4}[A-Za-z0-9])?)?`), 0, 3).Draw(t, "marks")
		if len(drawn) == 0 {
			return nil
		}
		return drawn
	}
	s := &spec.Service{APIVersion: spec.APIVersion, Kind: spec.KindService}
	s.Metadata = spec.Metadata{Name: name.Draw(t, "name"), Labels: marks(), Annotations: marks()}
	p := &s.Spec
	*p = spec.Defaults()
	p.Replicas = rapid.Int32Range(0, 1000).Draw(t, "replicas")
	p.Command = append([]string{"x"}, rapid.SliceOfN(word, 0, 2).Draw(t, "command")...)
	p.Args = orNil(rapid.SliceOfN(word, 0, 2).Draw(t, "args"))
	p.WorkingDir = "/" + word.Draw(t, "workingDir")
	p.Env = orNil(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) spec.EnvVar {
		return spec.EnvVar{Name: name.Draw(t, "env"), Value: word.Draw(t, "value")}
	}), 0, 2).Draw(t, "env"))
	p.EnvFrom = orNil(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) spec.EnvFrom {
		return spec.EnvFrom{File: "/" + word.Draw(t, "file"), Optional: rapid.Bool().Draw(t, "optional"), Prefix: name.Draw(t, "prefix")}
	}), 0, 2).Draw(t, "envFrom"))
	p.SecurityContext = spec.SecurityContext{
		RunAsUser: id.Draw(t, "user"), RunAsGroup: id.Draw(t, "group"),
		SupplementalGroups: rapid.OneOf(rapid.Just([]spec.ID(nil)), rapid.SliceOfN(id, 0, 2)).Draw(t, "groups"),
		Umask:              spec.Umask(rapid.Uint32Range(0, 0o777).Draw(t, "umask")),
	}
	soft := rapid.Uint64().Draw(t, "soft")
	p.Rlimits = map[string]spec.Rlimit{
		rapid.SampledFrom([]string{"nofile", "core", "as"}).Draw(t, "limit"): {Soft: soft, Hard: rapid.Uint64Min(soft).Draw(t, "hard")},
	}
	p.RestartPolicy = rapid.SampledFrom([]spec.RestartPolicy{spec.RestartAlways, spec.RestartNever, spec.RestartOnFailure}).Draw(t, "policy")
	p.Backoff.InitialDelay = duration(time.Millisecond)
	p.Backoff.MaxDelay = duration(time.Duration(p.Backoff.InitialDelay))
	p.Backoff.StableAfter = duration(time.Millisecond)
	if rapid.Bool().Draw(t, "limited") {
		p.Backoff.Limit = &spec.RestartLimit{Restarts: rapid.Int32Range(1, 1000).Draw(t, "restarts"), Within: duration(time.Millisecond)}
	}
	p.SuccessExitCodes = rapid.SliceOfN(rapid.Int32Range(0, 255), 1, 3).Draw(t, "codes")
	p.Lifecycle.StopSignal = rapid.SampledFrom([]spec.Signal{"SIGTERM", "SIGINT", "SIGRTMIN", "SIGRTMIN+7"}).Draw(t, "signal")
	p.TerminationGracePeriodSeconds = rapid.Int64Range(0, 1000).Draw(t, "grace")
	p.MinReadySeconds = rapid.Int32Range(0, 1000).Draw(t, "ready")
	p.Log = anyLog(t)
	return s
}

// anyLog draws limits that Parse could have returned.
func anyLog(t *rapid.T) spec.Log {
	return spec.Log{
		MaxSize:  spec.Quantity(rapid.OneOf(rapid.Int64Range(64<<10, 1<<40), rapid.Just[int64](10<<20)).Draw(t, "size")),
		MaxFiles: rapid.Int32Range(1, 1000).Draw(t, "files"),
		MaxAge:   spec.Duration(rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(1e9, int64(100*time.Hour))).Draw(t, "age")),
		Compress: rapid.Bool().Draw(t, "compress"),
	}
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func TestAnyServiceIsTheSameAfterItWasWrittenAndRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requireRoundTrip(t, anyService(t))
	})
}

func TestDiffAgreesWithSameProcess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyService(t), anyService(t)
		if rapid.Bool().Draw(t, "alike") { // else hardly any two would be the same
			grace := b.Spec.TerminationGracePeriodSeconds
			alike := *a
			b = &alike
			b.Spec.TerminationGracePeriodSeconds = grace
		}
		restarts := false
		for _, change := range spec.Diff(a, b) {
			restarts = restarts || change.Class == spec.EditRestart
		}
		if same := spec.SameProcess(&a.Spec, &b.Spec); same == restarts {
			t.Errorf("SameProcess = %v, but Diff = %+v", same, spec.Diff(a, b))
		}
		if len(spec.Diff(a, a)) != 0 {
			t.Errorf("Diff of a service and itself = %+v", spec.Diff(a, a))
		}
		forth, back := spec.Diff(a, b), spec.Diff(b, a)
		for i := range back {
			back[i].Old, back[i].New = back[i].New, back[i].Old
		}
		if diff := cmp.Diff(forth, back); diff != "" {
			t.Errorf("Diff is not the same backwards: %s", diff)
		}
	})
}
