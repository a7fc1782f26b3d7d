package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// moment reads a time as people write it on a command line: how long ago it was
// ("10m", "1h30m", "3d"), a time of today ("15:04"), a day ("2026-01-02"), a day
// and a time, or RFC 3339. Without a zone it is of this machine's. "" is the
// zero time.
func moment(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 100_000 {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < 0 {
			return time.Time{}, fmt.Errorf("%q is negative; 10m means ten minutes ago", text)
		}
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15:04:05.999999999"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05.999999999"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write how long ago (10m, 2h, 3d), a time of today (15:04), or a day and a time (2026-01-02 15:04:05)", text)
}
