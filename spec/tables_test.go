package spec

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestTheTablesHoldTheFieldsOfTheTypes compares what Parse reads and what is
// described with the JSON names of the Go types, object by object.
func TestTheTablesHoldTheFieldsOfTheTypes(t *testing.T) {
	compare(t, "Service", reflect.TypeFor[Service](), documentFields.names(), documentFields.later)
	compare(t, "Metadata", reflect.TypeFor[Metadata](), metadataFields.names(), metadataFields.later)
	compare(t, "Spec", reflect.TypeFor[Spec](), specFields.names(), specFields.later)
	compare(t, "SecurityContext", reflect.TypeFor[SecurityContext](), securityFields.names(), securityFields.later)
	compare(t, "Lifecycle", reflect.TypeFor[Lifecycle](), lifecycleFields.names(), lifecycleFields.later)
	compare(t, "Backoff", reflect.TypeFor[Backoff](), backoffFields.names(), backoffFields.later)
	compare(t, "RestartLimit", reflect.TypeFor[RestartLimit](), limitFields.names(), limitFields.later)
	compare(t, "EnvVar", reflect.TypeFor[EnvVar](), envVarFields.names(), envVarFields.later)
	compare(t, "EnvFrom", reflect.TypeFor[EnvFrom](), envFromFields.names(), envFromFields.later)
	compare(t, "Configuration", reflect.TypeFor[Configuration](), configurationFields.names(), configurationFields.later)
	compare(t, "LogConfiguration", reflect.TypeFor[LogConfiguration](), logFields.names(), logFields.later)
	compare(t, "ServiceDefaults", reflect.TypeFor[ServiceDefaults](), defaultsFields.names(), defaultsFields.later)
	compare(t, "BackoffDefaults", reflect.TypeFor[BackoffDefaults](), backoffDefaultsFields.names(), backoffDefaultsFields.later)
	compare(t, "Log", reflect.TypeFor[Log](), serviceLogFields.names(), serviceLogFields.later)
	compare(t, "LogDefaults", reflect.TypeFor[LogDefaults](), logDefaultsFields.names(), logDefaultsFields.later)
	compare(t, "Probe", reflect.TypeFor[Probe](), probeFields.names(), probeFields.later)
	compare(t, "ExecAction", reflect.TypeFor[ExecAction](), execFields.names(), execFields.later)
	compare(t, "HTTPGetAction", reflect.TypeFor[HTTPGetAction](), httpGetFields.names(), httpGetFields.later)
	compare(t, "HTTPHeader", reflect.TypeFor[HTTPHeader](), httpHeaderFields.names(), httpHeaderFields.later)
	compare(t, "TCPSocketAction", reflect.TypeFor[TCPSocketAction](), tcpSocketFields.names(), tcpSocketFields.later)
	compare(t, "GRPCAction", reflect.TypeFor[GRPCAction](), grpcFields.names(), grpcFields.later)
	compare(t, "Handler", reflect.TypeFor[Handler](), handlerFields.names(), handlerFields.later)
	compare(t, "Dependency", reflect.TypeFor[Dependency](), dependencyFields.names(), dependencyFields.later)
	compare(t, "Init", reflect.TypeFor[Init](), initFields.names(), initFields.later)
	compare(t, "RuntimeDirectory", reflect.TypeFor[RuntimeDirectory](), runtimeDirectoryFields.names(), runtimeDirectoryFields.later)
	compare(t, "Reload", reflect.TypeFor[Reload](), reloadFields.names(), reloadFields.later)
	compare(t, "Rlimit", reflect.TypeFor[Rlimit](), rlimitFields.names(), rlimitFields.later)
}

func compare(t *testing.T, name string, structType reflect.Type, known, later []string) {
	t.Helper()
	var names []string
	for i := range structType.NumField() {
		if field := jsonName(structType.Field(i)); field != "-" {
			names = append(names, field)
		}
	}
	if !slices.Equal(names, known) {
		t.Errorf("%s has the fields %v, its table %v", name, names, known)
	}
	if len(known) > 64 {
		t.Errorf("%s has %d fields; readObject counts on at most 64", name, len(known))
	}
	for _, field := range later {
		if slices.Contains(names, field) {
			t.Errorf("%s.%s is read and yet said to be not supported", name, field)
		}
	}
}

func TestEveryFieldIsDescribedOnce(t *testing.T) {
	for root, docs := range map[reflect.Type][]fieldDoc{
		reflect.TypeFor[Service]():       serviceDocs,
		reflect.TypeFor[Configuration](): configurationDocs,
	} {
		var paths, described []string
		collect(root, "", &paths)
		for _, doc := range docs {
			described = append(described, doc.path)
		}
		for _, path := range paths {
			if !slices.Contains(described, path) {
				t.Errorf("%s of %s is not described", path, root)
			}
		}
		for i, path := range described {
			if !slices.Contains(paths, path) || slices.Contains(described[:i], path) {
				t.Errorf("%s of %s is described, but is no field or was described before", path, root)
			}
		}
	}
}

// collect lists the paths of the fields, as describe takes them.
func collect(structType reflect.Type, path string, paths *[]string) {
	for i := range structType.NumField() {
		field := structType.Field(i)
		name := jsonName(field)
		if name == "-" {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		*paths = append(*paths, name)
		inner := field.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice {
				name += "[]"
			}
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			collect(inner, name, paths)
		}
	}
}

func TestSuggest(t *testing.T) {
	allowed := append(specFields.names(), specFields.later...)
	for word, want := range map[string]string{
		"comand": "command", "commnad": "command", "Command": "command", "comnd": "command", "cmd": "", "arg": "args",
		"workdir": "", "workingdir": "workingDir", "replica": "replicas", "restartpolicy": "restartPolicy", "enviroment": "",
		"envfrom": "envFrom", "livenesProbe": "livenessProbe", "x": "", "": "", "zzzzz": "",
	} {
		if got := suggest(word, allowed); got != want {
			t.Errorf("for %q is suggested %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for words, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "ab"}: 2, {"ab", "ba"}: 1, {"abc", "abc"}: 0, {"abc", "axc"}: 1, {"kitten", "sitting"}: 3, {"ca", "abc"}: 3,
	} {
		if got := editDistance(words[0], words[1]); got != want {
			t.Errorf("distance of %q = %d, want %d", words, got, want)
		}
	}
}

// TestNames holds what Kubernetes' validation says of the same words.
func TestNames(t *testing.T) {
	x63, x64, x253 := strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("x", 253)
	for word, want := range map[string]struct{ dnsLabel, labelKey, labelValue bool }{
		"":              {false, false, true},
		"web":           {true, true, true},
		"web-1":         {true, true, true},
		"1":             {true, true, true},
		"-web":          {false, false, false},
		"web-":          {false, false, false},
		"-":             {false, false, false},
		"Web":           {false, true, true},
		"a_b.c":         {false, true, true},
		"a.":            {false, false, false},
		"a b":           {false, false, false},
		"é":             {false, false, false},
		"a.b/c":         {false, true, false},
		"a..b/c":        {false, false, false},
		"A.b/c":         {false, false, false},
		"/c":            {false, false, false},
		"a/":            {false, false, false},
		"a/b/c":         {false, false, false},
		x63:             {true, true, true},
		x64:             {false, false, false},
		"a/" + x63:      {false, true, false},
		"a/" + x64:      {false, false, false},
		x253 + "/a":     {false, true, false}, // only the whole has a limit
		x253 + "x/a":    {false, false, false},
		"a-/b":          {false, false, false},
		"app.example/A": {false, true, false},
	} {
		if got := isDNSLabel(word); got != want.dnsLabel {
			t.Errorf("isDNSLabel(%q) = %v", word, got)
		}
		if got := isLabelKey(word); got != want.labelKey {
			t.Errorf("isLabelKey(%q) = %v", word, got)
		}
		if got := isLabelValue(word); got != want.labelValue {
			t.Errorf("isLabelValue(%q) = %v", word, got)
		}
	}
}
