package main

import (
	"strings"
	"testing"
)

// The daemon has its successor check, with the arguments that it was started with.
func TestCheckRefusesArgumentsOfADaemonThatThisProgramDoesNotUnderstand(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a flag of another version":  {[]string{"--dir", "/", "--wings", "2"}, "unknown flag: --wings"},
		"a value of another version": {[]string{"--dir", "/", "--prune", "Ask"}, "cannot use --prune: it must be"},
		"a user who is gone":         {[]string{"--dir", "/", "--trust-owner", "nobody-of-that-name"}, "cannot trust"},
		"all that this version has":  {[]string{"--dir", "/", "-R", "--resync", "1m", "--no-cgroups", "--state-dir", "/run/x"}, "no daemon has used it"},
		"a daemon that tells it not": {nil, "no daemon has used it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, fleet)
			got := b.run(append([]string{"check", "--handover", "1", "-o", "json", "--"}, test.args...)...)
			if !strings.Contains(got, test.want) || !strings.HasSuffix(got, "--- exit code 2\n") {
				t.Errorf("%s", got)
			}
		})
	}
	if got := newBench(t, fleet).run("check", "web"); !strings.Contains(got, "unknown command") || !strings.HasSuffix(got, "--- exit code 2\n") {
		t.Errorf("%s", got)
	}
}
