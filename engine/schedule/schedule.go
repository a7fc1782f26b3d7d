// Package schedule fires scheduled functions: it knows when they are due, and
// keeps a record of every time. What firing one does, and whether its app runs,
// is others' business.
//
// # When
//
// A Cron is five fields of wall-clock time in a time zone, a Period a calendar
// distance from an anchor: the moment when it was first deployed. Both are pure:
// Next is a function of a time.
//
// Where clocks are put forward or back, a cron line whose hour field begins with
// an asterisk goes by the time that passes: "0 * * * *" fires every 60 minutes,
// in the hour that comes twice too. Any other names moments of a day: one that
// is skipped fires once, at the moment when the clocks are put forward; one that
// comes twice fires the first time. These are the rules of Paul Vixie's cron,
// but for one: there an asterisk in the minute field has the same effect.
//
// # Once
//
// No tick is fired twice, and none is lost without a trace. A tick is claimed in
// the database, in one transaction with the spawned call that does it (see
// Runner.fire and package spawned), and with the schedule's mark, up to which
// all of its ticks are decided. So there is nothing between claim and call in
// which a host could die: after a kill either both are there, and the call is
// done as any spawned call that was cut off, or neither is, and the tick counts
// as missed. The call's id is made from the function and the tick: should all
// records of a tick be lost but its call, there still is no second one.
//
// A tick that nobody fired while it was due, because the host was down, suspended
// or out of breath, is missed: that is recorded and shown, and not made up for.
// A tick that comes while the run before is not done is skipped, which is
// recorded too. Of ticks while a schedule is paused nothing is recorded.
package schedule

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gx-dev/gx/app"
)

// Schedule is when a function is due.
type Schedule interface {
	// Next is the first time after a time; false = there is none. anchor is when
	// the schedule began.
	Next(anchor, after time.Time) (time.Time, bool)
	// String says it in a user's words.
	String() string
}

// Parse makes a Schedule of what an app declares. The error is in a user's
// words.
func Parse(s app.Schedule) (Schedule, error) {
	switch {
	case s.Cron != "" && s.Period != nil:
		return nil, errors.New("it is both a Cron and a Period")
	case s.Cron != "":
		return ParseCron(s.Cron, s.Timezone)
	case s.Period != nil:
		return parsePeriod(*s.Period)
	}
	return nil, errors.New("it says neither a Cron nor a Period")
}

// NextN is the next n times after a time, fewer if there are no more.
func NextN(s Schedule, anchor, after time.Time, n int) []time.Time {
	var list []time.Time
	for range n {
		next, ok := s.Next(anchor, after)
		if !ok {
			break
		}
		list = append(list, next)
		after = next
	}
	return list
}

// Limits of a period.
const (
	minPeriod = time.Second
	maxPeriod = 100 * 366 * 24 * time.Hour
)

// period is a calendar distance: years and months by the calendar, the rest by
// the clock.
type period struct {
	text   string
	months int
	rest   time.Duration
}

func parsePeriod(p app.Period) (Schedule, error) {
	const day = 24 * time.Hour
	var q period
	var given []string
	var total float64 // seconds
	for _, part := range []struct {
		name  string
		value float64
		unit  time.Duration
	}{
		{"years", float64(p.Years), 366 * day}, {"months", float64(p.Months), 31 * day}, {"weeks", float64(p.Weeks), 7 * day}, {"days", float64(p.Days), day},
		{"hours", float64(p.Hours), time.Hour}, {"minutes", float64(p.Minutes), time.Minute}, {"seconds", p.Seconds, time.Second},
	} {
		if !(part.value >= 0) { // also what is no number
			return nil, fmt.Errorf("Period(%s=%v): it must not be below 0", part.name, part.value)
		}
		if part.value > 0 {
			given = append(given, fmt.Sprintf("%s=%v", part.name, part.value))
		}
		total += part.value * part.unit.Seconds()
	}
	q.text = "Period(" + strings.Join(given, ", ") + ")"
	switch {
	case total > maxPeriod.Seconds():
		return nil, fmt.Errorf("%s is more than 100 years", q.text)
	case total < minPeriod.Seconds():
		return nil, fmt.Errorf("%s is less than a second", q.text)
	}
	q.months = 12*p.Years + p.Months
	q.rest = time.Duration(7*p.Weeks+p.Days)*day + time.Duration(p.Hours)*time.Hour + time.Duration(p.Minutes)*time.Minute + time.Duration(math.Round(p.Seconds*1e6))*time.Microsecond
	return q, nil
}

// at is the n-th time after the anchor: n times as far as the first, so that the
// last day of a month stays the last where there is no such day.
func (p period) at(anchor time.Time, n int64) time.Time {
	t := anchor.UTC()
	if months := int(n) * p.months; months > 0 {
		first := time.Date(t.Year(), t.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		t = time.Date(first.Year(), first.Month(), min(t.Day(), last), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	}
	return t.Add(time.Duration(n) * p.rest)
}

// Next implements Schedule.
func (p period) Next(anchor, after time.Time) (time.Time, bool) {
	longest := p.rest + time.Duration(p.months)*31*24*time.Hour
	n := max(int64(after.Sub(anchor)/longest), 1)
	for ; ; n++ {
		if n > int64(290*366*24*time.Hour/longest) { // a Duration has no more
			return time.Time{}, false
		}
		if t := p.at(anchor, n); t.After(after) {
			return t, true
		}
	}
}

// String implements Schedule.
func (p period) String() string { return p.text }
