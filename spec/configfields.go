package spec

import (
	"path"
	"time"

	"go.yaml.in/yaml/v3"
)

// configurationFields are the fields of a document of kind
// ReconcilerConfiguration.
var configurationFields = object[Configuration]{
	fields: []field[Configuration]{
		// Already read by the decoder, which comes here for no other values.
		{"apiVersion", true, func(*decoder, *yaml.Node, *Configuration) {}},
		{"kind", true, func(*decoder, *yaml.Node, *Configuration) {}},
		{"log", false, func(d *decoder, n *yaml.Node, c *Configuration) { readObject(d, n, &logFields, &c.Log) }},
		{"defaults", false, func(d *decoder, n *yaml.Node, c *Configuration) { readObject(d, n, &defaultsFields, &c.Defaults) }},
		{"prune", false, func(d *decoder, n *yaml.Node, c *Configuration) { c.Prune = PrunePolicy(d.word(n, prunePolicies)) }},
		{"resyncPeriod", false, func(d *decoder, n *yaml.Node, c *Configuration) {
			d.durationWithin(n, minResync, maxResync, &c.ResyncPeriod)
		}},
		{"cgroupRoot", false, func(d *decoder, n *yaml.Node, c *Configuration) { c.CgroupRoot = d.cgroupRoot(n) }},
		{"access", false, func(d *decoder, n *yaml.Node, c *Configuration) { readObject(d, n, &accessFields, &c.Access) }},
	},
	later: []string{"sinks", "api", "metrics"},
	foreign: []hint{
		{"metadata", "a " + KindConfiguration + " has no name and no labels; remove it"},
		{"spec", "the fields of a " + KindConfiguration + " stand at the top; remove this line and indent the rest less"},
		{"status", "the daemon reports it; remove it"},
		{"name", "a " + KindConfiguration + " has no name; remove it"},
		{"logging", "did you mean \"log\"?"},
		{"logFormat", "did you mean \"log.format\"?"},
		{"logLevel", "did you mean \"log.level\"?"},
		{"verbosity", "did you mean \"log.level\"?"},
		{"format", "it belongs under log"},
		{"level", "it belongs under log"},
		{"logSinks", "did you mean \"sinks\"? It is not supported by this version"},
		{"resync", "did you mean \"resyncPeriod\"?"},
		{"syncFrequency", "did you mean \"resyncPeriod\"?"},
		{"fileCheckFrequency", "did you mean \"resyncPeriod\"?"},
		{"serviceDefaults", "did you mean \"defaults\"?"},
		{"backoff", "it belongs under defaults"},
		{"terminationGracePeriodSeconds", "it belongs under defaults"},
		{"quota", "it belongs under log"},
		{"maxSize", "it belongs under defaults.log"},
		{"maxFiles", "it belongs under defaults.log"},
		{"maxAge", "it belongs under defaults.log"},
		{"containerLogMaxSize", "did you mean \"defaults.log.maxSize\"?"},
		{"containerLogMaxFiles", "did you mean \"defaults.log.maxFiles\"?"},
		{"cgroup", "did you mean \"cgroupRoot\"?"},
		{"group", "it belongs under access"},
		{"dir", "only a flag can say it: --dir"},
		{"staticPodPath", "only a flag can say it: --dir"},
		{"recursive", "only a flag can say it: --recursive"},
		{"stateDir", "only a flag can say it: --state-dir"},
		{"logDir", "only a flag can say it: --log-dir"},
		{"trustOwner", "only a flag can say it: --trust-owner"},
		{"trustOwners", "only a flag can say it: --trust-owner"},
	},
}

var logFields = object[LogConfiguration]{
	fields: []field[LogConfiguration]{
		{"format", false, func(d *decoder, n *yaml.Node, l *LogConfiguration) { l.Format = d.word(n, logFormats) }},
		{"level", false, func(d *decoder, n *yaml.Node, l *LogConfiguration) { l.Level = d.word(n, logLevels) }},
		{"quota", false, func(d *decoder, n *yaml.Node, l *LogConfiguration) { d.quantity(n, logQuotaBounds, &l.Quota) }},
	},
	foreign: []hint{
		{"verbosity", "did you mean \"level\"?"},
		{"encoding", "did you mean \"format\"?"},
		{"maxSize", "it belongs under defaults.log"},
		{"maxFiles", "it belongs under defaults.log"},
		{"maxAge", "it belongs under defaults.log"},
		{"compress", "it belongs under defaults.log"},
		{"sinks", "it stands at the top and is not supported by this version"},
	},
}

var accessFields = object[Access]{
	fields: []field[Access]{
		{"group", false, func(d *decoder, n *yaml.Node, a *Access) { a.Group = d.id(n) }},
	},
	foreign: []hint{
		{"groups", "one group: \"group\""},
		{"user", "access is given to a group: \"group\""},
		{"users", "access is given to a group: \"group\""},
	},
}

var defaultsFields = object[ServiceDefaults]{
	fields: []field[ServiceDefaults]{
		{"backoff", false, func(d *decoder, n *yaml.Node, s *ServiceDefaults) { d.backoffDefaults(n, &s.Backoff) }},
		{"terminationGracePeriodSeconds", false, func(d *decoder, n *yaml.Node, s *ServiceDefaults) {
			s.TerminationGracePeriodSeconds = new(int64)
			readWhole(d, n, secondsBounds, s.TerminationGracePeriodSeconds)
		}},
		{"log", false, func(d *decoder, n *yaml.Node, s *ServiceDefaults) { readObject(d, n, &logDefaultsFields, &s.Log) }},
	},
	foreign: []hint{
		{"spec", "its fields stand here directly; remove this line and indent the rest less"},
		{"initialDelay", "it belongs under backoff"},
		{"maxDelay", "it belongs under backoff"},
		{"stableAfter", "it belongs under backoff"},
		{"limit", "it belongs under backoff"},
		{"maxSize", "it belongs under log"},
		{"maxFiles", "it belongs under log"},
		{"maxAge", "it belongs under log"},
		{"compress", "it belongs under log"},
	},
}

var backoffDefaultsFields = object[BackoffDefaults]{
	fields: []field[BackoffDefaults]{
		{"initialDelay", false, func(d *decoder, n *yaml.Node, b *BackoffDefaults) { b.InitialDelay = d.someDuration(n) }},
		{"maxDelay", false, func(d *decoder, n *yaml.Node, b *BackoffDefaults) { b.MaxDelay = d.someDuration(n) }},
		{"stableAfter", false, func(d *decoder, n *yaml.Node, b *BackoffDefaults) { b.StableAfter = d.someDuration(n) }},
		{"limit", false, func(d *decoder, n *yaml.Node, b *BackoffDefaults) {
			b.Limit = &RestartLimit{}
			readObject(d, n, &limitFields, b.Limit)
		}},
	},
}

// readConfiguration reads a document of kind ReconcilerConfiguration.
func (d *decoder) readConfiguration(root, kind *yaml.Node) {
	d.service = "" // whatever its metadata says
	c := &Configuration{}
	readObject(d, root, &configurationFields, c)
	if d.failed {
		return
	}
	if len(d.result.Configurations) > 0 {
		d.enter("kind")
		d.fail(kind, "there must be one "+KindConfiguration+" in a directory, and this file declares two")
		d.leave()
		return
	}
	c.APIVersion, c.Kind = APIVersion, KindConfiguration
	c.Source = Source{File: d.file, Document: d.doc, Line: root.Line + d.base}
	d.result.Configurations = append(d.result.Configurations, c)
}

// backoffDefaults reads the defaults; what they mean together with the
// built-in ones must make sense.
func (d *decoder) backoffDefaults(node *yaml.Node, to *BackoffDefaults) {
	before := len(d.result.Problems)
	readObject(d, node, &backoffDefaultsFields, to)
	if len(d.result.Problems) == before {
		merged := (&Configuration{Defaults: ServiceDefaults{Backoff: *to}}).ServiceDefaults()
		d.spacing(node, merged.Backoff.InitialDelay, merged.Backoff.MaxDelay)
	}
}

func (d *decoder) someDuration(node *yaml.Node) *Duration {
	to := new(Duration)
	d.durationWithin(node, minDuration, maxDuration, to)
	return to
}

func (d *decoder) durationWithin(node *yaml.Node, least, most time.Duration, to *Duration) {
	node = resolve(node)
	if isText(node) {
		if parsed, err := time.ParseDuration(node.Value); err == nil && parsed >= least && parsed <= most {
			*to = Duration(parsed)
			return
		}
	}
	d.must(node, "a duration from "+Duration(least).String()+" to "+Duration(most).String()+" such as \"10s\" or \"1m30s\"")
}

// cgroupRoot reads the path of a cgroup. One path has one form, so that nobody
// takes another spelling for another group.
func (d *decoder) cgroupRoot(node *yaml.Node) string {
	text, ok := d.text(node)
	if ok && !isCleanPath(text) {
		d.must(node, "an absolute path without \"..\" and without a slash too many, such as \"/sys/fs/cgroup/reconciler\"")
	}
	return text
}

func isCleanPath(text string) bool { return path.IsAbs(text) && path.Clean(text) == text }
