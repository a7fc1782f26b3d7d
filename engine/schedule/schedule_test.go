package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if moment, err := time.Parse(layout, text); err == nil {
			return moment
		}
	}
	t.Fatalf("%q is no time", text)
	return time.Time{}
}

// times are moments as texts of the zone that they are in.
func times(list []time.Time) string {
	var texts []string
	for _, moment := range list {
		texts = append(texts, moment.Format("01-02 15:04 -07"))
	}
	return strings.Join(texts, ", ")
}

func TestCron(t *testing.T) {
	for _, test := range []struct{ line, zone, after, want string }{
		{"0 2 * * *", "", "2026-11-29 01:59:59", "11-29 02:00 +00, 11-30 02:00 +00, 12-01 02:00 +00"},
		{"0 2 * * *", "", "2026-11-29 02:00", "11-30 02:00 +00, 12-01 02:00 +00, 12-02 02:00 +00"},
		{"*/20 * * * *", "", "2026-12-31 23:30", "12-31 23:40 +00, 01-01 00:00 +00, 01-01 00:20 +00"},
		{"5/20 9-10 * * *", "", "2026-01-01 10:00", "01-01 10:05 +00, 01-01 10:25 +00, 01-01 10:45 +00"},
		{"0 0 31 * *", "", "2026-01-31", "03-31 00:00 +00, 05-31 00:00 +00, 07-31 00:00 +00"},
		{"0 0 29 2 *", "", "2026-01-01", "02-29 00:00 +00, 02-29 00:00 +00, 02-29 00:00 +00"},
		{"30 8 * * mon-FRI", "", "2026-11-27 09:00", "11-30 08:30 +00, 12-01 08:30 +00, 12-02 08:30 +00"},
		{"0 12 * * 7", "", "2026-11-29 13:00", "12-06 12:00 +00, 12-13 12:00 +00, 12-20 12:00 +00"},
		{"0 12 * * sat-sun", "", "2026-11-29 13:00", "12-05 12:00 +00, 12-06 12:00 +00, 12-12 12:00 +00"},
		{"0 0 13 * fri", "", "2026-11-01", "11-06 00:00 +00, 11-13 00:00 +00, 11-20 00:00 +00"},   // either
		{"0 0 */13 * fri", "", "2026-11-01", "11-27 00:00 +00, 01-01 00:00 +00, 05-14 00:00 +00"}, // both, see below
		{"0 0 1,15 jan,jul *", "", "2026-02-01", "07-01 00:00 +00, 07-15 00:00 +00, 01-01 00:00 +00"},
		{"0 9 * * *", "America/New_York", "2026-11-29 13:59", "11-29 09:00 -05, 11-30 09:00 -05, 12-01 09:00 -05"},
		{"15 0 * * *", "Asia/Kathmandu", "2026-11-29 00:00", "11-30 00:15 +05, 12-01 00:15 +05, 12-02 00:15 +05"},
		{"0 * * * *", "Asia/Kolkata", "2026-11-29 00:00", "11-29 06:00 +05, 11-29 07:00 +05, 11-29 08:00 +05"},

		// Berlin puts its clocks forward from 2 to 3 and back from 3 to 2.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", "03-28 02:30 +01, 03-29 03:00 +02, 03-30 02:30 +02"},
		{"0,15,30,45 2 * * *", "Europe/Berlin", "2026-03-28 01:45", "03-29 03:00 +02, 03-30 02:00 +02, 03-30 02:15 +02"},
		{"*/30 2,3 * * *", "Europe/Berlin", "2026-03-29 00:00", "03-29 03:00 +02, 03-29 03:30 +02, 03-30 02:00 +02"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 22:00", "10-25 02:30 +02, 10-26 02:30 +01, 10-27 02:30 +01"},
		{"0 2,3 * * *", "Europe/Berlin", "2026-10-24 22:00", "10-25 02:00 +02, 10-25 03:00 +01, 10-26 02:00 +01"},
		{"30 * * * *", "Europe/Berlin", "2026-03-29 00:00", "03-29 01:30 +01, 03-29 03:30 +02, 03-29 04:30 +02"},
		{"30 * * * *", "Europe/Berlin", "2026-10-24 23:00", "10-25 01:30 +02, 10-25 02:30 +02, 10-25 02:30 +01"},
		{"*/30 */2 * * *", "Europe/Berlin", "2026-10-25 00:00", "10-25 02:30 +02, 10-25 02:00 +01, 10-25 02:30 +01"},
		// Lord Howe moves by half an hour, Santiago at midnight.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", "10-04 02:30 +11, 10-05 02:15 +11, 10-06 02:15 +11"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00", "04-05 01:45 +11, 04-06 01:45 +10, 04-07 01:45 +10"},
		{"0 0 * * *", "America/Santiago", "2026-09-05 05:00", "09-06 01:00 -03, 09-07 00:00 -03, 09-08 00:00 -03"},
		{"30 23 * * *", "America/Santiago", "2026-04-04 00:00", "04-03 23:30 -03, 04-04 23:30 -03, 04-05 23:30 -04"},
		// Samoa left out a day.
		{"0 12 * * *", "Pacific/Apia", "2011-12-29 00:00", "12-29 12:00 -10, 12-31 00:00 +14, 12-31 12:00 +14"},
	} {
		t.Run(test.line+" "+test.zone+" "+test.after, func(t *testing.T) {
			c, err := ParseCron(test.line, test.zone)
			require.NoError(t, err)
			after := at(t, test.after)
			require.Equal(t, test.want, times(NextN(c, time.Time{}, after, 3)))
		})
	}
}

func TestBadCron(t *testing.T) {
	for _, test := range []struct{ line, zone, want string }{
		{"0 2 * *", "", `has 4 fields; it has to have five`},
		{"0 0 2 * * *", "", `there is none for seconds`},
		{"@daily", "", `write out what @daily stands for`},
		{"", "", `has 0 fields`},
		{"60 2 * * *", "", `the field for the minute, "60": "60" is no minute: it is 0 to 59`},
		{"0 24 * * *", "", `the field for the hour, "24": "24" is no hour`},
		{"0 0 0 * *", "", `the field for the day of month`},
		{"0 0 * 13 *", "", `it is 1 to 12 or jan to dec`},
		{"0 0 * * 8", "", `it is 0 to 7 or sun to sat`},
		{"0 0 * * moon", "", `"moon" is no day of week`},
		{"5-1 0 * * *", "", `the range "5-1" goes backwards`},
		{"*/0 0 * * *", "", `"0" is no step`},
		{"*/+5 0 * * *", "", `"+5" is no step`},
		{"+5 0 * * *", "", `"+5" is no minute`},
		{"1,,2 0 * * *", "", `"" is no minute`},
		{"0 0 30 2 *", "", `never fires: no 2 has a day 30`},
		{"0 0 * * *", "Mars/Olympus", `there is no time zone "Mars/Olympus"`},
		{"0 0 * * *", "Local", `there is no time zone "Local"`},
		{"0 0 * * *", "../../etc/passwd", `there is no time zone`},
		{strings.Repeat("0,", 1000) + "0 0 * * *", "", `at most 1000`},
	} {
		_, err := ParseCron(test.line, test.zone)
		require.ErrorContains(t, err, test.want, test.line)
	}
}

// TestEveryMinute holds Next to a search minute by minute, over the changes of
// two years.
func TestEveryMinute(t *testing.T) {
	for _, test := range []struct{ line, zone string }{
		{"*/17 * * * *", "Europe/Berlin"}, {"7 */5 * * 1-5", "America/New_York"}, {"1 * 1 */2 *", "Australia/Lord_Howe"}, {"0 * 28-31 feb,mar sun", "America/Santiago"},
	} {
		c, err := ParseCron(test.line, test.zone)
		require.NoError(t, err)
		begin, end := at(t, "2026-01-01"), at(t, "2028-01-01")
		var want, got int
		var sum, sumWant int64
		for m := begin.Add(time.Minute); m.Before(end); m = m.Add(time.Minute) {
			l := m.In(c.zone)
			if c.onDay(l.Month(), l.Day(), l.Weekday()) && c.hours>>l.Hour()&1 == 1 && c.minutes>>l.Minute()&1 == 1 {
				want++
				sumWant += m.Unix() * int64(want)
			}
		}
		for m, ok := c.Next(time.Time{}, begin); ok && m.Before(end); m, ok = c.Next(time.Time{}, m) {
			got++
			sum += m.Unix() * int64(got)
		}
		require.Equal(t, want, got, test.line)
		require.Equal(t, sumWant, sum, test.line)
	}
}

func TestPeriod(t *testing.T) {
	for _, test := range []struct {
		period        app.Period
		anchor, after string
		want          string
	}{
		{app.Period{Hours: 6}, "2026-11-29 01:30", "2026-11-29 01:30", "11-29 07:30 +00, 11-29 13:30 +00, 11-29 19:30 +00"},
		{app.Period{Hours: 6}, "2026-11-29 01:30", "2027-11-29 07:30", "11-29 13:30 +00, 11-29 19:30 +00, 11-30 01:30 +00"},
		{app.Period{Months: 1}, "2026-01-31 12:00", "2026-01-31 12:00", "02-28 12:00 +00, 03-31 12:00 +00, 04-30 12:00 +00"},
		{app.Period{Years: 1}, "2024-02-29", "2026-03-01", "02-28 00:00 +00, 02-29 00:00 +00, 02-28 00:00 +00"},
		{app.Period{Weeks: 1, Days: 1, Minutes: 1}, "2026-01-01", "2026-01-01", "01-09 00:01 +00, 01-17 00:02 +00, 01-25 00:03 +00"},
		{app.Period{Years: 1, Months: 1, Seconds: 60}, "2026-01-31", "2027-03-01", "03-31 00:02 +00, 04-30 00:03 +00, 05-31 00:04 +00"},
		{app.Period{Days: 1}, "2026-03-28 12:00", "2020-01-01", "03-29 12:00 +00, 03-30 12:00 +00, 03-31 12:00 +00"},
	} {
		s, err := Parse(app.Schedule{Period: &test.period})
		require.NoError(t, err)
		require.Equal(t, test.want, times(NextN(s, at(t, test.anchor), at(t, test.after), 3)), s.String())
	}
	s, err := Parse(app.Schedule{Period: &app.Period{Seconds: 1.5}})
	require.NoError(t, err)
	next, ok := s.Next(at(t, "2026-01-01"), at(t, "2126-01-01"))
	require.True(t, ok)
	require.Equal(t, at(t, "2126-01-01 00:00:01").Add(time.Second/2), next)
	require.Equal(t, "Period(seconds=1.5)", s.String())
	for _, bad := range []app.Period{{}, {Seconds: 0.5}, {Days: -1}, {Years: 101}, {Weeks: 5000, Hours: 500_000}, {Minutes: 1 << 62}} {
		_, err := Parse(app.Schedule{Period: &bad})
		require.Error(t, err, "%+v", bad)
	}
	s, err = Parse(app.Schedule{Period: &app.Period{Years: 99}})
	require.NoError(t, err)
	require.Len(t, NextN(s, at(t, "2026-01-01"), at(t, "2026-01-01"), 5), 2, "no more than a Duration has")
}

func FuzzCron(f *testing.F) {
	for _, line := range []string{"0 2 * * *", "*/5 1-7/2 1,31 jan-dec sun-sat", "59 23 29 2 6", "* * * * *", "0/7 */23 */31 2-3 7"} {
		for _, zone := range []string{"", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"} {
			f.Add(line, zone, int64(1.7e9))
		}
	}
	f.Fuzz(func(t *testing.T, line, zone string, unix int64) {
		c, err := ParseCron(line, zone)
		if err != nil {
			return
		}
		after := time.Unix(unix%4e9, 0)
		for range 3 {
			next, ok := c.Next(time.Time{}, after)
			if !ok {
				return
			}
			if !next.After(after) || next.Second() != 0 {
				t.Fatalf("%s: %v follows %v", c, next, after)
			}
			after = next
		}
	})
}
