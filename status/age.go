package status

import (
	"fmt"
	"time"
)

// Age is a length of time as kubectl shows it: two units at most, the coarser
// the longer ("45s", "3m20s", "5h10m", "2d4h", "40d", "3y12d"). What is less than
// a second, or negative because a clock was set, is "0s".
func Age(d time.Duration) string {
	const (
		day  = 24 * time.Hour
		year = 365 * day
	)
	switch {
	case d < time.Second:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 10*time.Minute:
		return units(d, time.Minute, "m", time.Second, "s")
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 8*time.Hour:
		return units(d, time.Hour, "h", time.Minute, "m")
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 8*day:
		return units(d, day, "d", time.Hour, "h")
	case d < 2*year:
		return fmt.Sprintf("%dd", d/day)
	case d < 8*year:
		return units(d, year, "y", day, "d")
	default:
		return fmt.Sprintf("%dy", d/year)
	}
}

// units shows d in a big and a small unit, without the small one when it is 0.
func units(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	if rest := d % big / small; rest > 0 {
		return fmt.Sprintf("%d%s%d%s", d/big, bigName, rest, smallName)
	}
	return fmt.Sprintf("%d%s", d/big, bigName)
}

// ago shows a moment with its distance from now; kubectl's describe does the
// same for events. The moment is shown in the time zone of now.
func ago(at, now time.Time) string {
	at = at.In(now.Location())
	switch d := now.Sub(at); {
	case at.IsZero():
		return none
	case d < 0:
		return fmt.Sprintf("%s (in %s)", at.Format(time.RFC3339), roundedUp(-d))
	default:
		return fmt.Sprintf("%s (%s ago)", at.Format(time.RFC3339), Age(d))
	}
}

// roundedUp never shows a time that is still to come as "0s".
func roundedUp(d time.Duration) string {
	if d < 2*time.Minute {
		d += time.Second - time.Nanosecond
	}
	return Age(d)
}
