package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// billingSpan is the time that a bill is about, as its flags say it.
type billingSpan struct {
	start, end string
	period     string // --for
}

func (s *billingSpan) flags(cmd *cobra.Command, period string) {
	cmd.Flags().StringVar(&s.period, "for", period, `"today", "yesterday", "this week", "last week", "this month", "last month", "last N days"`)
	cmd.Flags().StringVar(&s.start, "start", "", "from this day or time on, in place of --for (2026-03-01, 2026-03-01T06:00:00Z)")
	cmd.Flags().StringVar(&s.end, "end", "", "until this day or time, which does not count (default: now)")
}

// String is the span within a sentence.
func (s billingSpan) String() string {
	switch {
	case s.start != "" && s.end != "":
		return "from " + s.start + " to " + s.end
	case s.start != "":
		return "since " + s.start
	case s.end != "":
		return "until " + s.end
	}
	return s.period
}

// read is the span's beginning and end; zero = open.
func (s *billingSpan) read(now time.Time) (start, end time.Time, err error) {
	if s.start == "" && s.end == "" {
		return spanOf(s.period, now.UTC())
	}
	if start, err = dayOrTime("--start", s.start); err != nil {
		return start, end, err
	}
	if end, err = dayOrTime("--end", s.end); err != nil {
		return start, end, err
	}
	if !start.IsZero() && !end.IsZero() && !start.Before(end) {
		return start, end, fmt.Errorf("--start %s is not before --end %s", s.start, s.end)
	}
	return start, end, nil
}

func dayOrTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil && t.Year() >= 1970 {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is no day or time such as 2026-03-01 or 2026-03-01T06:00:00Z", flag, text)
}

// spanOf is the span that a period means, in UTC; weeks begin on Monday.
func spanOf(period string, now time.Time) (start, end time.Time, err error) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	week := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	month := today.AddDate(0, 0, 1-today.Day())
	words := strings.Fields(strings.ToLower(period))
	switch strings.Join(words, " ") {
	case "today":
		return today, end, nil
	case "yesterday":
		return today.AddDate(0, 0, -1), today, nil
	case "this week":
		return week, end, nil
	case "last week":
		return week.AddDate(0, 0, -7), week, nil
	case "this month":
		return month, end, nil
	case "last month":
		return month.AddDate(0, -1, 0), month, nil
	}
	if len(words) == 3 && words[0] == "last" && (words[2] == "days" || words[2] == "day") {
		if n, err := strconv.Atoi(words[1]); err == nil && n > 0 && n <= 400 {
			return today.AddDate(0, 0, 1-n), end, nil
		}
	}
	return start, end, fmt.Errorf(`--for %q: it can be "today", "yesterday", "this week", "last week", "this month", "last month" or "last N days", N up to 400`, period)
}
