package spec_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"svc.d/spec"
)

// fullSpec sets every field, so that each can be changed.
func fullSpec() spec.Spec {
	return spec.Spec{
		Replicas: 2, Command: []string{"a", "b"}, Args: []string{"c"}, WorkingDir: "/x",
		Env:     []spec.EnvVar{{Name: "A", Value: "a"}},
		EnvFrom: []spec.EnvFrom{{File: "/f", Optional: true, Prefix: "P_"}},
		SecurityContext: spec.SecurityContext{
			RunAsUser: "u", RunAsGroup: "g", SupplementalGroups: []spec.ID{"h"}, Umask: 0o77,
		},
		Rlimits:       map[string]spec.Rlimit{"nofile": {Soft: 1, Hard: 2}},
		RestartPolicy: spec.RestartNever,
		Backoff: spec.Backoff{
			InitialDelay: spec.Duration(time.Second), MaxDelay: spec.Duration(time.Minute), StableAfter: spec.Duration(time.Hour),
			Limit: &spec.RestartLimit{Restarts: 3, Within: spec.Duration(time.Minute)},
		},
		SuccessExitCodes: []int32{0, 1},
		Lifecycle: spec.Lifecycle{
			StopSignal: "SIGINT", PostStart: fullHandler(), PreStop: fullHandler(), PostStop: fullHandler(),
		},
		TerminationGracePeriodSeconds: 5, MinReadySeconds: 6,
		Log:          spec.Log{MaxSize: 1 << 20, MaxFiles: 2, MaxAge: spec.Duration(time.Hour), Compress: true},
		DependsOn:    []spec.Dependency{{Name: "db", Condition: spec.DependencyStarted, Restart: true}},
		StartupProbe: fullProbe(), ReadinessProbe: fullProbe(), LivenessProbe: fullProbe(),
		ReadyLogLine: "^ready", Notify: spec.NotifySystemd, WatchdogSeconds: 7,
		Init:               []spec.Init{{Name: "one", Command: []string{"a"}, Args: []string{"b"}}},
		RuntimeDirectories: []spec.RuntimeDirectory{{Path: "/run/web", Mode: 0o750}},
		Lifetime:           spec.LifetimeGroup, StopScope: spec.StopScopeMain, ProgressDeadlineSeconds: 8,
		Reload: &spec.Reload{
			Signal: "SIGUSR1", Exec: &spec.ExecAction{Command: []string{"a"}}, Check: &spec.ExecAction{Command: []string{"b"}}, Files: []string{"/f"},
		},
	}
}

func fullHandler() *spec.Handler {
	return &spec.Handler{Exec: &spec.ExecAction{Command: []string{"hook"}}}
}

func fullProbe() *spec.Probe {
	grace := int64(9)
	return &spec.Probe{
		Exec:      &spec.ExecAction{Command: []string{"probe"}},
		HTTPGet:   &spec.HTTPGetAction{Path: "/", Port: "80", Host: "h", Scheme: "HTTP", HTTPHeaders: []spec.HTTPHeader{{Name: "A", Value: "b"}}},
		TCPSocket: &spec.TCPSocketAction{Port: "81", Host: "h"}, GRPC: &spec.GRPCAction{Port: "82", Service: "s"},
		InitialDelaySeconds: 1, PeriodSeconds: 2, TimeoutSeconds: 3, SuccessThreshold: 4, FailureThreshold: 5, TerminationGracePeriodSeconds: &grace,
	}
}

// TestEveryFieldOfSpecHasAClassThatSameProcessFollows changes every value of
// the spec, however deep, and asks SameProcess and Diff whether they saw it.
func TestEveryFieldOfSpecHasAClassThatSameProcessFollows(t *testing.T) {
	original := fullSpec()
	requireFilled(t, "spec", reflect.ValueOf(original))
	specType := reflect.TypeFor[spec.Spec]()
	for i := range specType.NumField() {
		field := specType.Field(i)
		class := spec.EditClass(field.Tag.Get("edit"))
		if class != spec.EditRestart && class != spec.EditLive {
			t.Errorf("Spec.%s has no edit class", field.Name)
			continue
		}
		count := 0
		for n := 0; ; n++ {
			changed := fullSpec()
			m := mutator{skip: n}
			m.mutate(field.Name, reflect.ValueOf(&changed).Elem().Field(i))
			if m.done == "" {
				break
			}
			count++
			if same := spec.SameProcess(&original, &changed); same != (class == spec.EditLive) {
				t.Errorf("SameProcess = %v after %s, whose class is %s", same, m.done, class)
			}
			changes := spec.Diff(&spec.Service{Spec: original}, &spec.Service{Spec: changed})
			if len(changes) == 0 {
				t.Errorf("Diff sees nothing after %s", m.done)
			}
			for _, c := range changes {
				if c.Class != class {
					t.Errorf("Diff after %s: %+v, want class %s", m.done, c, class)
				}
			}
		}
		if count == 0 {
			t.Errorf("no change of Spec.%s was tried", field.Name)
		}
	}
}

// requireFilled fails when the test's own spec leaves something out.
func requireFilled(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.IsZero():
		t.Errorf("fullSpec leaves out %s", path)
	case v.Kind() == reflect.Pointer:
		requireFilled(t, path, v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			requireFilled(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case v.Kind() == reflect.Slice && v.Index(0).Kind() == reflect.Struct:
		requireFilled(t, path+"[0]", v.Index(0))
	}
}

// mutator makes one change: the one after skip others.
type mutator struct {
	skip int
	done string
}

func (m *mutator) now(what string) bool {
	if m.done != "" {
		return false
	}
	if m.skip--; m.skip < 0 {
		m.done = what
		return true
	}
	return false
}

func (m *mutator) mutate(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		if m.now("negating " + path) {
			v.SetBool(!v.Bool())
		}
	case reflect.Int32, reflect.Int64:
		if m.now("raising " + path) {
			v.SetInt(v.Int() + 1)
		}
	case reflect.Uint32, reflect.Uint64:
		if m.now("raising " + path) {
			v.SetUint(v.Uint() + 1)
		}
	case reflect.String:
		if m.now("extending " + path) {
			v.SetString(v.String() + "x")
		}
	case reflect.Pointer:
		if m.now("removing " + path) {
			v.SetZero()
			return
		}
		m.mutate(path, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			m.mutate(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		m.mutateSlice(path, v)
	case reflect.Map:
		m.mutateMap(path, v)
	default:
		panic(fmt.Sprintf("%s: no mutation for %s", path, v.Type()))
	}
}

func (m *mutator) mutateSlice(path string, v reflect.Value) {
	if m.now("appending to " + path) {
		v.Set(reflect.Append(v, v.Index(0)))
		return
	}
	if m.now("removing " + path) {
		v.SetZero()
		return
	}
	if m.now("shortening " + path) {
		v.Set(v.Slice(0, v.Len()-1))
		return
	}
	for i := range v.Len() {
		m.mutate(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (m *mutator) mutateMap(path string, v reflect.Value) {
	key := v.MapKeys()[0]
	if m.now("removing a key of " + path) {
		v.SetMapIndex(key, reflect.Value{})
		return
	}
	if m.now("adding a key to " + path) {
		v.SetMapIndex(reflect.ValueOf("other"), v.MapIndex(key))
		return
	}
	item := reflect.New(v.Type().Elem()).Elem()
	item.Set(v.MapIndex(key))
	m.mutate(path+"."+key.String(), item)
	v.SetMapIndex(key, item)
}

func TestSameProcessTellsNoGroupsFromTheUsersGroups(t *testing.T) {
	a, b := spec.Defaults(), spec.Defaults()
	b.SecurityContext.SupplementalGroups = []spec.ID{}
	if spec.SameProcess(&a, &b) {
		t.Error("an empty list of groups and none are taken for the same")
	}
	if changes := spec.Diff(&spec.Service{Spec: a}, &spec.Service{Spec: b}); len(changes) != 1 {
		t.Errorf("Diff = %+v, want one change", changes)
	}
}

func TestSameProcessTakesEmptyAndMissingListsForTheSame(t *testing.T) {
	a, b := spec.Defaults(), spec.Defaults()
	b.Args, b.Env, b.EnvFrom, b.Rlimits = []string{}, []spec.EnvVar{}, []spec.EnvFrom{}, map[string]spec.Rlimit{}
	if !spec.SameProcess(&a, &b) {
		t.Error("empty and missing lists are taken for different")
	}
}

func TestSameProcessDoesNotAllocate(t *testing.T) {
	a, b := fullSpec(), fullSpec()
	if allocs := testing.AllocsPerRun(100, func() {
		if !spec.SameProcess(&a, &b) {
			t.Fatal("equal specs differ")
		}
	}); allocs != 0 {
		t.Errorf("SameProcess allocates %v times", allocs)
	}
}
