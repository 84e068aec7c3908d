package status_test

import (
	"strings"
	"testing"
	"unicode"

	"svc.d/status"
)

func TestWhatATerminalObeysIsShown(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"a word":                    {"web", "web"},
		"letters of all the world":  {"Grüße, 世界 🙂", "Grüße, 世界 🙂"},
		"several lines with a tab":  {"a\n\tb\n", "a\n\tb\n"},
		"a colour":                  {"\x1b[31mred\x1b[0m", "^[[31mred^[[0m"},
		"a title and its bell":      {"\x1b]0;owned\x07", "^[]0;owned^G"},
		"what goes back":            {"a\rb\bc\x7f", "a^Mb^Hc^?"},
		"a control in eight bits":   {"\u009b31mred", `\u009b31mred`},
		"a NUL":                     {"\x00", "^@"},
		"what is no UTF-8 becomes ": {"\x9b\x1b", "\ufffd^["},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := status.Shown(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestNoTableOrDescriptionHasControls: what services say and manifests hold comes to the
// terminal of who looks.
func TestNoTableOrDescriptionHasControls(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\u009b31m\r\b"
	r := well()
	r.Message, r.Status, r.Init, r.Cgroup, r.Processes = evil, evil, evil, evil, []status.Process{{Name: evil, State: evil}}
	r.LastExit = &status.Exit{Message: evil}
	s := declared("web", web, r)
	s.Metadata.Annotations = map[string]string{"note": evil}
	s.Status.Message, s.Status.File = evil, evil
	s.Status.Held = &status.Held{By: evil}
	s.Status.Conditions = []status.Condition{{Type: "Ready", Message: evil}}
	problems := []status.Problem{{File: evil, Field: evil, Message: evil}}
	events := []status.Event{{Message: evil}}
	d := &status.Daemon{Problems: problems, Conditions: []status.Condition{{Type: "PruneHeld", Status: "True", Message: evil}}}
	var out strings.Builder
	table := status.NewTable(&out)
	table.Row("web", evil)
	for _, write := range []func() error{
		func() error { return status.Describe(&out, &s, problems, night) },
		func() error { return status.DescribeReplica(&out, &s, &s.Status.ReplicaStatuses[0], night) },
		func() error { return status.WriteProblems(&out, d, []status.Service{s}, night) },
		func() error { return status.WriteEvents(&out, events, night) },
		table.Flush,
	} {
		before := out.Len()
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if text := out.String()[before:]; strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), unicode.IsControl) || !strings.Contains(text, "owned") {
			t.Errorf("it has written %q", text)
		}
	}
}
