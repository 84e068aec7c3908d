package spec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"svc.d/spec"
)

func TestDiff(t *testing.T) {
	const head = "apiVersion: svc.d/v1\nkind: Service\n"
	const live, restart = spec.EditLive, spec.EditRestart
	tests := map[string]struct {
		before, after string
		want          []spec.Change
	}{
		"the same in other words changes nothing": {
			before: "metadata: {name: a}\nspec: {command: [x], replicas: 1}",
			after:  "metadata: {name: a, labels: {}}\nspec: {command: [x], args: [], workingDir: /, securityContext: {umask: 022}}",
		},
		"paths, values and classes are those of the manifest, in its order": {
			before: "metadata: {name: a}\nspec: {command: [x], env: [{name: A, value: a}, {name: B, value: b}]}",
			after:  "metadata: {name: a}\nspec: {replicas: 3, command: [y], env: [{name: A, value: a}, {name: B, value: c}], backoff: {maxDelay: 2m}}",
			want: []spec.Change{
				{"spec.replicas", "1", "3", live},
				{"spec.command[0]", "x", "y", restart},
				{"spec.env[1].value", "b", "c", restart},
				{"spec.backoff.maxDelay", "1m", "2m", live},
			},
		},
		"limits of logs are live": {
			before: "metadata: {name: a}\nspec: {command: [x], log: {maxSize: 10485760}}",
			after:  "metadata: {name: a}\nspec: {command: [x], log: {maxSize: 1.5Gi, maxFiles: 2, maxAge: 168h, compress: false}}",
			want: []spec.Change{
				{"spec.log.maxSize", "10Mi", "1536Mi", live},
				{"spec.log.maxFiles", "5", "2", live},
				{"spec.log.maxAge", "0s", "168h", live},
				{"spec.log.compress", "true", "false", live},
			},
		},
		"items that come and go": {
			before: "metadata: {name: a}\nspec: {command: [x, y], envFrom: [{file: /f}]}",
			after:  "metadata: {name: a}\nspec: {command: [x], args: [''], env: [{name: A}], backoff: {limit: {restarts: 1, within: 1s}}}",
			want: []spec.Change{
				{"spec.command[1]", "y", "", restart},
				{"spec.args[0]", "", "", restart},
				{"spec.env[0].name", "", "A", restart},
				{"spec.envFrom[0].file", "/f", "", restart},
				{"spec.backoff.limit.restarts", "", "1", live},
				{"spec.backoff.limit.within", "", "1s", live},
			},
		},
		"maps in alphabetical order": {
			before: "metadata: {name: a, labels: {b: x, app.example/c: y}}\nspec: {command: [x], rlimits: {nofile: 1}}",
			after:  "metadata: {name: a, labels: {b: z, a: y}, annotations: {n: t}}\nspec: {command: [x], rlimits: {core: unlimited, nofile: {soft: 1, hard: 2}}}",
			want: []spec.Change{
				{"metadata.labels.a", "", "y", live},
				{`metadata.labels["app.example/c"]`, "y", "", live},
				{"metadata.labels.b", "x", "z", live},
				{"metadata.annotations.n", "", "t", live},
				{"spec.rlimits.core", "", "unlimited", restart},
				{"spec.rlimits.nofile", "1", "1:2", restart},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := spec.Diff(parseOne(t, head+test.before), parseOne(t, head+test.after))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Diff differs (-want +got):\n%s", diff)
			}
		})
	}
}

// parseOne parses a manifest that must declare one service.
func parseOne(t testing.TB, manifest string) *spec.Service {
	t.Helper()
	file := spec.Parse("/d/x.yaml", []byte(manifest))
	if len(file.Services) != 1 || len(file.Problems) != 0 {
		t.Fatalf("%d services, problems %v", len(file.Services), file.Problems)
	}
	return file.Services[0]
}
