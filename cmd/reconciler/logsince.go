package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sinceTime reads the value of --since: how long ago, or when. A time of day is
// the last time that it was that time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, ok := ago(text); ok {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		clock, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		t := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
		if t.After(now) {
			t = t.AddDate(0, 0, -1)
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("cannot use --since %q: it takes a time as in 10m, 2d, 15:04, \"2026-01-02 15:04:05\" or 2026-01-02T15:04:05Z", text)
}

// ago reads a duration as Go has it, which may begin with days.
func ago(text string) (time.Duration, bool) {
	var days time.Duration
	if before, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, false
		}
		days = time.Duration(n) * 24 * time.Hour
		if after == "" {
			return days, true
		}
		text = after
	}
	d, err := time.ParseDuration(text)
	return days + d, err == nil && d >= 0
}
