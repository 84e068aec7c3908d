package reconciler_test

import (
	"syscall"
	"testing"

	"svc.d/reconciler"
)

func TestAnEndIsWordedOneWay(t *testing.T) {
	tests := map[string]struct {
		exit reconciler.Exit
		want string
	}{
		"success":             {reconciler.Exit{}, "exited with code 0"},
		"a code":              {reconciler.Exit{Code: 3}, "exited with code 3"},
		"a signal":            {reconciler.Exit{Signal: syscall.SIGTERM}, "was killed by SIGTERM"},
		"a signal and a core": {reconciler.Exit{Signal: syscall.SIGSEGV, CoreDumped: true}, "was killed by SIGSEGV (core dumped)"},
		"a real-time signal":  {reconciler.Exit{Signal: 40}, "was killed by SIGRTMIN+6"},
		"unknown":             {reconciler.Exit{Unknown: true}, "ended, it is not known how"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.exit.Words(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
