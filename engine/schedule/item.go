package schedule

import "time"

// maxCounted is how many missed ticks are counted one by one.
const maxCounted = 1_000_000

// item is one schedule, and where its host is with it. It says what is due, and does nothing about it.
type item struct {
	Schedule
	key         int64
	environment int64 // its id
	name        Name
	anchor      time.Time
	mark        time.Time // all ticks until then are decided
	active      bool
	paused      time.Time // zero = it is not

	next time.Time // the first tick after mark; zero = there is none
}

// plan finds the first tick after mark.
func (i *item) plan() {
	i.next = time.Time{}
	if !i.active || !i.paused.IsZero() {
		return
	}
	if next, ok := i.Next(i.anchor, i.mark); ok {
		i.next = next
	}
}

// due counts the ticks until now that are not decided.
func (i *item) due(now time.Time) (ticks int, first, last time.Time) {
	for t := i.next; !t.IsZero() && !t.After(now); ticks++ {
		if first.IsZero() {
			first = t
		}
		last = t
		next, ok := i.Next(i.anchor, t)
		if !ok || ticks == maxCounted {
			break
		}
		t = next
	}
	return ticks, first, last
}
