package record

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clock turns times into readings of CLOCK_MONOTONIC and back. Go's own
// monotonic readings are of the same clock, and mean nothing in another process.
type clock struct {
	at   time.Time
	mono int64
}

// newClock reads both at one moment. Between two readings we may have to wait for
// a processor, so it is the best of a few attempts.
func newClock() (clock, error) {
	const attempts, good = 20, int64(10 * time.Microsecond)
	best, gap := clock{}, int64(math.MaxInt64)
	for n := 0; n < attempts && gap > good; n++ {
		var before, after unix.Timespec
		err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
		at := time.Now()
		if err = errors.Join(err, unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)); err != nil {
			return clock{}, fmt.Errorf("cannot read the clock: %w", err)
		}
		if d := after.Nano() - before.Nano(); d < gap {
			best, gap = clock{at, before.Nano() + d/2}, d
		}
	}
	return best, nil
}

// stamp is nanoseconds since the boot; 0 for the zero time.
func (c clock) stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return c.mono + int64(t.Sub(c.at))
}

// time is the inverse of stamp. It has a monotonic reading of this process.
func (c clock) time(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return c.at.Add(time.Duration(stamp - c.mono))
}

// bootID names the boot of the machine (random(4)).
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot tell the boot: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
