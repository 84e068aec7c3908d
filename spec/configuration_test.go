package spec_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"svc.d/spec"
)

const configurationHead = "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\n"

// configured parses one configuration without problems.
func configured(t requirer, text string) *spec.Configuration {
	t.Helper()
	file := spec.Parse("/d/main.yaml", []byte(configurationHead+text))
	if len(file.Problems) > 0 || len(file.Configurations) != 1 {
		t.Fatalf("%s: %v", text, file.Problems)
	}
	return file.Configurations[0]
}

func TestParseReadsEveryFieldOfAConfiguration(t *testing.T) {
	data, err := os.ReadFile("testdata/good/configuration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := spec.Parse("/d/main.yaml", data)
	want := spec.File{Configurations: []*spec.Configuration{{
		APIVersion: "svc.d/v1", Kind: "ReconcilerConfiguration",
		Log: spec.LogConfiguration{Format: "json", Level: "debug", Quota: 10 << 30},
		Defaults: spec.ServiceDefaults{
			Backoff: spec.BackoffDefaults{
				InitialDelay: new(spec.Duration(2 * time.Second)),
				MaxDelay:     new(spec.Duration(5 * time.Minute)),
				StableAfter:  new(spec.Duration(90 * time.Second)),
				Limit:        &spec.RestartLimit{Restarts: 5, Within: spec.Duration(10 * time.Minute)},
			},
			TerminationGracePeriodSeconds: new(int64(0)),
			Log: spec.LogDefaults{
				MaxSize: new(spec.Quantity(1e6)), MaxFiles: new(int32(2)), MaxAge: new(spec.Duration(24 * time.Hour)), Compress: new(false),
			},
		},
		Prune:        spec.PruneObey,
		ResyncPeriod: spec.Duration(time.Minute),
		CgroupRoot:   "/sys/fs/cgroup/reconciler",
		Source:       spec.Source{File: "/d/main.yaml", Document: 1, Line: 2},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheDefaultsOfAConfigurationLieOnTheBuiltInOnes(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want func(*spec.Spec)
	}{
		"nothing set":       {"", func(*spec.Spec) {}},
		"no grace at all":   {"defaults: {terminationGracePeriodSeconds: 0}", func(s *spec.Spec) { s.TerminationGracePeriodSeconds = 0 }},
		"one delay":         {"defaults: {backoff: {maxDelay: 2m}}", func(s *spec.Spec) { s.Backoff.MaxDelay = spec.Duration(2 * time.Minute) }},
		"the time of a run": {"defaults: {backoff: {stableAfter: 5s}}", func(s *spec.Spec) { s.Backoff.StableAfter = spec.Duration(5 * time.Second) }},
		"a first delay":     {"defaults: {backoff: {initialDelay: 5s}}", func(s *spec.Spec) { s.Backoff.InitialDelay = spec.Duration(5 * time.Second) }},
		"a limit of restarts": {"defaults: {backoff: {limit: {restarts: 3, within: 1m}}}", func(s *spec.Spec) {
			s.Backoff.Limit = &spec.RestartLimit{Restarts: 3, Within: spec.Duration(time.Minute)}
		}},
		"the size of a log": {"defaults: {log: {maxSize: 1Mi}}", func(s *spec.Spec) { s.Log.MaxSize = 1 << 20 }},
		"all of a log": {"defaults: {log: {maxSize: 1Mi, maxFiles: 1, maxAge: 1h, compress: false}}", func(s *spec.Spec) {
			s.Log = spec.Log{MaxSize: 1 << 20, MaxFiles: 1, MaxAge: spec.Duration(time.Hour)}
		}},
		"the room for all logs": {"log: {quota: 1Gi}", func(*spec.Spec) {}},
	} {
		t.Run(name, func(t *testing.T) {
			want := spec.Defaults()
			test.want(&want)
			if diff := cmp.Diff(want, configured(t, test.text).ServiceDefaults()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(spec.Defaults(), (*spec.Configuration)(nil).ServiceDefaults()); diff != "" {
		t.Errorf("without a configuration (-want +got)\n%s", diff)
	}
}

func TestServicesHaveTheDefaultsOfTheParser(t *testing.T) {
	c := configured(t, "defaults: {terminationGracePeriodSeconds: 90, backoff: {initialDelay: 30s, limit: {restarts: 3, within: 1m}}}")
	const service = "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: web}\nspec: "
	parse := spec.Parser{Defaults: c.ServiceDefaults()}.Parse
	quiet := parse("/d/web.yaml", []byte(service+"{command: [a]}")).Services[0].Spec
	if quiet.TerminationGracePeriodSeconds != 90 || quiet.Backoff.Limit.Restarts != 3 || quiet.Backoff.InitialDelay != spec.Duration(30*time.Second) {
		t.Errorf("a service that says nothing got %+v", quiet)
	}
	loud := parse("/d/web.yaml", []byte(service+"{command: [a], terminationGracePeriodSeconds: 5, successExitCodes: [7], backoff: {limit: {restarts: 9, within: 2m}}}")).Services[0].Spec
	if loud.TerminationGracePeriodSeconds != 5 || loud.Backoff.Limit.Restarts != 9 || loud.SuccessExitCodes[0] != 7 {
		t.Errorf("a service that says it got %+v", loud)
	}
	again := parse("/d/web.yaml", []byte(service+"{command: [a]}")).Services[0].Spec
	if diff := cmp.Diff(quiet, again); diff != "" {
		t.Errorf("the service before changed the defaults (-before +after)\n%s", diff)
	}
	c = configured(t, "defaults: {log: {maxAge: 24h, compress: false}}")
	logs := spec.Parser{Defaults: c.ServiceDefaults()}.Parse("/d/web.yaml", []byte(service+"{command: [a], log: {maxAge: 0, maxFiles: 9}}")).Services[0].Spec.Log
	if want := (spec.Log{MaxSize: 10 << 20, MaxFiles: 9}); logs != want {
		t.Errorf("a service that sets some fields of its log got %+v, want %+v", logs, want)
	}
	broken := parse("/d/web.yaml", []byte(service+"{command: [a], backoff: {maxDelay: 10s}}"))
	if len(broken.Problems) != 1 || !strings.Contains(broken.Problems[0].Message, "initialDelay (30s by default) must not be above maxDelay (10s)") {
		t.Errorf("got %v", broken.Problems)
	}
}

func TestSameConfigurationComparesWhatIsSet(t *testing.T) {
	one := configured(t, "prune: Hold\ndefaults: {backoff: {maxDelay: 60s}}")
	for name, test := range map[string]struct {
		other *spec.Configuration
		want  bool
	}{
		"in another place":       {configured(t, "\n\ndefaults: {backoff: {maxDelay: 1m}}\nprune: Hold"), true},
		"with another value":     {configured(t, "prune: Hold\ndefaults: {backoff: {maxDelay: 61s}}"), false},
		"with a value not set":   {configured(t, "prune: Hold"), false},
		"with one more that is":  {configured(t, "prune: Hold\nresyncPeriod: 5m\ndefaults: {backoff: {maxDelay: 60s}}"), false},
		"that is not there":      {nil, false},
		"that is the very same":  {one, true},
		"with nothing but a log": {configured(t, "log: {level: info}"), false},
	} {
		if got := spec.SameConfiguration(one, test.other); got != test.want || spec.SameConfiguration(test.other, one) != got {
			t.Errorf("a configuration %s: same %v", name, got)
		}
	}
	if !spec.SameConfiguration(nil, nil) {
		t.Error("no configuration is not the same as none")
	}
}

// anyConfiguration draws a configuration that Parse could have returned.
func anyConfiguration(t *rapid.T) *spec.Configuration {
	duration := func(least time.Duration) *spec.Duration {
		if rapid.Bool().Draw(t, "unset") {
			return nil
		}
		return new(spec.Duration(rapid.Int64Range(int64(least), int64(20*time.Hour)).Draw(t, "duration")))
	}
	c := &spec.Configuration{APIVersion: spec.APIVersion, Kind: spec.KindConfiguration}
	c.Log.Format = rapid.SampledFrom([]string{"", "json", "console"}).Draw(t, "format")
	c.Log.Level = rapid.SampledFrom([]string{"", "debug", "info", "error"}).Draw(t, "level")
	c.Prune = rapid.SampledFrom([]spec.PrunePolicy{"", spec.PruneHold, spec.PruneObey}).Draw(t, "prune")
	c.CgroupRoot = rapid.SampledFrom([]string{"", "/", "/sys/fs/cgroup/ü x"}).Draw(t, "root")
	if resync := duration(time.Second); resync != nil {
		c.ResyncPeriod = *resync
	}
	c.Defaults.Backoff.MaxDelay = duration(time.Second)
	if most := c.Defaults.Backoff.MaxDelay; most != nil && rapid.Bool().Draw(t, "initial") {
		c.Defaults.Backoff.InitialDelay = new(*most / 2)
	}
	c.Defaults.Backoff.StableAfter = duration(time.Millisecond)
	if within := duration(time.Millisecond); within != nil {
		c.Defaults.Backoff.Limit = &spec.RestartLimit{Restarts: rapid.Int32Range(1, 1000).Draw(t, "restarts"), Within: *within}
	}
	if rapid.Bool().Draw(t, "grace") {
		c.Defaults.TerminationGracePeriodSeconds = new(rapid.Int64Range(0, 1000).Draw(t, "seconds"))
	}
	if rapid.Bool().Draw(t, "quota") {
		c.Log.Quota = spec.Quantity(rapid.Int64Range(1<<20, 1<<50).Draw(t, "bytes"))
	}
	if rapid.Bool().Draw(t, "log") {
		log := anyLog(t)
		c.Defaults.Log = spec.LogDefaults{MaxSize: &log.MaxSize, MaxFiles: &log.MaxFiles, MaxAge: &log.MaxAge, Compress: &log.Compress}
	}
	return c
}

// requireConfigurationStored writes a configuration and reads it by each way.
func requireConfigurationStored(t requirer, c *spec.Configuration) {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := *c
	want.Source = spec.Source{}
	later := append([]byte(`{"zzz": {"log": 1}, `), data[1:]...)
	for _, text := range [][]byte{data, later} {
		got, err := spec.DecodeConfiguration(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(&want, got) {
			t.Errorf("%s is read as another one (-was +is):\n%s", text, cmp.Diff(&want, got))
		}
	}
	file := spec.Parse("/d/again.json", data)
	if len(file.Problems) > 0 || len(file.Configurations) != 1 || !spec.SameConfiguration(c, file.Configurations[0]) {
		t.Errorf("%s is not parsed as it was: %v", data, file.Problems)
	}
}

func TestAnyStoredConfigurationIsReadAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { requireConfigurationStored(t, anyConfiguration(t)) })
}

func TestAStoredConfigurationThatCannotBeUsedIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"a format of a later version": `{"log": {"format": "xml"}}`,
		"a level of a later version":  `{"log": {"level": "trace"}}`,
		"a policy of a later version": `{"prune": "Ask"}`,
		"a poll":                      `{"resyncPeriod": "1ms"}`,
		"a relative path":             `{"cgroupRoot": "a"}`,
		"delays the wrong way round":  `{"defaults": {"backoff": {"initialDelay": "2m"}}}`,
		"a negative grace":            `{"defaults": {"terminationGracePeriodSeconds": -1}}`,
		"no room for logs":            `{"log": {"quota": "1"}}`,
		"a quota in other units":      `{"log": {"quota": "1Xi"}}`,
		"no files of logs":            `{"defaults": {"log": {"maxFiles": 0}}}`,
		"another kind":                `{"kind": "Service"}`,
		"half of it":                  `{"log":`,
	} {
		if c, err := spec.DecodeConfiguration([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", name, c)
		}
	}
}

func TestARelativePathBesideAFolderThatIsNoTextIsRefused(t *testing.T) {
	const text = "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: web}\nspec: {command: [a], workingDir: "
	file := spec.Parse("/d\xff/web.yaml", []byte(text+"data}"))
	if len(file.Problems) != 1 || file.Problems[0].Field != "spec.workingDir" {
		t.Errorf("got %v", file.Problems)
	}
	if file = spec.Parse("/d\xff/web.yaml", []byte(text+"/data}")); len(file.Problems) > 0 {
		t.Errorf("an absolute one: %v", file.Problems)
	}
}
