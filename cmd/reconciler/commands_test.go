package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"svc.d/reconciler"
	"svc.d/reconciler/api"
	"svc.d/spec"
	"svc.d/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const fleet = `apiVersion: svc.d/v1
kind: Service
metadata: {name: db}
spec: {command: [postgres, -D, /data]}
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: web, labels: {app: web, tier: front}, annotations: {owner: "ops"}}
spec:
  command: [/usr/bin/web]
  args: [--name, "$(SVC_NAME)"]
  replicas: 2
  env: [{name: LEVEL, value: "true"}]
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: web-0}
spec: {command: [sleep, infinity]}
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: job}
spec: {command: [make, report], restartPolicy: OnFailure}
`

// troubled is the fleet with something the matter in each way that is shown.
func troubled(b *bench) {
	db := b.service("db")
	db.Status.Replicas, db.Status.ReadyReplicas, db.Status.UpdatedReplicas = 0, 0, 0
	db.Status.Phase, db.Status.Reason = status.PhaseCrashLoopBackOff, "Exited"
	db.Status.Message = "exited with code 1 after 3s; next start after a back-off of 40s"
	db.Status.ReplicaStatuses = []status.Replica{{
		Name: "db-0", Phase: db.Status.Phase, Reason: "Exited", Message: db.Status.Message, Restarts: 6,
		Since: now.Add(-8 * time.Second), Next: now.Add(32 * time.Second),
		LastExit: &status.Exit{Code: 1, Started: now.Add(-11 * time.Second), At: now.Add(-8 * time.Second)},
	}}
	web := b.service("web")
	web.Status.Reason, web.Status.Message = "ReplacementBlocked", "keeps running its former manifest: cannot find /usr/bin/wbe"
	web.Status.UpdatedReplicas = 1
	web.Status.ReplicaStatuses[1].Updated = false
	web.Status.ReplicaStatuses[1].LastExit = &status.Exit{Code: 137, Signal: "SIGKILL", At: now.Add(-time.Hour), Asked: true}
	web.Status.ReplicaStatuses[1].Restarts = 1
	web.Status.Conditions = []status.Condition{{
		Type: "ReplacementBlocked", Status: "True", Reason: "CommandNotFound", Message: "cannot find /usr/bin/wbe",
		LastTransitionTime: now.Add(-5 * time.Minute),
	}}
	job := b.service("job")
	job.Status.Phase, job.Status.Reason, job.Status.Message = status.PhaseTerminating, "Stuck", "was killed and does not end"
	job.Status.ReplicaStatuses[0].Phase, job.Status.ReplicaStatuses[0].Reason = status.PhaseTerminating, "Stuck"
	job.Status.ReplicaStatuses[0].Processes = []status.Process{{Pid: 77, Name: "make", State: "D", WaitChannel: "nfs_wait"}}
	held := b.service("web-0")
	held.Status.Phase, held.Status.DesiredReplicas, held.Status.Replicas, held.Status.ReadyReplicas = status.PhaseHeld, 0, 0, 0
	held.Status.Reason, held.Status.Message = "Stopped", "stopped by alice (uid 1000)"
	held.Status.Held = &status.Held{By: "alice (uid 1000)", Since: now.Add(-90 * time.Second), Until: now.Add(time.Hour)}
	held.Status.ReplicaStatuses = nil
	s := &b.engine.snapshot
	const file = "/etc/svc.d/all.yaml" // of a length that does not differ from run to run
	for i := range s.Services {
		s.Services[i].Status.File = file
	}
	s.Set = &spec.Set{
		Services: s.Set.Services,
		Problems: []spec.Problem{
			{Source: spec.Source{File: file, Document: 2, Line: 11}, Column: 3, Field: "spec.comand",
				Message: `unknown field, did you mean "command"?`, Service: "web", Since: now.Add(-5 * time.Minute)},
			{Source: spec.Source{File: "/etc/svc.d/new.yaml"}, Message: "cannot read it: permission denied", Since: now.Add(-time.Minute)},
		},
	}
	s.Conditions = []status.Condition{
		{Type: "Degraded", Status: "True", Reason: "NoCgroups", Message: "processes can escape", LastTransitionTime: now.Add(-time.Hour)},
		{Type: spec.ConditionPruneHeld, Status: "True", Reason: "MassRemoval", Message: "5 of 8 services would be removed", LastTransitionTime: now},
	}
}

func unborn(b *bench) {
	b.engine.snapshot.Set = &spec.Set{Problems: []spec.Problem{{
		Source: spec.Source{File: "/etc/svc.d/new.yaml", Document: 1, Line: 5}, Column: 3, Field: "spec.comand",
		Message: `unknown field, did you mean "command"?`, Service: "new", Since: now,
	}}}
}

func foreign(b *bench) {
	b.engine.snapshot.Set = &spec.Set{Ignored: []spec.Ignored{
		{Source: spec.Source{File: "/etc/svc.d/web.yaml", Document: 2, Line: 7}, APIVersion: "apps/v1", Kind: "Deployment", Hint: "write a Service"},
		{Source: spec.Source{File: "/etc/svc.d/compose.yaml", Document: 1, Line: 1}, Hint: "a Compose file is not read"},
	}}
}

func TestCommandsPrintWhatIsKept(t *testing.T) {
	const edited = `apiVersion: svc.d/v1
kind: Service
metadata: {name: web, labels: {app: web, tier: front}, annotations: {owner: "ops"}}
spec:
  command: [/usr/bin/web]
  args: [--name, "other"]
  replicas: 3
  env: [{name: LEVEL, value: "true"}]
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: db}
spec: {command: [postgres, -D, /data], terminationGracePeriodSeconds: 90}
---
apiVersion: svc.d/v1
kind: Service
metadata: {name: cache}
spec: {command: [redis-server], replicas: 2}
`
	const misspelt = "apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: web}\nspec: {comand: [x], replicas: -1}\n"
	empty := func(b *bench) { b.engine.snapshot.Services = nil }
	const slow = configurationHead + "defaults: {terminationGracePeriodSeconds: 90, backoff: {limit: {restarts: 5, within: 10m}}}\n"
	tests := map[string]struct {
		prepare func(*bench)
		args    []string
	}{
		"get shows a table":                                      {nil, []string{"get"}},
		"get shows trouble in the table and after it":            {troubled, []string{"get"}},
		"get wide shows where and why":                           {troubled, []string{"get", "-o", "wide"}},
		"get tells of a shutdown":                                {func(b *bench) { b.engine.snapshot.Stopping = now.Add(-3 * time.Second) }, []string{"get"}},
		"get of names shows them in the order given":             {troubled, []string{"get", "web", "service.svc.d/db"}},
		"get of an unknown name suggests one and shows the rest": {nil, []string{"get", "webb", "db"}},
		"get yaml of one name is no list":                        {nil, []string{"get", "web", "-o", "yaml"}},
		"get json is a list":                                     {nil, []string{"get", "db", "job", "-o", "json"}},
		"get name can be given to other commands":                {nil, []string{"get", "-o", "name"}},
		"get of an empty directory says so":                      {empty, []string{"get"}},
		"get of an empty directory as json is an empty list":     {empty, []string{"get", "-o", "json"}},
		"get tells what is ignored":                              {foreign, []string{"get"}},
		"validate tells what is ignored":                         {func(b *bench) { b.write("other/compose.yaml", "services: {web: {image: nginx}}\n") }, []string{"validate", "$DIR/other"}},
		"get of what was never well tells why":                   {unborn, []string{"get", "service/new"}},
		"get config tells the defaults":                          {found, []string{"get", "config"}},
		"get config tells where values come from":                {configured, []string{"get", "configuration"}},
		"get config yaml":                                        {configured, []string{"get", "config", "-o", "yaml"}},
		"get config json":                                        {found, []string{"get", "config", "-o", "json"}},
		"get config has no name":                                 {nil, []string{"get", "config", "-o", "name"}},
		"get config tells why an edit is not in force":           {misconfigured, []string{"get", "config"}},
		"get config of a daemon that does not tell":              {func(b *bench) { b.mute = true }, []string{"get", "config"}},
		"get config is the service of that name":                 {renamed, []string{"get", "config"}},
		"get config among names is a name":                       {nil, []string{"get", "web", "config"}},
		"help of get":                                            {nil, []string{"get", "--help"}},
		"validate counts the configuration":                      {func(b *bench) { b.write("svc.d/main.yaml", slow) }, []string{"validate", "$DIR/svc.d"}},
		"validate of a configuration alone":                      {func(b *bench) { b.write("main.yaml", slow) }, []string{"validate", "$DIR/main.yaml"}},
		"validate knows the defaults of the configuration":       {patient, []string{"validate", "$DIR/svc.d"}},
		"diff of a directory has the defaults of its configuration": {
			func(b *bench) { b.write("svc.d/main.yaml", slow) }, []string{"diff"},
		},
		"diff of a file has the defaults of the daemon": {
			func(b *bench) { configured(b); b.write("db.yaml", strings.Split(fleet, "---")[0]) }, []string{"diff", "$DIR/db.yaml"},
		},
		"diff of a file with a daemon that does not tell": {
			func(b *bench) { b.mute = true; b.write("svc.d/all.yaml", fleet) }, []string{"diff", "$DIR/svc.d/all.yaml"},
		},
		"diff of a broken configuration": {
			func(b *bench) { b.write("svc.d/main.yaml", configurationHead+"prune: obey\n") }, []string{"diff"},
		},
		"diff of a broken configuration that is in force": {
			func(b *bench) {
				b.write("svc.d/main.yaml", configurationHead+"prune: obey\n")
				b.engine.snapshot.Set.Configuration = document(b.t, configurationHead+"defaults: {terminationGracePeriodSeconds: 31}\n")
				b.engine.snapshot.Set.Configuration.Source.File = filepath.Join(b.dir, "svc.d/main.yaml")
			}, []string{"diff"},
		},
		"get refuses an unknown output":                        {nil, []string{"get", "-o", "xml"}},
		"describe tells of a crash loop":                       {troubled, []string{"describe", "db"}},
		"describe tells of a blocked replacement":              {troubled, []string{"describe", "web"}},
		"describe tells of what is stuck and what is held":     {troubled, []string{"describe", "job", "web-0"}},
		"describe without a name gives an example":             {nil, []string{"describe"}},
		"restart of a service":                                 {nil, []string{"restart", "web"}},
		"restart of a replica":                                 {nil, []string{"restart", "web-1"}},
		"restart prefers the service that is called like that": {nil, []string{"restart", "web-0"}},
		"restart of a replica that is not there":               {nil, []string{"restart", "web-2"}},
		"reload of a service":                                  {nil, []string{"reload", "web"}},
		"reload of a replica":                                  {nil, []string{"reload", "web-1"}},
		"signal to a service":                                  {nil, []string{"kill", "-s", "HUP", "web"}},
		"signal to a replica":                                  {nil, []string{"kill", "-s", "SIGUSR1", "web-1"}},
		"no such signal":                                       {nil, []string{"kill", "-s", "SIGNOPE", "web"}},
		"restart of a held service is refused":                 {troubled, []string{"restart", "web-0"}},
		"stop until start":                                     {nil, []string{"stop", "web"}},
		"stop for some time":                                   {nil, []string{"stop", "web", "--for", "10m"}},
		"stop for no time is refused":                          {nil, []string{"stop", "web", "--for", "0s"}},
		"stop of a replica is refused":                         {nil, []string{"stop", "web-1"}},
		"start of what is held":                                {troubled, []string{"start", "web-0"}},
		"start of what is not held":                            {nil, []string{"start", "web"}},
		"prune without a held removal":                         {nil, []string{"prune"}},
		"prune without confirmation":                           {troubled, []string{"prune"}},
		"prune with confirmation":                              {troubled, []string{"prune", "--confirm"}},
		"diff of what is in force":                             {nil, []string{"diff"}},
		"diff of values that are not shown": {func(b *bench) {
			web := b.service("web")
			web.Spec = bytes.Replace(web.Spec, []byte(`"value":"true"`), []byte(`"value":"<redacted>"`), 1)
		}, []string{"diff"}},
		"diff of an edited directory":          {func(b *bench) { b.write("svc.d/all.yaml", edited) }, []string{"diff"}},
		"diff of a file covers only that file": {func(b *bench) { b.write("cache.yaml", edited) }, []string{"diff", "$DIR/cache.yaml"}},
		"diff of another directory":            {func(b *bench) { b.write("other/all.yaml", fleet) }, []string{"diff", "$DIR/other"}},
		"diff of a broken file stops nothing":  {func(b *bench) { b.write("svc.d/all.yaml", misspelt) }, []string{"diff"}},
		"diff of two paths":                    {nil, []string{"diff", "a", "b"}},
		"diff with an unknown flag":            {nil, []string{"diff", "--bogus"}},
		"diff leaves a service to the file that provides it": {
			func(b *bench) { b.write("svc.d/a.yaml", strings.Split(edited, "---")[0]) }, []string{"diff"},
		},
		"diff of a missing path":                           {nil, []string{"diff", "$DIR/nowhere"}},
		"validate of good files":                           {nil, []string{"validate", "$DIR/svc.d"}},
		"validate of bad files":                            {func(b *bench) { b.write("svc.d/bad.yaml", misspelt) }, []string{"validate", "$DIR/svc.d"}},
		"validate without a path gives an example":         {nil, []string{"validate"}},
		"no daemon":                                        {nil, []string{"get", "--state-dir", "$DIR/nothing"}},
		"an unknown command suggests one":                  {nil, []string{"gte"}},
		"a command of kubectl suggests one":                {nil, []string{"delete", "web"}},
		"an unknown command points to the help":            {nil, []string{"frobnicate"}},
		"an unknown flag points to the help":               {nil, []string{"get", "--wide"}},
		"help of stop":                                     {nil, []string{"stop", "--help"}},
		"flags without a directory":                        {nil, []string{"--no-cgroups"}},
		"why of everything":                                {troubled, []string{"why"}},
		"why of a service":                                 {troubled, []string{"why", "db"}},
		"why of a replica":                                 {troubled, []string{"why", "service/web-1"}},
		"why of a replica that is not there":               {nil, []string{"why", "replicas/web-7"}},
		"why prefers the service that is called like that": {troubled, []string{"why", "web-0"}},
		"why of the replica all the same":                  {troubled, []string{"why", "replicas/web-0"}},
		"why of two names":                                 {nil, []string{"why", "web", "db"}},
		"help of why":                                      {nil, []string{"why", "--help"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			if test.prepare != nil {
				test.prepare(b)
			}
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", b.run(test.args...))
		})
	}
}

// golden compares with a file in testdata, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Files are parsed by several goroutines; the race detector watches.
func TestManifestsOfALargeDirectoryAreAllRead(t *testing.T) {
	b := newBench(t, fleet)
	const files = 300
	for n := range files {
		b.write(fmt.Sprintf("many/s%d.yaml", n),
			fmt.Sprintf("apiVersion: svc.d/v1\nkind: Service\nmetadata: {name: s%d}\nspec: {command: [x]}\n", n))
	}
	want := fmt.Sprintf("$ reconciler validate $DIR/many\n%d services in %[1]d files are valid\n", files)
	if got := b.run("validate", "$DIR/many"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestADaemonOfSomebodyElseIsNotMissing(t *testing.T) {
	denied := &api.UnreachableError{Socket: "/run/reconciler/api.sock", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}}
	want := "cannot reach the daemon at /run/reconciler/api.sock: connect: permission denied; every user may look, but the folders that lead to it must let them through"
	if got := withHint(denied).Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCommandsTellTheEngine(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []reconciler.Command
	}{
		"restart of a service":  {[]string{"restart", "web"}, []reconciler.Command{{Kind: reconciler.EventRestart, Service: "web", Ordinal: -1}}},
		"restart of a replica":  {[]string{"restart", "web-1"}, []reconciler.Command{{Kind: reconciler.EventRestart, Service: "web", Ordinal: 1}}},
		"reload of a replica":   {[]string{"reload", "web-1"}, []reconciler.Command{{Kind: reconciler.EventReload, Service: "web", Ordinal: 1}}},
		"signal to a service":   {[]string{"kill", "-s", "hup", "web"}, []reconciler.Command{{Signal: syscall.SIGHUP, Service: "web", Ordinal: -1}}},
		"a service named web-0": {[]string{"restart", "web-0"}, []reconciler.Command{{Kind: reconciler.EventRestart, Service: "web-0", Ordinal: -1}}},
		"stop of two, one unknown": {[]string{"stop", "db", "nobody", "service/web"}, []reconciler.Command{
			{Kind: reconciler.EventStop, Service: "db", Ordinal: -1}, {Kind: reconciler.EventStop, Service: "web", Ordinal: -1},
		}},
		"start":                  {[]string{"start", "job"}, []reconciler.Command{{Kind: reconciler.EventStart, Service: "job", Ordinal: -1}}},
		"a name with a bad flag": {[]string{"stop", "web", "--for", "soon"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			b.run(test.args...)
			if diff := cmp.Diff(test.want, b.engine.commands, cmpopts.IgnoreFields(reconciler.Command{}, "By")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, c := range b.engine.commands {
				if !strings.Contains(c.By, "uid ") {
					t.Errorf("By is %q, and should name the user", c.By)
				}
			}
		})
	}
}

func TestPruneReachesTheWatcherOnlyWhenConfirmed(t *testing.T) {
	b := newBench(t, fleet)
	troubled(b)
	b.run("prune")
	if b.engine.pruned != 0 {
		t.Fatal("pruned without confirmation")
	}
	b.run("prune", "--confirm")
	if b.engine.pruned != 1 {
		t.Fatalf("pruned %d times, want once", b.engine.pruned)
	}
}
