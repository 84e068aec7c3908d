package status

import (
	"testing"
	"time"
)

func TestTheRunBeforeEndsWhereThePresentOneBegins(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 15, 0, second, 0, time.UTC) }
	ended := &Exit{Started: at(10), At: at(20)}
	tests := map[string]struct {
		replica      Replica
		since, until time.Time
		ok           bool
	}{
		"no run has ended":             {Replica{Started: at(10)}, time.Time{}, time.Time{}, false},
		"none runs":                    {Replica{LastExit: ended}, at(10).Add(-runLag), time.Time{}, true},
		"one runs":                     {Replica{LastExit: ended, Started: at(30)}, at(10).Add(-runLag), at(30).Add(-runLag), true},
		"one began at once":            {Replica{LastExit: ended, Started: at(20).Add(1)}, at(10).Add(-runLag), at(20), true},
		"the program could not be run": {Replica{LastExit: &Exit{At: at(20)}}, at(20), time.Time{}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			since, until, ok := test.replica.PreviousRun()
			if !since.Equal(test.since) || !until.Equal(test.until) || ok != test.ok {
				t.Errorf("got %v to %v, %v; want %v to %v, %v", since, until, ok, test.since, test.until, test.ok)
			}
		})
	}
}
