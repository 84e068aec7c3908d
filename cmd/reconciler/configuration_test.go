package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

const configurationHead = "apiVersion: svc.d/v1\nkind: ReconcilerConfiguration\n"

const everyField = configurationHead + `log: {format: json, level: debug, quota: 1Gi}
defaults:
  backoff: {initialDelay: 2s, maxDelay: 5m, stableAfter: 90s, limit: {restarts: 5, within: 10m}}
  terminationGracePeriodSeconds: 90
  log: {maxSize: 100000, maxFiles: 3, maxAge: 168h, compress: false}
prune: Obey
resyncPeriod: 1m
cgroupRoot: /sys/fs/cgroup/ours
access: {group: operators}
`

// document parses a configuration that stands in line 3 of a file.
func document(t testing.TB, text string) *spec.Configuration {
	t.Helper()
	file := spec.Parse("/etc/svc.d/main.yaml", []byte("# ours\n\n"+text))
	if len(file.Problems) > 0 {
		t.Fatal(file.Problems)
	}
	return file.Configurations[0]
}

// found is a daemon without a document, in which something was found out.
func found(b *bench) {
	b.found = map[string]string{"log.format": "json", "cgroupRoot": "/sys/fs/cgroup/system.slice/reconciler.service"}
}

// configured is a daemon with a document, two of whose fields flags overrule.
func configured(b *bench) {
	b.engine.snapshot.Set.Configuration = document(b.t, everyField)
	b.flags = flagValues{"log.level": "error", "resyncPeriod": "90s"}
}

// misconfigured is one whose document was edited badly, beside a second one.
func misconfigured(b *bench) {
	configured(b)
	b.engine.snapshot.Set.Problems = []spec.Problem{
		{Source: spec.Source{File: "/etc/svc.d/main.yaml", Document: 1, Line: 4}, Column: 1, Field: "prun",
			Message: `unknown field, did you mean "prune"?`, Since: now.Add(-time.Minute)},
		{Source: spec.Source{File: "/etc/svc.d/other.yaml", Document: 1, Line: 1}, Field: "kind", Value: spec.KindConfiguration,
			Message: "another one is in force already", Since: now},
		{Source: spec.Source{File: "/etc/svc.d/new.yaml"}, Message: "cannot read it: permission denied", Since: now},
	}
}

// renamed has a service that is called config.
func renamed(b *bench) { b.engine.snapshot.Services[0].Metadata.Name = "config" }

// patient has a configuration without which a service would be well.
func patient(b *bench) {
	b.write("svc.d/main.yaml", configurationHead+"defaults: {backoff: {initialDelay: 30s}}\n")
	b.write("svc.d/hasty.yaml", "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: hasty}\nspec: {command: [x], backoff: {maxDelay: 10s}}\n")
}

func TestAFlagIsBeforeTheDocumentAndTheDocumentBeforeTheDefault(t *testing.T) {
	tests := map[string]struct {
		document *spec.Configuration
		flags    flagValues
		want     settings
	}{
		"neither": {nil, nil, settings{
			logLevel: "info", prune: spec.PruneHold, resync: 5 * time.Minute, defaults: spec.Defaults(),
		}},
		"a document": {document(t, everyField), nil, settings{
			logFormat: "json", logLevel: "debug", prune: spec.PruneObey, resync: time.Minute, cgroupRoot: "/sys/fs/cgroup/ours", access: "operators",
			logQuota: 1 << 30, defaults: document(t, everyField).ServiceDefaults(),
		}},
		"a document that says little": {document(t, configurationHead+"log: {level: error}\n"), nil, settings{
			logLevel: "error", prune: spec.PruneHold, resync: 5 * time.Minute, defaults: spec.Defaults(),
		}},
		"flags": {nil, flagValues{"log.format": "console", "log.level": "debug", "prune": "Obey", "resyncPeriod": "10s", "cgroupRoot": "/a/b"}, settings{
			logFormat: "console", logLevel: "debug", prune: spec.PruneObey, resync: 10 * time.Second, cgroupRoot: "/a/b", defaults: spec.Defaults(),
		}},
		"both": {document(t, everyField), flagValues{"log.format": "console", "prune": "Hold", "cgroupRoot": ""}, settings{
			logFormat: "console", logLevel: "debug", prune: spec.PruneHold, resync: time.Minute, cgroupRoot: "/sys/fs/cgroup/ours", access: "operators",
			logQuota: 1 << 30, defaults: document(t, everyField).ServiceDefaults(),
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := mergeSettings(test.document, test.flags)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFlagsAreCheckedLikeTheDocument(t *testing.T) {
	for name, test := range map[string]struct {
		flags flagValues
		want  string
	}{
		"a format":        {flagValues{"log.format": "jsn"}, `cannot use --log-format: it must be "console" or "json", not "jsn"; did you mean "json"?`},
		"a level":         {flagValues{"log.level": "loud"}, `cannot use --log-level: it must be "debug", "info" or "error", not "loud"`},
		"a policy":        {flagValues{"prune": "no"}, `cannot use --prune: it must be "Hold" or "Obey", not "no"`},
		"a period":        {flagValues{"resyncPeriod": "5"}, `cannot use --resync: it must be a duration from 1s to 24h such as "10s" or "1m30s", not "5"`},
		"a relative path": {flagValues{"cgroupRoot": "a"}, `cannot use --cgroup-root: it must be an absolute path without ".." and without a slash too many, such as "/sys/fs/cgroup/reconciler", not "a"`},
		"no flag's field": {flagValues{"defaults.backoff.maxDelay": "1m"}, "cannot set defaults.backoff.maxDelay by a flag"},
	} {
		if _, err := mergeSettings(nil, test.flags); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestTheReportHasEveryFieldOfADocument(t *testing.T) {
	text, err := spec.Schema()
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]object `json:"properties"`
	}
	var schema struct {
		Kinds map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{"apiVersion": true, "kind": true}
	for _, s := range settingsTable() {
		fields[s.field] = true
	}
	known := map[string]bool{}
	var collect func(object, string)
	collect = func(o object, path string) {
		if len(o.Properties) == 0 {
			known[strings.TrimPrefix(path, ".")] = true
		}
		for name, inner := range o.Properties {
			collect(inner, path+"."+name)
		}
	}
	collect(schema.Kinds[spec.KindConfiguration], "")
	if diff := cmp.Diff(known, fields); diff != "" {
		t.Errorf("(-schema +table)\n%s", diff)
	}
	for _, v := range configurationReport(document(t, everyField), nil, nil).Values {
		if v.Origin != "document /etc/svc.d/main.yaml:3" || v.Value == "" {
			t.Errorf("%s is %q of %s", v.Field, v.Value, v.Origin)
		}
	}
}

func TestTheDefaultsInAReportAreThoseInForce(t *testing.T) {
	for name, c := range map[string]*spec.Configuration{
		"none":  nil,
		"all":   document(t, everyField),
		"some":  document(t, configurationHead+"defaults: {terminationGracePeriodSeconds: 0, backoff: {initialDelay: 60s}}\n"),
		"logs":  document(t, configurationHead+"defaults: {log: {maxAge: 0, compress: true, maxSize: 65537}}\n"),
		"other": document(t, configurationHead+"prune: Obey\n"),
	} {
		got, err := defaultsOf(configurationReport(c, flagValues{"log.level": "debug"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.ServiceDefaults(), got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
