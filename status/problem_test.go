package status

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProblemsAreShownWithWhatIsInForce(t *testing.T) {
	const file = "/d/web.yaml"
	service := func(name, file string) Service {
		return Service{Metadata: Metadata{Name: name}, Spec: []byte("{}"), Status: ServiceStatus{File: file}}
	}
	now := time.Now()
	running := func(s Service, replicas ...Replica) Service {
		s.Status.ReplicaStatuses = replicas
		return s
	}
	since := func(pid int32, ago time.Duration) Replica {
		return Replica{Phase: PhaseRunning, Pid: pid, Started: now.Add(-ago)}
	}
	tests := map[string]struct {
		problem  Problem
		services []Service
		want     string
	}{
		"what runs is told with its process": {
			Problem{File: file, Line: 7, Column: 3, Field: "spec.comand", Message: `unknown field, did you mean "command"?`, Since: now.Add(-4 * time.Second)},
			[]Service{running(service("web", file), since(4711, 3*time.Minute))},
			"/d/web.yaml:7:3: spec.comand: unknown field, did you mean \"command\"?\n    web keeps running (pid 4711, 3m); in error since " +
				now.Add(-4*time.Second).Format(time.RFC3339) + " (4s ago)\n",
		},
		"of several replicas it is told how many run, and for how long all of them do": {
			Problem{File: file, Message: "bad"},
			[]Service{running(service("web", file), since(1, time.Hour), since(2, 3*time.Minute), Replica{Phase: PhasePending}, Replica{Phase: PhaseTerminating, Pid: 3})},
			"/d/web.yaml: bad\n    web keeps running (2 replicas, 3m)\n",
		},
		"some run and some do not": {
			Problem{File: file, Message: "bad"},
			[]Service{running(service("api", file), since(1, time.Minute)), service("job", file), running(service("web", file), since(2, time.Hour))},
			"/d/web.yaml: bad\n    api (pid 1, 60s), web (pid 2, 60m) keep running; job keeps its last good version\n",
		},
		"of many the first are named": {
			Problem{File: file, Message: "bad"}, slices.Repeat([]Service{service("x", file)}, maxListed+3),
			"/d/web.yaml: bad\n    " + strings.Repeat("x, ", maxListed) + "and 3 more keep their last good version\n",
		},
		"a broken file keeps what it declared": {
			Problem{File: file, Line: 2, Message: "bad"}, []Service{service("web", file), service("db", "/d/db.yaml")},
			"/d/web.yaml:2: bad\n    web keeps its last good version\n",
		},
		"what another file declares is not of this one": {
			Problem{File: "/d/copy.yaml", Line: 1, Service: "web", Message: "is declared already"}, []Service{service("web", file)},
			"/d/copy.yaml:1: is declared already\n    web stays as /d/web.yaml declares it\n",
		},
		"one document with a problem holds all of its file": {
			Problem{File: file, Line: 2, Service: "web", Message: "bad"}, []Service{service("api", file), service("web", file), service("db", "/d/db.yaml")},
			"/d/web.yaml:2: bad\n    api, web keep their last good version\n",
		},
		"a second declaration holds nothing else of its file": {
			Problem{File: "/d/copy.yaml", Line: 1, Service: "web", Message: "is declared already"},
			[]Service{service("api", "/d/copy.yaml"), service("web", file)},
			"/d/copy.yaml:1: is declared already\n    web stays as /d/web.yaml declares it\n",
		},
		"a broken configuration stays as it was": {
			Problem{File: "/d/main.yaml", Line: 2, Message: "bad"}, []Service{service("web", file)},
			"/d/main.yaml:2: bad\n    the daemon's configuration keeps its last good version\n",
		},
		"a broken file with a configuration and a service keeps both": {
			Problem{File: "/d/main.yaml", Line: 2, Message: "bad"}, []Service{service("web", "/d/main.yaml")},
			"/d/main.yaml:2: bad\n    the daemon's configuration, web keep their last good version\n",
		},
		"a second configuration holds nothing else of its file": {
			Problem{File: file, Line: 2, Field: "kind", Value: "ReconcilerConfiguration", Message: "another one is in force"}, []Service{service("web", file)},
			"/d/web.yaml:2: kind: another one is in force\n    what else its file declares is in force\n",
		},
		"a new file starts nothing": {
			Problem{File: file, Service: "web", Message: "bad"}, nil,
			"/d/web.yaml: bad\n    web has not been started\n",
		},
		"a name of a file moves no cursor": {
			Problem{File: "/d/a\n\x1b[31m.yaml", Line: 1, Message: "bad"}, nil,
			`"/d/a\n\x1b[31m.yaml":1: bad` + "\n    nothing of it has been started\n",
		},
		"letters of any language stand as they are": {
			Problem{File: "/d/ü ñ.yaml", Message: "bad"}, nil, "/d/ü ñ.yaml: bad\n    nothing of it has been started\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := WriteProblems(&out, &Daemon{Configuration: "/d/main.yaml", Problems: []Problem{test.problem}}, test.services, now); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(out.String(), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestASecondConfigurationIsNotWhyAServiceIsAsItIs(t *testing.T) {
	s := Service{Metadata: Metadata{Name: "web"}, Spec: []byte("{}"), Status: ServiceStatus{File: "/d/web.yaml"}}
	second := Problem{File: "/d/web.yaml", Field: "kind", Value: "ReconcilerConfiguration"}
	other := Problem{File: "/d/web.yaml", Field: "spec"}
	d := Daemon{Configuration: "/d/main.yaml"}
	if second.Concerns(&s, []Service{s}) || !other.Concerns(&s, []Service{s}) {
		t.Error("a service is concerned by the wrong one of two problems")
	}
	if !d.ConcernsConfiguration(second) || d.ConcernsConfiguration(other) || !d.ConcernsConfiguration(Problem{File: "/d/main.yaml"}) {
		t.Error("the configuration is concerned by the wrong ones of three problems")
	}
}
