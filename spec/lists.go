package spec

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// How lists are written, for messages.
const (
	commandExample = "[/usr/bin/web, --flag]"
	argsExample    = "[--name, web]"
	envExample     = "[{name: NAME, value: text}]"
	envFromExample = "[{file: web.env}]"
	groupsExample  = "[adm, 1000]"
	codesExample   = "[0, 143]"

	dependsOnExample   = "[{name: db, condition: Ready}]"
	initExample        = "[{name: migrate, command: [/usr/bin/migrate]}]"
	directoriesExample = "[{path: /run/web, mode: \"0755\"}]"
	filesExample       = "[/etc/web.conf]"
	headersExample     = "[{name: Host, value: example.com}]"
)

// marks reads labels or annotations.
func (d *decoder) marks(node *yaml.Node, labels bool) map[string]string {
	if node.Kind != yaml.MappingNode {
		d.must(node, "an object of names and texts")
		return nil
	}
	var marks map[string]string
	size := 0
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := resolve(node.Content[i])
		if !d.keyIsText(key) {
			continue
		}
		if !isLabelKey(strings.ToLower(key.Value)) && !labels || labels && !isLabelKey(key.Value) {
			d.failKey(key, key.Value, "must be a name such as \"app\" or \"example.com/app\": at most 63 letters, digits, \"-\", \"_\" and \".\" after the slash")
			continue
		}
		if _, given := marks[key.Value]; given {
			d.failKey(key, key.Value, "is given twice")
			continue
		}
		d.enter(key.Value)
		value, ok := d.text(node.Content[i+1])
		if ok && labels && !isLabelValue(value) {
			d.must(node.Content[i+1], "at most 63 letters, digits, \"-\", \"_\" and \".\", with a letter or digit at both ends")
		}
		d.leave()
		if size += len(key.Value) + len(value); size > maxAnnotations {
			d.fail(node, "must not hold more than 256 KiB")
			break
		}
		if marks == nil {
			marks = make(map[string]string, len(node.Content)/2)
		}
		marks[key.Value] = value
	}
	return marks
}

func (d *decoder) command(node *yaml.Node) []string {
	if node.Kind == yaml.ScalarNode && isText(node) {
		words := strings.Fields(node.Value)
		for i := range words {
			words[i] = strconv.Quote(words[i])
		}
		if len(words) > 0 && len(node.Value) <= maxValueShown && !strings.ContainsAny(node.Value, `"'\|&;<>$*`+"`") {
			d.fail(node, "must be a list: write ["+strings.Join(words, ", ")+"]")
		} else {
			d.fail(node, "must be a list, as in "+commandExample+"; a shell line is [/bin/sh, -c, \"...\"]")
		}
		return nil
	}
	before := len(d.result.Problems)
	command := d.texts(node, commandExample)
	switch {
	case node.Kind == yaml.SequenceNode && len(node.Content) == 0:
		d.fail(node, "must name a program, as in "+commandExample)
	case len(command) > 0 && command[0] == "" && len(d.result.Problems) == before:
		d.fail(node, "must not begin with an empty text: it names the program")
	}
	return command
}

// texts reads a list of arguments.
func (d *decoder) texts(node *yaml.Node, example string) []string {
	items := d.list(node, example)
	if len(items) == 0 {
		return nil
	}
	texts := make([]string, len(items))
	for i, item := range items {
		d.enterItem(i)
		texts[i], _ = d.text(item)
		if len(texts[i]) > maxArgLength {
			d.fail(item, "must be shorter than 128 KiB: the kernel takes no longer argument")
		}
		d.leave()
	}
	return texts
}

func (d *decoder) env(node *yaml.Node) []EnvVar {
	if node.Kind == yaml.MappingNode {
		d.fail(node, "must be a list, as in "+envExample+", not an object")
		return nil
	}
	items := d.list(node, envExample)
	if len(items) == 0 {
		return nil
	}
	env := make([]EnvVar, len(items))
	for i, item := range items {
		d.enterItem(i)
		readObject(d, item, &envVarFields, &env[i])
		if len(env[i].Name)+len(env[i].Value)+len("=") > maxArgLength {
			d.fail(item, "must be shorter than 128 KiB: the kernel takes no longer variable")
		}
		d.leave()
	}
	return env
}

func (d *decoder) envName(node *yaml.Node) string {
	name, ok := d.text(node)
	if ok && (name == "" || strings.Contains(name, "=")) {
		d.must(node, "the name of a variable: not empty and without \"=\"")
	}
	return name
}

func (d *decoder) envPrefix(node *yaml.Node) string {
	prefix, ok := d.text(node)
	if ok && strings.Contains(prefix, "=") {
		d.must(node, "the beginning of a variable's name: without \"=\"")
	}
	return prefix
}

func (d *decoder) envFrom(node *yaml.Node) []EnvFrom {
	items := d.list(node, envFromExample)
	if len(items) == 0 {
		return nil
	}
	from := make([]EnvFrom, len(items))
	for i, item := range items {
		d.enterItem(i)
		readObject(d, item, &envFromFields, &from[i])
		d.leave()
	}
	return from
}

func (d *decoder) ids(node *yaml.Node) []ID {
	items := d.list(node, groupsExample)
	ids := make([]ID, len(items))
	for i, item := range items {
		d.enterItem(i)
		ids[i] = d.id(item)
		d.leave()
	}
	return ids
}

func (d *decoder) rlimits(node *yaml.Node) map[string]Rlimit {
	if node.Kind != yaml.MappingNode {
		d.must(node, "an object such as {nofile: 65536, core: unlimited}")
		return nil
	}
	var limits map[string]Rlimit
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := resolve(node.Content[i])
		if !d.keyIsText(key) {
			continue
		}
		if !slices.Contains(rlimitNames, key.Value) {
			message := "unknown limit; allowed are " + quoteAll(rlimitNames, "or")
			name := strings.TrimPrefix(strings.ToUpper(key.Value), "RLIMIT_")
			if meant := suggest(strings.TrimPrefix(name, "LIMIT"), rlimitNames); meant != "" {
				message = "unknown limit, did you mean \"" + meant + "\"?"
			}
			d.failKey(key, key.Value, message)
			continue
		}
		if _, given := limits[key.Value]; given {
			d.failKey(key, key.Value, "is given twice")
			continue
		}
		if limits == nil {
			limits = make(map[string]Rlimit, len(node.Content)/2)
		}
		d.enter(key.Value)
		limits[key.Value] = d.rlimit(node.Content[i+1])
		d.leave()
	}
	return limits
}

func (d *decoder) rlimit(node *yaml.Node) Rlimit {
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		limit := d.limit(node)
		return Rlimit{Soft: limit, Hard: limit}
	}
	var limit Rlimit
	before := len(d.result.Problems)
	readObject(d, node, &rlimitFields, &limit)
	if limit.Soft > limit.Hard && len(d.result.Problems) == before {
		d.fail(node, "soft must not be above hard")
	}
	return limit
}

// limit reads one bound of a resource limit.
func (d *decoder) limit(node *yaml.Node) uint64 {
	node = resolve(node)
	if isText(node) && node.Value == unlimited {
		return RlimitInfinity
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!int" && !padded(node.Value) {
		// The largest number is RLIM_INFINITY, which has a name.
		if limit, err := strconv.ParseUint(node.Value, 10, 64); err == nil && limit != RlimitInfinity {
			return limit
		}
	}
	d.must(node, "a whole number from 0, or \"unlimited\"")
	return 0
}

func (d *decoder) exitCodes(node *yaml.Node) []int32 {
	items := d.list(node, codesExample)
	if node.Kind == yaml.SequenceNode && len(items) == 0 {
		d.fail(node, "must hold at least one exit code, as in "+codesExample)
	}
	codes := make([]int32, len(items))
	for i, item := range items {
		d.enterItem(i)
		readWhole(d, item, exitBounds, &codes[i])
		d.leave()
	}
	return codes
}
