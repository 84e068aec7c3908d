package probe

import (
	"context"
	"fmt"
	"net"
	"testing"

	"svc.d/reconciler"
	"svc.d/spec"
)

// TestWhatIsHiddenOfFailures from those who may not see everything.
func TestWhatIsHiddenOfFailures(t *testing.T) {
	port := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		fmt.Fprint(c, "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\nstack")
	})
	exec := func(command string) *spec.Probe {
		return &spec.Probe{Exec: &spec.ExecAction{Command: []string{command}}}
	}
	with := func(p *spec.Probe, change func(*spec.HTTPGetAction)) *spec.Probe { change(p.HTTPGet); return p }
	const all = "ALL"
	tests := map[string]struct {
		probe  *spec.Probe
		exit   reconciler.Exit
		hangs  bool
		hidden string
	}{
		"what a command prints":                  {probe: exec("/x"), exit: reconciler.Exit{Code: 1}, hidden: "printed"},
		"what it prints before it is too late":   {probe: exec("/x"), hangs: true, hidden: "printed"},
		"all when its program is a secret":       {probe: exec("$(A)"), exit: reconciler.Exit{Code: 1}, hidden: all},
		"what a server says":                     {probe: httpGet(port, "/"), hidden: "stack"},
		"all when the path is a secret":          {probe: httpGet(port, "/$(A)"), hidden: all},
		"all when a header is a secret":          {probe: with(httpGet(port, "/"), func(h *spec.HTTPGetAction) { h.HTTPHeaders = []spec.HTTPHeader{{Name: "X", Value: "$(A)"}} }), hidden: all},
		"all when the port is a secret":          {probe: tcp("$(A)"), hidden: all},
		"nothing of a connection that is closed": {probe: tcp("1")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Environment = func(context.Context, reconciler.ProbeWork) ([]string, *reconciler.Failure) {
					return []string{"A=hunter2"}, nil
				}
				c.Exec = func(ctx context.Context, _ reconciler.ProbeWork, _ []string, _ int) ([]byte, reconciler.Exit, *reconciler.Failure) {
					if test.hangs {
						<-ctx.Done()
					}
					return []byte("printed"), test.exit, nil
				}
			})
			r.begin(test.probe)
			f := r.ended().Failure
			if f == nil {
				t.Fatal("it succeeds")
			}
			if test.hidden == all {
				test.hidden = f.Message
			}
			if f.Hidden != test.hidden {
				t.Errorf("of %q is hidden %q, want %q", f.Message, f.Hidden, test.hidden)
			}
		})
	}
}
