package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBillingSpan(t *testing.T) {
	sunday := time.Date(2026, 3, 1, 1, 30, 0, 0, time.FixedZone("", 2*3600)) // still February in UTC
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	var open time.Time
	for _, c := range []struct {
		span       billingSpan
		start, end time.Time
		wrong      string
	}{
		{span: billingSpan{period: "today"}, start: day(2026, 2, 28)},
		{span: billingSpan{period: "Yesterday"}, start: day(2026, 2, 27), end: day(2026, 2, 28)},
		{span: billingSpan{period: "this  week"}, start: day(2026, 2, 23)},
		{span: billingSpan{period: "last week"}, start: day(2026, 2, 16), end: day(2026, 2, 23)},
		{span: billingSpan{period: "this month"}, start: day(2026, 2, 1)},
		{span: billingSpan{period: "last month"}, start: day(2026, 1, 1), end: day(2026, 2, 1)},
		{span: billingSpan{period: "last 7 days"}, start: day(2026, 2, 22)},
		{span: billingSpan{start: "2026-01-02", period: "today"}, start: day(2026, 1, 2)},
		{span: billingSpan{start: "2026-01-02", end: "2026-01-03T00:00:00+01:00"}, start: day(2026, 1, 2), end: day(2026, 1, 2).Add(23 * time.Hour)},
		{span: billingSpan{period: "last 0 days"}, wrong: "--for"},
		{span: billingSpan{period: "last 401 days"}, wrong: "N up to 400"},
		{span: billingSpan{period: ""}, wrong: "--for"},
		{span: billingSpan{start: "1.2.2026"}, wrong: "--start"},
		{span: billingSpan{start: "0001-01-01"}, wrong: "--start"},
		{span: billingSpan{end: "tomorrow"}, wrong: "--end"},
		{span: billingSpan{start: "2026-01-02", end: "2026-01-02"}, wrong: "not before"},
	} {
		start, end, err := c.span.read(sunday)
		if c.wrong != "" {
			require.ErrorContains(t, err, c.wrong, "%+v", c.span)
			continue
		}
		require.NoError(t, err, "%+v", c.span)
		require.Equal(t, c.start, start.UTC(), "%+v", c.span)
		if c.end != open {
			require.Equal(t, c.end, end.UTC(), "%+v", c.span)
		} else {
			require.True(t, end.IsZero(), "%+v", c.span)
		}
	}
}
