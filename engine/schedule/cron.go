package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for machines without a time zone database
)

// Cron is a line of five cron fields in a time zone; see the package.
type Cron struct {
	line string
	zone *time.Location

	minutes, hours, days, months, weekdays uint64 // bit n = n is one of them

	everyHour bool // the hour field begins with an asterisk
	// Where both kinds of days are restricted, either will do; a field that begins
	// with an asterisk does not restrict.
	eitherDay bool
}

// field is one of the five.
type field struct {
	name        string
	least, most int
	names       []string // of least, least+1, ...
}

var fields = [5]field{
	{name: "minute", most: 59},
	{name: "hour", most: 23},
	{name: "day of month", least: 1, most: 31},
	{name: "month", least: 1, most: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", most: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// Limits of a line.
const (
	maxLine = 1000 // bytes
	maxZone = 100
	// horizon is how far Next looks: the 29th of February is on a given day of
	// the week at least every 40 years.
	horizon = 50 // years
)

// ParseCron reads a line of five fields: minute, hour, day of month, month and
// day of week, each a list of numbers, names, ranges a-b and *, each of the
// latter two with /step if not all are meant. zone is a name of the IANA
// database; "" = UTC. The error is in a user's words.
func ParseCron(line, zone string) (*Cron, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("the cron line has %d characters; at most %d are allowed", len(line), maxLine)
	}
	parts := strings.Fields(line)
	if len(parts) != len(fields) {
		hint := ""
		switch {
		case strings.HasPrefix(line, "@"):
			hint = "; write out what " + parts[0] + " stands for"
		case len(parts) == 6:
			hint = "; there is none for seconds"
		}
		return nil, fmt.Errorf("Cron(%q) has %d fields; it has to have five: minute, hour, day of month, month, day of week%s", line, len(parts), hint)
	}
	c := &Cron{line: line}
	var err error
	if c.zone, err = loadZone(zone); err != nil {
		return nil, fmt.Errorf("Cron(%q): %w", line, err)
	}
	for i, into := range []*uint64{&c.minutes, &c.hours, &c.days, &c.months, &c.weekdays} {
		if *into, err = fields[i].parse(parts[i]); err != nil {
			return nil, fmt.Errorf("Cron(%q): %w", line, err)
		}
	}
	c.weekdays |= c.weekdays >> 7 & 1 // 7 is Sunday, as 0
	c.everyHour = parts[1][0] == '*'
	c.eitherDay = parts[2][0] != '*' && parts[4][0] != '*'
	if _, ok := c.Next(time.Time{}, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return nil, fmt.Errorf("Cron(%q) never fires: no %s has a day %s", line, parts[3], parts[2])
	}
	return c, nil
}

func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || len(name) > maxZone {
		return nil, fmt.Errorf("there is no time zone %.100q; give a name of the IANA database, such as %q", name, "Europe/Berlin")
	}
	return zone, nil
}

// parse reads the field.
func (f field) parse(text string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		some, err := f.parsePart(part)
		if err != nil {
			return 0, fmt.Errorf("the field for the %s, %q: %w", f.name, text, err)
		}
		set |= some
	}
	return set, nil
}

func (f field) parsePart(part string) (set uint64, err error) {
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || !digits(stepText) {
			return 0, fmt.Errorf("%q is no step: it is a whole number of 1 or more", stepText)
		}
	}
	first, last := f.least, f.most
	if f.most == 7 && span == "*" {
		last = 6 // Sunday once
	}
	if span != "*" {
		from, to, ranged := strings.Cut(span, "-")
		if first, err = f.number(from); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if last, err = f.number(to); err != nil {
				return 0, err
			}
			if last == 0 && first > 0 && f.most == 7 {
				last = 7 // sat-sun
			}
		case !stepped:
			last = first
		}
	}
	if first > last {
		return 0, fmt.Errorf("the range %q goes backwards", span)
	}
	for n := first; n <= last; n += step {
		set |= 1 << n
		if n > f.most-step { // a large step
			break
		}
	}
	return set, nil
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func (f field) number(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.least + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || !digits(text) || n < f.least || n > f.most {
		names := ""
		if len(f.names) > 0 {
			names = fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
		}
		return 0, fmt.Errorf("%q is no %s: it is %d to %d%s, a range a-b, *, or a list of such", text, f.name, f.least, f.most, names)
	}
	return n, nil
}

// String implements Schedule.
func (c *Cron) String() string {
	if c.zone == time.UTC {
		return fmt.Sprintf("Cron(%q)", c.line)
	}
	return fmt.Sprintf("Cron(%q, timezone=%q)", c.line, c.zone)
}

// Next implements Schedule.
func (c *Cron) Next(_, after time.Time) (time.Time, bool) {
	if c.everyHour {
		return c.nextElapsed(after)
	}
	return c.nextNamed(after)
}

// onDay reports whether the line fires on a date.
func (c *Cron) onDay(month time.Month, day int, weekday time.Weekday) bool {
	if c.months>>month&1 == 0 {
		return false
	}
	ofMonth, ofWeek := c.days>>day&1 == 1, c.weekdays>>weekday&1 == 1
	if c.eitherDay {
		return ofMonth || ofWeek
	}
	return ofMonth && ofWeek
}

// nextElapsed is Next for a line that goes by the time that passes: the first
// minute that the clock on the wall shows and the line names.
func (c *Cron) nextElapsed(after time.Time) (time.Time, bool) {
	t := after.In(c.zone)
	t = t.Add(time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	for last := t.Year() + horizon; t.Year() <= last; {
		var jump time.Duration
		switch {
		case !c.onDay(t.Month(), t.Day(), t.Weekday()):
			jump = time.Duration(24*60-60*t.Hour()-t.Minute()) * time.Minute
			if c.months>>t.Month()&1 == 0 {
				// The month's last day is handled as any other.
				jump += time.Duration(max(0, lastDay(t)-t.Day()-1)) * 24 * time.Hour
			}
		case c.hours>>t.Hour()&1 == 0:
			jump = time.Duration(60-t.Minute()) * time.Minute
		case c.minutes>>t.Minute()&1 == 0:
			next := bits.TrailingZeros64(c.minutes >> t.Minute())
			if next == 64 {
				next = 60 - t.Minute()
			}
			jump = time.Duration(next) * time.Minute
		default:
			return t, true
		}
		// The clock shows what was counted on unless it is put forward or back.
		next := t.Add(jump)
		if _, end := t.ZoneBounds(); !end.IsZero() && next.After(end) {
			next = end.In(c.zone)
			if s := time.Duration(next.Second()) * time.Second; s > 0 { // never since 1972
				next = next.Add(time.Minute - s)
			}
		}
		t = next
	}
	return time.Time{}, false
}

func lastDay(t time.Time) int {
	return time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// nextNamed is Next for a line that names moments of days. Moments that follow
// each other on the clock never go back in time: see instant.
func (c *Cron) nextNamed(after time.Time) (time.Time, bool) {
	// One day earlier, because of clocks that were put back over midnight.
	day := midnight(after.In(c.zone)).AddDate(0, 0, -1)
	for last := day.Year() + horizon; day.Year() <= last; day = day.AddDate(0, 0, 1) {
		if c.months>>day.Month()&1 == 0 {
			day = time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC) // its last day
			continue
		}
		if !c.onDay(day.Month(), day.Day(), day.Weekday()) {
			continue
		}
		for hours := c.hours; hours != 0; hours &= hours - 1 {
			for minutes := c.minutes; minutes != 0; minutes &= minutes - 1 {
				wall := day.Add(time.Duration(bits.TrailingZeros64(hours))*time.Hour + time.Duration(bits.TrailingZeros64(minutes))*time.Minute)
				if t := instant(wall, c.zone); t.After(after) {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// midnight is the beginning of a local date, as if it were one of UTC.
func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// instant is when a clock in the zone first shows what wall says in UTC; or,
// where it is put forward past that, the moment when this happens.
func instant(wall time.Time, zone *time.Location) time.Time {
	_, before := wall.AddDate(0, 0, -1).In(zone).Zone()
	_, behind := wall.AddDate(0, 0, 1).In(zone).Zone()
	early := wall.Add(-time.Duration(max(before, behind)) * time.Second).In(zone)
	late := wall.Add(-time.Duration(min(before, behind)) * time.Second).In(zone)
	shows := func(t time.Time) bool {
		return midnight(t).Equal(midnight(wall)) && t.Hour() == wall.Hour() && t.Minute() == wall.Minute()
	}
	switch {
	case shows(early):
		return early
	case shows(late):
		return late
	}
	start, _ := late.ZoneBounds()
	return start.In(zone)
}
