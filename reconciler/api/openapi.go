package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// OpenAPI describes the API as OpenAPI 3.1, whose schemas are those of JSON Schema
// 2020-12, as the one of manifests is. It is made from the routes and the types, and
// is the same on every call.
func OpenAPI() (string, error) { return openAPI(NewServer(Config{}).Handler().(*routes)) }

// openAPI is written as text: it is a third of the machine code that maps would take.
func openAPI(m *routes) (string, error) {
	manifest, err := spec.Schema()
	if err != nil {
		return "", err
	}
	var schema struct {
		Definitions struct {
			Service struct {
				Properties struct{ Spec json.RawMessage }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(manifest, &schema); err != nil {
		return "", fmt.Errorf("cannot read the schema of manifests: %w", err)
	}
	d := describer{"ServiceSpec": string(schema.Definitions.Service.Properties.Spec)}
	paths, path := "", ""
	for n := range m.list {
		r := m.route(n)
		switch {
		case r.path == path: // another method
			paths += ","
		case path != "":
			paths += "},"
		}
		if r.path != path {
			path = r.path
			paths += `"` + path + `":{`
		}
		paths += d.operation(r)
	}
	schemas := ""
	for _, name := range slices.Sorted(keys(d)) {
		schemas += `,"` + name + `":` + d[name]
	}
	return `{"openapi":"3.1.0","info":{"title":"` + groupName + `","version":"v1"},"paths":{` + paths +
		`}},"components":{"schemas":{` + schemas[1:] + `}}}`, nil
}

// describer holds the schemas that are referred to, by name.
type describer map[string]string

// operation describes a route: "get": {...}.
func (d describer) operation(r route) string {
	id, parameters := strings.ToLower(r.method), ""
	add := func(name, more, kind string) {
		parameters += `,{"name":"` + name + `",` + more + `"schema":{"type":"` + kind + `"}}`
	}
	for _, element := range strings.FieldsFunc(strings.TrimPrefix(r.path, root), func(c rune) bool { return c == '/' || c == '.' }) {
		name := strings.Trim(element, "{}")
		id += strings.ToUpper(name[:1]) + name[1:]
		if name != element {
			add(name, `"in":"path","required":true,`, "string")
		}
	}
	for _, name := range r.parameters() {
		add(name, `"in":"query",`, parameterType(name))
	}
	body := ""
	if _, k := r.resource(); k != nil && r.method == http.MethodPost && r.last() != "exec" {
		body = `"requestBody":{` + content(inJSON, d.reference(reflect.TypeFor[Options]())) + `},`
	}
	return `"` + strings.ToLower(r.method) + `":{"operationId":"` + id + `","parameters":[` + strings.TrimPrefix(parameters, ",") + `],` + body +
		`"responses":{"200":{"description":"OK",` + d.answer(r) + `},"default":{"description":"Failure",` +
		content(inJSON, d.reference(reflect.TypeFor[status.Failure]())) + `}}}`
}

const inJSON = "application/json"

func content(kind, schema string) string {
	return `"content":{"` + kind + `":{"schema":` + schema + `}}`
}

// answer describes what a route answers when all is well.
func (d describer) answer(r route) string {
	const text = `{"type":"string"}`
	rest, k := r.resource()
	t := reflect.TypeFor[map[string]any]()
	switch last := r.last(); {
	case strings.HasSuffix(last, "z"): // healthz
		return content("text/plain", text) + `},"503":{"description":"Not well",` + content("text/plain", text)
	case last == "log":
		return content("text/plain", text)
	case strings.HasPrefix(r.path, "/debug/"):
		return content("application/octet-stream", text)
	case last == "exec":
		t = reflect.TypeFor[status.ExecPlan]()
	case last == "daemon":
		t = reflect.TypeFor[status.Daemon]()
	case last == "config":
		t = reflect.TypeFor[status.ConfigurationReport]()
	case last == "prune":
		t = reflect.TypeFor[status.Prune]()
	case last == "version":
		t = reflect.TypeFor[status.Version]()
	case k != nil:
		list := reflect.TypeFor[status.ServiceList]()
		switch k {
		case replicas:
			list = reflect.TypeFor[status.ReplicaObjectList]()
		case happenings:
			list = reflect.TypeFor[status.EventList]()
		}
		schema := d.reference(list)
		if rest == k.plural {
			return content(inJSON, schema+`},"application/json;as=Table;g=meta.k8s.io;v=v1":{"schema":`+d.reference(reflect.TypeFor[status.RowList]())+
				`},"text/plain":{"schema":`+text+`},"application/json;stream=watch":{"schema":`+d.reference(reflect.TypeFor[status.WatchEvent]()))
		}
		return content(inJSON, strings.Replace(schema, `List"`, `"`, 1))
	}
	return content(inJSON, d.schema(t))
}

// parameters are the names of those that a route takes in its query.
func (r route) parameters() []string {
	rest, k := r.resource()
	switch last := r.last(); {
	case strings.HasSuffix(last, "z"):
		return []string{"verbose"}
	case strings.HasPrefix(r.path, "/debug/"):
		return []string{"debug", "seconds"}
	case last == "log":
		return slices.Sorted(keys(logParameters))
	case k != nil && rest == k.plural:
		return slices.Sorted(keys(queryParameters))
	}
	return nil
}

func parameterType(name string) string {
	switch name {
	case "allowWatchBookmarks", "follow", "prefix", "previous", "timestamps", "verbose", "watch":
		return "boolean"
	case "debug", "limit", "limitBytes", "ordinal", "seconds", "sinceSeconds", "tailLines", "timeoutSeconds":
		return "integer"
	default:
		return "string"
	}
}

// schema describes a type.
func (d describer) schema(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return `{"type":"string","format":"date-time"}`
		}
		return d.reference(t)
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return `{"type":"object"}`
		}
		return `{"type":"array","items":` + d.schema(t.Elem()) + `}`
	case reflect.Map:
		return `{"type":"object","additionalProperties":` + d.schema(t.Elem()) + `}`
	case reflect.Interface:
		return `{}`
	case reflect.Bool:
		return `{"type":"boolean"}`
	case reflect.String:
		return `{"type":"string"}`
	case reflect.Int32:
		return `{"type":"integer","format":"int32"}`
	default: // a new type: the test meets it
		return `{"type":"integer"}`
	}
}

// reference refers to the schema of a struct, which it makes at the first time. What
// else an answer has a client passes over: a newer daemon tells more.
func (d describer) reference(t reflect.Type) string {
	name := t.Name()
	switch name {
	case "Replica":
		name = "ReplicaStatus"
	case "ReplicaObject", "ReplicaObjectList":
		name = strings.Replace(name, "Object", "", 1)
	case "Failure":
		name = "Status"
	case "RowList":
		name = tableKind
	case "Row", "Column":
		name = tableKind + name
	}
	if d[name] == "" {
		d[name] = " " // a type may refer to itself
		properties, required := "", ""
		for i := range t.NumField() {
			f := t.Field(i)
			field, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if field == "-" { // not sent
				continue
			}
			schema := d.schema(f.Type)
			if name+field == "Servicespec" {
				schema = referenceTo + `ServiceSpec"}`
			}
			properties += `,"` + field + `":` + schema
			if options == "" {
				required += `,"` + field + `"`
			}
		}
		text := `{"type":"object","properties":{` + properties[1:] + `}`
		if required != "" {
			text += `,"required":[` + required[1:] + `]`
		}
		for _, k := range kinds {
			if name == k.singular || name == k.singular+"List" {
				text += `,"x-kubernetes-group-version-kind":[{"group":"` + groupName + `","version":"v1","kind":"` + name + `"}]`
			}
		}
		d[name] = text + "}"
	}
	return referenceTo + name + `"}`
}

const referenceTo = `{"$ref":"#/components/schemas/`
