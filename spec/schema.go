package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of a document, whichever of
// our kinds it is, for editors and checkers. It is made from the Go types and
// from the tables that Parse uses, and is the same on every call. What no
// schema can say (soft <= hard, initialDelay <= maxDelay) only Parse checks.
func Schema() ([]byte, error) {
	service := &describer{kind: KindService, docs: serviceDocs, required: map[string][]string{
		"": documentFields.required(), "metadata": metadataFields.required(), "spec": specFields.required(),
		"spec.env[]": envVarFields.required(), "spec.envFrom[]": envFromFields.required(), "spec.backoff.limit": limitFields.required(),
		"spec.dependsOn[]": dependencyFields.required(), "spec.init[]": initFields.required(),
		"spec.runtimeDirectories[]": runtimeDirectoryFields.required(),
		"spec.reload.exec":          execFields.required(), "spec.reload.check": execFields.required(),
	}}
	for _, hook := range []string{"postStart", "preStop", "postStop"} {
		service.required["spec.lifecycle."+hook] = handlerFields.required()
		service.required["spec.lifecycle."+hook+".exec"] = execFields.required()
	}
	for _, probe := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
		path := "spec." + probe
		service.required[path+".exec"], service.required[path+".httpGet"] = execFields.required(), httpGetFields.required()
		service.required[path+".httpGet.httpHeaders[]"] = httpHeaderFields.required()
		service.required[path+".tcpSocket"], service.required[path+".grpc"] = tcpSocketFields.required(), grpcFields.required()
	}
	services := service.schemaOf("", reflect.TypeFor[Service](), reflect.Value{})
	services["properties"].(node)["spec"] = service.schemaOf("spec", reflect.TypeFor[Spec](), reflect.ValueOf(Defaults()))
	configuration := &describer{kind: KindConfiguration, docs: configurationDocs, required: map[string][]string{
		"": configurationFields.required(), "defaults.backoff.limit": limitFields.required(),
	}}
	isConfiguration := node{"required": []string{"kind"}, "properties": node{"kind": node{"const": KindConfiguration}}}
	schema := node{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "Document of " + APIVersion,
		// By the kind, so that what is wrong is said of the kind that was meant.
		"if":   isConfiguration,
		"then": node{"$ref": "#/$defs/" + KindConfiguration},
		"else": node{"$ref": "#/$defs/" + KindService},
		"$defs": node{
			KindService:       services,
			KindConfiguration: configuration.schemaOf("", reflect.TypeFor[Configuration](), reflect.Value{}),
		},
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return nil, fmt.Errorf("cannot write the schema: %w", err)
	}
	return out.Bytes(), nil
}

// node is an object of a schema.
type node = map[string]any

// describer makes the schema of one kind.
type describer struct {
	kind     string
	docs     []fieldDoc
	required map[string][]string // the fields that the object at a path must have
}

// schemaOf describes the type of the field at path. preset is its default;
// invalid where there is none.
func (d *describer) schemaOf(path string, t reflect.Type, preset reflect.Value) node {
	schema := node{}
	switch fixed := constraints(path, t); {
	case path == "kind":
		schema["const"] = d.kind
	case fixed != nil:
		schema = fixed
	case t.Kind() == reflect.Pointer:
		return d.schemaOf(path, t.Elem(), reflect.Value{})
	case t.Kind() == reflect.Struct:
		schema = d.objectSchema(path, t, preset)
	case t.Kind() == reflect.Slice:
		schema["type"] = "array"
		schema["items"] = d.schemaOf(path+"[]", t.Elem(), reflect.Value{})
	case t.Kind() == reflect.Bool:
		schema["type"] = "boolean"
	case t.Kind() == reflect.String:
		schema["type"] = "string"
	default:
		panic("no schema for " + path + " of type " + t.String()) // a new type: the test of the schema meets it
	}
	maps.Copy(schema, lengths(path))
	for _, doc := range d.docs {
		if doc.path == path {
			schema["description"] = doc.text
		}
	}
	if preset.IsValid() && t.Kind() != reflect.Struct {
		schema["default"] = preset.Interface()
	}
	return schema
}

func (d *describer) objectSchema(path string, t reflect.Type, preset reflect.Value) node {
	properties, required := node{}, d.required[path]
	for i := range t.NumField() {
		field := t.Field(i)
		name := jsonName(field)
		if name == "-" {
			continue
		}
		var value reflect.Value
		if preset.IsValid() && !strings.Contains(field.Tag.Get("json"), ",omit") && !slices.Contains(required, name) {
			value = preset.Field(i)
		}
		properties[name] = d.schemaOf(strings.TrimPrefix(path+"."+name, "."), field.Type, value)
	}
	schema := node{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// constraints describes what the Go type alone does not tell, or returns nil.
func constraints(path string, t reflect.Type) node {
	switch path {
	case "apiVersion":
		return node{"const": APIVersion}
	case "metadata.name":
		return node{"type": "string", "maxLength": maxLabelName, "pattern": dnsLabelPattern}
	case "metadata.labels":
		return node{
			"type": "object", "propertyNames": node{"pattern": labelKeyPattern},
			"additionalProperties": node{"type": "string", "maxLength": maxLabelName, "pattern": labelValuePattern},
		}
	case "metadata.annotations":
		return node{"type": "object", "additionalProperties": node{"type": "string"}}
	case "spec.replicas":
		return replicasBounds.schema()
	case "log.format":
		return node{"enum": logFormats}
	case "log.level":
		return node{"enum": logLevels}
	case "log.quota":
		return logQuotaBounds.schema()
	case "cgroupRoot":
		return node{"type": "string", "pattern": "^/([^/]+(/[^/]+)*)?$"}
	case "spec.terminationGracePeriodSeconds", "spec.minReadySeconds", "defaults.terminationGracePeriodSeconds":
		return secondsBounds.schema()
	case "spec.backoff.limit.restarts", "defaults.backoff.limit.restarts":
		return restartsBounds.schema()
	case "spec.log.maxSize", "defaults.log.maxSize":
		return logSizeBounds.schema()
	case "spec.log.maxFiles", "defaults.log.maxFiles":
		return logFilesBounds.schema()
	case "spec.log.maxAge", "defaults.log.maxAge":
		return logAgeSchema()
	case "spec.successExitCodes[]":
		return exitBounds.schema()
	}
	if schema := lifeConstraints(path); schema != nil {
		return schema
	}
	return typeConstraints(t)
}

// typeConstraints describes what the type of a field tells wherever it stands.
func typeConstraints(t reflect.Type) node {
	switch t {
	case reflect.TypeFor[ID]():
		return node{"anyOf": []node{idBounds.schema(), {"type": "string", "minLength": 1}}}
	case reflect.TypeFor[Umask]():
		return node{"anyOf": []node{{"type": "string", "pattern": "^(0o)?0*[0-7]{1,3}$"}, {"type": "integer", "minimum": 0, "maximum": 777}}}
	case reflect.TypeFor[Mode]():
		return node{"anyOf": []node{{"type": "string", "pattern": "^(0o)?0*[0-7]{1,4}$"}, {"type": "integer", "minimum": 0, "maximum": 7777}}}
	case reflect.TypeFor[Port]():
		return node{"anyOf": []node{portBounds.schema(), {"type": "string", "pattern": "\\$\\(|^[1-9][0-9]{0,4}$"}}}
	case reflect.TypeFor[DependencyCondition]():
		return node{"enum": dependencyConditions}
	case reflect.TypeFor[Notify]():
		return node{"enum": notifies}
	case reflect.TypeFor[Lifetime]():
		return node{"enum": lifetimes}
	case reflect.TypeFor[StopScope]():
		return node{"enum": stopScopes}
	case reflect.TypeFor[Duration]():
		return node{"type": "string", "pattern": durationPattern}
	case reflect.TypeFor[RestartPolicy]():
		return node{"enum": restartPolicies}
	case reflect.TypeFor[PrunePolicy]():
		return node{"enum": prunePolicies}
	case reflect.TypeFor[Signal]():
		return node{"anyOf": []node{{"type": "string", "pattern": signalPattern()}, {"type": "integer", "minimum": 1, "maximum": sigRTMax}}}
	case reflect.TypeFor[map[string]Rlimit]():
		return rlimitsSchema()
	}
	return nil
}

// lifeConstraints describes fields of probes, hooks and what is like them, which
// stand in several places.
func lifeConstraints(path string) node {
	name := path[strings.LastIndexByte(path, '.')+1:]
	switch {
	case !strings.HasPrefix(path, "spec."):
		return nil
	case path == "spec.watchdogSeconds", name == "initialDelaySeconds":
		return secondsBounds.schema()
	case path == "spec.progressDeadlineSeconds", name == "periodSeconds", name == "timeoutSeconds",
		strings.HasSuffix(path, "Probe.terminationGracePeriodSeconds"):
		return probeBounds.schema()
	case name == "successThreshold", name == "failureThreshold":
		return thresholdBounds.schema()
	case name == "scheme":
		return node{"enum": schemes}
	case path == "spec.dependsOn[].name", path == "spec.init[].name":
		return node{"type": "string", "maxLength": maxLabelName, "pattern": dnsLabelPattern}
	case path == "spec.runtimeDirectories[].path":
		return node{"type": "string", "pattern": "^/.*[^/]/?$"}
	}
	return nil
}

// lengths bounds lists and texts.
func lengths(path string) node {
	switch {
	case strings.HasSuffix(path, ".command"):
		return node{"minItems": 1}
	case strings.HasSuffix(path, ".command[]"), strings.HasSuffix(path, ".args[]"):
		return node{"maxLength": maxArgLength}
	case strings.HasSuffix(path, ".httpGet.path"):
		return node{"pattern": "^(/|\\$\\()[^ \\t]*$"}
	case strings.HasSuffix(path, ".httpHeaders[].name"):
		return node{"pattern": "^[-A-Za-z0-9!#$%&'*+.^_`|~]+$"}
	case strings.HasSuffix(path, ".files[]"):
		return node{"minLength": 1}
	}
	switch path {
	case "spec.successExitCodes":
		return node{"minItems": 1}
	case "spec.env[].value":
		return node{"maxLength": maxArgLength}
	case "spec.workingDir", "spec.envFrom[].file":
		return node{"minLength": 1}
	case "spec.env[].name":
		return node{"pattern": "^[^=]+$"}
	case "spec.readyLogLine":
		return node{"minLength": 1}
	case "spec.envFrom[].prefix":
		return node{"pattern": "^[^=]*$"}
	default:
		return nil
	}
}

// The same rules as in names.go, as regular expressions of ECMA 262.
const (
	dnsLabelPattern   = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	labelNamePattern  = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
	labelValuePattern = "^(" + labelNamePattern + ")?$"
	labelKeyPattern   = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?" + labelNamePattern + "$"
	durationPattern   = "^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$"
)

func signalPattern() string {
	names := append(slices.Clone(signalNames[1:]), "IOT", "POLL", "CLD", "RTMIN(\\+[0-9]+)?", "RTMAX(-[0-9]+)?")
	return "^((SIG)?(" + strings.Join(names, "|") + ")|[0-9]+)$"
}

func rlimitsSchema() node {
	limit := []node{{"type": "integer", "minimum": 0}, {"const": unlimited}}
	both := node{
		"type": "object", "additionalProperties": false, "required": rlimitFields.required(),
		"properties": node{"soft": node{"anyOf": limit}, "hard": node{"anyOf": limit}},
	}
	return node{
		"type": "object", "propertyNames": node{"enum": rlimitNames},
		"additionalProperties": node{"anyOf": append(slices.Clone(limit), both)},
	}
}

func (b bounds) schema() node {
	return node{"type": "integer", "minimum": b.min, "maximum": b.max}
}
