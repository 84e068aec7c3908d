package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/status"
)

// happened are events of the fleet.
func happened(b *bench) {
	event := func(name, kind, about, reason, message string, count int32, typ status.EventType, first, last time.Duration) status.Event {
		return status.Event{
			APIVersion: "svc.d/v1", Kind: "Event", Metadata: status.Metadata{Name: name, ResourceVersion: "90"},
			InvolvedObject: status.ObjectReference{APIVersion: "svc.d/v1", Kind: kind, Name: about},
			Reason:         reason, Message: message, Source: status.EventSource{Component: "reconciler"},
			FirstTimestamp: now.Add(-first), LastTimestamp: now.Add(-last), Count: count, Type: typ,
		}
	}
	b.front.events = []status.Event{
		event("web-0.1", "Replica", "web-0", "Started", "started with pid 1000", 1, status.EventNormal, time.Hour, time.Hour),
		event("web.2", "Service", "web", "Edited", "args changed", 1, status.EventNormal, 10*time.Minute, 10*time.Minute),
		event("db-0.3", "Replica", "db-0", "Exited", "exited with code 1 after 3s", 6, status.EventWarning, 5*time.Minute, 8*time.Second),
		event("all.4", "Daemon", "reconciler", "PruneHeld", "5 of 8 services would be removed", 1, status.EventWarning, 0, 0),
	}
}

// marked gives each service a revision and a uid, as the engine does.
func marked(b *bench) {
	for i := range b.engine.snapshot.Services {
		b.engine.snapshot.Services[i].Metadata.ResourceVersion = "100"
	}
}

func TestGetPrintsWhatIsKept(t *testing.T) {
	both := func(b *bench) { troubled(b); happened(b) }
	tests := map[string]struct {
		prepare func(*bench)
		args    []string
	}{
		"get services":                          {nil, []string{"get", "services"}},
		"get services of a name":                {nil, []string{"get", "svc", "web", "db"}},
		"get replicas":                          {troubled, []string{"get", "replicas"}},
		"get replicas wide":                     {troubled, []string{"get", "replica", "-o", "wide"}},
		"get replicas of a service":             {nil, []string{"get", "replicas", "web"}},
		"get replicas by names":                 {nil, []string{"get", "replicas", "web-1", "web-1", "db-0"}},
		"get replicas of nobody":                {nil, []string{"get", "replicas", "web-7"}},
		"get of a replica by its kind":          {nil, []string{"get", "replicas/web-1"}},
		"get of a bare name of a replica":       {nil, []string{"get", "web-1"}},
		"get of a service and a replica":        {nil, []string{"get", "web", "replica/web-0"}},
		"get replica yaml of one name":          {nil, []string{"get", "replicas/db-0", "-o", "yaml"}},
		"get replicas name":                     {nil, []string{"get", "replicas", "-o", "name"}},
		"get events":                            {both, []string{"get", "events"}},
		"get events of none":                    {nil, []string{"get", "events"}},
		"get events by a name that is none":     {both, []string{"get", "events", "web"}},
		"get events name":                       {both, []string{"get", "ev", "-o", "name"}},
		"get by labels":                         {troubled, []string{"get", "-l", "tier=front"}},
		"get by labels that nothing has":        {nil, []string{"get", "-l", "tier=none"}},
		"get by fields":                         {troubled, []string{"get", "--field-selector", "status.phase=Held"}},
		"get by labels and names":               {nil, []string{"get", "web", "-l", "a=b"}},
		"get with labels":                       {nil, []string{"get", "--show-labels"}},
		"get with labels as json":               {nil, []string{"get", "--show-labels", "-o", "json"}},
		"get without headers":                   {nil, []string{"get", "--no-headers"}},
		"get sorted by numbers":                 {nil, []string{"get", "--sort-by", "{.status.replicas}"}},
		"get sorted by names":                   {nil, []string{"get", "--sort-by=.metadata.name"}},
		"get sorted by what nothing has":        {nil, []string{"get", "--sort-by=.metadata.size"}},
		"get jsonpath of one":                   {nil, []string{"get", "web", "-o", "jsonpath={.status.readyReplicas}{\"\\n\"}"}},
		"get jsonpath of all":                   {nil, []string{"get", "-o", `jsonpath={range .items[*]}{.metadata.name}{"\t"}{.status.phase}{"\n"}{end}`}},
		"get jsonpath that is none":             {nil, []string{"get", "-o", "jsonpath={.status"}},
		"get custom columns":                    {nil, []string{"get", "-o", "custom-columns=NAME:.metadata.name,APP:.metadata.labels.app,ARGS:.spec.args"}},
		"get custom columns that are none":      {nil, []string{"get", "-o", "custom-columns=NAME"}},
		"get jsonpath of a configuration":       {nil, []string{"get", "config", "-o", "jsonpath={.file}"}},
		"get watch events without a watch":      {nil, []string{"get", "--output-watch-events"}},
		"watch in an order":                     {nil, []string{"get", "-w", "--sort-by", ".metadata.name"}},
		"watch of services and replicas":        {nil, []string{"get", "-w", "web", "replicas/db-0"}},
		"get replicas of a daemon that is away": {nil, []string{"get", "replicas", "--state-dir", "$DIR/nothing"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			if test.prepare != nil {
				test.prepare(b)
			}
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", b.run(test.args...))
		})
	}
}

func TestWatchesPrintWhatIsKept(t *testing.T) {
	// changed is the service web a moment later.
	changed := func(b *bench, revision, reason string) *status.Service {
		s := *b.service("web")
		s.Metadata.ResourceVersion = revision
		s.Status.Reason = reason
		if reason != "" {
			s.Status.ReadyReplicas = 1
		}
		return &s
	}
	longer := func(b *bench) *status.Service {
		s := *b.service("db")
		s.Metadata.Name, s.Metadata.ResourceVersion = "a-service-with-a-long-name", "103"
		return &s
	}
	tests := map[string]struct {
		prepare func(*bench)
		args    []string
		asked   []string
	}{
		"watch appends rows": {func(b *bench) {
			b.front.watches = []string{
				change(status.WatchModified, changed(b, "101", "ReplacementPending")) + change(status.WatchAdded, longer(b)),
				change(status.WatchDeleted, changed(b, "104", "")),
			}
		}, []string{"get", "-w"}, []string{`services after 100, labels "", fields ""`, `services after 103, labels "", fields ""`, `services after 104, labels "", fields ""`}},
		"watch tells what became of each": {func(b *bench) {
			b.front.watches = []string{change(status.WatchModified, changed(b, "101", "ReplacementPending"))}
		}, []string{"get", "web", "-w", "--output-watch-events"}, []string{`services after 100, labels "", fields "metadata.name=web"`, `services after 101, labels "", fields "metadata.name=web"`}},
		"watch only what changes": {func(b *bench) {
			b.front.watches = []string{change(status.WatchModified, changed(b, "101", "")) + change(status.WatchModified, longer(b))}
		}, []string{"get", "web", "db", "--watch-only", "-o", "name"}, []string{`services after 100, labels "", fields ""`, `services after 103, labels "", fields ""`}},
		"watch as yaml": {func(b *bench) {
			b.front.watches = []string{change(status.WatchModified, &status.ReplicaObject{APIVersion: "svc.d/v1", Kind: "Replica", Metadata: status.Metadata{Name: "db-0", ResourceVersion: "101"}})}
		}, []string{"get", "replicas/db-0", "-o", "yaml", "-w"}, []string{`replicas after 100, labels "", fields "metadata.name=db-0"`, `replicas after 101, labels "", fields "metadata.name=db-0"`}},
		"watch by jsonpath": {func(b *bench) {
			b.front.watches = []string{change(status.WatchModified, changed(b, "101", "ReplacementPending"))}
		}, []string{"get", "web", "-w", "-o", `jsonpath={.status.readyReplicas}{"\n"}`}, []string{`services after 100, labels "", fields "metadata.name=web"`, `services after 101, labels "", fields "metadata.name=web"`}},
		"watch lists again when its revision is too old": {func(b *bench) {
			b.front.watches = []string{`{"type":"ERROR","object":{"kind":"Status","reason":"Expired","message":"too old","code":410}}` + "\n"}
		}, []string{"get", "-w", "-l", "tier=front"}, []string{`services after 100, labels "tier=front", fields ""`, `services after 100, labels "tier=front", fields ""`}},
		"watch that is refused": {func(b *bench) {
			b.front.watches = []string{`{"type":"ERROR","object":{"kind":"Status","reason":"Forbidden","message":"you may not watch","code":403}}` + "\n"}
		}, []string{"get", "-w"}, []string{`services after 100, labels "", fields ""`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			marked(b)
			test.prepare(b)
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", b.run(test.args...))
			if diff := cmp.Diff(test.asked, b.front.asked); diff != "" {
				t.Errorf("asked (-want +got)\n%s", diff)
			}
		})
	}
}
