package spec_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

func TestParseReadsEveryField(t *testing.T) {
	data, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := spec.Parse("/etc/svc.d/full.yaml", data)
	want := spec.File{Services: []*spec.Service{{
		APIVersion: "svc.d/v1",
		Kind:       "Service",
		Metadata: spec.Metadata{
			Name:        "web",
			Labels:      map[string]string{"app": "web", "example.com/tier": "front"},
			Annotations: map[string]string{"example.com/Note": "anything: at all"},
		},
		Spec: spec.Spec{
			Replicas:   3,
			Command:    []string{"/usr/bin/web"},
			Args:       []string{"--name", "$(SVC_NAME)-$(SVC_REPLICA)", "--verbose"},
			WorkingDir: "/etc/svc.d/data",
			Env:        []spec.EnvVar{{"PORT", "8080"}, {"GREETING", "hello\nworld\n"}, {"EMPTY", ""}},
			EnvFrom: []spec.EnvFrom{
				{File: "/etc/svc.d/web.env", Optional: true, Prefix: "WEB_"},
				{File: "/etc/default/web"},
			},
			SecurityContext: spec.SecurityContext{
				RunAsUser: "www-data", RunAsGroup: "33",
				SupplementalGroups: []spec.ID{"adm", "1000"}, Umask: 0o027,
			},
			Rlimits: map[string]spec.Rlimit{
				"nofile": {65536, 65536},
				"core":   {spec.RlimitInfinity, spec.RlimitInfinity},
				"nproc":  {100, spec.RlimitInfinity},
			},
			RestartPolicy: spec.RestartOnFailure,
			Backoff: spec.Backoff{
				InitialDelay: spec.Duration(500 * time.Millisecond),
				MaxDelay:     spec.Duration(5 * time.Minute),
				StableAfter:  spec.Duration(90 * time.Second),
				Limit:        &spec.RestartLimit{Restarts: 5, Within: spec.Duration(10 * time.Minute)},
			},
			SuccessExitCodes:              []int32{0, 143},
			Lifecycle:                     spec.Lifecycle{StopSignal: "SIGINT"},
			TerminationGracePeriodSeconds: 10,
			MinReadySeconds:               2,
			Notify:                        spec.NotifyNone,
			Lifetime:                      spec.LifetimeMain,
			StopScope:                     spec.StopScopeGroup,
			ProgressDeadlineSeconds:       600,
			Log:                           spec.Log{MaxSize: 3 << 19, MaxFiles: 3, MaxAge: spec.Duration(7 * 24 * time.Hour)},
		},
		Source: spec.Source{File: "/etc/svc.d/full.yaml", Document: 1, Line: 2},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse differs (-want +got):\n%s", diff)
	}
}

const smallManifest = `apiVersion: svc.d/v1
kind: Service
metadata:
  name: sleeper-0001
spec:
  command: [/bin/sleep, infinity]
  env:
  - name: PORT
    value: "8080"
`

func BenchmarkParseSmall(b *testing.B) {
	data := []byte(smallManifest)
	b.ReportAllocs()
	for b.Loop() {
		if f := spec.Parse("/etc/svc.d/a.yaml", data); len(f.Services) != 1 {
			b.Fatal(f.Problems)
		}
	}
}

func TestANameOfAFileMovesNoCursor(t *testing.T) {
	problem := spec.Problem{Source: spec.Source{File: "/d/a\n\x1b[31m.yaml", Line: 1}, Message: "bad"}
	if got, want := problem.String(), `"/d/a\n\x1b[31m.yaml":1: bad`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
