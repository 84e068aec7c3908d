package spec

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var lifecycleFields = object[Lifecycle]{
	fields: []field[Lifecycle]{
		{"stopSignal", false, func(d *decoder, n *yaml.Node, l *Lifecycle) { d.signal(n, &l.StopSignal) }},
		{"postStart", false, func(d *decoder, n *yaml.Node, l *Lifecycle) { l.PostStart = d.handler(n) }},
		{"preStop", false, func(d *decoder, n *yaml.Node, l *Lifecycle) { l.PreStop = d.handler(n) }},
		{"postStop", false, func(d *decoder, n *yaml.Node, l *Lifecycle) { l.PostStop = d.handler(n) }},
	},
	foreign: []hint{
		{"preStart", "did you mean \"init\"? It is a list under spec"},
		{"execStartPost", "did you mean \"postStart\"?"},
		{"execStop", "did you mean \"preStop\"?"},
		{"execStopPost", "did you mean \"postStop\"?"},
	},
}

var handlerFields = object[Handler]{
	fields: []field[Handler]{
		{"exec", true, func(d *decoder, n *yaml.Node, h *Handler) { h.Exec = d.exec(n) }},
	},
	foreign: []hint{
		{"command", "it belongs under exec"},
		{"httpGet", "only exec is supported; write a command such as [curl, -fsS, URL]"},
		{"tcpSocket", "only exec is supported"},
		{"sleep", "only exec is supported; write a command such as [sleep, \"5\"]"},
	},
}

var dependencyFields = object[Dependency]{
	fields: []field[Dependency]{
		{"name", true, func(d *decoder, n *yaml.Node, x *Dependency) { x.Name = d.name(n) }},
		{"condition", false, func(d *decoder, n *yaml.Node, x *Dependency) {
			x.Condition = d.condition(n)
		}},
		{"restart", false, func(d *decoder, n *yaml.Node, x *Dependency) { d.truth(n, &x.Restart) }},
	},
	foreign: []hint{
		{"service", "did you mean \"name\"?"},
		{"required", "what is named is always required; remove it"},
		{"optional", "what is named is always required; remove it"},
	},
}

var initFields = object[Init]{
	fields: []field[Init]{
		{"name", true, func(d *decoder, n *yaml.Node, i *Init) { i.Name = d.name(n) }},
		{"command", true, func(d *decoder, n *yaml.Node, i *Init) { i.Command = d.command(n) }},
		{"args", false, func(d *decoder, n *yaml.Node, i *Init) { i.Args = d.texts(n, argsExample) }},
	},
	foreign: []hint{
		{"env", "it has the environment of the service; remove it"},
		{"image", "there are no images here; remove it"},
		{"workingDir", "it starts in the folder of the service; remove it"},
	},
}

var runtimeDirectoryFields = object[RuntimeDirectory]{
	fields: []field[RuntimeDirectory]{
		{"path", true, func(d *decoder, n *yaml.Node, r *RuntimeDirectory) { r.Path = d.cleanPath(n) }},
		{"mode", false, func(d *decoder, n *yaml.Node, r *RuntimeDirectory) { r.Mode = d.mode(n) }},
	},
	foreign: []hint{
		{"user", "it belongs to the service's user; remove it"},
		{"owner", "it belongs to the service's user; remove it"},
		{"group", "it belongs to the service's group; remove it"},
	},
}

var reloadFields = object[Reload]{
	fields: []field[Reload]{
		{"signal", false, func(d *decoder, n *yaml.Node, r *Reload) { d.signal(n, &r.Signal) }},
		{"exec", false, func(d *decoder, n *yaml.Node, r *Reload) { r.Exec = d.exec(n) }},
		{"check", false, func(d *decoder, n *yaml.Node, r *Reload) { r.Check = d.exec(n) }},
		{"files", false, func(d *decoder, n *yaml.Node, r *Reload) { r.Files = d.filePaths(n) }},
	},
	foreign: []hint{{"command", "did you mean \"exec\"? It holds a command"}},
}

func (d *decoder) handler(node *yaml.Node) *Handler {
	h := &Handler{}
	readObject(d, node, &handlerFields, h)
	return h
}

// items reads a list of objects, with what each means that says nothing.
func items[T any](d *decoder, node *yaml.Node, example string, fields *object[T], preset T) []T {
	nodes := d.list(node, example)
	all := make([]T, len(nodes))
	for i, item := range nodes {
		all[i] = preset
		d.enterItem(i)
		readObject(d, item, fields, &all[i])
		d.leave()
	}
	return all
}

func (d *decoder) dependsOn(node *yaml.Node) []Dependency {
	if node = resolve(node); node.Kind == yaml.SequenceNode {
		for i, item := range node.Content {
			if item = resolve(item); isText(item) {
				d.enterItem(i)
				d.fail(item, "must be an object: write {name: "+shorten(item.Value)+"}")
				d.leave()
				return nil
			}
		}
	}
	before := len(d.result.Problems)
	all := items(d, node, dependsOnExample, &dependencyFields, Dependency{Condition: DependencyReady})
	if len(d.result.Problems) > before {
		return all
	}
	for i := range all {
		at := member(resolve(node.Content[i]), "name")
		d.enterItem(i)
		d.enter("name")
		switch {
		case all[i].Name == d.service:
			d.fail(at, "must not be the service itself")
		case slices.ContainsFunc(all[:i], func(x Dependency) bool { return x.Name == all[i].Name }):
			d.fail(at, "is named twice")
		}
		d.leave()
		d.leave()
	}
	return all
}

// composeConditions are those of Compose's depends_on.
var composeConditions = map[string]DependencyCondition{
	"service_started":                DependencyStarted,
	"service_healthy":                DependencyReady,
	"service_completed_successfully": DependencyCompleted,
}

func (d *decoder) condition(node *yaml.Node) DependencyCondition {
	if meant, known := composeConditions[scalar(node)]; known {
		d.fail(node, "must be "+quoteAll(dependencyConditions, "or")+", not "+valueOf(node)+"; did you mean \""+string(meant)+"\"?")
		return ""
	}
	return DependencyCondition(d.word(node, dependencyConditions))
}

func (d *decoder) init(node *yaml.Node) []Init {
	before := len(d.result.Problems)
	all := items(d, node, initExample, &initFields, Init{})
	if len(d.result.Problems) > before {
		return all
	}
	for i := range all {
		if slices.ContainsFunc(all[:i], func(x Init) bool { return x.Name == all[i].Name }) {
			d.enterItem(i)
			d.enter("name")
			d.fail(member(resolve(node.Content[i]), "name"), "is the name of two commands")
			d.leave()
			d.leave()
		}
	}
	return all
}

func (d *decoder) reload(node *yaml.Node) *Reload {
	r := &Reload{}
	readObject(d, node, &reloadFields, r)
	switch {
	case r.Exec != nil && r.Signal != "":
		d.fail(node, "must have either \"signal\" or \"exec\"")
	case r.Exec == nil && r.Signal == "":
		r.Signal = defaultReloadSignal
	}
	return r
}

func (d *decoder) filePaths(node *yaml.Node) []string {
	nodes := d.list(node, filesExample)
	paths := make([]string, len(nodes))
	for i, item := range nodes {
		d.enterItem(i)
		paths[i] = d.filePath(item)
		d.leave()
	}
	return paths
}

// cleanPath reads the path of a directory that is to be made.
func (d *decoder) cleanPath(node *yaml.Node) string {
	path, ok := d.text(node)
	if ok && (!filepath.IsAbs(path) || filepath.Clean(path) != strings.TrimSuffix(path, "/") || path == "/") {
		d.must(node, "an absolute path such as \"/run/web\", without \".\" and \"..\"")
	}
	return strings.TrimSuffix(path, "/")
}

func (d *decoder) mode(node *yaml.Node) Mode {
	if node.Kind == yaml.ScalarNode && (node.Tag == "!!int" || node.Tag == "!!str") {
		if mode, ok := parseMode(node.Value); ok {
			return mode
		}
	}
	d.must(node, "octal digits from \"0000\" to \"7777\"")
	return 0
}

// readyLine reads a regular expression.
func (d *decoder) readyLine(node *yaml.Node) string {
	text, ok := d.text(node)
	if !ok {
		return ""
	}
	switch line, err := regexp.Compile(text); {
	case err != nil:
		d.fail(node, "must be a regular expression (RE2): "+err.Error())
	case line.MatchString(""):
		d.must(node, "a regular expression that does not match an empty line")
	}
	return text
}

// whatHangsTogether checks the rules that hang on several fields of a spec.
func (d *decoder) whatHangsTogether(node *yaml.Node, s *Spec) {
	// An empty word is one that was not known, which has been told.
	if s.WatchdogSeconds > 0 && s.Notify != NotifySystemd && s.Notify != "" {
		d.enter("watchdogSeconds")
		d.fail(place(node, member(node, "watchdogSeconds")), "needs notify: "+string(NotifySystemd)+", by which a program feeds its watchdog")
		d.leave()
	}
}

// String returns the mode as four octal digits.
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText returns what String returns.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	parsed, ok := parseMode(string(text))
	if !ok {
		return fmt.Errorf("cannot read mode %q: want octal digits from 0000 to 7777", text)
	}
	*m = parsed
	return nil
}

// parseMode takes the digits as octal however they are written, as parseUmask.
func parseMode(text string) (Mode, bool) {
	parsed, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	return Mode(parsed), err == nil && parsed <= maxMode
}
