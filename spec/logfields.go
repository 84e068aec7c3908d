package spec

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// serviceLogFields are the fields of log in a Service.
var serviceLogFields = object[Log]{
	fields: []field[Log]{
		{"maxSize", false, func(d *decoder, n *yaml.Node, l *Log) { d.quantity(n, logSizeBounds, &l.MaxSize) }},
		{"maxFiles", false, func(d *decoder, n *yaml.Node, l *Log) { readWhole(d, n, logFilesBounds, &l.MaxFiles) }},
		{"maxAge", false, func(d *decoder, n *yaml.Node, l *Log) { d.logAge(n, &l.MaxAge) }},
		{"compress", false, func(d *decoder, n *yaml.Node, l *Log) { d.truth(n, &l.Compress) }},
	},
	foreign: serviceLogHints,
}

// logDefaultsFields are those of defaults.log in a configuration.
var logDefaultsFields = object[LogDefaults]{
	fields: []field[LogDefaults]{
		{"maxSize", false, func(d *decoder, n *yaml.Node, l *LogDefaults) {
			l.MaxSize = new(Quantity)
			d.quantity(n, logSizeBounds, l.MaxSize)
		}},
		{"maxFiles", false, func(d *decoder, n *yaml.Node, l *LogDefaults) {
			l.MaxFiles = new(int32)
			readWhole(d, n, logFilesBounds, l.MaxFiles)
		}},
		{"maxAge", false, func(d *decoder, n *yaml.Node, l *LogDefaults) {
			l.MaxAge = new(Duration)
			d.logAge(n, l.MaxAge)
		}},
		{"compress", false, func(d *decoder, n *yaml.Node, l *LogDefaults) {
			l.Compress = new(bool)
			d.truth(n, l.Compress)
		}},
	},
	foreign: serviceLogHints,
}

// serviceLogHints are the names that logrotate, Docker, supervisord, journald
// and Go's loggers have.
var serviceLogHints = []hint{
	{"size", "did you mean \"maxSize\"?"},
	{"maxBytes", "did you mean \"maxSize\"?"},
	{"rotate", "did you mean \"maxFiles\"? It counts the file that is written to as well"},
	{"backups", "did you mean \"maxFiles\"? It counts the file that is written to as well"},
	{"maxBackups", "did you mean \"maxFiles\"? It counts the file that is written to as well"},
	{"age", "did you mean \"maxAge\"?"},
	{"maxRetention", "did you mean \"maxAge\"?"},
	{"compression", "did you mean \"compress\"?"},
	{"quota", "it is for all services together; it belongs under log of a " + KindConfiguration},
	{"format", "it is about the daemon's own log; it belongs under log of a " + KindConfiguration},
	{"level", "it is about the daemon's own log; it belongs under log of a " + KindConfiguration},
	{"file", "the daemon names the files; only a flag can say where they are: --log-dir"},
	{"path", "the daemon names the files; only a flag can say where they are: --log-dir"},
	{"dir", "the daemon names the files; only a flag can say where they are: --log-dir"},
}

// logAge reads an age of log files, of which 0 is no limit. Days are not
// durations of Go, but the ages that people think of.
func (d *decoder) logAge(node *yaml.Node, to *Duration) {
	node = resolve(node)
	if isText(node) || node.Kind == yaml.ScalarNode && node.Tag == "!!int" {
		if parsed, err := time.ParseDuration(node.Value); err == nil && isLogAge(Duration(parsed)) {
			*to = Duration(parsed)
			return
		}
	}
	message := "must be a duration from " + Duration(minLogAge).String() + " to " + Duration(maxDuration).String() +
		" such as \"12h\" or \"168h\", or 0 for no limit, not " + valueOf(node)
	if number, isDays := strings.CutSuffix(node.Value, "d"); isDays && isText(node) {
		days, err := strconv.ParseUint(number, 10, 16)
		if meant := Duration(days) * Duration(24*time.Hour); err == nil && meant > 0 && isLogAge(meant) {
			message += "; did you mean \"" + meant.String() + "\"?"
		}
	}
	d.fail(node, message)
}

func isLogAge(age Duration) bool {
	return age == 0 || age >= Duration(minLogAge) && age <= Duration(maxDuration)
}

func logAgeSchema() node {
	return node{"anyOf": []node{{"type": "string", "pattern": durationPattern}, {"enum": []any{0, "0"}}}}
}
