package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"svc.d/spec"
	"svc.d/status"
	"svc.d/watch"
)

// settings are what the daemon goes by: what a flag says, else what the
// document of the directory says, else the default.
type settings struct {
	logFormat  string // empty: console in a terminal, else json
	logLevel   string
	prune      spec.PrunePolicy
	resync     time.Duration
	cgroupRoot string        // empty: the host finds one
	logQuota   spec.Quantity // 0: the host finds one
	defaults   spec.Spec
	access     spec.ID // the group; empty: none
}

// flagValues are the flags that were given and speak for a field of the
// configuration, by that field: "log.format". An empty value is not given.
type flagValues map[string]string

// setting is one field of the configuration.
type setting struct {
	field  string
	flag   string // the flag that overrules the document; empty for none
	preset string // the default; empty when it is found out at the start
	// of is what a document says, or empty.
	of func(*spec.Configuration) string
}

// settingsTable lists every field, in the order in which a document has them.
func settingsTable() []setting {
	d := spec.Defaults()
	limit := func(text func(*spec.RestartLimit) string) func(*spec.Configuration) string {
		return func(c *spec.Configuration) string {
			if c.Defaults.Backoff.Limit == nil {
				return ""
			}
			return text(c.Defaults.Backoff.Limit)
		}
	}
	return []setting{
		{"log.format", "log-format", "", func(c *spec.Configuration) string { return c.Log.Format }},
		{"log.level", "log-level", "info", func(c *spec.Configuration) string { return c.Log.Level }},
		{"log.quota", "", "", func(c *spec.Configuration) string {
			if c.Log.Quota == 0 {
				return ""
			}
			return c.Log.Quota.String()
		}},
		{"defaults.backoff.initialDelay", "", d.Backoff.InitialDelay.String(),
			func(c *spec.Configuration) string { return textOf(c.Defaults.Backoff.InitialDelay) }},
		{"defaults.backoff.maxDelay", "", d.Backoff.MaxDelay.String(),
			func(c *spec.Configuration) string { return textOf(c.Defaults.Backoff.MaxDelay) }},
		{"defaults.backoff.stableAfter", "", d.Backoff.StableAfter.String(),
			func(c *spec.Configuration) string { return textOf(c.Defaults.Backoff.StableAfter) }},
		{"defaults.backoff.limit.restarts", "", "", limit(func(l *spec.RestartLimit) string { return strconv.Itoa(int(l.Restarts)) })},
		{"defaults.backoff.limit.within", "", "", limit(func(l *spec.RestartLimit) string { return l.Within.String() })},
		{"defaults.terminationGracePeriodSeconds", "", strconv.FormatInt(d.TerminationGracePeriodSeconds, 10),
			func(c *spec.Configuration) string { return textOf(c.Defaults.TerminationGracePeriodSeconds) }},
		{"defaults.log.maxSize", "", d.Log.MaxSize.String(), func(c *spec.Configuration) string { return textOf(c.Defaults.Log.MaxSize) }},
		{"defaults.log.maxFiles", "", strconv.Itoa(int(d.Log.MaxFiles)), func(c *spec.Configuration) string { return textOf(c.Defaults.Log.MaxFiles) }},
		{"defaults.log.maxAge", "", "", func(c *spec.Configuration) string { return textOf(c.Defaults.Log.MaxAge) }},
		{"defaults.log.compress", "", strconv.FormatBool(d.Log.Compress), func(c *spec.Configuration) string { return textOf(c.Defaults.Log.Compress) }},
		{"prune", "prune", string(spec.PruneHold), func(c *spec.Configuration) string { return string(c.Prune) }},
		{"resyncPeriod", "resync", spec.Duration(watch.DefaultResync).String(), func(c *spec.Configuration) string {
			if c.ResyncPeriod == 0 {
				return ""
			}
			return c.ResyncPeriod.String()
		}},
		{"cgroupRoot", "cgroup-root", "", func(c *spec.Configuration) string { return c.CgroupRoot }},
		{"access.group", "", "", func(c *spec.Configuration) string { return string(c.Access.Group) }},
	}
}

// textOf is a value as a document has it, or empty when none is set.
func textOf[T any](value *T) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(*value)
}

// mergeSettings finds what the daemon goes by. It is pure. The error is about a
// flag, since a document was checked when it was read; nil is no document.
func mergeSettings(document *spec.Configuration, flags flagValues) (settings, error) {
	given, err := flags.configuration()
	if err != nil {
		return settings{}, err
	}
	if document == nil {
		document = &spec.Configuration{}
	}
	return settings{
		logFormat:  cmp.Or(given.Log.Format, document.Log.Format),
		logLevel:   cmp.Or(given.Log.Level, document.Log.Level, "info"),
		prune:      cmp.Or(given.Prune, document.Prune, spec.PruneHold),
		resync:     time.Duration(cmp.Or(given.ResyncPeriod, document.ResyncPeriod, spec.Duration(watch.DefaultResync))),
		cgroupRoot: cmp.Or(given.CgroupRoot, document.CgroupRoot),
		logQuota:   document.Log.Quota,
		defaults:   document.ServiceDefaults(),
		access:     document.Access.Group,
	}, nil
}

// configuration is what the flags say in the form of a document, checked by the
// same rules.
func (f flagValues) configuration() (*spec.Configuration, error) {
	flags := map[string]string{}
	for _, s := range settingsTable() {
		flags[s.field] = s.flag
	}
	values := map[string]any{}
	for field, value := range f {
		if flags[field] == "" {
			return nil, fmt.Errorf("cannot set %s by a flag", field)
		}
		if value != "" {
			values[field] = value
		}
	}
	c, problem := documentOf(values)
	if problem != nil {
		return nil, fmt.Errorf("cannot use --%s: it %s", flags[problem.Field], problem.Message)
	}
	return c, nil
}

// documentOf reads a document that sets the given fields, or tells the first
// problem.
func documentOf(values map[string]any) (*spec.Configuration, *spec.Problem) {
	document := map[string]any{"apiVersion": spec.APIVersion, "kind": spec.KindConfiguration}
	for field, value := range values {
		object := document
		for {
			name, rest, deeper := strings.Cut(field, ".")
			if !deeper {
				object[name] = value
				break
			}
			inner, ok := object[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
				object[name] = inner
			}
			object, field = inner, rest
		}
	}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, &spec.Problem{Message: err.Error()}
	}
	file := spec.Parse("values.json", text)
	if len(file.Problems) > 0 {
		return nil, &file.Problems[0]
	}
	return file.Configurations[0], nil
}

// configurationReport tells what is in force and where it comes from. It is
// pure. flags were accepted by mergeSettings; found is what the daemon found
// out by itself, by field, where nobody has said it.
func configurationReport(document *spec.Configuration, flags flagValues, found map[string]string) *status.ConfigurationReport {
	report := &status.ConfigurationReport{APIVersion: spec.APIVersion, Kind: "ConfigurationReport"}
	origin := ""
	if document != nil {
		report.File = document.Source.File
		origin = "document " + report.File
		if document.Source.Line > 0 {
			origin += ":" + strconv.Itoa(document.Source.Line)
		}
	}
	given, err := flags.configuration()
	if err != nil {
		given = &spec.Configuration{}
	}
	for _, s := range settingsTable() {
		v := status.ConfigurationValue{Field: s.field, Value: cmp.Or(s.preset, found[s.field]), Origin: "default"}
		if text := s.of(given); text != "" {
			v.Value, v.Origin = text, "flag --"+s.flag
		} else if document != nil && s.of(document) != "" {
			v.Value, v.Origin = s.of(document), origin
		}
		report.Values = append(report.Values, v)
	}
	return report
}

// defaultsOf are the defaults of services that a daemon has in force.
func defaultsOf(report *status.ConfigurationReport) (spec.Spec, error) {
	values := map[string]any{}
	for _, v := range report.Values {
		if !strings.HasPrefix(v.Field, "defaults.") || v.Value == "" {
			continue
		}
		values[v.Field] = v.Value
		if number, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			values[v.Field] = number
		} else if v.Value == "true" || v.Value == "false" {
			values[v.Field] = v.Value == "true"
		}
	}
	c, problem := documentOf(values)
	if problem != nil {
		return spec.Spec{}, fmt.Errorf("cannot read the daemon's configuration: %s: %s", problem.Field, problem.Message)
	}
	return c.ServiceDefaults(), nil
}
