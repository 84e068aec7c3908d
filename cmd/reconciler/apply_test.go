package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"svc.d/spec"
)

const (
	webManifest = "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: web}\nspec: {command: [/usr/bin/web]}\n"
	newcomer    = "# kept\napiVersion: svc.d/v1\nkind: Service\nmetadata: {name: new}\nspec: {command: [/usr/bin/new], replicas: 2}\n"
)

// manifest is one of a service.
func manifest(name, spec string) string {
	return fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: %s}\nspec: {%s}\n", name, spec)
}

// inDir is what is in the daemon's directory: names, modes and texts, but for the
// file that was there before.
func (b *bench) inDir() string {
	var out strings.Builder
	entries, err := os.ReadDir(filepath.Join(b.dir, "svc.d"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			b.t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(b.dir, "svc.d", e.Name()))
		if err != nil {
			b.t.Fatal(err)
		}
		if string(text) == fleet {
			text = []byte("(the fleet)\n")
		}
		fmt.Fprintf(&out, "--- %s %s\n%s", info.Mode(), e.Name(), text)
	}
	return out.String()
}

func TestAppliesPrintWhatIsKept(t *testing.T) {
	put := func(name, text string) func(*bench) { return func(b *bench) { b.write(name, text) } }
	both := func(parts ...func(*bench)) func(*bench) {
		return func(b *bench) {
			for _, p := range parts {
				p(b)
			}
		}
	}
	edits := func(texts ...string) func(*bench) {
		return func(b *bench) {
			n := 0
			b.editor = func(text string) string {
				if n == len(texts) {
					b.t.Fatal("the editor was opened once more, with\n" + text)
				}
				next := texts[n]
				n++
				if strings.HasPrefix(text, "#") {
					b.seen = "--- the editor showed\n" + text
				}
				if next == "=" {
					return text
				}
				if from, to, ok := strings.Cut(next, "=>"); ok {
					return strings.Replace(text, from, to, 1)
				}
				return next
			}
		}
	}
	alone := put("svc.d/cache.yaml", manifest("cache", "command: [redis-server]"))
	tests := map[string]struct {
		prepare func(*bench)
		args    []string
	}{
		"apply of a new service":         {put("x.yaml", newcomer), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of a new service dry":     {put("x.yaml", newcomer), []string{"apply", "-f", "$DIR/x.yaml", "--dry-run"}},
		"apply of a secret keeps it one": {func(b *bench) { b.write("x.yaml", newcomer); chmod(b, "x.yaml", 0o600) }, []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of standard input":        {func(b *bench) { b.stdin = newcomer }, []string{"apply", "-f", "-"}},
		"apply of JSON": {func(b *bench) {
			b.stdin = `{"apiVersion":"svc.d/v1","kind":"Service","metadata":{"name":"new"},"spec":{"command":["x"]}}`
		}, []string{"apply", "-f", "-"}},
		"apply of what is in force":            {put("all.yaml", fleet), []string{"apply", "-f", "$DIR/all.yaml"}},
		"apply of an edit":                     {put("x.yml", strings.Replace(fleet, "/data", "/other", 1)), []string{"apply", "-f", "$DIR/x.yml"}},
		"apply of a comment":                   {put("x.yaml", "# new\n"+fleet), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply to the file that declares it":   {both(alone, put("x.yaml", manifest("cache", "command: [redis-server], replicas: 2"))), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of a directory":                 {both(put("d/a.yaml", newcomer), put("d/b.yaml", manifest("more", "command: [x]")), put("d/.c.yaml", "no"), put("d/sub/d.yaml", "no")), []string{"apply", "-f", "$DIR/d"}},
		"apply of an empty directory":          {func(b *bench) { mkdir(b, "d") }, []string{"apply", "-f", "$DIR/d"}},
		"apply of one of several in a file":    {put("x.yaml", webManifest), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of what two files declare":      {both(alone, put("x.yaml", webManifest+"---\n"+manifest("cache", "command: [x]"))), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of one service twice":           {both(put("d/a.yaml", newcomer), put("d/b.yaml", newcomer)), []string{"apply", "-f", "$DIR/d"}},
		"apply where another file is":          {both(put("svc.d/new.yaml", manifest("other", "command: [x]")), put("x.yaml", newcomer)), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply over what is broken":            {both(put("svc.d/new.yaml", manifest("new", "comand: [x]")), put("x.yaml", newcomer)), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of a mistake writes nothing":    {both(put("d/a.yaml", newcomer), put("d/b.yaml", manifest("more", "comand: [x]"))), []string{"apply", "-f", "$DIR/d"}},
		"apply of a circle writes nothing":     {both(put("d/a.yaml", manifest("a", "command: [x], dependsOn: [{name: b}]")), put("d/b.yaml", manifest("b", "command: [x], dependsOn: [{name: a}]"))), []string{"apply", "-f", "$DIR/d"}},
		"apply of a document of others":        {put("x.yaml", "apiVersion: apps/v1\nkind: Deployment\n"), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of a configuration":             {put("x.yaml", configurationHead+"prune: Obey\n"), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply of nothing":                     {nil, []string{"apply"}},
		"apply of a word":                      {nil, []string{"apply", "x.yaml"}},
		"apply of what is not there":           {nil, []string{"apply", "-f", "$DIR/nowhere.yaml"}},
		"apply into a linked directory":        {both(put("x.yaml", newcomer), linked), []string{"apply", "-f", "$DIR/x.yaml"}},
		"apply over a link":                    {both(put("x.yaml", newcomer), put("elsewhere.yaml", manifest("new", "command: [x]")), link("elsewhere.yaml", "svc.d/linked.yaml")), []string{"apply", "-f", "$DIR/x.yaml"}},
		"run writes a manifest":                {nil, []string{"run", "new", "--replicas", "2", "--env", "PORT=8080", "--env", "A=b=c", "-l", "app=new", "--restart=OnFailure", "--", "python3", "-m", "http.server", "8080"}},
		"run prints a manifest":                {nil, []string{"run", "new", "--dry-run", "--", "sleep", "1000"}},
		"run of what is declared":              {nil, []string{"run", "web", "--", "sleep"}},
		"run of a name that is none":           {nil, []string{"run", "No_Name", "--", "sleep"}},
		"run without a command":                {nil, []string{"run", "new"}},
		"run with an environment that is none": {nil, []string{"run", "new", "--env", "A", "--", "sleep"}},
		"edit":                                 {both(alone, edits("redis-server=>redis-server, --port, '1'")), []string{"edit", "cache"}},
		"edit of one of several":               {edits("replicas: 2=>replicas: 3"), []string{"edit", "services/web"}},
		"edit removes a service":               {edits("metadata: {name: job}=>metadata: {name: work}"), []string{"edit", "job"}},
		"edit without a change":                {edits("="), []string{"edit", "web"}},
		"edit to nothing":                      {edits("# all gone\n"), []string{"edit", "web"}},
		"edit that is given up":                {edits("replicas: 2=>replicas: -2", fleet), []string{"edit", "web"}},
		"edit that is as wrong as before":      {edits("replicas: 2=>replicas: -2", "="), []string{"edit", "web"}},
		"edit that is mended":                  {edits("replicas: 2=>replicas: -2", "replicas: -2=>replicas: 4"), []string{"edit", "web"}},
		"edit into what another declares":      {both(alone, edits("metadata: {name: cache}=>metadata: {name: web}", "=")), []string{"edit", "cache"}},
		"edit while somebody else does": {func(b *bench) {
			alone(b)
			b.editor = func(string) string { alone2(b); return manifest("cache", "command: [y]") }
		}, []string{"edit", "cache"}},
		"edit of an unknown name": {nil, []string{"edit", "webb"}},
		"edit of two":             {nil, []string{"edit", "web", "db"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			if test.prepare != nil {
				test.prepare(b)
			}
			t.Setenv("TMPDIR", b.dir)
			got := b.run(test.args...) + b.inDir() + b.seen
			got = regexp.MustCompile(`reconciler-edit-\d+`).ReplaceAllString(got, "reconciler-edit-N")
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", strings.ReplaceAll(got, b.dir, "$DIR"))
		})
	}
}

func alone2(b *bench) { b.write("svc.d/cache.yaml", manifest("cache", "command: [z]")) }

func chmod(b *bench, name string, mode os.FileMode) {
	if err := os.Chmod(filepath.Join(b.dir, name), mode); err != nil {
		b.t.Fatal(err)
	}
}

func mkdir(b *bench, name string) {
	if err := os.Mkdir(filepath.Join(b.dir, name), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func link(to, name string) func(*bench) {
	return func(b *bench) {
		if err := os.Symlink(filepath.Join(b.dir, to), filepath.Join(b.dir, name)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// linked has the directory be a link, as git-sync makes it.
func linked(b *bench) {
	if err := os.Rename(filepath.Join(b.dir, "svc.d"), filepath.Join(b.dir, "rev-1")); err != nil {
		b.t.Fatal(err)
	}
	link("rev-1", "svc.d")(b)
}

func TestApplyAwaitsTheDaemon(t *testing.T) {
	tests := map[string]struct {
		looks  func(b *bench)
		settle time.Duration
		want   string
	}{
		"it takes the manifest up": {func(b *bench) {
			parsed := spec.Parse(filepath.Join(b.dir, "svc.d/new.yaml"), []byte(newcomer))
			b.engine.snapshot.Services = append(b.engine.snapshot.Services, running(t, parsed.Services[0]))
		}, time.Minute, "\nservice.svc.d/new created\n"},
		"it does not trust it": {func(b *bench) {
			b.engine.snapshot.Set = &spec.Set{Problems: []spec.Problem{{Source: spec.Source{File: filepath.Join(b.dir, "svc.d/new.yaml")}, Message: "is not trusted"}}}
		}, time.Minute, "\nservice.svc.d/new created\n--- stderr\nerror: cannot have the daemon obey what was written: $DIR/svc.d/new.yaml: is not trusted\n--- exit code 1\n"},
		"it does nothing": {nil, time.Nanosecond, "\nservice.svc.d/new created\n--- stderr\nwarning: the daemon has not taken it up yet; `reconciler get` tells when it has\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			b.write("x.yaml", newcomer)
			b.settle = test.settle
			b.engine.look = func() {
				if exists(filepath.Join(b.dir, "svc.d/new.yaml")) && test.looks != nil {
					test.looks(b)
					test.looks = nil
				}
			}
			got := b.run("apply", "-f", "$DIR/x.yaml")
			if _, rest, _ := strings.Cut(got, "unchanged\n"); rest != test.want {
				t.Errorf("got %q, want %q", rest, test.want)
			}
		})
	}
}
