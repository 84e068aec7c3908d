package spec_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

// together declares services that are described in few words: "a": "b c:Completed".
func together(t *testing.T, never []string, needs map[string][]spec.Dependency) map[string]*spec.Service {
	t.Helper()
	all := map[string]*spec.Service{}
	for name, on := range needs {
		s := &spec.Service{Spec: spec.Defaults(), Source: spec.Source{File: name + ".yaml", Line: 1}}
		s.Metadata.Name, s.Spec.DependsOn = name, on
		all[name] = s
	}
	for _, name := range never {
		all[name].Spec.RestartPolicy = spec.RestartNever
	}
	return all
}

func on(names ...string) []spec.Dependency {
	var all []spec.Dependency
	for _, name := range names {
		all = append(all, spec.Dependency{Name: name, Condition: spec.DependencyReady})
	}
	return all
}

func completed(name string) []spec.Dependency {
	return []spec.Dependency{{Name: name, Condition: spec.DependencyCompleted}}
}

func TestConflicts(t *testing.T) {
	tests := map[string]struct {
		never []string
		needs map[string][]spec.Dependency
		want  []string
	}{
		"nothing depends on anything": {nil, map[string][]spec.Dependency{"a": nil, "b": nil}, nil},
		"a chain":                     {nil, map[string][]spec.Dependency{"a": on("b"), "b": on("c"), "c": nil}, nil},
		"two ways to one":             {nil, map[string][]spec.Dependency{"a": on("b", "c"), "b": on("d"), "c": on("d"), "d": nil}, nil},
		"an unknown name waits":       {nil, map[string][]spec.Dependency{"a": on("nobody")}, nil},
		"a circle of two": {nil, map[string][]spec.Dependency{"a": on("b"), "b": on("a")}, []string{
			"a.yaml:1: spec.dependsOn[0].name: makes a circle of services that wait for one another: a -> b -> a",
			"b.yaml:1: spec.dependsOn[0].name: makes a circle of services that wait for one another: b -> a -> b",
		}},
		"a circle that others lead to": {nil, map[string][]spec.Dependency{"a": on("b"), "b": on("x", "c"), "c": on("b"), "x": nil}, []string{
			"b.yaml:1: spec.dependsOn[1].name: makes a circle of services that wait for one another: b -> c -> b",
			"c.yaml:1: spec.dependsOn[0].name: makes a circle of services that wait for one another: c -> b -> c",
		}},
		"a job that is never completed": {nil, map[string][]spec.Dependency{"a": completed("job"), "job": nil}, []string{
			"a.yaml:1: spec.dependsOn[0].condition: can never be met: job has not restartPolicy Never, so it is never completed",
			`job.yaml:1: spec.restartPolicy: must be "Never": a waits for it with the condition Completed, which could never be met`,
		}},
		"a job that is completed": {[]string{"job"}, map[string][]spec.Dependency{"a": completed("job"), "job": nil}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			services := together(t, test.never, test.needs)
			var got []string
			for _, c := range spec.Conflicts(services) {
				for _, name := range c.Services {
					got = append(got, c.Problem(services[name]).String())
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhoIsBlamedForAConflict(t *testing.T) {
	circle := spec.Conflicts(together(t, nil, map[string][]spec.Dependency{"a": on("b"), "b": on("a")}))[0]
	job := spec.Conflicts(together(t, nil, map[string][]spec.Dependency{"a": completed("job"), "job": nil}))[0]
	tests := map[string]struct {
		conflict spec.Conflict
		changed  string
		want     string
	}{
		"a circle, and both are new":           {circle, "a b", "[a b]"},
		"a circle, and one is new":             {circle, "b", "[b]"},
		"a circle that has always been":        {circle, "", "[]"},
		"no completion, and both are new":      {job, "a job", "[a]"},
		"no completion, and the job changed":   {job, "job", "[job]"},
		"no completion, who waits changed":     {job, "a", "[a]"},
		"no completion, as it always has been": {job, "", "[]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := fmt.Sprint(test.conflict.Blamed(func(name string) bool {
				return name == test.changed || len(test.changed) > 3 || test.changed == "a b"
			}))
			if got != test.want {
				t.Errorf("%s are blamed, want %s", got, test.want)
			}
		})
	}
}

// TestConflictsOfManyServicesAreFoundInOneWalk has a thousand services depend on all
// before them: a search along all ways would not end.
func TestConflictsOfManyServicesAreFoundInOneWalk(t *testing.T) {
	needs := map[string][]spec.Dependency{}
	var before []string
	for n := range 300 {
		name := fmt.Sprintf("s%03d", n)
		needs[name] = on(before...)
		before = append(before, name)
	}
	if conflicts := spec.Conflicts(together(t, nil, needs)); len(conflicts) > 0 {
		t.Errorf("%d conflicts", len(conflicts))
	}
}
