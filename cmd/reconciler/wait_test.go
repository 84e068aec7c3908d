package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// unready is the fleet whose service web is not ready yet.
func unready(b *bench) {
	marked(b)
	for i := range b.engine.snapshot.Services {
		b.engine.snapshot.Services[i].Status.Conditions = []status.Condition{{Type: "Ready", Status: "True"}, {Type: "Progressing", Status: "True"}}
	}
	web := b.service("web")
	web.Status.ReadyReplicas = 1
	web.Status.ReplicaStatuses[1].Ready = false
	web.Status.Conditions[0].Status = "False"
}

func TestWaitPrintsWhatIsKept(t *testing.T) {
	// then tells what becomes of web.
	then := func(what status.WatchType, edit func(s *status.Service)) func(*bench) {
		return func(b *bench) {
			unready(b)
			later := *b.service("web")
			later.Metadata.ResourceVersion = "101"
			later.Status.Conditions = []status.Condition{{Type: "Ready", Status: "False"}}
			edit(&later)
			b.front.watches = []string{"", change(what, &later)} // the daemon executes itself anew first
		}
	}
	ready := then(status.WatchModified, func(s *status.Service) { s.Status.Conditions[0].Status = "True" })
	tests := map[string]struct {
		prepare func(*bench)
		args    []string
	}{
		"wait for what is so already":             {unready, []string{"wait", "db", "--for=condition=ready"}},
		"wait until it is ready":                  {ready, []string{"wait", "web", "--for=condition=Ready"}},
		"wait for a status":                       {unready, []string{"wait", "web", "--for=condition=Ready=false"}},
		"wait for a replica":                      {unready, []string{"wait", "web-1", "--for", "condition=Ready=False"}},
		"wait for several":                        {ready, []string{"wait", "db", "services/web", "replicas/web-0", "--for=condition=Ready"}},
		"wait for all":                            {ready, []string{"wait", "--all", "--for=condition=Ready"}},
		"wait for those with labels":              {ready, []string{"wait", "-l", "tier=front", "--for=condition=Ready"}},
		"wait for labels that nothing has":        {ready, []string{"wait", "-l", "tier=none", "--for=condition=Ready"}},
		"wait for a field":                        {then(status.WatchModified, func(s *status.Service) { s.Status.Phase = status.PhaseCompleted }), []string{"wait", "web", "--for=jsonpath={.status.phase}=Completed"}},
		"wait for any value of a field":           {then(status.WatchModified, func(s *status.Service) { s.Status.Reason = "Exited" }), []string{"wait", "web", "--for=jsonpath={.status.reason}"}},
		"wait for a field that is many":           {unready, []string{"wait", "web", "--for=jsonpath={.spec.args[*]}=x"}},
		"wait until it is gone":                   {then(status.WatchDeleted, func(*status.Service) {}), []string{"wait", "web", "--for=delete"}},
		"wait until what is gone is gone":         {unready, []string{"wait", "nobody", "--for=delete"}},
		"wait for what is removed meanwhile":      {then(status.WatchDeleted, func(*status.Service) {}), []string{"wait", "web", "--for=condition=Ready"}},
		"wait no longer than the timeout":         {func(b *bench) { unready(b); b.front.silent = true }, []string{"wait", "web", "db", "--for=condition=Ready", "--timeout=10ms"}},
		"wait without waiting":                    {unready, []string{"wait", "web", "--for=condition=Ready", "--timeout=0"}},
		"wait for an unknown name":                {unready, []string{"wait", "webb", "--for=condition=Ready"}},
		"wait for nothing":                        {unready, []string{"wait", "web"}},
		"wait for what is no condition":           {unready, []string{"wait", "web", "--for=Ready"}},
		"wait for nobody":                         {unready, []string{"wait", "--for=condition=Ready"}},
		"events tells what has happened":          {happened, []string{"events"}},
		"events for a service and its replicas":   {happened, []string{"events", "--for", "web"}},
		"events for a replica":                    {happened, []string{"events", "--for", "replicas/db-0"}},
		"events for one that had none":            {happened, []string{"events", "--for", "job"}},
		"events by types":                         {happened, []string{"events", "--types=Warning", "--no-headers"}},
		"events by a type that is none":           {happened, []string{"events", "--types=Error"}},
		"events as names":                         {happened, []string{"events", "-o", "name"}},
		"events with a name":                      {happened, []string{"events", "web"}},
		"describe ends with events":               {happened, []string{"describe", "web"}},
		"describe of a replica":                   {func(b *bench) { troubled(b); happened(b); exited(b) }, []string{"describe", "replicas/db-0"}},
		"describe of a replica by its bare name":  {happened, []string{"describe", "web-1", "nobody"}},
		"exec beside the first that runs":         {unready, []string{"exec", "web", "--", "env", "-i"}},
		"exec beside one with a terminal":         {unready, []string{"exec", "-it", "web-1", "--", "sh"}},
		"exec beside what does not run":           {troubled, []string{"exec", "db", "--", "sh"}},
		"exec beside a replica that does not run": {troubled, []string{"exec", "db-0", "--", "sh"}},
		"exec without dashes":                     {unready, []string{"exec", "web", "sh"}},
		"exec of nothing":                         {unready, []string{"exec", "web", "--"}},
		"exec without a name":                     {unready, []string{"exec", "--", "sh"}},
		"events watched": {func(b *bench) {
			happened(b)
			more := b.front.events[2]
			more.Metadata.ResourceVersion, more.Count, more.LastTimestamp = "101", 7, now
			other := b.front.events[0]
			other.Metadata.ResourceVersion = "102"
			b.front.watches = []string{change(status.WatchModified, &more) + change(status.WatchModified, &other)}
		}, []string{"events", "--for=db", "-w"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			test.prepare(b)
			golden(t, strings.ReplaceAll(name, " ", "-")+".golden", b.run(test.args...))
		})
	}
}

func exited(b *bench) {
	r := &b.service("db").Status.ReplicaStatuses[0]
	r.Cgroup = "/reconciler/db-0"
	r.Exits = []status.Exit{{Code: 1, Started: now.Add(-2 * 60e9), At: now.Add(-60e9)}, *r.LastExit}
}

// TestADaemonThatHangsIsToldOf, and who waits does not wait for it beyond the timeout.
func TestADaemonThatHangsIsToldOf(t *testing.T) {
	state := t.TempDir()
	listener, err := api.Listen(state)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const want = "/api.sock: it takes connections and does not answer; it hangs, or is stopped (SIGSTOP); `reconciler why` tells what lives meanwhile\n"
	for command, limit := range map[string]time.Duration{
		"get":                                  10 * time.Millisecond,
		"restart web":                          10 * time.Millisecond,
		"wait web --for=delete --timeout 10ms": 20 * time.Second,
		"logs web --log-dir /nowhere":          10 * time.Millisecond,
		"logs -l app=web --since 1m --tail 10 -f": 10 * time.Millisecond,
	} {
		t.Run(command, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			var out bytes.Buffer
			a := &app{stdout: &out, stderr: &out, env: func(string) string { return "" }, now: time.Now, patience: 10 * time.Millisecond}
			code := a.run(ctx, append(strings.Fields(command), "--state-dir", state))
			if code != 1 || !strings.HasSuffix(out.String(), want) {
				t.Errorf("exit code %d: %s", code, &out)
			}
			if limit > time.Second && ctx.Err() != nil {
				t.Error("it waited for the daemon")
			}
		})
	}
}
