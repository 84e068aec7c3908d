package watch

import (
	"testing"
	"time"
)

func TestAnIdentityIsRacyWhile(t *testing.T) {
	now := time.Unix(1000, 0)
	tests := map[string]struct {
		mtime, ctime time.Duration // before now
		want         bool
	}{
		"it was written just now":                          {time.Millisecond, time.Millisecond, true},
		"it was written long ago":                          {time.Hour, time.Hour, false},
		"its owner, say, was changed just now":             {time.Hour, time.Millisecond, true},
		"it was dated into the future just now":            {-time.Hour, time.Millisecond, true},
		"it was dated into the future long ago":            {-time.Hour, time.Hour, false},
		"the clock was set back since":                     {-time.Hour, -time.Hour, false},
		"the clock that stamps is a little ahead of ours":  {-time.Millisecond, -time.Millisecond, true},
		"it was dated to now by somebody a long time ago":  {0, time.Hour, true},
		"it was renamed just now, and dated far back then": {1000 * time.Hour, time.Millisecond, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id := identity{mtime: now.Add(-test.mtime).UnixNano(), ctime: now.Add(-test.ctime).UnixNano()}
			if got := id.racy(now, racyLocal); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
