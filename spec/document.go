package spec

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const group = "svc.d"

// kinds are the documents that are read, in the order in which messages show
// them.
var kinds = []string{KindService, KindConfiguration}

// document reads one document, whoever's it is.
func (d *decoder) document(root *yaml.Node) {
	d.failed, d.path = false, d.path[:0]
	root = resolve(root)
	d.service = ""
	if root.Kind != yaml.MappingNode {
		d.must(root, "an object with the fields "+quoteAll(documentFields.names(), "and"))
		return
	}
	apiVersion, kind := member(root, "apiVersion"), member(root, "kind")
	if name := scalar(member(member(root, "metadata"), "name")); name != "" {
		d.service = shorten(name)
	}
	version := scalar(apiVersion)
	switch theirs, _, _ := strings.Cut(version, "/"); {
	case version == APIVersion:
		d.ours(root, kind)
	case version == "" && isCompose(root):
		d.ignore(root, "", "", "a Compose file is not read; write one Service of "+APIVersion+" for each of its services")
	case version == "" && (apiVersion == nil || isNull(apiVersion)):
		d.enter("apiVersion")
		d.fail(place(root, apiVersion), "is required: write \"apiVersion: "+APIVersion+"\"")
		d.leave()
	case version == "", theirs == group, suggest(version, []string{APIVersion}) != "",
		scalar(kind) == KindService && member(member(root, "spec"), "command") != nil, scalar(kind) == KindConfiguration:
		d.enter("apiVersion")
		d.must(apiVersion, "\""+APIVersion+"\"")
		d.leave()
	default:
		d.ignore(root, version, scalar(kind), foreignHint(version, scalar(kind)))
	}
}

// ours reads a document of our own group.
func (d *decoder) ours(root, kind *yaml.Node) {
	switch scalar(kind) {
	case KindService:
		d.readService(root)
		return
	case KindConfiguration:
		d.readConfiguration(root, kind)
		return
	}
	d.enter("kind")
	switch at := place(root, kind); {
	case kind == nil, isNull(kind), kind.Kind == yaml.ScalarNode && kind.Value == "":
		d.fail(at, "is required: write \"kind: "+KindService+"\"")
	default:
		d.oneOf(at, kinds)
	}
	d.leave()
}

func (d *decoder) readService(root *yaml.Node) {
	s := &Service{Spec: *d.defaults}
	readObject(d, root, &documentFields, s)
	if d.failed {
		return
	}
	if first := d.declaredBefore(s.Metadata.Name); first > 0 {
		d.enter("metadata")
		d.enter("name")
		d.fail(member(member(root, "metadata"), "name"), "is declared twice in this file, first in line "+strconv.Itoa(first))
		d.path = d.path[:0]
		return
	}
	s.APIVersion, s.Kind = APIVersion, KindService
	s.Source = Source{File: d.file, Document: d.doc, Line: root.Line + d.base}
	d.result.Services = append(d.result.Services, s)
	if d.lines != nil {
		d.lines[s.Metadata.Name] = s.Source.Line
	}
}

// declaredBefore returns the line of the service of that name, or 0. Most
// files declare one service and need no map.
func (d *decoder) declaredBefore(name string) int {
	if len(d.result.Services) == 0 {
		return 0
	}
	if d.lines == nil {
		first := d.result.Services[0]
		d.lines = map[string]int{first.Metadata.Name: first.Source.Line}
	}
	return d.lines[name]
}

func (d *decoder) ignore(root *yaml.Node, apiVersion, kind, hint string) {
	d.result.Ignored = append(d.result.Ignored, Ignored{
		Source:     Source{File: d.file, Document: d.doc, Line: root.Line + d.base},
		APIVersion: shorten(apiVersion), Kind: shorten(kind), Hint: hint,
	})
}

// foreignHint says what to do about a document of another API group.
func foreignHint(apiVersion, kind string) string {
	switch kind {
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "DaemonSet":
		return "write a Service of " + APIVersion + " instead: spec.replicas as it is, and command, args and env of spec.template.spec.containers[0] directly under spec"
	case "Pod":
		return "write a Service of " + APIVersion + " instead: command, args and env of spec.containers[0] directly under spec"
	case "Job":
		return "write a Service of " + APIVersion + " with spec.restartPolicy OnFailure or Never instead"
	case "CronJob":
		return "schedules are not supported; use cron or a systemd timer"
	case "Service":
		if apiVersion == "v1" {
			return "this is Kubernetes' Service, a network name; a process is declared with apiVersion " + APIVersion
		}
	case "ConfigMap", "Secret":
		return "write its data as NAME=VALUE lines into a file and name that in spec.envFrom[].file"
	case "List":
		return "write its items as documents of their own, with --- between them"
	}
	return ""
}

// isCompose tells whether root looks like a Compose file: a map of services,
// each with what Compose knows.
func isCompose(root *yaml.Node) bool {
	services := member(root, "services")
	return services != nil && services.Kind == yaml.MappingNode && member(root, "kind") == nil && member(root, "spec") == nil
}

// member returns a mapping's value, or nil.
func member(mapping *yaml.Node, name string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if key := mapping.Content[i]; key.Kind == yaml.ScalarNode && key.Value == name {
			return resolve(mapping.Content[i+1])
		}
	}
	return nil
}

// scalar returns the text of a scalar, or "".
func scalar(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode || isNull(node) {
		return ""
	}
	return node.Value
}

// place is where to report a member that may be missing.
func place(mapping, member *yaml.Node) *yaml.Node {
	if member != nil {
		return member
	}
	return &yaml.Node{Line: mapping.Line, Column: mapping.Column}
}
